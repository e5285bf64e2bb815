"""Sequence modules with other parameters than nn.GRU, or that use other random numbers."""

from __future__ import annotations

import random

import torch
from torch import nn

from tests.subjects.right.layouts import Whole
from tests.subjects.right.sequences import LayerByLayer


class UnusedParameter(Whole):
    """It has a parameter that is not used."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.scale = nn.Parameter(torch.ones(1))


class TrainsItsFirstState(Whole):
    """Without a state it starts from a parameter, which is zeros until it is trained."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.first = nn.Parameter(torch.zeros(self.hidden_size))

    def zeros(self, x):
        return super().zeros(x) + self.first


class OneParameterForBothBiases(Whole):
    """The two biases of a layer are one parameter."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name in [name for name in self._parameters if name.startswith("bias_ih")]:
            setattr(self, name.replace("bias_ih", "bias_hh"), getattr(self, name))


class WayBackBiasesAreFrozen(Whole):
    """The biases of the way back do not require gradients."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name, parameter in self.named_parameters():
            if name.startswith("bias") and name.endswith("_reverse"):
                parameter.requires_grad_(False)


class StateBiasesAreBuffers(Whole):
    """The state's biases are in the state_dict, and are no parameters."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        for name in [name for name in self._parameters if name.startswith("bias_hh")]:
            self.register_buffer(name, self._parameters.pop(name).detach())


class MovesPythonsGenerator(LayerByLayer):
    """In training, a number is drawn from Python's generator and thrown away."""

    def start(self, input, h0):
        if self.training:
            random.random()
        return super().start(input, h0)


class SeedsNumpy(LayerByLayer):
    """Every call in training seeds NumPy's generator."""

    def start(self, input, h0):
        import numpy

        if self.training:
            numpy.random.seed(0)
        return super().start(input, h0)


class MasksFromNumpy(LayerByLayer):
    """Masks are drawn from NumPy's generator."""

    def gap(self, state, layer):
        import numpy

        p = self.dropout.p
        if not self.training or p in (0, 1):
            return super().gap(state, layer)
        kept = numpy.random.random_sample(tuple(state.shape)) >= p
        return state * torch.from_numpy(kept).to(state) / (1 - p)
