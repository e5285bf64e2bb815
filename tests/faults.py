"""The catalogue of faults: broken implementations, each a few lines over a right one.

For every law one that it catches is in CAUGHT_BY. The seed's example (one step, float32, sizes 5,
10, 3, rate 0.1, batch 7) accepts every one of those; tests/test_laws.py shows both.
"""

from __future__ import annotations

import inspect
from types import ModuleType

from torch import nn

from tests.broken import (
    conduct,
    contexts,
    corners,
    derivatives,
    draws,
    equations,
    gradients,
    layouts,
    life,
    masks,
    precision,
    rates,
    refusals,
    sequence_masks,
    sequences,
    states,
)
from tests.broken.conduct import Drifts
from tests.broken.corners import NarrowWithoutBias
from tests.broken.draws import DrawsInEval, DrawsOneMore
from tests.broken.equations import Overshoots
from tests.broken.masks import MaskKeptOverTime, MaskOfTheStepBefore, MaskSharedOverLargeBatch
from tests.broken.precision import Gain
from tests.broken.rates import IgnoresMasksOfHighRates, OneRowIsNotDropped, RateCapped
from tests.broken.sequences import SeesTheFuture
from tests.broken.states import (
    KeepsTheFirstState,
    MixesRows,
    OutputApart,
    RemembersItsFirstStep,
    StartsFromOnes,
    Tires,
)


def _faults(*modules: ModuleType) -> tuple[type[nn.Module], ...]:
    """Return the modules' own classes of nn.Module, in the order of their definition."""
    return tuple(
        one
        for module in modules
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, nn.Module) and one.__module__ == module.__name__
    )


#: Broken cells, topic by topic.
CELLS = _faults(
    masks,
    rates,
    draws,
    states,
    equations,
    precision,
    corners,
    gradients,
    derivatives,
    conduct,
    contexts,
    life,
)

#: Broken sequence modules.
SEQUENCES = _faults(sequences, sequence_masks, layouts)

#: Right but for what they take that nn.GRU refuses: violations with --strict only.
REFUSALS = _faults(refusals)

#: For every law a fault that it catches.
CAUGHT_BY = {
    "equation": Gain,
    "one-step": RateCapped,
    "unrolled": KeepsTheFirstState,
    "same-masks": MaskKeptOverTime,
    "hn-is-last": OutputApart,
    "chunks": Tires,
    "rows": MixesRows,
    "causal": SeesTheFuture,
    "default-state": StartsFromOnes,
    "bounded": Overshoots,
    "same-draws": DrawsOneMore,
    "no-draws": DrawsInEval,
    "repeatable": Drifts,
    "mask-count": MaskSharedOverLargeBatch,
    "seed-matters": IgnoresMasksOfHighRates,
    "order-matters": MaskOfTheStepBefore,
    "first-step-is-not-hn": RemembersItsFirstStep,
    "mode-matters": OneRowIsNotDropped,
    "everything-matters": NarrowWithoutBias,
}
