"""What nn.GRU does in a case: the masks that it draws, and its results with their bounds."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded
from stackgru.gru.parameters import Layer
from stackgru.harness.masks import Recorder, arrange, flat
from stackgru.harness.orders import reference_order
from stackgru.harness.pair import Pair, Run
from stackgru.outcomes import NotApplicable


@dataclass(frozen=True)
class Expected:
    """What a run should give, in float64, with the bound of one implementation.

    Attributes:
        outputs: (T, B, D H).
        hn: (D L, B, H).
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

    They are bool, (L - 1, T, B, D H), or None if nothing is dropped.

    Raises:
        NotApplicable: if nn.GRU's masks cannot be seen, as in cuDNN's fused kernels.
    """
    case, recorder = pair.case, Recorder()
    if case.drops:
        by_layer = _draws_layer_by_layer(case.torch_dtype, pair.input.device)
        pair.seed(seed)
        if by_layer:
            order = reference_order(pair)
            gaps = case.num_layers - 1
            kept = _drawn(gaps, len(order) // gaps, case.dropout, pair.input)
            return arrange(kept, order, case.masks_shape)
        with recorder:
            pair.run_reference()
    return layer_masks(pair, recorder)


def _drawn(gaps: int, values: int, dropout: float, like: Tensor) -> Tensor:
    """Draw as many values for each gap from torch's generator."""
    masks = [like.new_empty(values).bernoulli_(1 - dropout) for _ in range(gaps)]
    return torch.cat(masks).bool().cpu()


@functools.cache
def _draws_layer_by_layer(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this build's nn.GRU draws its masks as _drawn does, which takes a tenth of the time.

    A recorder sees every operation within nn.GRU's one.
    """
    input = torch.ones(3, 2, 2, dtype=dtype, device=device)
    with torch.random.fork_rng(), torch.no_grad():
        gru = nn.GRU(2, 5, 4, dropout=0.25, dtype=dtype, device=device)
        torch.manual_seed(0)
        with Recorder() as recorder:
            gru(input)
        torch.manual_seed(0)
        masks = _drawn(3, 3 * 2 * 5, 0.25, input)
    return torch.equal(flat(recorder.draws), masks)


def layer_masks(pair: Pair, recorder: Recorder) -> Tensor | None:
    """Return the masks that nn.GRU drew, bool, (L - 1, T, B, D H), or None if nothing is dropped.

    Raises:
        NotApplicable: if nn.GRU's masks cannot be seen, as in cuDNN's fused kernels.
    """
    case = pair.case
    if not case.drops:
        all_dropped = case.mode == "train" and case.dropout == 1 and case.num_layers > 1
        return torch.zeros(case.masks_shape, dtype=torch.bool) if all_dropped else None
    masks = arrange(flat(recorder.draws), reference_order(pair), case.masks_shape)
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
    layers: list[Layer] | None = None,
) -> Expected:
    """Compute the results that the equation gives under these masks, with their bounds.

    Input, h0 and the layers' weights are the pair's own if None.
    """
    input = pair.input if input is None else input
    h0 = pair.h0 if h0 is None else pair.taken(h0)
    case = pair.case
    outputs, hn = rounding.sequence(
        input,
        h0,
        pair.layers if layers is None else layers,
        masks,
        case.dropout_scale,
        case.torch_dtype,
        directions=case.directions,
        active=pair.form.active if len(input) == case.seq_len else None,
    )
    return Expected(outputs, Bounded(pair.shown(hn.value), pair.shown(hn.error)))
