"""Case: one drawn configuration, its text form and back, and the tensors that it stands for."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stackgru.gru.parameters import Layer, parameter_shapes

#: Simplest first: a violation is shown in the first one that still shows it.
DTYPES = ("float64", "float32", "bfloat16", "float16")
MODES = ("eval", "train")
MAGNITUDES = ("usual", "zero", "large", "tiny", "subnormal")
MAX_SEED = 2**64 - 1
#: What can be done to a module in the course of its life; the law `life` says what each is.
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
_ALWAYS_SHOWN = 9  # the fields up to seed; the rest are shown where they are not the default


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
        dtype: of everything, one of DTYPES.
        mode: "eval" or "train".
        seed: of the dropout masks; weights, input and h0 come from generators of their own.
        bias: whether the layers have biases.
        weights: magnitude of weights and biases, one of MAGNITUDES.
        input: magnitude of the input.
        state: magnitude of h0.
        actions: what is done to the module, names in ACTIONS with commas between them.

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

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "seq_len", "batch"):
            if getattr(self, name) < (name != "batch"):
                raise ValueError(f"{name} is too small: {getattr(self, name)}")
        if not 0 <= self.dropout <= 1 or math.isnan(self.dropout):
            raise ValueError(f"dropout must be in [0, 1], got {self.dropout}")
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
        shown = [
            f"{field.name}={getattr(self, field.name)}"
            for position, field in enumerate(fields(Case))
            if position < _ALWAYS_SHOWN or getattr(self, field.name) != field.default
        ]
        return " ".join(shown)

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read a case from its text; nothing in the text is ever evaluated.

        Args:
            text: ``name=value`` pairs with spaces between them; a name left out has its default.

        Returns:
            The case; ``Case.parse(str(case)) == case``.

        Raises:
            ValueError: if a name is unknown or given twice, or a value does not fit.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, object] = {}
        for word in text.split():
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"expected name=value in a case, got {word!r}")
            if name not in kinds:
                near = difflib.get_close_matches(name, kinds, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"a case has no {name!r}{hint}")
            if name in values:
                raise ValueError(f"{name} is given twice")
            values[name] = _read(kinds[name], name, value)
        return cls(**values)  # type: ignore[arg-type]

    def given(self, name: str) -> Sequence[float] | None:
        """Return numbers that stand in place of those drawn for ``name``; a case has none."""
        return None

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
        """What a value that goes up a layer and is not zeroed is multiplied by."""
        if self.mode == "eval":
            return 1.0
        return 0.0 if self.dropout == 1 else 1 / (1 - self.dropout)


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


def draw_input(case: Case) -> Tensor:
    """Return the case's input, of shape (T, B, I)."""
    shape = (case.seq_len, case.batch, case.input_size)
    return _draw(case, "input", shape, *spread(case, "input", shape))


def draw_h0(case: Case) -> Tensor:
    """Return the case's initial state, of shape (L, B, H)."""
    shape = (case.num_layers, case.batch, case.hidden_size)
    return _draw(case, "h0", shape, *spread(case, "h0", shape))


def draw_weights(case: Case) -> list[Layer]:
    """Return the case's parameters, layer by layer.

    Rows have about unit norm, so that the gates are neither linear nor saturated. Biases are as
    large as the weights, and stay as usual where the weights are zero.
    """
    sizes = (case.input_size, case.hidden_size, case.num_layers, case.bias)
    layers: list[Layer] = []
    for layer, shapes in enumerate(parameter_shapes(*sizes)):
        drawn = {
            name: draw_parameter(case, f"{name} {layer}", shape) for name, shape in shapes.items()
        }
        layers.append(drawn)
    return layers


def draw_parameter(case: Case, name: str, shape: Sequence[int]) -> Tensor:
    """Return the case's numbers for one parameter; one axis makes it a bias."""
    return _draw(case, name, tuple(shape), *spread(case, name, shape))


def spread(case: Case, name: str, shape: Sequence[int]) -> tuple[str, float]:
    """Return the magnitude of what is drawn for ``name``, and what usual numbers are scaled by."""
    if name in ("input", "h0"):
        return {"input": case.input, "h0": case.state}[name], 1.0
    is_bias = len(shape) == 1
    magnitude = "usual" if is_bias and case.weights == "zero" else case.weights
    return magnitude, 0.5 if is_bias else 1 / math.sqrt(shape[-1])


def generator(case: Case, name: str) -> torch.Generator:
    """Return a generator of its own for what is called ``name``, seeded by the case's seed."""
    return torch.Generator().manual_seed(seed_of(case, name))


def seed_of(case: Case, name: str) -> int:
    """Return the seed of what is called ``name``.

    It is hashed from the case's: torch.manual_seed(case.seed) belongs to the masks alone.
    """
    digest = hashlib.sha256(f"{case.seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _draw(case: Case, name: str, shape: tuple[int, ...], magnitude: str, scale: float) -> Tensor:
    dtype = case.torch_dtype
    given = case.given(name)
    if given is not None:
        return torch.tensor(given, dtype=torch.float64).reshape(shape).to(dtype)
    if magnitude == "zero":
        return torch.zeros(shape, dtype=dtype)
    values = torch.randn(shape, dtype=torch.float64, generator=generator(case, name))
    if magnitude == "subnormal":  # a few times the smallest number there is
        return (values * 4).round().mul(factor_of(dtype, magnitude, scale)).to(dtype)
    return (values * factor_of(dtype, magnitude, scale)).to(dtype)


def factor_of(dtype: torch.dtype, magnitude: str, scale: float) -> float:
    """Return what normal numbers, or whole ones for subnormal, are multiplied by."""
    limits = torch.finfo(dtype)
    smallest = limits.tiny * limits.eps
    factors = {"usual": scale, "large": 64 * scale, "tiny": 16 * limits.tiny}
    return smallest if magnitude == "subnormal" else factors[magnitude]
