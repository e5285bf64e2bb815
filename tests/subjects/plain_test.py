"""What a user would write in place of stackgru: a plain Hypothesis test by torch.allclose.

A hundred examples of sizes to 32, 4 layers, 8 rows, float32 and float64, any rate, training and
eval, the weights copied and the same seed set before each call: one step of a cell, or up to six
steps of a sequence, against one call of nn.GRU.
"""

from __future__ import annotations

import warnings

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from stackgru.cases.case import Case
from stackgru.gru.parameters import copy_layers, gru_layers
from stackgru.targets.construct import construct
from stackgru.targets.convention import Convention
from stackgru.targets.find_weights import find_layers

EXAMPLES = 100


def plain_cases(*, sequence=False):
    """Cases as one would draw them at first thought."""
    return st.builds(
        Case,
        input_size=st.integers(1, 32),
        hidden_size=st.integers(1, 32),
        num_layers=st.integers(1, 4),
        batch=st.integers(1, 8),
        seq_len=st.integers(1, 6) if sequence else st.just(1),
        dropout=st.floats(0, 1),
        dtype=st.sampled_from(["float32", "float64"]),
        mode=st.sampled_from(["train", "eval"]),
        seed=st.integers(0, 2**32 - 1),
    )


def results(stack_class, case, *, sequence=False):
    """Return the stack's and nn.GRU's output and hn, as two pairs."""
    torch.manual_seed(case.seed)
    stack = construct(Convention(stack_class), "the stack", case, "cpu").train(case.mode == "train")
    sizes = (case.input_size, case.hidden_size, case.num_layers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one layer with dropout
        gru = nn.GRU(*sizes, dropout=case.dropout, dtype=case.torch_dtype)
    gru.train(case.mode == "train")
    copy_layers(find_layers(stack, case), gru_layers(gru))
    input = torch.randn(case.seq_len, case.batch, case.input_size, dtype=case.torch_dtype)
    h0 = torch.randn(case.num_layers, case.batch, case.hidden_size, dtype=case.torch_dtype)
    torch.manual_seed(case.seed)
    own = stack(input if sequence else input[0], h0.clone())
    torch.manual_seed(case.seed)
    output, hn = gru(input, h0.clone())
    return own, (output if sequence else output[0], hn)


def examples_to_difference(stack_class, *, sequence=False, seed=0, max_examples=EXAMPLES):
    """Return how many examples the test takes to fail, or None if it passes."""
    examples, failed = 0, False

    # Nothing is kept and nothing shrunk: only whether it fails is asked.
    @hypothesis.seed(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        derandomize=False,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(plain_cases(sequence=sequence))
    def is_nn_gru(case):
        nonlocal examples, failed
        examples += not failed
        try:
            own, reference = results(stack_class, case, sequence=sequence)
            assert all(torch.allclose(*pair) for pair in zip(own, reference, strict=True))
        except Exception:
            failed = True
            raise

    try:
        is_nn_gru()
    except Exception:
        if not failed:
            raise
        return examples
    return None


def accepts(stack_class, **options):
    """Whether the plain test takes a stack for nn.GRU."""
    return examples_to_difference(stack_class, **options) is None
