"""Designs: stacks of GRU cells that differ from nn.GRU, and what each of them computes.

The Design with all defaults is nn.GRU. Every result is computed in float64 with a bound on the
error of any reasonable evaluation, as nn.GRU's own results are: see stackgru.bounds.rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.formats import Format, format_of
from stackgru.bounds.rounding import Bounded
from stackgru.gru.parameters import PARAMETERS, Layer

#: Where dropout is applied, and the layer: to the input, to what goes up from a layer, or to the
#: state of a layer before or after its step.
Site = tuple[str, int]


@dataclass(frozen=True)
class Design:
    """A stack of GRU cells; by default nn.GRU's.

    Attributes:
        order: which third of the weights is r, which z, which n.
        ordered: the parameters that are in this order; all others are in nn.GRU's.
        complement: h' = z n + (1 - z) h.
        candidate: how n is computed: "plain", "reset before", "reset over all", "bias outside" or
            "no bias".
        added: what is added to the sums of r, z and n.
        biases: which are used: "both", "input's" or "state's".
        slope: slope of the hard sigmoid, 0 for the sigmoid itself.
        residual: the layer from which on a layer's input is added to its output; 0 for none.
        residual_below: the same in the first layer, where the input is as wide as a state.
        added_late: the residual is added after dropout, not before.
        shared_from: the layer from which on all layers use one cell; None if none do.
        shares_first: that cell has the weights of the first of these layers, not of the last.
        state_of: the layer whose state all layers get; None if each gets its own.
        reversed_states: which of "h0" and "hn" have the layers in reverse.
        from_zeros: a sequence starts from zeros in place of h0.
        restarts: after so many steps it starts again; 0 for never.
        again_from_zeros: it does so from zeros, and not from h0.
        undropped: nothing is dropped between layers.
        scaled: kept values are divided by the probability of keeping them.
        input: dropout is applied to the input.
        last: what dropout is applied to after the last layer: "", "output" or "output and hn".
        carried: which states dropout is applied to: "", "as they go up",
            "before the step, at once", "before the step" or "after the step".
        kept: the same mask is used at every step: "", "drawn once" or "drawn anew".
        over_rows: all rows share a mask.
        unused: an extra mask is drawn and discarded: "", "first" or "last".
        time_order: a sequence target draws its masks step by step.
        detached: where gradients end: "", "states", "h0" or "layers"; results are as without it.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    ordered: tuple[str, ...] = PARAMETERS
    complement: bool = False
    candidate: str = "plain"
    added: tuple[int, int, int] = (0, 0, 0)
    biases: str = "both"
    slope: float = 0.0
    residual: int = 0
    residual_below: bool = False
    added_late: bool = False
    shared_from: int | None = None
    shares_first: bool = False
    state_of: int | None = None
    reversed_states: tuple[str, ...] = ()
    from_zeros: bool = False
    restarts: int = 0
    again_from_zeros: bool = False
    undropped: bool = False
    scaled: bool = True
    input: bool = False
    last: str = ""
    carried: str = ""
    kept: str = ""
    over_rows: bool = False
    unused: str = ""
    time_order: bool = False
    detached: str = ""


@torch.no_grad()
def evaluate(
    design: Design,
    input: Tensor,
    h0: Tensor,
    layers: Sequence[Layer],
    masks: Mapping[Site, Tensor],
    scale: float,
    dtype: torch.dtype,
) -> Iterator[tuple[Bounded, Bounded]]:
    """Compute what a stack of this design gives; yield every step's output and states.

    ``masks`` holds one per site with dropout, bool, (T, B, width); kept values are multiplied by
    ``scale``.
    """
    scale = scale if design.scaled else 1.0
    exact = [{name: one.detach().double().cpu() for name, one in own.items()} for own in layers]
    weights = [weights_of(design, exact, index) for index in range(len(layers))]
    given = h0.flip(0) if "h0" in design.reversed_states else h0
    carried = list(map(Bounded.exact, torch.zeros_like(h0) if design.from_zeros else given))
    first = list(map(Bounded.exact, torch.zeros_like(h0))) if design.again_from_zeros else carried

    def dropped(x: Bounded, site: Site, step: int) -> Bounded:
        if site not in masks:
            return x
        return rounding.dropped(x, masks[site][step], scale, dtype)

    for step, x in enumerate(map(Bounded.exact, input)):
        if design.restarts and step % design.restarts == 0 and step:
            carried = first
        below = dropped(x, ("input", 0), step)
        after = []
        for layer, own in enumerate(weights):
            before = carried[layer if design.state_of is None else design.state_of]
            before = dropped(before, ("before", layer), step)
            state = _new_state(design, below, before, own, dtype)
            up = dropped(_plus(design, state, below, layer, dtype, late=False), ("up", layer), step)
            after.append(_kept_as(design, state, up, layer, len(weights)))
            after[-1] = dropped(after[-1], ("after", layer), step)
            below = _plus(design, up, below, layer, dtype, late=True)
        carried = after
        yield below, rounding.stacked(after[::-1] if "hn" in design.reversed_states else after)


def _kept_as(design: Design, state: Bounded, up: Bounded, layer: int, num_layers: int) -> Bounded:
    """Return what goes into hn and the next step: the state, or what goes up from it."""
    dropped = design.carried == "as they go up"
    dropped |= design.last == "output and hn" and layer == num_layers - 1
    return up if dropped else state


def _plus(
    design: Design, value: Bounded, below: Bounded, layer: int, dtype: torch.dtype, *, late: bool
) -> Bounded:
    """Add the layer's input, if the design does so here."""
    if design.residual == 0 or late != design.added_late:
        return value
    fits = design.residual_below and below.value.shape == value.value.shape
    if layer < design.residual and not (layer == 0 and fits):
        return value
    size = value.value.abs() + value.error + below.value.abs() + below.error
    error = value.error + below.error + format_of(dtype).unit * size
    return Bounded(value.value + below.value, error)


def weights_of(design: Design, layers: Sequence[Layer], index: int) -> Layer:
    """Return the weights with which nn.GRU's equation computes what the design does."""
    if design.shared_from is not None and index >= design.shared_from:
        # One cell in all places holds the weights that were written last.
        index = design.shared_from if design.shares_first else len(layers) - 1
    own = dict(layers[index])
    if design.order != (0, 1, 2):
        for name in own.keys() & design.ordered:
            parts = own[name].chunk(3)
            own[name] = torch.cat([parts[place] for place in design.order])
    if "bias_ih" in own and "bias_hh" in own:
        _change_biases(design, own)
    if any(design.added):
        nothing = own["weight_ih"].new_zeros(len(own["weight_ih"]))
        added = nothing.new_tensor(design.added).repeat_interleave(len(nothing) // 3)
        own |= {"bias_ih": own.get("bias_ih", nothing) + added}
        own = {"bias_hh": nothing, **own}
    if design.complement:
        for name, value in own.items():
            r, z, n = value.chunk(3)
            own[name] = torch.cat([r, -z, n])  # sigmoid(-a) = 1 - sigmoid(a)
    return own


def _change_biases(design: Design, own: dict[str, Tensor]) -> None:
    if design.biases != "both":
        left_out = "bias_hh" if design.biases == "input's" else "bias_ih"
        own[left_out] = torch.zeros_like(own[left_out])
    *gates, b_hn = own["bias_hh"].chunk(3)
    if design.candidate == "bias outside":
        r, z, n = own["bias_ih"].chunk(3)
        own["bias_ih"] = torch.cat([r, z, n + b_hn])
    if design.candidate in ("bias outside", "no bias"):
        own["bias_hh"] = torch.cat([*gates, torch.zeros_like(b_hn)])


def _new_state(
    design: Design, x: Bounded, h: Bounded, weights: Layer, dtype: torch.dtype
) -> Bounded:
    activation = rounding.sigmoid if design.slope == 0 else _hard_sigmoid(design.slope)
    gates = rounding.gates(x, h, weights, dtype, activation)
    if design.candidate == "reset before":
        gates = replace(gates, n=_candidate_of_reset_state(x, h, gates.r, weights, dtype))
    if design.candidate == "reset over all":
        gates = replace(gates, n=_reset_candidate(x, h, gates.r, weights, dtype))
    return rounding.new_state(gates, h, dtype)


def _candidate_of_reset_state(
    x: Bounded, h: Bounded, r: Bounded, weights: Layer, dtype: torch.dtype
) -> Bounded:
    """Return tanh(W_in x + b_in + W_hn (r * h) + b_hn)."""
    form = format_of(dtype)
    sizes = (r.value.abs() + r.error) * (h.value.abs() + h.error)
    error = r.value * h.error + r.error * (h.value.abs() + h.error) + form.unit * sizes
    reset = Bounded(r.value * h.value, error + form.smallest)
    last = {name: value.chunk(3)[2] for name, value in weights.items()}
    half, other = rounding.halves(x, reset, last, dtype)
    sums = half.value + other.value
    errors = half.error + other.error + form.unit * sums.abs()
    return Bounded(*rounding.tanh(sums, errors, form))


def _reset_candidate(
    x: Bounded, h: Bounded, r: Bounded, weights: Layer, dtype: torch.dtype
) -> Bounded:
    """Return tanh(r * (W_in x + b_in + W_hn h + b_hn))."""
    form = format_of(dtype)
    last = {name: value.chunk(3)[2] for name, value in weights.items()}
    half, other = rounding.halves(x, h, last, dtype)
    sums = half.value + other.value
    sizes = half.value.abs() + other.value.abs()
    errors = half.error + other.error + 2 * form.unit * sizes
    error = r.value * errors + r.error * (sums.abs() + errors) + form.unit * (r.value * sums).abs()
    return Bounded(*rounding.tanh(r.value * sums, error + form.smallest, form))


def _hard_sigmoid(slope: float) -> Callable[[Tensor, Tensor, Format], tuple[Tensor, Tensor]]:
    def activation(sums: Tensor, error: Tensor, form: Format) -> tuple[Tensor, Tensor]:
        own = 4 * form.unit * (slope * sums.abs() + 1)
        return (slope * sums + 0.5).clamp(0, 1), slope * error + own

    return activation
