"""Case: one drawn configuration, its text form and back; cases.tensors draws its tensors."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field, fields, replace

import torch

from stackgru.gru.parameters import gru_name, parameter_shapes
from stackgru.options import DTYPES, did_you_mean

#: Simplest first: shrinking ends at the first one that still shows the violation.
MODES = ("eval", "train")
MAGNITUDES = ("usual", "zero", "large", "tiny", "subnormal")
MAX_SEED = 2**64 - 1
#: What can be done to a module in the course of its life; the law `life` implements them.
ACTIONS = (
    "step",
    "train",
    "eval",
    "seed",
    "deepcopy",
    "pickle",
    "state_dict",
    "to",
    "optimise",
)

#: How the input is laid out in a call.
FORMS = ("plain", "unbatched", "packed", "packed-sorted")
#: Whether h0 is an argument of a call; without it, or if it is None, the state is zeros.
STATES_GIVEN = ("given", "left-out", "none")
#: Whether gradients are recorded; as usual is in training and not in eval.
GRADS = ("usual", "on", "off", "inference")
#: The dtype that autocast casts to; none if empty.
AUTOCAST = ("", "bfloat16", "float16")
#: What input and h0 are where gradients are recorded.
ARGUMENTS_AS = ("plain", "leaves", "parameters", "results")
#: How a (T or L, B, I or H) tensor lies in memory.
STRIDES = (
    "contiguous",
    "rows-first",
    "rows-last",
    "slice",
    "every-second",
    "one-row",
    "one-step",
)
#: What is differentiated.
LOSSES = ("both", "output", "hn")
OPTIMISERS = ("sgd", "adam")
NOT_FINITE = ("nan", "inf", "-inf")

_CHOICES = {
    "dtype": DTYPES,
    "mode": MODES,
    "weights": MAGNITUDES,
    "input": MAGNITUDES,
    "state": MAGNITUDES,
    "form": FORMS,
    "h0": STATES_GIVEN,
    "grad": GRADS,
    "autocast": AUTOCAST,
    "arguments": ARGUMENTS_AS,
    "input_strides": STRIDES,
    "state_strides": STRIDES,
    "loss": LOSSES,
    "optimiser": OPTIMISERS,
}
#: Whole numbers, and the least that they can be.
_WHOLE = {
    "input_size": 1,
    "hidden_size": 1,
    "num_layers": 1,
    "seq_len": 1,
    "batch": 0,
    "seed": 0,
    "threads": 1,
    "split": 1,
    "row": 0,
    "more_rows": 0,
    "calls": 0,
    "updates": 1,
}
_ALWAYS_SHOWN = 9  # the fields up to seed; the others are shown only if not at their default


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration: numbers and names only, never tensors.

    Attributes:
        input_size: width I of the input.
        hidden_size: width H of every layer's state.
        num_layers: number L of layers.
        batch: number B of rows; 0 is an empty batch.
        seq_len: number T of time steps.
        dropout: the dropout probability, in [0, 1].
        dtype: dtype of all tensors, one of DTYPES.
        mode: "eval" or "train".
        seed: seed of the dropout masks; weights, input and h0 have their own generators.
        bias: whether the layers have biases.
        weights: magnitude of weights and biases, one of MAGNITUDES.
        input: magnitude of the input.
        state: magnitude of h0.
        actions: what is done to the module: names in ACTIONS, separated by commas.
        form: how the input is laid out in a call, one of FORMS.
        h0: whether the state is "given"; "left-out" and "none", an argument None, are zeros.
        batch_first: whether the module is built with batch_first.
        bidirectional: whether it is built with bidirectional.
        lengths: steps of each packed row, separated by commas; all of them if empty.
        grad: whether gradients are recorded, one of GRADS.
        autocast: the dtype of autocast, one of AUTOCAST; none if empty.
        arguments: what input and h0 are where gradients are recorded, one of ARGUMENTS_AS.
        calls: how many calls were made before.
        trained: whether parameters require gradients.
        threads: how many threads torch may use.
        deterministic: whether torch is to use deterministic algorithms.
        split: the step before which a sequence is cut in two.
        row: the row that is also run alone.
        more_rows: how many rows a later call has more.
        input_strides: how the input lies in memory, one of STRIDES.
        state_strides: how h0 lies there.
        not_finite: a number that is put somewhere: "nan in input[0,1,0]" is ``nan:input:0:1:0``.
        frozen: what requires no gradient: "input", "h0" and nn.GRU's names of parameters,
            separated by commas.
        loss: what is differentiated, one of LOSSES.
        optimiser: "sgd" or "adam".
        updates: how many updates the optimiser makes.
        numbers: flat numbers in place of drawn ones, by tensor; not part of the text.

    Raises:
        ValueError: if a value is outside its range.
    """

    input_size: int = 1
    hidden_size: int = 1
    num_layers: int = 1
    batch: int = 1
    seq_len: int = 1
    dropout: float = 0.0
    dtype: str = "float64"
    mode: str = "eval"
    seed: int = 0
    bias: bool = True
    weights: str = "usual"
    input: str = "usual"
    state: str = "usual"
    actions: str = ""
    form: str = "plain"
    h0: str = "given"
    batch_first: bool = False
    bidirectional: bool = False
    lengths: str = ""
    grad: str = "usual"
    autocast: str = ""
    arguments: str = "plain"
    calls: int = 0
    trained: bool = True
    threads: int = 1
    deterministic: bool = False
    split: int = 1
    row: int = 0
    more_rows: int = 0
    input_strides: str = "contiguous"
    state_strides: str = "contiguous"
    not_finite: str = ""
    frozen: str = ""
    loss: str = "both"
    optimiser: str = "sgd"
    updates: int = 1
    numbers: tuple[tuple[str, tuple[float, ...]], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            _check_whole(name, value)
            if value < least and name != "seed":
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("bias", "batch_first", "bidirectional", "trained", "deterministic"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        is_number = isinstance(self.dropout, (int, float)) and not isinstance(self.dropout, bool)
        if not is_number or not 0 <= self.dropout <= 1 or math.isnan(self.dropout):
            raise ValueError(f"dropout must be in [0, 1], got {self.dropout}")
        if self.dropout not in (0, 1):  # which may be whole numbers
            object.__setattr__(self, "dropout", float(self.dropout))
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be in 0 to 2**64 - 1, got {self.seed}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        for action in filter(None, self.actions.split(",")):
            if action not in ACTIONS:
                raise ValueError(f"actions must be among {', '.join(ACTIONS)}, got {action!r}")
        self._check_places()

    def _check_places(self) -> None:
        """Raise ValueError if what is in the case lies outside of it."""
        for name, end in (("split", max(2, self.seq_len)), ("row", max(1, self.batch))):
            if getattr(self, name) >= end:
                raise ValueError(f"{name} must be less than {end}, got {getattr(self, name)}")
        if self.lengths:
            lengths = self.row_lengths
            if len(lengths) != self.batch or not all(1 <= one <= self.seq_len for one in lengths):
                raise ValueError(
                    f"lengths must be {self.batch} numbers from 1 to {self.seq_len}, separated by "
                    f"commas, got {self.lengths!r}"
                )
            if self.form == "packed-sorted" and lengths != sorted(lengths, reverse=True):
                raise ValueError(f"lengths must be sorted, the longest first, got {self.lengths}")
        if self.not_finite:
            value, name, place = self.place_not_finite
            shape = self.shapes.get(name, ())
            is_inside = len(place) == len(shape) and all(map(operator.lt, place, shape))
            if value not in NOT_FINITE or not shape or not is_inside:
                raise ValueError(
                    "not_finite must be one of nan, inf and -inf, input, h0 or a parameter, and a "
                    f"place in it, as in nan:input:0:0:0, got {self.not_finite!r}"
                )
        for name in filter(None, self.frozen.split(",")):
            if name not in self.differentiable:
                raise ValueError(
                    f"frozen must be among {', '.join(self.differentiable)}, got {name!r}"
                )

    def __str__(self) -> str:
        shown = []
        for position, (name, default) in enumerate(_text_fields().items()):
            value = getattr(self, name)
            if position < _ALWAYS_SHOWN or value != default:
                shown.append(f"{name}={value}")
        return " ".join(shown)

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read a case from its text; nothing in the text is ever evaluated.

        Args:
            text: ``name=value`` pairs separated by spaces; omitted fields have their defaults.

        Returns:
            The case; ``Case.parse(str(case)) == case``.

        Raises:
            ValueError: if a name is unknown or given twice, or a value is invalid.
        """
        defaults = _text_fields()
        values: dict[str, object] = {}
        for word in text.split():
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"expected name=value in a case, got {word!r}")
            if name not in defaults:
                raise ValueError(f"unknown case field {name!r}{did_you_mean(name, defaults)}")
            if name in values:
                raise ValueError(f"{name} is given twice")
            values[name] = _read(type(defaults[name]), name, value)
        return cls(**values)  # type: ignore[arg-type]

    def one_way(self) -> Case:
        """Return the case of a module that is not bidirectional."""
        frozen = [name for name in self.frozen.split(",") if not name.endswith("_reverse")]
        not_finite = "" if "_reverse" in self.not_finite else self.not_finite
        return replace(self, bidirectional=False, frozen=",".join(frozen), not_finite=not_finite)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch.dtype that ``dtype`` names."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def directions(self) -> int:
        """How many ways each layer goes through a sequence."""
        return 2 if self.bidirectional else 1

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """The shape of h0 and hn, (D L, B, H)."""
        return self.directions * self.num_layers, self.batch, self.hidden_size

    @property
    def masks_shape(self) -> tuple[int, int, int, int]:
        """The shape of all masks between layers, (L - 1, T, B, D H)."""
        return self.num_layers - 1, self.seq_len, self.batch, self.directions * self.hidden_size

    @property
    def row_lengths(self) -> list[int]:
        """The steps of each packed row; all of them if the case has none."""
        if not self.lengths:
            return [self.seq_len] * self.batch
        return [int(one) if one.isdecimal() else 0 for one in self.lengths.split(",")]

    @property
    def place_not_finite(self) -> tuple[str, str, tuple[int, ...]]:
        """Which number is put into which tensor, and where; empty if none is."""
        value, _, rest = self.not_finite.partition(":")
        name, _, place = rest.partition(":")
        axes = place.split(":") if place else ()
        return value, name, tuple(int(one) if one.isdecimal() else MAX_SEED for one in axes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of input, h0, and nn.GRU's parameters by their names."""
        found: dict[str, tuple[int, ...]] = {
            "input": (self.seq_len, self.batch, self.input_size),
            "h0": self.state_shape,
        }
        sizes = self.input_size, self.hidden_size, self.num_layers, self.bias, self.directions
        for layer, shapes in enumerate(parameter_shapes(*sizes)):
            named = {gru_name(name, layer, self.directions): one for name, one in shapes.items()}
            found.update(named)
        return found

    @property
    def differentiable(self) -> list[str]:
        """The names of all that has gradients: input, h0, and nn.GRU's parameters."""
        return list(self.shapes)

    @property
    def drops(self) -> bool:
        """Whether nn.GRU draws masks: in training, between layers, at a rate in (0, 1)."""
        some = self.num_layers > 1 and self.batch > 0
        return some and self.mode == "train" and 0 < self.dropout < 1

    @property
    def records(self) -> bool:
        """Whether gradients are recorded."""
        return {"on": True, "off": False, "inference": False}.get(self.grad, self.mode == "train")

    @property
    def dropout_scale(self) -> float:
        """The factor of the values that dropout keeps."""
        if self.mode == "eval":
            return 1.0
        return 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)


def _check_whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}")


def _text_fields() -> dict[str, object]:
    """Return the defaults of the fields that the text form shows, in its order."""
    return {one.name: one.default for one in fields(Case) if one.name != "numbers"}


def _read(kind: type, name: str, value: str) -> object:
    if kind is bool:
        if value not in ("True", "False"):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        return value == "True"
    try:
        return int(value) if kind is float and value in ("0", "1") else kind(value)
    except ValueError:
        expected = {"int": "a whole number", "float": "a number"}[kind.__name__]
        raise ValueError(f"{name} must be {expected}, got {value!r}") from None
