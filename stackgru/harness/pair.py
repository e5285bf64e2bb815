"""Pair: a target and nn.GRU with the same weights, input and state, and ways to run both."""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stackgru.cases.case import Case
from stackgru.cases.tensors import draw_h0, draw_input
from stackgru.gru.parameters import PARAMETERS, Layer, copy_layers, gru_layers
from stackgru.harness.forms import Form
from stackgru.harness.gru import built_reference
from stackgru.harness.results import checked_results, raised_text
from stackgru.options import FULL_PRECISION
from stackgru.outcomes import (
    NotApplicable,
    RefusedInput,
    Violated,
    assert_equal,
    assert_within,
)
from stackgru.targets.adapter import ConventionMismatch, own_module
from stackgru.targets.importing import RAISED, TargetError
from stackgru.targets.target import Target
from stackgru.targets.weights import DirectWeights
from stackgru.torch_settings import SETTINGS


class TargetRaised(Violated):
    """The target raised where nn.GRU gives a result."""


@dataclass(frozen=True)
class Run:
    """The results of a run.

    Attributes:
        outputs: the last layer's state after every step, (T, B, H).
        hn: every layer's state after the last step, (L, B, H).
        states: every layer's state after every step, (T, L, B, H); None after one call of a
            sequence, which does not show them.
    """

    outputs: Tensor
    hn: Tensor
    states: Tensor | None = None


class Pair:
    """A target and the reference, nn.GRU holding the target's weights, for one case.

    Both are built before anything is seeded: construction draws random numbers. The weights of
    the case are written into the target, and read back from it into the reference.

    Args:
        target: the implementation under test.
        case: the configuration.
        strict: also fail on differences that are normally only reported.

    Attributes:
        kind: "cell" or "sequence".
        module: the target's module.
        reference: the nn.GRU.
        weights: the target's weights, and its own parameters that store them.
        form: how both are called.
        input: (T, B, I).
        h0: (D L, B, H); zeros if the target takes no state.
        takes_state: whether the target gets a state.
        shows_state: whether it returns one.
        ratio: the largest ratio of difference to allowed difference so far.
        remark: what could not be tried, if anything.
        refused: what the target refuses although nn.GRU accepts it, if anything.

    Raises:
        Violated: if the target cannot be built for the case, though nn.GRU can.
    """

    def __init__(self, target: Target, case: Case, *, strict: bool = False) -> None:
        self.target = target
        self.case = case
        self.strict = strict
        self.kind = target.kind
        self.ratio = 0.0
        self.remark: str | None = None
        self.refused: str | None = None
        try:
            self.module = self._built()
        except TargetError as error:
            raise Violated(str(error)) from error
        case = self.case
        self.find_weights()
        has_bias = any(set(PARAMETERS[2:]) & set(layer) for layer in self.layers)
        self.takes_state = target.convention.takes_state
        self.shows_state = target.convention.shows_state
        self.reference = built_reference(case, case.bias and has_bias, target)
        self.weights.draw(case)
        copy_layers(self.layers, gru_layers(self.reference))
        self.form = Form(case)
        self.input = self.form.laid_out(draw_input(case).to(target.device))
        self.h0 = self.taken(draw_h0(case).to(target.device))

    def _built(self) -> nn.Module:
        """Build the target for the case; if it refuses batch_first or both ways, without them."""
        try:
            return self.target.build(self.case)
        except TargetError as error:
            if not self.case.batch_first and not self.case.bidirectional:
                raise
            self.case = replace(self.case.one_way(), batch_first=False)
            module = self.target.build(self.case)
            self.refuse(str(error))
            return module

    def refuse(self, what: str) -> None:
        """Note that the target refuses what nn.GRU accepts; with --strict that is a violation."""
        if self.strict:
            raise RefusedInput(what)
        self.refused = self.refused or what

    @property
    def layers(self) -> list[Layer]:
        """The target's weights as they are now, layer by layer."""
        return self.weights.layers

    def find_weights(self) -> None:
        """Find the weights of the module as it is now; a violation if they are not found."""
        try:
            directions = self.case.directions
            self.weights = self.target.weights(self.module, self.case, directions)
        except TargetError as error:
            raise Violated(str(error)) from error

    def assert_own_parameters(self) -> None:
        """Raise NotApplicable if the layers' weights are not all of the module's parameters."""
        if type(self.weights) is not DirectWeights:
            raise NotApplicable("the layers' weights lie otherwise in the target's own parameters")

    def assert_shows_state(self) -> None:
        """Raise NotApplicable if a call does not return hn."""
        if not self.shows_state:
            raise NotApplicable("hn is not returned")

    def assert_carried(self) -> None:
        """Raise NotApplicable if the state that a call returns cannot be given to the next."""
        if not self.is_carried:
            raise NotApplicable(" and ".join(self.target.unseen))

    @property
    def full_precision(self) -> bool:
        """Whether a bound carried through layers and steps is still small enough to be useful."""
        return self.case.dtype in FULL_PRECISION

    @property
    def is_scripted(self) -> bool:
        """Whether the target is a TorchScript module, for which torch does not offer everything."""
        return isinstance(own_module(self.module), torch.jit.ScriptModule)

    @property
    def is_carried(self) -> bool:
        """Whether the state that a call returns can be given to the next."""
        return self.takes_state and self.shows_state

    @property
    def shows_layers(self) -> bool:
        """Whether a call shows the state of every layer."""
        return self.shows_state or self.case.num_layers == 1

    @property
    def shows_states(self) -> bool:
        """Whether the states of all steps can be seen: those of one way, each row to its end."""
        return not self.case.bidirectional and self.form.active is None

    def taken(self, h0: Tensor) -> Tensor:
        """Return a state as the target takes it: zeros, if it takes none."""
        return h0 if self.takes_state else torch.zeros_like(h0)

    def shown(self, hn: Tensor) -> Tensor:
        """Return a state as the target shows it: zeros for the layers that it does not show."""
        if self.shows_layers:
            return hn
        return torch.cat([torch.zeros_like(hn[:-1]), hn[-1:]])

    def seed(self, seed: int | None = None) -> None:
        """Set torch's global seed, the case's unless another is given."""
        seed = self.case.seed if seed is None else seed
        if self.input.device.type == "cpu":
            # torch.manual_seed also looks for other devices, which takes a millisecond per call.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def generator_state(self) -> Tensor:
        """Return the state of the generator that dropout draws from on the pair's device."""
        if self.input.is_cuda:  # pragma: no cover - only where there is a GPU
            return torch.cuda.get_rng_state(self.input.device)
        return torch.get_rng_state()

    def run(self, input: Tensor | None = None, h0: Tensor | None = None) -> Run:
        """Run the target over a sequence: a cell step by step, a sequence in one call.

        Args:
            input: (T, B, I); the case's if None.
            h0: (L, B, H); the case's if None.

        Returns:
            The results, detached.

        Raises:
            Violated: if the target raises, or returns results of another shape or dtype.
        """
        if self.kind == "cell":
            return self.steps(input, h0)
        input = self.input if input is None else input
        outputs, hn = self._call(input, self.h0 if h0 is None else h0)
        return Run(outputs, hn)

    def steps(self, input: Tensor | None = None, h0: Tensor | None = None) -> Run:
        """Run the target one step at a time, of either kind, carrying hn; see run.

        Where hn cannot be carried, from the start for each step, which is the same in eval.
        """
        input = self.input if input is None else input
        state = self.h0 if h0 is None else h0
        if not self.is_carried:
            runs = [self.run(input[: step + 1], state) for step in range(len(input))]
            hns = torch.stack([run.hn for run in runs])
            return Run(torch.stack([run.outputs[-1] for run in runs]), hns[-1], hns)
        outputs, states = [], []
        for x in input:
            if self.kind == "cell":
                output, state = self._call(x, state)
            else:
                output, state = self._call(x.unsqueeze(0), state)
                output = output[0]
            outputs.append(output)
            states.append(state)
        return Run(torch.stack(outputs), state, torch.stack(states))

    def without_state(self, input: Tensor) -> Run:
        """Call the target once without a state, with (T, B, I); T is 1 for a cell."""
        if self.kind == "sequence":
            return Run(*self._call(input))
        output, hn = self._call(input[0])
        return Run(output[None], hn, hn[None])

    def run_reference(self, input: Tensor | None = None, h0: Tensor | None = None) -> Run:
        """Run nn.GRU in one call; see run."""
        input = self.input if input is None else input
        h0 = self.h0 if h0 is None else h0
        with self.grad_mode():
            outputs, hn = self.call_reference(input.clone(), h0.clone())
        return Run(outputs.detach(), hn.detach())

    def call_reference(self, input: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Call nn.GRU once on these very tensors, (T, B, I) and (L, B, H), in the case's form."""
        output, hn = self.form.of(self.reference)(input, h0)
        return output, hn

    def grad_mode(self) -> AbstractContextManager[object]:
        """Return a context that records gradients or not, as the case has it."""
        if self.case.grad == "inference":
            return torch.inference_mode()
        return torch.set_grad_enabled(self.case.records)

    @contextmanager
    def in_context(self) -> Iterator[None]:
        """Run what the case has it run in: its grad mode, number of threads and determinism."""
        with self.settings(), self.grad_mode():
            yield

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Run with the case's number of threads, and deterministic algorithms if it wants them."""
        wanted = {
            "the number of threads": self.case.threads,
            "the deterministic-algorithms flag": self.case.deterministic,
        }
        before = {name: SETTINGS[name].read() for name in wanted}
        try:
            for name, value in wanted.items():
                if value != before[name]:
                    SETTINGS[name].write(value)
            yield
        finally:
            for name, value in wanted.items():
                if value != before[name]:
                    SETTINGS[name].write(before[name])

    def as_argument(self, value: Tensor) -> Tensor:
        """Return a copy of input or state as the case hands it over, where gradients are recorded.

        That is as it is, as a leaf that requires gradients, as a parameter, or as a result.
        """
        copied = value.clone(memory_format=torch.preserve_format)
        if self.case.arguments == "plain" or not torch.is_grad_enabled():
            return copied
        if self.case.arguments == "parameters":
            return nn.Parameter(copied)
        leaf = copied.requires_grad_()
        return leaf if self.case.arguments == "leaves" else leaf * 1

    @contextmanager
    def copied(self) -> Iterator[None]:
        """Run with a copy of the module as it is now, and put the module itself back after.

        If deepcopy fails, run the original; copying is checked by another law.
        """
        original = self.module
        try:
            with contextlib.suppress(Exception):
                self.module = copy.deepcopy(original)
            yield
        finally:
            self.module = original

    @contextmanager
    def mode(self, mode: str) -> Iterator[None]:
        """Run with the target in another mode, and put it back into the case's after."""
        try:
            self.module.train(mode == "train")
            yield
        finally:
            self.module.train(self.case.mode == "train")

    def within(
        self,
        actual: Tensor,
        expected: Tensor,
        allowed: Tensor,
        what: str,
        axes: tuple[str, ...] | None = None,
    ) -> None:
        """Raise a violation if two results are too far apart; see outcomes.assert_within."""
        __tracebackhide__ = True
        ratio = assert_within(actual, expected, allowed, what=what, axes=axes)
        self.ratio = max(self.ratio, ratio)

    def equal(self, actual: Run, expected: Run, what: str) -> None:
        """Raise a violation if two runs are not bitwise equal."""
        __tracebackhide__ = True
        axes = ("step", "row", "unit")
        assert_equal(actual.outputs, expected.outputs, what=f"{what}: output", axes=axes)
        assert_equal(actual.hn, expected.hn, what=f"{what}: hn", axes=("layer", "row", "unit"))

    def call(
        self, *arguments: Tensor, module: Callable[..., Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Call the target once on these very tensors, in the caller's grad mode.

        Args:
            *arguments: a step's (B, I) for a cell, (T, B, I) for a sequence; and (L, B, H), or
                nothing to call it without a state.
            module: what to call instead of the target's module.

        Returns:
            Output and hn as the target returned them.

        Raises:
            TargetRaised: if the target raises.
            Violated: if it returns results of another shape or dtype.
        """
        module = self.module if module is None else module

        def call(*given: Any) -> tuple[Any, Tensor]:
            try:
                with unwarned():
                    result = module(*given)
            except ConventionMismatch as error:
                raise Violated(str(error)) from error
            except RAISED as error:
                raise TargetRaised(raised_text(error)) from error
            return checked_results(self.case, given, result)

        output, hn = self.form.of(call)(*arguments)
        return output, hn

    def _call(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        """Call the module on copies, in case it writes to its arguments."""
        with self.grad_mode():
            output, hn = self.call(*(argument.clone() for argument in arguments))
        return output.detach().clone(), hn.detach().clone()


@contextmanager
def unwarned() -> Iterator[None]:
    """Ignore warnings, which are the whole process's: in its main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
