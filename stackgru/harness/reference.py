"""What nn.GRU does in a case: the masks that it draws, and its results with their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.harness.masks import Recorder, arrange
from stackgru.harness.pair import Pair, Run
from stackgru.outcomes import NotApplicable


@dataclass(frozen=True)
class Expected:
    """What a run should give, in float64, with the bound of one implementation.

    Attributes:
        outputs: (T, B, H).
        hn: (L, B, H).
    """

    outputs: Bounded
    hn: Bounded


def seeded_reference(pair: Pair) -> tuple[Run, Tensor | None]:
    """Run nn.GRU from the case's seed; return the run and its masks, see layer_masks."""
    with recorded(pair) as recorder:
        run = pair.run_reference()
    return run, layer_masks(pair, recorder)


@contextmanager
def recorded(pair: Pair) -> Iterator[Recorder]:
    """Run nn.GRU from the case's seed, with its masks recorded if it draws any."""
    pair.seed()
    recorder = Recorder()
    # It sees every operation within nn.GRU's one, which takes several times as long.
    with recorder if pair.case.drops else nullcontext():
        yield recorder


def layer_masks(pair: Pair, recorder: Recorder) -> Tensor | None:
    """Return the masks that nn.GRU drew, bool, (L - 1, T, B, H), or None if nothing is dropped.

    Raises:
        NotApplicable: if nn.GRU's masks cannot be seen, as in cuDNN's fused kernels.
    """
    case = pair.case
    shape = (case.num_layers - 1, case.seq_len, case.batch, case.hidden_size)
    if not case.drops:
        all_dropped = case.mode == "train" and case.dropout == 1 and case.num_layers > 1
        return torch.zeros(shape, dtype=torch.bool) if all_dropped else None
    masks = arrange(recorder.draws, shape, "layer order")
    if masks is None:
        raise NotApplicable(
            "the masks that nn.GRU draws cannot be seen on this build and device: "
            f"{len(recorder.draws)} were seen where {case.num_layers - 1} are drawn"
        )
    return masks


def expected(
    pair: Pair,
    masks: Tensor | None,
    *,
    input: Tensor | None = None,
    h0: Tensor | None = None,
) -> Expected:
    """Compute the results that the equation gives under these masks, with their bounds."""
    input = pair.input if input is None else input
    h0 = pair.h0 if h0 is None else h0
    scale, dtype = pair.case.dropout_scale, pair.case.torch_dtype
    return Expected(*rounding.sequence(input, h0, pair.layers, masks, scale, dtype))
