"""What nn.GRU does in a case: the masks that it draws, and its results with their bounds."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.cases.case import Case
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
    """Run nn.GRU from the case's seed; return the run and its masks, see reference_masks."""
    masks = reference_masks(pair)
    pair.seed()
    return pair.run_reference(), masks


def reference_masks(pair: Pair, seed: int | None = None) -> Tensor | None:
    """Return the masks that nn.GRU draws from a seed, the case's unless another is given.

    They are bool, (L - 1, T, B, H), or None if nothing is dropped.

    Raises:
        NotApplicable: if nn.GRU's masks cannot be seen, as in cuDNN's fused kernels.
    """
    case, recorder = pair.case, Recorder()
    if case.drops:
        by_layer = _draws_layer_by_layer(case.torch_dtype, pair.input.device)
        pair.seed(seed)
        if by_layer:
            return _drawn(_shape(case), case.dropout, pair.input)
        with recorder:
            pair.run_reference()
    return layer_masks(pair, recorder)


def _drawn(shape: tuple[int, ...], dropout: float, like: Tensor) -> Tensor:
    """Draw masks from torch's generator, layer by layer."""
    masks = [like.new_empty(shape[1:]).bernoulli_(1 - dropout) for _ in range(shape[0])]
    return torch.stack(masks).bool().cpu()


@functools.cache
def _draws_layer_by_layer(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this build's nn.GRU draws its masks as _drawn does, which takes a tenth of the time.

    A recorder sees every operation within nn.GRU's one.
    """
    gru = nn.GRU(2, 5, 4, dropout=0.25, dtype=dtype, device=device)
    input = torch.ones(3, 2, 2, dtype=dtype, device=device)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        with Recorder() as recorder:
            gru(input)
        torch.manual_seed(0)
        masks = _drawn((3, 3, 2, 5), 0.25, input)
    seen = [draw.mask.cpu() for draw in recorder.draws]
    return len(seen) == len(masks) and all(map(torch.equal, seen, masks))


def _shape(case: Case) -> tuple[int, ...]:
    """Return the shape of all masks of a case."""
    return case.num_layers - 1, case.seq_len, case.batch, case.hidden_size


def layer_masks(pair: Pair, recorder: Recorder) -> Tensor | None:
    """Return the masks that nn.GRU drew, bool, (L - 1, T, B, H), or None if nothing is dropped.

    Raises:
        NotApplicable: if nn.GRU's masks cannot be seen, as in cuDNN's fused kernels.
    """
    case = pair.case
    shape = _shape(case)
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
    h0 = pair.h0 if h0 is None else pair.taken(h0)
    scale, dtype = pair.case.dropout_scale, pair.case.torch_dtype
    outputs, hn = rounding.sequence(input, h0, pair.layers, masks, scale, dtype)
    return Expected(outputs, Bounded(pair.shown(hn.value), pair.shown(hn.error)))
