"""The law of drop-in: a sequence module is built, called and loaded as nn.GRU is."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.harness.judge import Called, Seen, Within
from stackgru.harness.pair import Pair
from stackgru.laws.helpers.plain import seeded
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION

Factory = Callable[..., nn.Module]

#: nn.GRU's arguments in their order, which code also reads of one.
NAMES = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)


def options_of(gru: Any, **changed: Any) -> list[Any]:
    """Return the arguments that an nn.GRU was built with, some of them changed."""
    return [changed.get(name, getattr(gru, name)) for name in NAMES]


def ways_to_build(factory: Factory, x: Tensor) -> dict[str, Factory]:
    """Return functions that take nn.GRU's arguments in their order, and build as nn.GRU is."""

    def by_name(*given: Any) -> nn.Module:
        return factory(**dict(zip(NAMES, given)), device=x.device, dtype=x.dtype)  # noqa: B905

    return {"by position": lambda *given: factory(*given).to(x), "by name": by_name}


def rebuilt(own: nn.Module, factory: Factory, x: Tensor, given: list[Any]) -> Any:
    """Return another with the same weights, built in one of these ways; None if none works."""
    for build in reversed(ways_to_build(factory, x).values()):
        try:
            module = build(*given).to(x)
            module.load_state_dict(own.state_dict())
        except Exception:  # noqa: S112 - which a part of the law shows
            continue
        module.train(own.training)
        return module
    return None


def entries(what: str, found: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[Seen]:
    """Yield the names, dtypes and shapes of two dictionaries of tensors, in their order."""
    texts = [
        [
            f"{name}: {getattr(one, 'dtype', '')} {[*getattr(one, 'shape', '')]}"
            for name, one in all_
        ]
        for all_ in (found.items(), right.items())
    ]
    for number, (own, other) in enumerate(itertools.zip_longest(*texts)):
        yield f"{what}: entry {number}", own, other


def built(
    target: Called,
    reference: Called,
    own: nn.Module,
    factory: Factory,
    x: Tensor,
    h0: Tensor,
    within: Within,
) -> Iterator[Seen]:
    """Built by position and by name, it is what it is as it is driven."""
    right, allowed = target(x.clone(), h0.clone()), within(x, h0)
    for how, build in ways_to_build(factory, x).items():
        module = build(*options_of(reference.module))
        yield from entries(f"built {how}", module.state_dict(), own.state_dict())
        module.load_state_dict(own.state_dict())
        module.eval()
        output, hn = reference.holding(module)(x.clone(), h0.clone())
        yield f"built {how}: output", output, right[0], allowed[0]
        yield f"built {how}: hn", hn, right[1], allowed[1]


def defaults(
    reference: Called, own: nn.Module, factory: Factory, x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """Built with its sizes, and maybe num_layers, it has nn.GRU's defaults for all others."""
    options = options_of(reference.module)
    if rebuilt(own, factory, x, options) is None:
        return  # which another part shows
    for given in (options[:2], options[:3]):
        what = f"built with {len(given)} arguments"
        gru, module = nn.GRU(*given), factory(*given).to(x)
        module.train()
        other = rebuilt(module, factory, x, options_of(gru))
        yield f"{what}: whether its weights are those of nn.GRU's defaults", other is not None, True
        found, right = (seeded(one, x, h0[: gru.num_layers], seed) for one in (module, other))
        yield f"{what}: results in training", found, right


def called(
    target: Called,
    reference: Called,
    own: nn.Module,
    factory: Factory,
    x: Tensor,
    h0: Tensor,
    within: Within,
) -> Iterator[Seen]:
    """Called by position and by name, with a state or without, it gives what it gives as driven."""
    gru = reference.module
    module = rebuilt(own, factory, x, options_of(gru)) or own
    rows = x.transpose(0, 1) if gru.batch_first else x
    ways: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "input": ((rows,), {}),
        "input, None": ((rows, None), {}),
        "input, h0": ((rows, h0), {}),
        "input, hx=h0": ((rows,), {"hx": h0}),
        "input=input, hx=h0": ((), {"input": rows, "hx": h0}),
    }
    for how, (arguments, named) in ways.items():
        state = h0 if "h0" in how else torch.zeros_like(h0)
        right, allowed = target(x.clone(), state.clone()), within(x, state)
        output, hn = module(*copy.deepcopy(arguments), **copy.deepcopy(named))
        output = output.transpose(0, 1) if gru.batch_first else output
        yield f"called with {how}: output", output, right[0], allowed[0]
        yield f"called with {how}: hn", hn, right[1], allowed[1]


def loaded(reference: Called, own: nn.Module) -> Iterator[Seen]:
    """Its state_dict has nn.GRU's names, shapes and order, and each loads the other's."""
    gru = reference.module
    yield from entries("state_dict", own.state_dict(), gru.state_dict())
    for name, value in gru.state_dict().items():
        yield f"state_dict: {name}", own.state_dict()[name], value
    own.load_state_dict(gru.state_dict())
    gru.load_state_dict(own.state_dict())
    found, right = (dict(module.named_parameters()) for module in (own, gru))
    yield from entries("parameters", found, right)


def fresh_weights(reference: Called, factory: Factory, seed: int) -> Iterator[Seen]:
    """A seed gives it nn.GRU's initial weights."""
    fresh = []
    for build in (factory, nn.GRU):
        torch.manual_seed(seed)
        fresh.append(dict(build(*options_of(reference.module)[:3]).named_parameters()))
    for name in fresh[0]:
        if name in fresh[1]:  # other names are other differences
            yield f"fresh weights: {name}", fresh[0][name], fresh[1][name]


def attributes(reference: Called, own: nn.Module, factory: Factory, x: Tensor) -> Iterator[Seen]:
    """It has nn.GRU's attributes."""
    gru = reference.module
    module: Any = rebuilt(own, factory, x, options_of(gru)) or own
    for name in NAMES:
        found = getattr(module, name)
        is_plain = not isinstance(found, (Tensor, nn.Module))
        yield f"attributes: {name}", found if is_plain else type(found).__name__, getattr(gru, name)
    module.flatten_parameters()


def printed(own: nn.Module) -> Iterator[Seen]:
    """It can be printed."""
    yield "repr", isinstance(repr(own), str), True


def rate(
    reference: Called, own: nn.Module, factory: Factory, x: Tensor, h0: Tensor, seed: int
) -> Iterator[Seen]:
    """A rate that is set later gives what it gives if built with that rate."""
    layers: Any = reference.module.num_layers
    later, at_once = (
        rebuilt(own, factory, x, options_of(reference.module, batch_first=False, dropout=rate))
        for rate in (0.0, 0.25)
    )
    if layers > 1 and isinstance(getattr(later, "dropout", None), (float, int)):
        later.dropout = 0.25
        later.train(), at_once.train()
        found, right = (seeded(module, x, h0, seed) for module in (later, at_once))
        yield "a rate that is set later: results", found, right


@law(
    "conduct",
    {
        "mode": "eval",
        "min_batch": 1,
        "max_batch": 3,
        "max_steps": 4,
        "max_layers": 3,
        "dtypes": FULL_PRECISION,
        "choices": ("batch_first",),
    },
    kinds=("sequence",),
    question="drop-in",
    decides="drop-in",
    share=0.2,
    parts=(built, defaults, called, loaded, fresh_weights, attributes, printed, rate),
)
def drop_in(pair: Pair) -> Iterator[str]:
    """A sequence is built, called and loaded as nn.GRU is, by position and by name.

    With nn.GRU's defaults; its state_dict has the names, shapes and order of nn.GRU's, and each
    loads the other's. A seed gives it nn.GRU's fresh weights; it has nn.GRU's attributes, of which
    a rate that is set later counts, and can be printed. A difference counts with --strict only.
    """
    target = pair.target
    yield from target.unseen
    if target.layers is not None:
        yield f"built with num_layers={target.layers} only"
    if target.refused_bias:
        yield f"bias=False: {target.refused_bias}"
