"""Sequence modules that break when they are loaded, converted, copied, traced or used for long."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer


class ReplacedDataIsNotSeen(Whole):
    """Without gradients, weights are kept, and a .data put in their place is not seen."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.known = {}

    def weights(self, layer, direction):
        weights = super().weights(layer, direction)
        return weights if torch.is_grad_enabled() else [self.kept(weight) for weight in weights]

    def kept(self, weight):
        if weight is None:
            return None
        now = weight._version, weight.dtype
        known, then, value = self.known.get(id(weight), (None, None, None))
        if known is not weight or then != now:
            value = weight.detach().clone()
            self.known[id(weight)] = weight, now, value
        return value


class AssignIsIgnored(Whole):
    """load_state_dict copies values, whether or not it has to assign tensors."""

    def load_state_dict(self, state_dict, strict=True, **ignored):
        return super().load_state_dict(state_dict, strict)


class LoadsNothingThroughAParent(Whole):
    """Loaded through a module that holds it, its weights stay as they are."""

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if not prefix:
            return super()._load_from_state_dict(state_dict, prefix, *rest)
        return None


class ConvertedByItsOwnMethodsOnly(Whole):
    """Its zeros follow its own to, double and float, not those of a module that holds it."""

    zero = torch.zeros(())

    def to(self, *arguments, **named):
        super().to(*arguments, **named)
        self.zero = torch.zeros_like(self.weight_ih_l0[0, 0])
        return self

    def double(self):
        return self.to(torch.float64)

    def float(self):
        return self.to(torch.float32)

    def zeros(self, x):
        return super().zeros(x).to(self.zero.dtype)


class CopiedApart(Whole):
    """A copy of a module that holds it no longer shares weights with it."""

    def __deepcopy__(self, memo):
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(copy.deepcopy(self.__dict__))
        return other


class PrunedBiasesAreLeftOut(Whole):
    """A bias that is no longer a parameter, as when it is pruned, is left out."""

    def weights(self, layer, direction):
        weight_ih, weight_hh, *_ = super().weights(layer, direction)
        names = (f"bias_ih_l{layer}{direction}", f"bias_hh_l{layer}{direction}")
        return [weight_ih, weight_hh, *map(self._parameters.get, names)]


class WeightsByTheirPlace(Whole):
    """Weights are found by their place among the parameters, which a parametrisation changes."""

    def weights(self, layer, direction):
        parameters = list(self.parameters())
        each = len(parameters) // (self.num_layers * len(self.directions))
        first = each * (layer * len(self.directions) + self.directions.index(direction))
        return [*parameters[first : first + each], None, None][:4]


class HooksAreNotRun(LayerByLayer):
    """A call goes to forward at once, past hooks."""

    def __call__(self, input, h0=None):
        return self.forward(input, h0)


class ThreadsShareAState(LayerByLayer):
    """Without gradients, the state between two steps is an attribute that threads share."""

    def over_time(self, cell, input, state):
        if torch.is_grad_enabled():
            return super().over_time(cell, input, state)
        outputs = []
        self.state = state
        for x in input:
            self.state = self.cell(cell, x, self.state)
            outputs.append(self.state)
        return torch.stack(outputs), self.state


class SinglePrecisionAfterFiftyCalls(LayerByLayer):
    """After fifty calls, doubles are rounded to floats."""

    calls = 0

    def end(self, output, hn):
        self.calls += 1
        if self.calls <= 50 or output.dtype != torch.float64:
            return output, hn
        return output.float().double(), hn.float().double()


class IntRateIsIgnored(Whole):
    """A rate that is an int, as 1 is, is taken for zero."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.dropout = self.dropout if isinstance(self.dropout, float) else 0.0


class FlatteningReplacesParameters(nn.GRU):
    """flatten_parameters makes new parameters, which an optimiser does not hold."""

    def flatten_parameters(self):
        for name in self._flat_weights_names:
            old = getattr(self, name)
            setattr(self, name, nn.Parameter(old.detach().clone(), old.requires_grad))
        super().flatten_parameters()
