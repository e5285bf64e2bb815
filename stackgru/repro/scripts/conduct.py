"""Scripts of conduct: what a call changes, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stackgru.harness.reference import expected
from stackgru.laws.conduct import laid_out
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt, own_build
from stackgru.repro.scripts.gradients import flags
from stackgru.repro.scripts.plain import reference_run

_SETTINGS = (
    "torch.get_default_dtype()",
    "torch.get_num_threads()",
    "torch.are_deterministic_algorithms_enabled()",
    "torch.is_anomaly_enabled()",
    "torch.is_grad_enabled()",
    "torch.is_inference_mode_enabled()",
)
#: Set before the call: a new process may already start with the value that a target sets.
_FIRST = {
    "torch.get_num_threads()": ("torch.set_num_threads(1)", "torch.set_num_threads(3)"),
    "torch.are_deterministic_algorithms_enabled()": (
        "",
        "torch.use_deterministic_algorithms(True)",
    ),
}


def purity(context: ScriptContext) -> Iterator[Candidate]:
    """Yield comparisons of the state before a call with that after it."""
    yield from flags(context)
    yield _before_and_after("[module.training for module in target.modules()]", [context.run()])
    yield _before_and_after("[p.grad is None for p in target.parameters()]", [context.run()])
    yield _before_and_after("[id(p) for p in target.parameters()]", [context.run()])
    yield _before_and_after("[x.requires_grad, h0.requires_grad]", [context.run()])
    yield _before_and_after("[p.tolist() for p in (x, h0, *target.parameters())]", [context.run()])
    backward = [f"output, hn = {context.run()}", "(output.sum() + hn.sum()).backward()"]
    for of in ("[p.tolist() for p in (x, h0, *target.parameters())]", *_FLAGS):
        yield _before_and_after(of, backward)
    for setting, wanted in [(one, line) for one in _SETTINGS for line in _FIRST.get(one, ("",))]:
        yield _before_and_after(setting, [context.run()], first=wanted)
        yield Candidate(
            (
                *([wanted] if wanted else []),
                f"expected = {setting}",
                own_build(),
                f"observed = {setting}  # after it was built",
            ),
            allowed=None,
            builds=False,
        )
    seeds = (context.case.seed, context.case.seed ^ 1)
    for part in ("output", "hn"):
        yield _before_and_after(
            "[p.tolist() for p in (x, h0, *target.parameters())]",
            [f"output, hn = {context.run()}", f"{part}.detach().fill_(2.0)"],
        )
        yield Candidate(
            (
                f"output, hn = {context.run()}",
                *attempt(
                    '"it can be written to"', f"{part}.detach().copy_(torch.full_like({part}, 2.0))"
                ),
                'expected = "it can be written to"  # as for nn.GRU',
            ),
            allowed=None,
        )
    yield Candidate(
        (
            f"torch.manual_seed({seeds[0]})",
            own_build(),
            "first = torch.rand(1).item()",
            f"torch.manual_seed({seeds[1]})",
            own_build(),
            "observed = torch.rand(1).item() == first  # whether building it seeds the generator",
            "expected = False",
        ),
        allowed=None,
        builds=False,
    )


_FLAGS = (
    "[p.requires_grad for p in target.parameters()]",
    "[module.training for module in target.modules()]",
)


def _before_and_after(what: str, lines: Sequence[str], first: str = "") -> Candidate:
    before = [first] if first else []
    return Candidate((*before, f"expected = {what}", *lines, f"observed = {what}"), allowed=None)


def stateless(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a call after other calls, compared with the same call of a fresh copy."""
    more = [
        "x = torch.cat([x, x.new_ones(len(x), 3, x.shape[2])], 1)",
        "h0 = torch.cat([h0, h0.new_ones(len(h0), 3, h0.shape[2])], 1)",
    ]
    between = list(_between(context))
    every = [line for lines in between for line in lines]
    for rows in ([], more):
        for lines in (*between, every):
            for part in ("observed, _", "_, observed"):
                uses = any("contextlib" in line for line in lines)
                right = context.run("fresh")
                yield Candidate(
                    (
                        "fresh = copy.deepcopy(target)",
                        *lines,
                        *rows,
                        *context.seeded(f"{part} = {context.run()}", always=True),
                        *context.seeded(
                            f"{part.replace('observed', 'expected')} = {right}", always=True
                        ),
                    ),
                    imports=("contextlib", "copy") if uses else ("copy",),
                )
    yield from remembered(context)
    yield Candidate(
        (
            context.run(),
            *more,
            *attempt('"a result"', context.run()),
            'expected = "a result"  # as for a fresh module',
        ),
        allowed=None,
    )
    yield from overwritten(context)


def overwritten(context: ScriptContext) -> Iterator[Candidate]:
    """Yield an earlier result, compared before and after other calls."""
    between = list(_between(context))
    every = [line for lines in between for line in lines]
    for part in ("output", "hn"):
        for lines in (*between, every):
            yield Candidate(
                (
                    f"output, hn = {context.run()}",
                    f"expected = {part}.tolist()",
                    *lines,
                    f"observed = {part}.tolist()  # the earlier result, after other calls",
                ),
                allowed=None,
                imports=("contextlib",),
            )


def remembered(context: ScriptContext) -> Iterator[Candidate]:
    """Yield a call on a tensor changed in place, compared with a fresh copy's, in eval."""
    input = "x[0]" if context.is_cell else "x"
    for part in ("observed, _", "_, observed"):
        yield Candidate(
            (
                *(["target.eval()"] if context.case.mode == "train" else []),
                "fresh = copy.deepcopy(target)",
                f"other = {input} + 1",
                "target(other, h0)",
                "other -= 1  # new values in the same memory",
                f"{part} = target(other, h0)",
                f"{part.replace('observed', 'expected')} = fresh(other, h0)",
            ),
            imports=("copy",),
        )


def _between(context: ScriptContext) -> Iterator[list[str]]:
    """Yield lines that make other calls, one way at a time."""
    mode = "train" if context.case.mode == "eval" else "eval"
    yield [context.run()]
    yield [context.run(x="x + 1", h0="h0.flip(1)")]
    suppressed = "with contextlib.suppress(Exception):"
    for rows in (1, 0, context.case.batch + 3):
        ones = f"x.new_ones({context.case.seq_len}, {rows}, {context.case.input_size})"
        state = f"h0.new_ones({context.case.num_layers}, {rows}, {context.case.hidden_size})"
        yield [suppressed, f"    {context.run(x=ones, h0=state)}"]
    yield [suppressed, f"    {context.run(h0='h0[:-1]')}"]
    wide = "torch.cat([x, x[..., :1]], -1)"
    yield [suppressed, f"    {context.run(x=wide)}"]
    yield [f"sum(result.sum() for result in {context.run()}).backward()"]
    yield ["with torch.no_grad():", f"    {context.run()}"]
    yield [f"target.{mode}()", context.run(x="-x", h0="-h0"), f"target.{context.case.mode}()"]
    yield ["x.neg_(), h0.neg_()", context.run(), "x.neg_(), h0.neg_()"]


_STRIDE_TEXTS = {
    "contiguous": "{0}",
    "rows-first": "{0}.transpose(0, 1).contiguous().transpose(0, 1)",
    "rows-last": "{0}.transpose(1, 2).contiguous().transpose(1, 2)",
    "slice": "torch.cat([{0} * 0 + 7, {0}, {0} * 0 + 7], -1)[..., {0}.shape[-1] : -{0}.shape[-1]]",
    "every-second": "torch.stack([{0} * 0 + 7, {0}], -1).flatten(-2)[..., 1::2]",
    "one-row": "{0}[:, :1].expand_as({0})",
    "one-step": "{0}[:1].expand_as({0})",
}


def strided(context: ScriptContext) -> Iterator[Candidate]:
    """Yield strided tensors, compared with their contiguous copies."""
    pair = context.pair()
    case = context.case
    _, masks = reference_run(pair, by_steps=context.is_cell and case.drops)
    input, state = case.input_strides, case.state_strides
    bound = expected(pair, masks, input=laid_out(pair.input, input), h0=laid_out(pair.h0, state))
    both = (_STRIDE_TEXTS[input], _STRIDE_TEXTS[state])
    for x, h0 in dict.fromkeys(((both[0], "{0}"), ("{0}", both[1]), both)):
        for part, error in (("observed, _", bound.outputs.error), ("_, observed", bound.hn.error)):
            copies = context.run(x="x.contiguous()", h0="h0.contiguous()")
            yield Candidate(
                (
                    f"x, h0 = {x.format('x')}, {h0.format('h0')}",
                    *context.seeded(f"{part} = {context.run()}"),
                    *context.seeded(f"{part.replace('observed', 'expected')} = {copies}"),
                ),
                float(2 * error.max()),
            )
    yield Candidate(
        (
            f"x, h0 = {both[0].format('x')}, {both[1].format('h0')}",
            *attempt('"a result"', context.run()),
            'expected = "a result"  # as for nn.GRU',
        ),
        allowed=None,
    )


def meta(context: ScriptContext) -> Iterator[Candidate]:
    """Yield the devices of results on the meta device."""
    moved = "x, h0, target = x.to('meta'), h0.to('meta'), target.to('meta')"
    alone = f"target({'x[0]' if context.is_cell else 'x'})"
    for run in (context.run(), *([alone] if context.target.takes_no_state else [])):
        yield Candidate(
            (
                *attempt(f"[result.device.type for result in {run}]", moved),
                'expected = ["meta", "meta"]  # as for nn.GRU',
            ),
            allowed=None,
        )


#: Candidates for the scripts of each law.
CANDIDATES: dict[str, Callable[[ScriptContext], Iterator[Candidate]]] = {
    "purity": purity,
    "stateless": stateless,
    "strided": strided,
    "meta": meta,
}
