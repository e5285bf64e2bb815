"""Laws of conduct: what a call changes, what it remembers, and what it accepts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.strategies import WHOLE
from stackgru.harness.judge import Called, Seen
from stackgru.harness.masks import Draw, Injector, Recorder, flat
from stackgru.harness.orders import arranged
from stackgru.harness.pair import Pair
from stackgru.harness.reference import expected, layer_masks
from stackgru.laws.helpers.autograd import as_violation
from stackgru.laws.helpers.plain import named, seeded, total
from stackgru.laws.helpers.values import HN, OUTPUT, of_itself, unroll
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import Violated


def flags_of(module: nn.Module, *arguments: Tensor) -> dict[str, Any]:
    """Return what a call may not change of a module and its arguments, besides values."""
    flags: dict[str, Any] = {"requires_grad of x and h0": [one.requires_grad for one in arguments]}
    for name, one in module.named_modules():
        flags[f"the training flag of {name or 'the module'}"] = one.training
    for name, parameter in module.named_parameters():
        flags[f"the identity of {name}"] = id(parameter)
        flags[f"requires_grad of {name}"] = parameter.requires_grad
        flags[f"whether {name} has a gradient"] = parameter.grad is not None
    return flags


def changed_flags(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of flags that changed; a module may be made in the first call."""
    first = {name: flag for name, flag in after.items() if "training flag" in name} | before
    return [name for name in first | after if first.get(name) != after.get(name)]


@law(
    "conduct",
    {"max_steps": 3, "choices": (*WHOLE, "threads", "deterministic")},
    question="conduct",
    decides="conduct",
)
def purity(
    target: Called,
    build: Callable[[], Called],
    settings: Callable[[], dict[str, Any]],
    x: Tensor,
    h0: Tensor,
    seed: int,
    mode: str,
) -> Iterator[Seen]:
    """A call leaves its arguments, parameters, modes and torch's settings unchanged.

    A forward pass sets no gradients, and a backward pass in training changes nothing else. Writing
    into output or hn afterwards reaches neither the arguments nor the parameters. Building the
    target changes no setting and does not seed torch's generator.
    """
    before, states = settings(), []
    for other in (seed, seed ^ 1):
        torch.manual_seed(other)
        build()
        yield from named("after building it", settings().values(), before.values(), before)
        states.append(torch.cuda.get_rng_state() if x.is_cuda else torch.get_rng_state())
    yield "building it seeds torch's generator", bool((states[0] == states[1]).all()), False
    flags = flags_of(target.module, x, h0)
    tensors = {"x": x, "h0": h0, "parameters": [*target.parameters()]}
    kept = [x.clone(), h0.clone(), [one.detach().clone() for one in target.parameters()]]
    output, hn = target(x, h0)
    yield from named("after a call", settings().values(), before.values(), before)
    yield from named("after a call", tensors.values(), kept, tensors)
    yield "what a call changes", changed_flags(flags, flags_of(target.module, x, h0)), []
    if mode == "train" and torch.is_grad_enabled():
        total([output, hn]).backward()  # type: ignore[no-untyped-call]
        yield from named("after a backward pass", settings().values(), before.values(), before)
        yield from named("after a backward pass", tensors.values(), kept, tensors)
        changed = changed_flags(flags, flags_of(target.module, x, h0))
        others = [name for name in changed if "has a gradient" not in name]
        yield "what a backward pass changes", others, []
    for result in (output, hn):
        # Unlike fill_, copy_ refuses memory where one number stands for several.
        result.detach().copy_(torch.full_like(result, 2.0))
    yield from named("after writing into the results", tensors.values(), kept, tensors)


def call_in_many_ways(target: Called, x: Tensor, h0: Tensor, mode: str) -> None:
    """Call a module with other tensors, in other modes; other laws judge whether it fails."""
    calls = [(x.flip(0) + 1, h0.flip(1)), (x, h0[:-1])]
    for rows in (1, 0, x.shape[1] + 3):
        ones = [one.new_ones(one.shape[0], rows, one.shape[2]) for one in (x, h0)]
        calls.append((ones[0], ones[1]))
    calls.append((torch.cat([x, x[..., :1]], -1), h0))
    for call in calls:
        with contextlib.suppress(Exception):
            target(*call)
    with contextlib.suppress(Exception), torch.inference_mode():
        target(x.clone(), h0.clone())
    with contextlib.suppress(Exception), torch.enable_grad():
        total(target(x, h0.clone().requires_grad_())).backward()  # type: ignore[no-untyped-call]
    target.zero_grad()
    target.train(mode == "eval")
    with contextlib.suppress(Exception), torch.no_grad():
        target(-x, -h0)
    target.train(mode == "train")


@law(
    "conduct",
    {"max_steps": 3, "choices": (*WHOLE, "more_rows")},
    question="conduct",
    decides="conduct",
)
def stateless(
    target: Called,
    fresh: Called,
    x: Tensor,
    h0: Tensor,
    seed: int,
    mode: str,
    kind: str,
    more_rows: int,
) -> Iterator[Seen]:
    """Whatever was called before, a call gives what a fresh module gives, bit for bit.

    From the same seed, for as many rows or more; after calls with other inputs, other batches and
    empty ones, in the other mode, with and without gradients, and after a call that failed. Earlier
    results stay unchanged, also a state that is handed in again, and tensors that were changed in
    place since are read again.
    """
    found = target(x, h0)
    kept = [one.detach().clone() for one in found]
    target(x, found[1])
    call_in_many_ways(target, x, h0, mode)
    yield from named("of an earlier call, after later calls", found, kept)
    more, states = (
        torch.cat([one, one.new_ones(one.shape[0], more_rows, one.shape[2])], 1) for one in (x, h0)
    )
    found, right = (seeded(module, more, states, seed) for module in (target, fresh))
    yield from named("after other calls, compared with a fresh module", found, right)
    own, state = x.detach().clone(), h0.detach().clone()
    given: Any = [own[0]] if kind == "cell" else own  # a cell gets the very same tensor again
    for _ in range(2):
        own.neg_()
        state.neg_()
        found = seeded(target, given, state, seed)
    right = seeded(fresh, x[: len(given)], h0, seed)
    yield from named("on the last call's tensors, changed in place since", found, right)


_STRIDED = ("input_strides", "state_strides")


def laid_out(tensor: Tensor, strides: str) -> Tensor:
    """Return a (T or L, B, I or H) tensor laid out in memory as one of STRIDES has it."""
    if strides == "one-row":
        return tensor[:, :1].expand_as(tensor)
    if strides == "one-step":
        return tensor[:1].expand_as(tensor)
    wide = tensor.new_full((*tensor.shape[:-1], 2 * tensor.shape[-1] + 1), 7.0)
    views = {
        "contiguous": tensor.clone(),
        "rows-first": tensor.transpose(0, 1).contiguous().transpose(0, 1),
        "rows-last": tensor.transpose(1, 2).contiguous().transpose(1, 2),
        "slice": wide[..., 1:].narrow(-1, 0, tensor.shape[-1]),
        "every-second": wide[..., 1::2],
    }
    return views[strides].copy_(tensor)


@law(
    "conduct",
    *(
        {"max_steps": 3, "dtypes": FULL_PRECISION, "min_batch": rows, "choices": (*of, *_STRIDED)}
        for rows, of in ((1, WHOLE), (2, ("batch_first",)))
    ),
    question="conduct",
)
def strided(pair: Pair) -> None:
    """Input and h0 give what their contiguous copies give, whatever their memory layout.

    Within rounding, for transposed, sliced and expanded tensors; in training under the masks drawn
    for the copies, and with --strict from the same seed.
    """
    of_itself(pair, _assert_strided)


def _assert_strided(pair: Pair) -> None:
    case = pair.case
    input = laid_out(pair.input, case.input_strides)
    h0 = laid_out(pair.h0, case.state_strides)
    what = f"with the input {case.input_strides} and h0 {case.state_strides} in memory"
    pair.seed()
    with pair.grad_mode(), Recorder() as recorder:
        plain = unroll(pair, input.contiguous(), h0.contiguous())
    pair.seed()
    with pair.grad_mode(), _masks_watched(pair, what, recorder.draws):
        run = unroll(pair, input, h0)
    if not pair.case.drops:
        orders_seen = [layer_masks(pair, recorder)]
    else:
        orders_seen = [*arranged(pair, recorder.draws)]
    if not orders_seen:
        return  # other laws judge masks that are not nn.GRU's; values are compared in eval
    # Two orders can have the same shapes; the larger bound is that of the masks drawn, or above.
    bounds = [expected(pair, masks, input=input, h0=h0) for masks in orders_seen]
    outputs = torch.stack([bound.outputs.error for bound in bounds]).amax(0)
    hn = torch.stack([bound.hn.error for bound in bounds]).amax(0)
    pair.within(run.outputs, plain.outputs, 2 * outputs, f"{what}: output", OUTPUT)
    pair.within(run.hn, plain.hn, 2 * hn, f"{what}: hn", HN)
    if case.records:
        _assert_have_gradients(pair, input, h0, what)


def _assert_have_gradients(pair: Pair, input: Tensor, h0: Tensor, what: str) -> None:
    """Raise a violation if input or h0, laid out so, gets no gradient that it gets otherwise."""
    found = []
    for one, state in ((input.contiguous(), h0.contiguous()), (input, h0)):
        # Not clones, which would lie in memory in a way of their own.
        leaves = [part.detach().requires_grad_() for part in (one, state)]
        run = unroll(pair, leaves[0], leaves[1])
        total = run.outputs.sum() + run.hn.sum()
        with as_violation("gradients"):
            wanted = leaves if total.requires_grad else []
            grads = torch.autograd.grad(total, wanted, allow_unused=True) if wanted else ()
        found.append([grad is not None for grad in grads])
    if found[0] != found[1]:
        raise Violated(f"{what}: input and h0 get gradients: {found[1]}, otherwise: {found[0]}")


@contextmanager
def _masks_watched(pair: Pair, what: str, draws: Sequence[Draw]) -> Iterator[None]:
    """Replace the masks that the target draws by these; with --strict it must draw them itself.

    Recent builds fill a mask in memory order, and a cell's result inherits the strides of its
    state: most stacks draw other masks for a transposed h0, and are right under the same masks.
    """
    if pair.strict:
        with Recorder() as recorder:
            yield
        if not torch.equal(flat(recorder.draws), flat(draws)):
            raise Violated(f"{what}, the masks differ from those drawn with contiguous tensors")
        return
    injector = Injector(flat(draws))
    with injector:
        yield
    if not injector.complete:
        raise Violated(
            f"{what}, the target draws other numbers of masks than with contiguous tensors"
        )


@law(
    "conduct",
    {"max_steps": 3, "choices": ("grad",)},
    question="conduct",
    share=0.15,  # nothing depends on values
    prepare=importing("torch._meta_registrations", "torch._dynamo"),
    is_refusable=True,
)
def meta(
    reference: Called, build: Callable[[], Called], x: Tensor, h0: Tensor, takes_no_state: bool
) -> Iterator[Seen]:
    """On the meta device, results are on that device too, with nn.GRU's shapes and dtypes.

    With a state, and without one if the target can be called so.
    """
    moved = build()
    moved.module.to("meta")
    right = [("meta", one.dtype, tuple(one.shape)) for one in reference(x, h0)]
    x, h0 = x.to("meta"), h0.to("meta")
    for state in [(h0,), ()] if takes_no_state else [(h0,)]:
        found = [(one.device.type, one.dtype, tuple(one.shape)) for one in moved(x, *state)]
        yield from named(f"on the meta device{'' if state else ', without a state'}", found, right)
