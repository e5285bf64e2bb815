"""Scripts of derivatives: the target's and nn.GRU's, of sums of their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from stackgru import derivatives
from stackgru.arrangement import Weights
from stackgru.derivatives import Direction
from stackgru.evidence import Violation
from stackgru.laws.comparing import expected, pick, unroll
from stackgru.laws.differentiating import Grads, Tape, by_name, differentiated, grad_of, network_for
from stackgru.laws.differentiating import taped as taped_run
from stackgru.pairs import Pair
from stackgru.reporting.scripts.scene import Body, Scene, own_leaf
from stackgru.reporting.scripts.values import reference_run
from stackgru.rounding import allowed
from stackgru.steps import Network
from stackgru.weights import gru_layers

#: What is differentiated, and which of output and hn it is made of.
_LOSSES = {
    "hn.sum()": (0.0, 1.0),
    "output.sum()": (1.0, 0.0),
    "(output.sum() + hn.sum())": (1.0, 1.0),
}


def gradients(scene: Scene, frozen: Sequence[str] = ()) -> Iterator[Body]:
    """Yield the gradients that part, of sums of output and hn.

    Args:
        scene: what it is about.
        frozen: leaves that take no gradient.
    """
    freeze = [f"{_own(scene, name)}.requires_grad_(False)" for name in frozen]
    for loss, (of_output, of_hn) in _LOSSES.items():
        yield from _parted(
            scene,
            loss,
            partial(_first, factors=(of_output, of_hn)),
            lambda network, ones: derivatives.gradients(network, *ones),
            (of_output, of_hn),
            freeze,
            frozen,
        )
    yield from _raises(scene, freeze, frozen)
    yield from flags(scene)


def second_derivatives(scene: Scene) -> Iterator[Body]:
    """Yield second derivatives that part, along a direction of ones."""
    for loss, factors in _LOSSES.items():
        yield from _parted(
            scene,
            loss,
            partial(_second, factors=factors),
            lambda network, ones: derivatives.second_derivatives(
                network, _ones_along(network), *ones
            ),
            factors,
            [],
            (),
            twice=True,
        )
    yield from _raises(scene, [], (), twice=True)


def frozen(scene: Scene) -> Iterator[Body]:
    """Yield gradients of the rest where the case's parameters are frozen."""
    pair = scene.pair()
    names = ["input", "h0", *pair.weights.leaves]
    thawed = [name for name in names if pick(pair, f"frozen {name}", 0, 1)]
    thawed = thawed or [names[pick(pair, "thawed", 0, len(names) - 1)]]
    yield from gradients(scene, [name for name in names if name not in thawed])


def forward_mode(scene: Scene) -> Iterator[Body]:
    """Yield forward-mode derivatives by the input, or what they raise."""
    yield Body(
        (
            "def call(x):",
            f"    return {scene.run()}[1]",
            "",
            "try:",
            "    torch.func.jvp(call, (x,), (torch.ones_like(x),))",
            '    observed = "a derivative"',
            "except Exception as error:",
            '    observed = f"{type(error).__name__}: {error}".splitlines()[0]',
            'expected = "a derivative"  # as of nn.GRU',
        ),
        allowed=None,
    )


def training(scene: Scene) -> Iterator[Body]:
    """Yield gradients, then what comes of several steps of an optimiser."""
    yield from gradients(scene)
    pair = scene.pair()
    outputs, hn = _called(pair, pair.input, pair.h0)
    (outputs.sum() + hn.sum()).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(pair.module.parameters(), lr=0.125).step()
    allowed = float(2 * expected(pair, None).hn.error.max())
    if not pair.case.drops:
        yield Body(
            (
                f"output, hn = {scene.run()}",
                "(output.sum() + hn.sum()).backward()",
                "torch.optim.SGD(target.parameters(), lr=0.125).step()",
                "with torch.no_grad():",
                "    for own, right in zip(target.parameters(), reference.parameters()):",
                "        right.copy_(own)",
                f"_, observed = {scene.run()}  # after a step of SGD",
                "_, expected = reference(x, h0)  # with the target's new parameters",
            ),
            allowed,
        )
    yield Body(
        (
            "optimizer = torch.optim.SGD(target.parameters(), lr=0.125)",
            "try:",
            "    for _ in range(3):",
            f"        output, hn = {scene.run()}",
            "        (output.sum() + hn.sum()).backward()",
            "        optimizer.step()",
            '    observed = "trained"',
            "except RuntimeError as error:",
            '    observed = f"{type(error).__name__}: {error}"',
            'expected = "trained"  # as nn.GRU is',
        ),
        allowed=None,
    )


def flags(scene: Scene) -> Iterator[Body]:
    """Yield which parameters take a gradient after a call."""
    freeze = ["for parameter in target.parameters():", "    parameter.requires_grad_(False)"]
    for first in ((), freeze):
        yield Body(
            (
                *first,
                "expected = [parameter.requires_grad for parameter in target.parameters()]",
                scene.run(),
                "observed = [parameter.requires_grad for parameter in target.parameters()]",
            ),
            allowed=None,
        )


def trainable(scene: Scene) -> Iterator[Body]:
    """Yield which parameters take a gradient, against nn.GRU's."""
    yield Body(
        (
            "observed = [parameter.requires_grad for parameter in target.parameters()]",
            "expected = [parameter.requires_grad for parameter in reference.parameters()]",
        ),
        allowed=None,
    )


def _parted(
    scene: Scene,
    loss: str,
    differentiate: Callable[[Tape], Grads],
    bounds_of: Callable[..., derivatives.Gradients],
    factors: tuple[float, float],
    freeze: Sequence[str],
    frozen: Sequence[str],
    *,
    twice: bool = False,
) -> Iterator[Body]:
    """Yield a body for every leaf whose derivatives part by more than rounding."""
    pair = scene.pair()
    names = ["input", "h0", *pair.weights.leaves]
    thawed = [name for name in names if name not in frozen]
    by_steps = scene.is_cell and pair.case.drops and pair.case.seq_len > 1
    _, gaps = reference_run(pair, by_steps=by_steps)
    try:
        pair.seed()
        own = differentiate(taped_run(pair, pair.weights, partial(_called, pair), thawed))
        pair.seed()
        right = differentiate(
            taped_run(pair, Weights(gru_layers(pair.reference)), _reference(pair, by_steps), thawed)
        )
    except (RuntimeError, Violation):
        return
    rows = pair.case.batch, pair.case.hidden_size
    ones = (
        torch.full((pair.case.seq_len, *rows), factors[0], dtype=torch.float64),
        torch.full((pair.case.num_layers, *rows), factors[1], dtype=torch.float64),
    )
    found = bounds_of(network_for(pair, gaps), ones)
    bounds = by_name(found.input, found.h0, found.layers)
    for name, value in pair.weights.to_layers(own).items():
        error = float(2 * allowed(bounds[name], pair.case.torch_dtype).max())
        difference = (value.double() - right[name].double()).abs()
        if error == float("inf") or bool((difference <= error).all()):
            continue
        lines = [*freeze, *_thaw(scene, thawed, twice)]
        for result, module, run in (
            ("observed", "target", scene.run()),
            ("expected", "reference", "reference(x, h0)"),
        ):
            leaf = _own(scene, name) if module == "target" else _right(name)
            stepwise = by_steps and module == "reference"
            called = _by_steps() if stepwise else [f"output, hn = {run}"]
            lines += scene.seeded(*called)
            lines += _differentiated(result, loss, leaf, module, twice=twice)
        yield Body(tuple(lines), error)


def _differentiated(result: str, loss: str, leaf: str, module: str, *, twice: bool) -> list[str]:
    if not twice:
        return [
            f"(grad,) = torch.autograd.grad({loss}, {leaf}, allow_unused=True)",
            f"{result} = torch.zeros_like({leaf}) if grad is None else grad",
        ]
    return [
        f"leaves = [x, h0, *{module}.parameters()]",
        f"first = torch.autograd.grad({loss}, leaves, create_graph=True, allow_unused=True)",
        "total = sum(grad.sum() for grad in first if grad is not None)",
        f"(grad,) = torch.autograd.grad(total, {leaf}, allow_unused=True)",
        f"{result} = torch.zeros_like({leaf}) if grad is None else grad",
    ]


def _raises(
    scene: Scene, freeze: Sequence[str], frozen: Sequence[str], *, twice: bool = False
) -> Iterator[Body]:
    pair = scene.pair()
    thawed = [name for name in ("input", "h0", *pair.weights.leaves) if name not in frozen]
    leaves = ", ".join(_own(scene, name) for name in thawed)
    for loss in reversed(_LOSSES):
        second = [
            f"    first = torch.autograd.grad({loss}, [{leaves}], create_graph=True)",
            f"    torch.autograd.grad(sum(grad.sum() for grad in first), [{leaves}])",
        ]
        once = [f"    torch.autograd.grad({loss}, [{leaves}], allow_unused=True)"]
        yield Body(
            (
                *freeze,
                *_thaw(scene, thawed, twice),
                "try:",
                *(f"    {line}" for line in scene.seeded(f"output, hn = {scene.run()}")),
                *(second if twice else once),
                '    observed = "gradients"',
                "except RuntimeError as error:",
                '    observed = f"{type(error).__name__}: {error}"',
                'expected = "gradients"  # as of nn.GRU',
            ),
            allowed=None,
        )


def _thaw(scene: Scene, thawed: Sequence[str], twice: bool) -> list[str]:
    names = {"input": "x", "h0": "h0"}
    return [f"{names[name]}.requires_grad_()" for name in names if twice or name in thawed]


def _own(scene: Scene, name: str) -> str:
    """Return the text of one of the target's leaves."""
    return {"input": "x", "h0": "h0"}.get(name, own_leaf(name))


def _right(name: str) -> str:
    """Return the text of one of nn.GRU's leaves."""
    if name in ("input", "h0"):
        return {"input": "x", "h0": "h0"}[name]
    weight, _, layer = name.partition(" of layer ")
    return f"reference.{weight}_l{layer}"


def _called(pair: Pair, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    run = unroll(pair, input, h0)
    return run.outputs, run.hn


def _reference(pair: Pair, by_steps: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x in input:
            output, h0 = pair.reference(x[None], h0)
            outputs.append(output)
        return torch.cat(outputs), h0

    return call if by_steps else pair.reference


def _by_steps() -> list[str]:
    return [
        "outputs, hn = [], h0",
        "for step in x:",
        "    output, hn = reference(step[None], hn)",
        "    outputs.append(output)",
        "output = torch.cat(outputs)",
    ]


def _first(tape: Tape, factors: tuple[float, float]) -> Grads:
    outputs, hn = (
        torch.full_like(value, factor)
        for value, factor in zip((tape.outputs, tape.hn), factors, strict=True)
    )
    return grad_of(tape, outputs, hn)


def _second(tape: Tape, factors: tuple[float, float]) -> Grads:
    outputs, hn = (
        torch.full_like(value, factor)
        for value, factor in zip((tape.outputs, tape.hn), factors, strict=True)
    )
    first = list(grad_of(tape, outputs, hn, create_graph=True).values())
    first = [grad for grad in first if grad.requires_grad]
    if not first:
        return {name: torch.zeros_like(leaf) for name, leaf in tape.leaves.items()}
    return differentiated(tape.leaves, first, [torch.ones_like(grad) for grad in first])


def _ones_along(network: Network) -> Direction:
    layers = [
        {name: torch.ones_like(value) for name, value in layer.items()} for layer in network.layers
    ]
    return Direction(torch.ones_like(network.input), torch.ones_like(network.h0), layers)


#: The ways to tell a violation of each law.
BODIES: dict[str, Callable[[Scene], Iterator[Body]]] = {
    "gradients": gradients,
    "second-derivatives": second_derivatives,
    "frozen": frozen,
    "forward-mode": forward_mode,
    "training": training,
}
