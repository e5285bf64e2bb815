"""Finding the weights of a module's layers by trying, where no name says where they are.

Every arrangement that the shapes allow is tried: which parameter belongs to the input and which to
the state, or to both, transposed or not, in which order of gates, with which biases. One that fits
makes nn.GRU give what the module gives, for other numbers and another input.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stackgru.bounds import rounding
from stackgru.cases.case import Case
from stackgru.gru.parameters import PARAMETERS
from stackgru.targets.importing import Unread, WeightsNotFound

#: More arrangements than these are not tried: the shapes say too little.
_MOST = 20_000
#: What differs by more is not worth a bound.
_NEAR = 1e-6
_GATES = "rzn"
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class _Block:
    """A gate's part of a parameter.

    Attributes:
        name: the parameter's, with {} for its layer's number.
        side: "x" or "h".
        index: which part of its output it is.
        transposed: whether its rows are its inputs.
        first: which of the sides comes first, if it holds both; empty if it holds one.
    """

    name: str
    side: str
    index: int
    transposed: bool = False
    first: str = ""

    def of(self, parameter: Tensor, width: int, hidden_size: int) -> Tensor:
        """Return this part, (H, width) or (H, H), or (H,) of a bias."""
        if parameter.dim() == 1:
            return parameter[self.index * hidden_size :][:hidden_size]
        matrix = parameter.T if self.transposed else parameter
        rows = matrix[self.index * hidden_size :][:hidden_size]
        size = width if self.side == "x" else hidden_size
        if not self.first or self.first == self.side:
            return rows[:, :size]
        return rows[:, -size:]


@dataclass(frozen=True)
class TriedWeights:
    """Returns a module's layers in an arrangement that was found by trying; see Convention.

    Attributes:
        weights: the blocks of weight_ih and weight_hh, each in the order r, z, n.
        biases: likewise of bias_ih and bias_hh; None where there is none.
        token: which of the numbers in a parameter's name is its layer's; None for one layer.
    """

    weights: tuple[tuple[_Block, ...], tuple[_Block, ...]]
    biases: tuple[tuple[_Block | None, ...], tuple[_Block | None, ...]]
    token: int | None

    def __call__(self, module: nn.Module) -> list[dict[str, Tensor]]:
        """Return the weights of every layer, by nn.GRUCell's names."""
        layers = by_layer(module, self.token)
        return [self._layer(parameters) for parameters in layers]

    def _layer(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden_size = self._hidden_size(parameters)
        found = {}
        for name, blocks in zip(PARAMETERS[:2], self.weights, strict=True):
            parts = []
            for block in blocks:
                parameter = parameters[block.name]
                wide = parameter.shape[0 if block.transposed else 1]
                width = wide - hidden_size if block.first else wide
                parts.append(block.of(parameter, width, hidden_size))
            found[name] = torch.cat(parts)
        # Built with bias=False, a module may lack what it had when this was found.
        there = [one for side in self.biases for one in side if one and one.name in parameters]
        if there:
            zeros = found["weight_hh"].new_zeros(hidden_size)
            for name, biases in zip(PARAMETERS[2:], self.biases, strict=True):
                each = [
                    one.of(parameters[one.name], 0, hidden_size) if one and one in there else zeros
                    for one in biases
                ]
                found[name] = torch.cat(each)
        return found

    def _hidden_size(self, parameters: dict[str, Tensor]) -> int:
        """Return the number of units, of which a matrix has as many outputs a gate."""
        counts: dict[str, set[int]] = {}
        for block in (*self.weights[0], *self.weights[1]):
            counts.setdefault(block.name, set()).add(block.index)
        block = self.weights[1][0]
        outputs = parameters[block.name].shape[1 if block.transposed else 0]
        return outputs // len(counts[block.name])

    def __str__(self) -> str:
        """Describe the arrangement."""
        names = dict.fromkeys(block.name for side in self.weights for block in side)
        texts = []
        for name in names:
            blocks = [
                (block.index, gate, block)
                for side in self.weights
                for gate, block in zip(_GATES, side, strict=True)
                if block.name == name
            ]
            gates = ", ".join(dict.fromkeys(gate for _, gate, _ in sorted(blocks, key=_index)))
            block = blocks[0][2]
            of = {"x": "the input", "h": "the state"}[block.side]
            if block.first:
                of = "input and state" if block.first == "x" else "state and input"
            text = f"{name.replace('{}', 'N')} holds {gates} of {of}"
            texts.append(text + (", transposed" if block.transposed else ""))
        return "found by trying: " + "; ".join(texts)


def _index(item: tuple[int, str, _Block]) -> int:
    return item[0]


def by_layer(module: nn.Module, token: int | None) -> list[dict[str, Tensor]]:
    """Return a module's parameters layer by layer, by their names without the layer's number."""
    if token is None:
        return [dict(module.named_parameters())]
    layers: dict[int, dict[str, Tensor]] = {}
    for name, parameter in module.named_parameters():
        numbers = list(_NUMBER.finditer(name))
        if token >= len(numbers):
            return []
        at = numbers[token]
        local = f"{name[: at.start()]}{{}}{name[at.end() :]}"
        layers.setdefault(int(at[0]), {})[local] = parameter
    return [layers[number] for number in sorted(layers)]


def try_weights(
    module: nn.Module,
    own: nn.Module,
    case: Case,
    kind: str,
    why: WeightsNotFound,
    *,
    takes_state: bool = True,
    shows_state: bool = True,
) -> TriedWeights:
    """Return the only arrangement of a module's parameters with which it is nn.GRU.

    Args:
        module: the module as its convention calls it, in float64 and eval.
        own: the module that holds the parameters.
        case: its sizes.
        kind: "cell" or "sequence".
        why: what to raise, with the reason, if there is none, or more than one.
        takes_state: whether a call gets a state.
        shows_state: whether it returns one.

    Raises:
        Unread: if none fits, or more than one.
    """
    fitting: dict[object, TriedWeights] = {}
    number = 0
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.normal_().mul_(0.7)
        check = _Comparison(module, case, kind, takes_state, shows_state)
        for tried in itertools.islice(_arrangements(own, case), _MOST + 1):
            number += 1
            if number <= _MOST and check.fits(tried(own)):
                fitting.setdefault(_meaning(tried), tried)
        found = list(fitting.values())
        if number <= _MOST and len(found) == 1 and _fits_again(found[0], check, own):
            return found[0]
    what = f"of {number:,} ways to read them, none makes it nn.GRU"
    if number > _MOST:
        what = f"there are more than {_MOST:,} ways to read them"
    elif not number:
        what = "their shapes are not those of a GRU's gates"
    elif len(found) > 1:
        what = f"{len(found)} of {number:,} ways to read them make it nn.GRU"
    raise Unread(f"{str(why).removesuffix('.')}; {what}.") from why


def _fits_again(tried: TriedWeights, check: _Comparison, own: nn.Module) -> bool:
    """Whether an arrangement fits for other numbers, too."""
    for _ in range(3):
        for parameter in own.parameters():
            parameter.normal_().mul_(0.9)
        check.run()
        if not check.fits(tried(own)):
            return False
    return True


class _Comparison:
    """Compares a module's results with those of the equation under some weights."""

    def __init__(
        self, module: nn.Module, case: Case, kind: str, takes_state: bool, shows_state: bool
    ) -> None:
        self._module, self._case, self._kind = module, case, kind
        self._takes_state, self._shows_state = takes_state, shows_state
        self.run()

    def run(self) -> None:
        """Call the module on a new input."""
        case = self._case
        steps = 1 if self._kind == "cell" else case.seq_len
        self._input = torch.randn(steps, case.batch, case.input_size, dtype=torch.float64)
        h0 = torch.randn(case.num_layers, case.batch, case.hidden_size, dtype=torch.float64)
        self._h0 = h0 if self._takes_state else torch.zeros_like(h0)
        input = self._input[0] if self._kind == "cell" else self._input
        self._output, self._hn = self._module(input.clone(), self._h0.clone())

    def fits(self, layers: Sequence[dict[str, Tensor]]) -> bool:
        """Whether the equation gives the same results, within rounding."""
        input, h0 = self._input, self._h0
        try:
            first = _first_output(input[0], h0, layers)
            if not bool(((first - self._output.reshape(-1, *first.shape)[0]).abs() < _NEAR).all()):
                return False
            outputs, hn = rounding.sequence(input, h0, layers, None, 1.0, torch.float64)
        except RuntimeError:  # the shapes do not fit together
            return False
        rows = [(self._output.reshape(outputs.value.shape), outputs)]
        rows += [(self._hn, hn)] if self._shows_state else []
        return all(
            bool(((own - bound.value).abs() <= 2 * bound.error).all()) for own, bound in rows
        )


def _first_output(x: Tensor, h0: Tensor, layers: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return the last layer's state after one step; its bounds would take ten times as long."""
    for layer, h in zip(layers, h0, strict=True):
        halves = [
            nn.functional.linear(value, layer[f"weight_{name}"], layer.get(f"bias_{name}"))
            for value, name in ((x, "ih"), (h, "hh"))
        ]
        (r, z, n), (s, y, m) = (half.chunk(3, -1) for half in halves)
        z, n = torch.sigmoid(z + y), torch.tanh(n + torch.sigmoid(r + s) * m)
        x = (1 - z) * n + z * h
    return x


def _meaning(tried: TriedWeights) -> object:
    """Return what tells arrangements apart: gates r and z add both biases, whichever is which."""
    (r, z, n), (s, y, m) = tried.biases
    return tried.weights, frozenset((r, s)), frozenset((z, y)), n, m, tried.token


def _arrangements(own: nn.Module, case: Case) -> Iterator[TriedWeights]:
    """Yield every arrangement that the shapes allow."""
    most = max((len(_NUMBER.findall(name)) for name, _ in own.named_parameters()), default=0)
    tokens: list[int | None] = [None] if case.num_layers == 1 else list(range(most))
    for token in tokens:
        layers = by_layer(own, token)
        if len(layers) == case.num_layers and all(one.keys() == layers[0].keys() for one in layers):
            yield from _of_layer(layers[0], case, token, _never_transposed(own))


def _never_transposed(own: nn.Module) -> set[int]:
    """Return the ids of the parameters of linear layers, whose rows are their outputs."""
    return {id(child.weight) for child in own.modules() if isinstance(child, nn.Linear)}


def _of_layer(
    parameters: dict[str, Tensor], case: Case, token: int | None, upright: set[int]
) -> Iterator[TriedWeights]:
    matrices = {name: value for name, value in parameters.items() if value.dim() == 2}
    vectors = {name: value for name, value in parameters.items() if value.dim() == 1}
    if len(matrices) + len(vectors) < len(parameters):
        return
    readings = [
        [
            blocks
            for blocks in _readings(name, value.shape, case)
            if not (blocks[0].transposed and id(value) in upright)
        ]
        for name, value in matrices.items()
    ]
    for chosen in itertools.product(*readings):
        slots = {
            side: [block for blocks in chosen for block in blocks if block.side == side]
            for side in "xh"
        }
        if any(len(each) != len(_GATES) for each in slots.values()):
            continue
        for orders in itertools.product(itertools.permutations(range(3)), repeat=2):
            x, h = (
                tuple(slots[side][at] for at in order)
                for side, order in zip("xh", orders, strict=True)
            )
            weights = x, h
            if _is_consistent(weights):
                for biases in _biases(vectors, weights, orders, case.hidden_size):
                    yield TriedWeights(weights, biases, token)


def _readings(name: str, shape: Sequence[int], case: Case) -> Iterator[list[_Block]]:
    """Yield what a matrix may be, as blocks."""
    wide, hidden = case.input_size, case.hidden_size
    for transposed in (False, True):
        outputs, inputs = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        gates = range(outputs // hidden)
        if outputs % hidden or len(gates) not in (1, 2, 3):
            continue
        for side, size in (("x", wide), ("h", hidden)):
            if inputs == size:
                yield [_Block(name, side, gate, transposed) for gate in gates]
        if inputs == wide + hidden:
            for first in "xh":
                yield [
                    _Block(name, side, gate, transposed, first) for side in "xh" for gate in gates
                ]


def _is_consistent(weights: tuple[tuple[_Block, ...], ...]) -> bool:
    """Whether what holds input and state holds the same gates of both."""
    x, h = weights
    for one, other in zip(x, h, strict=True):
        if (one.first or other.first) and (one.name, one.index) != (other.name, other.index):
            return False
    return True


_Biases = tuple[tuple["_Block | None", ...], tuple["_Block | None", ...]]


def _biases(
    vectors: dict[str, Tensor],
    weights: tuple[tuple[_Block, ...], ...],
    orders: Sequence[Sequence[int]],
    hidden: int,
) -> Iterator[_Biases]:
    """Yield what the vectors may be: beside the only matrix of their module, or in its order."""
    matrices = {block.name for side in weights for block in side}
    fixed = {}
    for name in vectors:
        owner = name.rpartition(".")[0]
        beside = [one for one in matrices if one.rpartition(".")[0] == owner]
        if len(beside) == 1 and beside[0] not in fixed:
            fixed[beside[0]] = name
    free = [name for name in vectors if name not in fixed.values()]
    for sides in itertools.product("xh", repeat=len(free)):
        found: list[list[_Block | None]] = []
        for side, blocks, order in zip("xh", weights, orders, strict=True):
            slots = [
                _Block(name, side, index)
                for name, own in zip(free, sides, strict=True)
                if own == side
                for index in range(vectors[name].numel() // hidden)
            ]
            if len(slots) not in (0, len(_GATES)):
                break
            found.append(
                [
                    slots[order[gate]] if slots else _beside(block, fixed, side)
                    for gate, block in enumerate(blocks)
                ]
            )
        else:
            yield tuple(found[0]), tuple(found[1])


def _beside(block: _Block, fixed: dict[str, str], side: str) -> _Block | None:
    """Return the bias beside a block's matrix; that of input and state belongs to the input."""
    name = fixed.get(block.name)
    if name is None or (block.first and side == "h"):
        return None
    return _Block(name, side, block.index)
