"""Where a target first differs from nn.GRU: the step and layer, and in that layer the gate.

Every layer's new state is compared with the equation of the target's own input and state, so that
nothing accumulates. The gates of the first wrong layer are tested one by one with weights that fix
the others: with zeros for a gate's weights and biases, r and z are 1/2 and n is 0. If all three are
wrong, or the layer is wrong without any of them, no gate is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stackgru.bounds import rounding
from stackgru.bounds.rounding import Bounded, allowed
from stackgru.cases.case import Case
from stackgru.gru.parameters import Layer
from stackgru.harness.masks import ORDERS, TIME_ORDER, Injector
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import reference_masks
from stackgru.outcomes import NotApplicable, Violated, got_and_expected
from stackgru.targets.target import Target

#: Of a map, if the case has fewer.
_MAP_LAYERS, _MAP_STEPS = 3, 6
_GATES = {"n": "the new gate n", "z": "the update gate z", "r": "the reset gate r"}


@dataclass(frozen=True)
class FirstError:
    """Where a target first differs.

    Attributes:
        place: step, layer, row and unit; for the output step, row and unit.
        got: the new state there.
        expected: what the equation gives for the layer's own input and state.
        allowed: by how much rounding may make the two differ.
        gate: the first wrong gate and its numbers, as text; None if no single gate is wrong.
    """

    place: str
    got: float
    expected: float
    allowed: float
    gate: str | None

    @property
    def text(self) -> str:
        """The place and the numbers."""
        return f"{self.place}: {_numbers(self.got, self.expected, self.allowed)}"


def find_first_error(target: Target, case: Case) -> FirstError | None:
    """Find where a target first differs from the equation in a case.

    None if every layer follows the equation, if the target cannot be run under nn.GRU's masks, or
    if its states do not go in and out, step by step.
    """
    with torch.random.fork_rng(devices=[]):
        for seen in _looked_at(target, case):
            where = _first_apart(seen.states, seen.new, case.torch_dtype)
            if where is not None:
                gate = None
                if seen.layer is not None:
                    gate = _gate(target, case, seen.below, seen.before, seen.layer)
                return _first_error(seen.states, seen.new, case, seen.place, where, gate)
    return None


def map_of(target: Target, case: Case) -> tuple[tuple[float, ...], ...] | None:
    """Return the largest ratio of difference to bound of each layer's new state, at each step.

    In the case with a few more layers and steps, if the target also differs there, or else in the
    case itself. None as in find_first_error.

    Returns:
        A row for each layer, a number for each step.
    """
    wider = replace(
        case,
        num_layers=max(case.num_layers, _MAP_LAYERS),
        seq_len=max(case.seq_len, _MAP_STEPS),
        numbers=(),
    )
    with torch.random.fork_rng(devices=[]):
        for one in (case,) if case.lengths else (target.fitted(wider), case):
            found: dict[int, list[float]] = {}
            for seen in _looked_at(target, one):
                if seen.layer is not None:
                    ratio = _ratio(seen.states, seen.new, one.torch_dtype)
                    found.setdefault(seen.layer, []).append(ratio)
            rows = tuple(map(tuple, found.values()))
            if any(ratio > 1 for row in rows for ratio in row):
                return rows
    return None


@dataclass(frozen=True)
class _Looked:
    """A new state, or an output, (B, H), and what it should be.

    Attributes:
        place: its step, and its layer or "output".
        layer: None for an output.
        states: what the target has.
        new: what the equation gives.
        below: the first layer's input at this step, (B, I).
        before: every layer's old state, (L, B, H).
    """

    place: str
    layer: int | None
    states: Tensor
    new: Bounded
    below: Tensor
    before: Tensor


def _looked_at(target: Target, case: Case) -> Iterator[_Looked]:
    """Yield every layer's new state and every output, step by step; nothing if they are unseen."""
    if target.unseen:
        return
    try:
        pair = Pair(target, case)
        if not pair.shows_states:
            return
        run, masks = _steps_under_masks(pair)
    except (Violated, NotApplicable):
        return
    assert run.states is not None  # noqa: S101 - run by steps
    before = torch.cat([pair.h0[None], run.states[:-1]])
    for step, states in enumerate(run.states):
        x, old_states = pair.input[step], before[step]
        below = Bounded.exact(x)
        for layer, weights in enumerate(pair.layers):
            old = Bounded.exact(old_states[layer])
            new = rounding.layer(below, old, weights, case.torch_dtype)
            place = f"step {step}, layer {layer}"
            yield _Looked(place, layer, states[layer], new, x, old_states)
            below = Bounded.rounded(states[layer])
            if masks is not None and layer < case.num_layers - 1:
                scale = case.dropout_scale
                below = rounding.dropped(below, masks[layer, step], scale, case.torch_dtype)
        yield _Looked(f"step {step}, output", None, run.outputs[step], new, x, old_states)


def _first_error(
    states: Tensor, new: Bounded, case: Case, place: str, where: tuple[int, int], gate: str | None
) -> FirstError:
    return FirstError(
        f"{place}, row {where[0]}, unit {where[1]}",
        float(states[where]),
        float(new.value[where]),
        float(allowed(new, case.torch_dtype)[where]),
        gate,
    )


def _steps_under_masks(pair: Pair) -> tuple[Run, Tensor | None]:
    """Run step by step, in training under nn.GRU's masks."""
    masks = reference_masks(pair)
    if masks is None or not pair.case.drops:
        pair.seed()
        return pair.steps(), masks
    injector = Injector(ORDERS[TIME_ORDER](masks))
    with injector:
        run = pair.steps()
    if not injector.complete:
        raise NotApplicable("the target draws other masks than nn.GRU")
    return run, masks


def _first_apart(states: Tensor, new: Bounded, dtype: torch.dtype) -> tuple[int, int] | None:
    """Return the first row and unit that lies further from its value than allowed."""
    found = (~(_ratios(states, new, dtype) <= 1)).nonzero()
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def _ratio(states: Tensor, new: Bounded, dtype: torch.dtype) -> float:
    """Return the largest ratio of difference to bound, infinite where one of the two is NaN."""
    ratios = _ratios(states, new, dtype).nan_to_num(nan=torch.inf)
    return float(ratios.max()) if ratios.numel() else 0.0


def _ratios(states: Tensor, new: Bounded, dtype: torch.dtype) -> Tensor:
    """Return ratios of difference to bound; 0 where nothing is claimed, or both are NaN."""
    error, own = allowed(new, dtype), states.double().cpu()
    difference = (own - new.value).abs()
    same = (difference == 0) | ~error.isfinite() | (own.isnan() & new.value.isnan())
    return (difference / error).masked_fill(same, 0.0)


def _gate(target: Target, case: Case, x: Tensor, before: Tensor, layer: int) -> str | None:
    """Name the first gate of a layer that is wrong by itself in eval, with both numbers."""
    found = {}
    try:
        pair = Pair(target, case)
        if _one_step(pair, x, before, layer)[2] is None:
            return None  # the layer is right in eval
        own = [{name: value.detach().clone() for name, value in one.items()} for one in pair.layers]
        for gate, weights in _isolated(own[layer]):
            pair.weights.write([*own[:layer], weights, *own[layer + 1 :]])
            states, new, where = _one_step(pair, x, before, layer)
            if where is not None:
                found[gate] = _gate_numbers(gate, states, new, before[layer], pair, where)
    except (Violated, NotApplicable):
        return None
    if "" in found or len(found) == len(_GATES):
        return None
    return next((f"{name}: {found[gate]}" for gate, name in _GATES.items() if gate in found), None)


def _one_step(
    pair: Pair, x: Tensor, before: Tensor, layer: int
) -> tuple[Tensor, Bounded, tuple[int, int] | None]:
    """Take one step in eval; return a layer's new state, the right one, and where they differ."""
    with pair.mode("eval"):
        states = pair.steps(x[None], before).hn
    below = Bounded.exact(x) if layer == 0 else Bounded.rounded(states[layer - 1])
    old = Bounded.exact(before[layer])
    dtype = pair.case.torch_dtype
    new = rounding.layer(below, old, pair.layers[layer], dtype)
    return states[layer], new, _first_apart(states[layer], new, dtype)


def _isolated(weights: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield for each gate weights with which the new state depends on no other gate."""
    yield "", {name: torch.zeros_like(value) for name, value in weights.items()}  # h' = h / 2
    yield "n", _with_zeros(weights, ["r", "z"], state_bias_of_n=False)  # h' = (n + h) / 2
    yield "z", _with_zeros(weights, ["n"], state_bias_of_n=False)  # h' = z h
    yield "r", _with_zeros(weights, ["z"], input_part_of_n=False)  # n = tanh(r (W_hn h + b_hn))


def _with_zeros(
    weights: Layer,
    gates: list[str],
    *,
    state_bias_of_n: bool = True,
    input_part_of_n: bool = True,
) -> Layer:
    changed = {}
    for name, value in weights.items():
        parts = dict(zip("rzn", value.clone().chunk(3), strict=True))
        for gate in gates:
            parts[gate].zero_()
        if (name == "bias_hh" and not state_bias_of_n) or (
            name.endswith("_ih") and not input_part_of_n
        ):
            parts["n"].zero_()
        changed[name] = torch.cat(list(parts.values()))
    return changed


def _gate_numbers(
    gate: str,
    states: Tensor,
    new: Bounded,
    old: Tensor,
    pair: Pair,
    where: tuple[int, int],
) -> str:
    """Return the gate's value as the new state shows it, the right one, and what is allowed."""
    h = float(old[where])
    numbers = [float(states[where]), float(new.value[where])]
    bound = float(allowed(new, pair.case.torch_dtype)[where])
    if gate == "z" and h != 0:
        return _numbers(numbers[0] / h, numbers[1] / h, bound / abs(h))
    if gate == "n":
        return _numbers(2 * numbers[0] - h, 2 * numbers[1] - h, 2 * bound)
    return f"new state with the other gates fixed: {_numbers(numbers[0], numbers[1], bound)}"


def _numbers(got: float, expected: float, bound: float) -> str:
    return f"{got_and_expected(got, expected)} ({bound:.2g} allowed)"
