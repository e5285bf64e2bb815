"""Case: one drawn configuration, its text form and back; cases.tensors draws its tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch

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

_CHOICES = {
    "dtype": DTYPES,
    "mode": MODES,
    "weights": MAGNITUDES,
    "input": MAGNITUDES,
    "state": MAGNITUDES,
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
    numbers: tuple[tuple[str, tuple[float, ...]], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "seq_len", "batch"):
            value, least = getattr(self, name), 0 if name == "batch" else 1
            _check_whole(name, value)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not isinstance(self.bias, bool):
            raise ValueError(f"bias must be True or False, got {self.bias!r}")
        is_number = isinstance(self.dropout, (int, float)) and not isinstance(self.dropout, bool)
        if not is_number or not 0 <= self.dropout <= 1 or math.isnan(self.dropout):
            raise ValueError(f"dropout must be in [0, 1], got {self.dropout}")
        object.__setattr__(self, "dropout", float(self.dropout))
        _check_whole("seed", self.seed)
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be in 0 to 2**64 - 1, got {self.seed}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        for action in filter(None, self.actions.split(",")):
            if action not in ACTIONS:
                raise ValueError(f"actions must be among {', '.join(ACTIONS)}, got {action!r}")

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

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch.dtype that ``dtype`` names."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def drops(self) -> bool:
        """Whether nn.GRU draws masks: in training, between layers, at a rate in (0, 1)."""
        some = self.num_layers > 1 and self.batch > 0
        return some and self.mode == "train" and 0 < self.dropout < 1

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
        return kind(value)
    except ValueError:
        expected = {"int": "a whole number", "float": "a number"}[kind.__name__]
        raise ValueError(f"{name} must be {expected}, got {value!r}") from None
