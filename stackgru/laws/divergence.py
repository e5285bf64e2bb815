"""Laws of divergence: when results must differ, and that they differ for that reason alone."""

from __future__ import annotations

import torch
from torch import Tensor

from stackgru.cases.case import MAX_SEED
from stackgru.cases.strategies import WHOLE
from stackgru.cases.tensors import generator
from stackgru.gru.parameters import PARAMETERS, parameter_label
from stackgru.harness.masks import Recorder
from stackgru.harness.orders import arranged, assert_told, orders_found
from stackgru.harness.pair import Pair, Run
from stackgru.harness.reference import Expected, expected, reference_masks, seeded_reference
from stackgru.laws.helpers.values import HN, OUTPUT, assert_end_to_end
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import NotApplicable, Violated


@law(
    "divergence",
    {
        "mode": "train",
        "partial": True,
        "min_layers": 2,
        "seq_len": 1,
        "min_batch": 1,
        "choices": WHOLE,
    },
    question="seeds",
    share=0.5,
)
def seed_matters(pair: Pair) -> None:
    """Two seeds give different results if and only if nn.GRU's masks differ in a live unit.

    A unit is live if the equation's results under the two masks differ by more than rounding.
    """
    runs, masks = [], []
    for seed in (pair.case.seed, (pair.case.seed + 1) % (MAX_SEED + 1)):
        masks.append(reference_masks(pair, seed))
        pair.seed(seed)
        runs.append(pair.run())
    if torch.equal(*_present(masks)):
        pair.equal(runs[1], runs[0], "with another seed that gives the same masks")
    else:
        _assert_parted(pair, runs, [expected(pair, mask) for mask in masks], "two seeds")


@law(
    "divergence",
    {
        "mode": "train",
        "partial": True,
        "min_layers": 2,
        "min_steps": 2,
        "max_steps": 6,
        "min_batch": 1,
        "dtypes": FULL_PRECISION,
        "choices": WHOLE,
    },
    question="sequences",
)
def order_matters(pair: Pair) -> None:
    """From the same seed, a sequence's results are nn.GRU's if and only if the masks drawn are.

    A cell draws them in time order, nn.GRU in layer order; the difference in the results is the one
    that the masks explain.
    """
    reference, reference_masks = seeded_reference(pair)
    pair.seed()
    with Recorder() as recorder:
        run = pair.run()
    arrangements = list(arranged(pair, recorder.draws))
    if not arrangements:
        if recorder.others and not recorder.draws:
            raise NotApplicable("the target's masks cannot be observed: it draws none by bernoulli")
        raise Violated("the masks drawn are not num_layers - 1 per step in any known order")
    # Two orders can have the same shapes: the law holds if it does under one of them.
    violations = []
    for masks in arrangements:
        try:
            _assert_explained(pair, run, reference, masks, reference_masks)
        except Violated as violation:
            violations.append(violation)
            continue
        if pair.strict and pair.kind == "sequence" and not _equal(masks, reference_masks):
            raise Violated(_ANOTHER_ORDER)
        return
    if pair.strict and orders_found(pair) == ():
        raise Violated(_ANOTHER_ORDER)
    assert_told(pair)
    raise violations[0]


_ANOTHER_ORDER = (
    "from the same seed, the masks are not those of nn.GRU, which draws them layer by layer (a "
    "violation only with --strict)"
)


def _equal(masks: Tensor, others: Tensor | None) -> bool:
    return others is not None and torch.equal(masks, others)


def _assert_explained(
    pair: Pair, run: Run, reference: Run, masks: Tensor, reference_masks: Tensor | None
) -> None:
    own = expected(pair, masks)
    if _equal(masks, reference_masks):
        assert_end_to_end(pair, run, reference, own, "from the same seed, under equal masks")
        return
    what = "under the masks that the target drew"
    assert_end_to_end(pair, run, Run(own.outputs.value, own.hn.value), own, what)
    _assert_parted(
        pair, [run, reference], [own, expected(pair, reference_masks)], "masks other than nn.GRU's"
    )


@law(
    "divergence",
    {"mode": "eval", "min_steps": 2, "max_steps": 4, "min_batch": 1, "dtypes": FULL_PRECISION},
    share=0.3,
)
def first_step_is_not_hn(pair: Pair) -> None:
    """After the first input, the state is nn.GRU's after one step, its hn only at a fixed point."""
    first = pair.input[:1]
    run = pair.run(first)
    bound = expected(pair, None, input=first)
    assert_end_to_end(pair, run, pair.run_reference(first), bound, "after the first input")
    whole = pair.run()
    both = [Run(part.hn, part.hn) for part in (run, whole)]
    last = expected(pair, None)
    bounds = [Expected(bound.hn, bound.hn), Expected(last.hn, last.hn)]
    _assert_parted(pair, both, bounds, "hn after the first and after the last input")


@law("divergence", {"mode": "train", "seq_len": 1, "min_batch": 1})
def mode_matters(pair: Pair) -> None:
    """Training and eval give different results if and only if a mask changes a live unit."""
    masks = reference_masks(pair)
    pair.seed()
    with Recorder() as recorder:
        training = pair.run()
    with pair.mode("eval"):
        pair.seed()
        eval_run = pair.run()
    if masks is None:
        if pair.full_precision:  # elsewhere other laws compare each with the equation
            what = "in training without masks (compared with eval)"
            assert_end_to_end(pair, training, eval_run, expected(pair, None), what)
        return
    # The target's own masks, if they are known: this law does not require it to follow the seed.
    own = next(arranged(pair, recorder.draws), None)
    # In eval nothing is dropped or scaled, as if there were no masks at all.
    bounds = [expected(pair, masks if own is None else own), expected(pair, None)]
    _assert_parted(pair, [training, eval_run], bounds, "the two modes")


@law(
    "divergence",
    {
        "mode": "eval",
        "seq_len": 1,
        "max_layers": 3,
        "min_batch": 1,
        "max_batch": 4,
        "max_size": 16,
        "dtypes": FULL_PRECISION,
        "usual": True,
    },
    share=0.5,
)
def everything_matters(pair: Pair) -> None:
    """The result depends on the input, on every layer's h0, and on each of the 4 L parameters."""
    _assert_own_parameters(pair)
    base, before = pair.run(), expected(pair, None)
    changed = pair.input + _noise(pair, "input", pair.input)
    _assert_follows(pair, base, before, "the input", input=changed)
    for layer in range(pair.case.num_layers):
        h0 = pair.h0.clone()
        h0[layer] += _noise(pair, f"h0 {layer}", h0[layer])
        _assert_follows(pair, base, before, f"h0 of layer {layer}", h0=h0)
        for name, parameter in pair.layers[layer].items():
            noise = _noise(pair, f"{name} {layer}", parameter)
            with pair.weights.perturbed(parameter_label(name, layer), noise) as is_moved:
                if is_moved:
                    _assert_follows(pair, base, before, parameter_label(name, layer))


def _assert_own_parameters(pair: Pair) -> None:
    has_bias = pair.reference.bias
    for layer, parameters in enumerate(pair.layers):
        for name in PARAMETERS if has_bias else PARAMETERS[:2]:
            if name not in parameters:
                raise Violated(f"layer {layer} has no {name}")
    shared = pair.weights.shared_parameter()
    if shared is not None:
        raise Violated(f"{shared[0]} and {shared[1]} are the same parameter")


def _assert_follows(
    pair: Pair,
    base: Run,
    before: Expected,
    what: str,
    input: Tensor | None = None,
    h0: Tensor | None = None,
) -> None:
    run = pair.run(input, h0)
    after = expected(pair, None, input=input, h0=h0)
    _assert_parted(pair, [run, base], [after, before], f"a change of {what}")
    pair.within(run.hn, after.hn.value, 2 * after.hn.error, f"after a change of {what}: hn", HN)


def _noise(pair: Pair, name: str, like: Tensor) -> Tensor:
    numbers = torch.randn(like.shape, generator=generator(pair.case, f"noise {name}"))
    return numbers.to(like)


def _assert_parted(pair: Pair, runs: list[Run], bounds: list[Expected], what: str) -> None:
    """Raise a violation if two runs are equal at an element whose expected values surely differ."""
    for name, axes in (("outputs", OUTPUT), ("hn", HN)):
        actual = [getattr(run, name) for run in runs]
        values = [getattr(bound, name).value for bound in bounds]
        errors = [getattr(bound, name).error for bound in bounds]
        difference = (values[0] - values[1]).abs()
        alive = difference > 2 * (errors[0] + errors[1])
        stuck = alive & (actual[0] == actual[1]).cpu()
        if stuck.any():
            at = tuple(int(i) for i in stuck.nonzero()[0])
            place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, at, strict=True))
            raise Violated(
                f"{what}: {'output' if name == 'outputs' else name} is the same at {place}, "
                f"expected a difference of {float(difference[at]):.3g}",
                difference=0.0,
                allowed=None,
                place=place,
            )


def _present(masks: list[Tensor | None]) -> list[Tensor]:
    return [mask for mask in masks if mask is not None]
