"""Laws of conduct: what a call changes, what it remembers, and what it accepts."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from stackgru.cases.strategies import WHOLE
from stackgru.harness.masks import Draw, Injector, Recorder, flat
from stackgru.harness.orders import arranged
from stackgru.harness.pair import Pair, Run, TargetRaised
from stackgru.harness.reference import expected, layer_masks
from stackgru.laws.helpers.autograd import as_violation
from stackgru.laws.helpers.settings import settings_watched
from stackgru.laws.helpers.transforms import arguments_of
from stackgru.laws.helpers.values import HN, OUTPUT, of_itself, other_input, unroll
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated, assert_equal
from stackgru.targets.importing import describe_error


@law(
    "conduct",
    {"max_steps": 3, "choices": (*WHOLE, "threads", "deterministic")},
    question="conduct",
    decides="conduct",
)
def purity(pair: Pair) -> None:
    """A call leaves its arguments, parameters, modes and torch's settings unchanged.

    A forward pass sets no gradients, and a backward pass in training changes nothing else. Writing
    into output or hn afterwards reaches neither the arguments nor the parameters. Building the
    target changes no setting and does not seed torch's generator.
    """
    _assert_built_apart(pair)
    tensors = {"input": pair.input, "h0": pair.h0, **dict(pair.module.named_parameters())}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    flags = _flags(pair)
    with settings_watched(pair):
        run = unroll(pair)
        _assert_flags(flags, _flags(pair), "a call")
        _assert_unchanged(tensors, before, "by a call")
        if pair.case.mode == "train" and torch.is_grad_enabled():
            _backward(run)
    _assert_unchanged(tensors, before, "by a backward pass")
    after = {name: value for name, value in _flags(pair).items() if "gradient" not in name}
    _assert_flags({name: flags.get(name) for name in after}, after, "a backward pass")
    for name, result in (("output", run.outputs), ("hn", run.hn)):
        try:
            # Unlike fill_, copy_ refuses memory where one number stands for several.
            result.detach().copy_(torch.full_like(result, 2.0))
        except RuntimeError as error:
            raise Violated(f"{name} cannot be written to: {describe_error(error)}") from error
    _assert_unchanged(tensors, before, "by writing into the results")


def _assert_built_apart(pair: Pair) -> None:
    """Raise a violation if building the target changes a setting or seeds torch's generator."""
    states = []
    for seed in (pair.case.seed, pair.case.seed ^ 1):
        with settings_watched(pair, "building it"):
            pair.seed(seed)
            pair.target.build(pair.case)
        states.append(pair.generator_state())
    if torch.equal(*states):
        raise Violated("building the target seeds torch's generator")


def _flags(pair: Pair) -> dict[str, object]:
    """Return what a call may not change, by name."""
    flags: dict[str, object] = {
        f"the training flag of {name or 'the module'}": module.training
        for name, module in pair.module.named_modules()
    }
    for name, parameter in pair.module.named_parameters():
        flags[f"the identity of {name}"] = id(parameter)
        flags[f"requires_grad of {name}"] = parameter.requires_grad
        flags[f"whether {name} has a gradient"] = parameter.grad is not None
    for name, tensor in (("input", pair.input), ("h0", pair.h0)):
        flags[f"requires_grad of {name}"] = tensor.requires_grad
    return flags


def _assert_flags(before: dict[str, object], after: dict[str, object], what: str) -> None:
    for name in {**before, **after}:
        is_made_late = name not in before and name.startswith("the training flag of")
        if before.get(name) != after.get(name) and not is_made_late:
            raise Violated(f"{what} changes {name}")


def _assert_unchanged(tensors: dict[str, Tensor], before: dict[str, Tensor], how: str) -> None:
    for name, tensor in tensors.items():
        assert_equal(tensor, before[name], what=f"{name}, changed {how}")


def _backward(run: Run) -> None:
    try:
        (run.outputs.sum() + run.hn.sum()).backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise Violated(f"a backward pass raised {describe_error(error)}") from error


@law(
    "conduct",
    {"max_steps": 3, "choices": (*WHOLE, "more_rows")},
    question="conduct",
    decides="conduct",
)
def stateless(pair: Pair) -> None:
    """Whatever was called before, a call gives what a fresh module gives, bit for bit.

    From the same seed, for as many rows or more; after calls with other inputs, other batches and
    empty ones, in the other mode, with and without gradients, and after a call that failed. Earlier
    results stay unchanged, and tensors that were changed in place since are read again.
    """
    fresh = Pair(pair.target, pair.case)
    with pair.grad_mode():
        first = unroll(pair)
        kept = Run(first.outputs.detach().clone(), first.hn.detach().clone())
        _calls_in_between(pair)
        pair.equal(first, kept, "result of an earlier call, after later calls")
        more = pair.case.more_rows
        input, h0 = (
            torch.cat([part, part.new_ones(part.shape[0], more, part.shape[2])], 1)
            for part in (pair.input, pair.h0)
        )
        pair.seed()
        last = unroll(pair, input, h0)
        pair.seed()
        others = unroll(fresh, input, h0)
        pair.equal(last, others, "after other calls (compared with a fresh module)")
        _assert_reads_anew(pair, fresh)


def _assert_reads_anew(pair: Pair, fresh: Pair) -> None:
    """Raise a violation if the last call's tensors, changed in place, are not read again."""
    own, others = arguments_of(pair), arguments_of(pair)
    for argument in own:
        argument.neg_()
    pair.call(*own)
    for argument in own:
        argument.neg_()
    pair.seed()
    again = pair.call(*own)
    pair.seed()
    for name, result, right in zip(("output", "hn"), again, fresh.call(*others), strict=True):
        axes = OUTPUT[-result.dim() :] if name == "output" else HN
        what = f"on the last call's tensors, changed in place since: {name}"
        assert_equal(result, right, what=what, axes=axes)


def _calls_in_between(pair: Pair) -> None:
    """Call the target in many ways; other laws judge whether it fails in one of them."""
    case, input, h0 = pair.case, pair.input, pair.h0
    calls = [(other_input(pair, "call in between"), h0.flip(1)), (input, h0[:-1])]
    for rows in (1, 0, case.batch + 3):
        shape = (len(h0), rows, case.hidden_size)
        calls.append((input.new_ones(case.seq_len, rows, case.input_size), h0.new_ones(shape)))
    calls.append((input.new_ones(case.seq_len, case.batch, case.input_size + 1), h0))
    for call in calls:
        with contextlib.suppress(Violated):
            unroll(pair, *call)
    with contextlib.suppress(Violated), torch.inference_mode():
        unroll(pair, input.clone(), h0.clone())
    with contextlib.suppress(Violated), torch.enable_grad():
        _backward(unroll(pair, h0=h0.clone().requires_grad_()))
    pair.module.zero_grad()
    mode = "train" if case.mode == "eval" else "eval"
    with contextlib.suppress(Violated), torch.no_grad(), pair.mode(mode):
        unroll(pair, -input, -h0)


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
    {
        "min_batch": 1,
        "max_steps": 3,
        "dtypes": FULL_PRECISION,
        "choices": (*WHOLE, "input_strides", "state_strides"),
    },
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
    share=0.2,  # nothing depends on values
    prepare=importing("torch._meta_registrations", "torch._dynamo"),
)
def meta(pair: Pair) -> None:
    """On the meta device, results are on that device too, with nn.GRU's shapes and dtypes.

    With a state, and without one if the target can be called so.
    """
    input, h0 = pair.input.to("meta"), pair.h0.to("meta")
    try:
        module = pair.target.build(pair.case).to("meta")
    except Exception as error:
        raise Violated(
            f"the target cannot be moved to the meta device: {describe_error(error)}"
        ) from error
    try:
        with pair.grad_mode():
            run = unroll(pair, input, h0, module)
            if pair.target.takes_no_state:
                one = input if pair.kind == "sequence" else input[0]
                pair.call(one, module=module)
    except Violated as error:
        _assert_gru_runs_on_meta(pair, input, h0)
        if not isinstance(error, TargetRaised):
            raise
        pair.refuse(f"on the meta device {error}")
        return
    for name, result in (("output", run.outputs), ("hn", run.hn)):
        if not result.is_meta:
            raise Violated(f"{name} on the meta device: got device {result.device}, expected meta")


def _assert_gru_runs_on_meta(pair: Pair, input: Tensor, h0: Tensor) -> None:
    """Raise NotApplicable if this build's nn.GRU does not run there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pair.form.of(copy.deepcopy(pair.reference).to("meta"))(input, h0)
    except Exception as error:
        reason = f"nn.GRU itself does not run on the meta device: {describe_error(error)}"
        raise NotApplicable(reason) from error
