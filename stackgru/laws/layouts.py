"""Laws of the forms of input: batch first, unbatched, packed, bidirectional, an empty batch."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.cases.strategies import CALL
from stackgru.harness.judge import Called, Seen
from stackgru.harness.pair import Pair, TargetRaised
from stackgru.harness.reference import expected
from stackgru.laws.helpers.plain import backward, leaf_of, next_numbers, seeded, set_seed
from stackgru.laws.helpers.values import assert_end_to_end
from stackgru.laws.registry import law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import Violated

_ANY_FORM = {
    "mode": "eval",
    "min_batch": 1,
    "max_batch": 5,
    "max_steps": 6,
    "dtypes": FULL_PRECISION,
    "refused": True,
    "choices": ("form", "h0", "batch_first", "lengths"),
}


@law("values", _ANY_FORM, kinds=("sequence",), question="conduct")
def layouts(pair: Pair) -> None:
    """A sequence gives the same results batch first, unbatched and packed, sorted or not.

    In the input's dtype, for each row of a packed batch up to its own length; as far as the target
    accepts such input.
    """
    _assert_in_form(pair)


@law(
    "values",
    {**_ANY_FORM, "max_layers": 3, "bidirectional": True},
    kinds=("sequence",),
    question="conduct",
)
def bidirectional(pair: Pair) -> None:
    """Built bidirectional, in eval, output and hn are those of a bidirectional nn.GRU.

    In every form of input that the target accepts.
    """
    _assert_in_form(pair)


def _assert_in_form(pair: Pair) -> None:
    """Raise a violation if a call's results are not nn.GRU's; note what the target refuses."""
    case = pair.case
    try:
        run = pair.run()
    except Violated as error:
        if case.form == "unbatched" and re.match("output: got|the target gave", str(error)):
            pair.refuse("unbatched: two dimensions mean something else to the target")
        elif isinstance(error, TargetRaised) and (case.form, case.h0) != ("plain", "given"):
            pair.refuse(f"{_named(case)}: {error}")
        else:
            raise
        return
    assert_end_to_end(pair, run, pair.run_reference(), expected(pair, None), _named(case))


def _named(case: Case) -> str:
    """Return a case's form in words."""
    form = "packed, not sorted" if case.form == "packed" else case.form.replace("-", ", ")
    words = [form] * (form != "plain") + ["batch first"] * case.batch_first
    words += ["both ways"] * case.bidirectional
    words += [{"left-out": "without a state", "none": "with None for a state"}.get(case.h0, "")]
    return ", ".join(filter(None, words))


@law(
    "values",
    {"max_batch": 0, "max_steps": 3, "choices": CALL},
    decides="edge inputs",
    is_refusable=True,
    share=0.3,
)
def empty_batch(target: Called, x: Tensor, h0: Tensor, seed: int) -> Iterator[Seen]:
    """An empty batch gives empty results of nn.GRU's shapes and dtypes, and draws nothing.

    A backward pass through it gives no gradients other than zeros.
    """
    leaves = {"x": leaf_of(x), "h0": leaf_of(h0), **dict(target.named_parameters())}
    set_seed(seed, x)
    right = next_numbers(x)
    with torch.enable_grad():
        found = seeded(target, leaves["x"], leaves["h0"], seed)
        yield "the next numbers of torch's generator", next_numbers(x), right
        backward(found)
    grads = {name: leaf.grad for name, leaf in leaves.items()}
    wrong = [name for name, one in grads.items() if one is not None and one.any()]
    yield "what has gradients other than zeros", wrong, []
