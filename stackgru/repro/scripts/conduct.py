"""Scripts of conduct: what a call remembers, and tensors that are not contiguous."""

from __future__ import annotations

from collections.abc import Iterator

from stackgru.harness.reference import expected
from stackgru.laws.conduct import laid_out
from stackgru.repro.scripts.context import Candidate, ScriptContext, attempt
from stackgru.repro.scripts.plain import reference_run


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
    yield Candidate(
        (
            f"x, h0 = {both[0].format('x')}, {both[1].format('h0')}",
            "x.requires_grad_(), h0.requires_grad_()",
            f"total = sum(result.sum() for result in {context.run()})",
            "found = torch.autograd.grad(total, (x, h0), allow_unused=True)",
            "observed = [gradient is not None for gradient in found]",
            "expected = [True, True]  # as for their contiguous copies",
        ),
        allowed=None,
    )
