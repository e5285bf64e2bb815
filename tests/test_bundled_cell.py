"""The bundled cell is interchangeable with nn.GRU: every law holds."""

import stackgru

test_bundled_cell = stackgru.suite_for(stackgru.StackingGRUCell, max_examples=20)
