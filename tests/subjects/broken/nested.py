"""Cells that are right by themselves, and lose something as a part of another module."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from tests.subjects.right.variants import Stack


class SavesNothingInAParent(Stack):
    """Its state_dict is one of its own, so that a parent's has nothing of it."""

    def state_dict(self, *args, **kwargs):
        return {name: parameter.detach() for name, parameter in self.named_parameters()}


class OtherKeysThanInAParent(Stack):
    """It saves and loads its weights by other names than as a part of a parent."""

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        return {key.replace("cells.", "layers."): value for key, value in state.items()}

    def load_state_dict(self, state_dict, *args, **kwargs):
        state = {key.replace("layers.", "cells."): value for key, value in state_dict.items()}
        return super().load_state_dict(state, *args, **kwargs)


class RenewsWhenItLoads(Stack):
    """Without gradients, kept weights are renewed by its own load_state_dict, not by a parent's."""

    def setup(self):
        self.kept = {}

    def load_state_dict(self, *args, **kwargs):
        self.kept = {}
        return super().load_state_dict(*args, **kwargs)

    def cell(self, cell, x, h):
        if torch.is_grad_enabled():
            self.kept = {}
            return super().cell(cell, x, h)
        place = list(self.cells).index(cell)
        weights = self.kept.setdefault(place, [one.to(x, copy=True) for one in cell.parameters()])
        return torch._VF.gru_cell(x, h, *(one.to(x) for one in weights))


class OnesConvertedByItsOwnTo(Stack):
    """Ones that every state is multiplied by are converted by its own to(), not by a parent's."""

    def setup(self):
        self.ones = torch.ones(self.hidden_size)

    def to(self, *args, **kwargs):
        self.ones = self.ones.to(*args, **kwargs)
        return super().to(*args, **kwargs)

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) * self.ones


class CopiesUntieAParent(Stack):
    """In a copy of a parent, weights that it shared with other modules are its own."""

    def __deepcopy__(self, memo):
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(copy.deepcopy(self.__dict__))
        return other


class PassesApplyBy(Stack):
    """A function that a parent applies to all its modules does not come to it."""

    def apply(self, fn):
        return self


class NoticesItsOwnEvalOnly(Stack):
    """It notices eval(), and neither train(False) nor the eval() of a parent."""

    def setup(self):
        self.dropping = True

    def train(self, mode=True):
        self.dropping = self.dropping or mode
        return super().train(mode)

    def eval(self):
        self.dropping = False
        return super().eval()

    def gap(self, state, layer):
        return F.dropout(state, self.dropout.p, self.dropping)


class FreezesItsWeightsOnly(Stack):
    """requires_grad_() passes the biases by."""

    def requires_grad_(self, requires_grad=True):
        for name, parameter in self.named_parameters():
            if "weight" in name:
                parameter.requires_grad_(requires_grad)
        return self


class ModesGiveNothing(Stack):
    """train() and eval() do not give the cell back."""

    def train(self, mode=True):
        super().train(mode)


class ZeroesTheFirstLayerOnly(Stack):
    """zero_grad() leaves the gradients of upper layers."""

    def zero_grad(self, set_to_none=True):
        self.cells[0].zero_grad(set_to_none)
