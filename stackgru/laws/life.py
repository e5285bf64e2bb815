"""The law of a module's life, and the state machine that searches for violations of it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from torch import Tensor, nn

from stackgru.cases.case import ACTIONS, MAX_SEED, Case
from stackgru.gru.parameters import gru_layers
from stackgru.harness.pair import Pair, Run, unwarned
from stackgru.harness.reference import expected, seeded_reference
from stackgru.laws.helpers.autograd import as_violation, noise
from stackgru.laws.helpers.values import assert_end_to_end, assert_equation, under_masks, unroll
from stackgru.laws.registry import importing, law
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import Violated, assert_equal
from stackgru.targets.importing import describe_error


@law(
    "conduct",
    {
        "seq_len": 1,
        "min_batch": 1,
        "max_batch": 4,
        "max_layers": 3,
        "max_size": 12,
        "dtypes": FULL_PRECISION,
        "usual": True,
        "choices": ("grad", "h0", "batch_first"),
    },
    question="conduct",
    share=0.3,
    stateful=True,
    prepare=importing("torch._dynamo"),  # for torch.optim
)
def life(pair: Pair) -> None:
    """Throughout its life the target does what nn.GRU does, and has the same parameters.

    A life consists of steps that carry the state on, train, eval, seeding, deepcopy, pickle, saving
    and loading a state_dict, changes of dtype, and steps of an optimiser.
    """
    lived = Life(pair)
    for action in filter(None, pair.case.actions.split(",")):
        lived.do(action)


class Life:
    """A pair that goes through a life, action by action.

    Attributes:
        pair: its module, dtype, mode, state and parameters change.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        pair.weights.grads()  # not applicable if the target has none
        self._steps = 0
        self._left_behind: list[tuple[nn.Module, list[Tensor]]] = []

    def do(self, action: str) -> None:
        """Apply an action; raise a violation if target and reference then differ."""
        getattr(self, f"_{action}")()
        self._assert_parameters()

    def _step(self) -> None:
        pair = self._next_input()
        reference, masks = seeded_reference(pair)
        bound = expected(pair, masks)
        after = []

        def compare(run: Run) -> None:
            assert_end_to_end(pair, run, reference, bound, "the step")
            assert_equation(pair, Run(run.outputs, run.hn, run.hn[None]), masks, what="the step")
            after.append(run.hn)

        under_masks(pair, masks, pair.run, compare)
        pair.h0 = pair.taken(after[-1])

    def _train(self) -> None:
        self._change(mode="train")

    def _eval(self) -> None:
        self._change(mode="eval")

    def _seed(self) -> None:
        pair = self._next_input()
        pair.case = replace(pair.case, seed=(pair.case.seed + 1) % (MAX_SEED + 1))
        pair.seed()
        first = pair.run()
        pair.seed()
        pair.equal(pair.run(), first, "second run from the same seed")

    def _deepcopy(self) -> None:
        if self.pair.is_scripted:
            self.pair.remark = (
                "without deepcopy: a scripted module's copy has no parameters to train"
            )
            return
        with self._unharmed("deepcopy", copy.deepcopy):
            self._replace(copy.deepcopy(self.pair.module))

    def _pickle(self) -> None:
        if self.pair.is_scripted:
            self.pair.remark = "without pickle: scripted modules cannot be pickled"
            return
        with self._unharmed("pickle", pickle.dumps):
            try:
                text = pickle.dumps(self.pair.module)
            except (pickle.PicklingError, AttributeError) as error:
                if self.pair.strict:
                    raise
                # A class inside a function, or a lambda, cannot be pickled; values stay right.
                self.pair.remark = f"without pickle: {describe_error(error)}"
                return
            self._replace(pickle.loads(text))  # noqa: S301 - what was written the line before

    def _state_dict(self) -> None:
        pair = self.pair
        with self._unharmed("saving and loading a state_dict", _saved_and_loaded):
            fresh = pair.target.build(pair.case)
            fresh.load_state_dict(_saved_and_loaded(pair.module))
            self._replace(fresh)

    def _to(self) -> None:
        pair = self.pair
        name = "float32" if pair.case.dtype == "float64" else "float64"
        if name in dict(pair.target.refused_dtypes):
            return
        dtype = getattr(torch, name)
        with self._unharmed(f".to({name})"):
            pair.module = pair.module.to(dtype)
        pair.reference.to(dtype)
        pair.h0, pair.input = pair.h0.to(dtype), pair.input.to(dtype)
        pair.case = replace(pair.case, dtype=name)
        pair.find_weights()

    def _optimise(self) -> None:
        """Take a step of SGD, and nn.GRU the same step by the same gradients."""
        pair = self._next_input()
        pair.seed()
        with torch.enable_grad(), as_violation("gradients"):
            run = unroll(pair)
            pair.module.zero_grad()
            factors = [noise(pair, f"{name} {self._steps}", pair.h0.shape) for name in ("o", "h")]
            torch.autograd.backward([run.outputs, run.hn], [factors[0][:1], factors[1]])
        others = gru_layers(pair.reference)
        for layer, grads, other in zip(pair.layers, pair.weights.grads(), others, strict=True):
            for name, grad in grads.items():
                dtype = layer[name].dtype
                if grad is not None and grad.dtype != dtype:
                    raise Violated(f"gradient of {name}: got {grad.dtype}, expected {dtype}")
                other[name].grad = None if grad is None else grad.clone()
        for module in (pair.module, pair.reference):
            torch.optim.SGD(module.parameters(), lr=0.125, foreach=False).step()

    def _next_input(self) -> Pair:
        self._steps += 1
        self.pair.input = noise(self.pair, f"step {self._steps}", self.pair.input.shape)
        return self.pair

    def _change(self, mode: str) -> None:
        pair = self.pair
        pair.case = replace(pair.case, mode=mode)
        pair.module.train(mode == "train")
        pair.reference.train(mode == "train")

    def _replace(self, module: nn.Module) -> None:
        """Go on with another module, and remember the parameters of the one left behind."""
        pair = self.pair
        parameters = [value.detach().clone() for value in pair.module.parameters()]
        self._left_behind = [(pair.module, parameters)]
        pair.module = module
        pair.find_weights()

    @contextmanager
    def _unharmed(
        self, what: str, likewise: Callable[[nn.Module], object] | None = None
    ) -> Iterator[None]:
        """Turn an error into a violation, and no warning into one: torch 2.0 warns as it loads.

        What nn.GRU cannot do on this build either is left out: with torch 2.5 on Python 3.13
        torch.save sets an attribute of the pickler that cannot be set.
        """
        try:
            with unwarned():
                yield
        except Violated:
            raise
        except Exception as error:
            if likewise is not None and _raises(likewise, self.pair.reference):
                self.pair.remark = f"without {what}: nn.GRU itself raised {describe_error(error)}"
                return
            raise Violated(f"{what} raised {describe_error(error)}; nn.GRU does not") from error

    def _assert_parameters(self) -> None:
        for name, leaf in self.pair.weights.leaves.items():
            if not leaf.is_leaf:
                raise Violated(
                    f"{name} is no leaf of the graph, so that no optimiser takes it; nn.GRU's is"
                )
        others = gru_layers(self.pair.reference)
        for index, (layer, other) in enumerate(zip(self.pair.layers, others, strict=True)):
            for name, value in layer.items():
                what = f"{name} of layer {index}"
                if name not in other:
                    raise Violated(f"it has {what}; nn.GRU has none here")
                if value.dtype != other[name].dtype:
                    raise Violated(f"{what}: got {value.dtype}, expected {other[name].dtype}")
                assert_equal(value, other[name], what=what)
        for module, parameters in self._left_behind:
            for value, before in zip(module.parameters(), parameters, strict=True):
                assert_equal(value, before, what="parameter of the module that was copied")


def _raises(function: Callable[[nn.Module], object], module: nn.Module) -> bool:
    """Whether a function cannot be called on a module."""
    try:
        with unwarned():
            function(module)
    except Exception:
        return True
    return False


def _saved_and_loaded(module: nn.Module) -> dict[str, Tensor]:
    """Return a state_dict as it comes back from a file."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    content: dict[str, Tensor] = torch.load(file, weights_only=True)
    return content


def machine(
    strategy: st.SearchStrategy[Case],
    begin: Callable[[Case], Pair],
    noting: Callable[[Case], AbstractContextManager[None]],
    passed: Callable[[Pair], None],
) -> type[RuleBasedStateMachine]:
    """Return the state machine that searches for a life in which the target differs.

    Args:
        strategy: the cases that a life begins with.
        begin: makes the pair for a case.
        noting: is entered while the target runs on a case.
        passed: is called with every pair for which the law held.
    """

    class Lives(RuleBasedStateMachine):
        """One life: a case, then any number of actions."""

        life: Life | None = None

        @initialize(case=strategy)
        def begin(self, case: Case) -> None:
            """Build the pair."""
            with noting(case):
                self.life = Life(begin(case))
            self.case = case

        @rule(action=st.sampled_from((*ACTIONS, "step")))
        def act(self, action: str) -> None:
            """Append an action to the case and apply it."""
            assert self.life is not None  # noqa: S101 - begin comes first
            done = ",".join(filter(None, (self.case.actions, action)))
            self.case = replace(self.case, actions=done)
            with noting(self.case):
                self.life.do(action)

        def teardown(self) -> None:
            """Report the pair as one for which the law held; a violation has been noted by now."""
            if self.life is not None:
                passed(self.life.pair)

    return Lives
