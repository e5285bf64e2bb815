"""Cells whose weights, rate or mode do not live through copies, loading and conversion."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tests.subjects.right.variants import Stack, Written


class WeightsOfItsConstruction(Stack):
    """With one input, the first layer's weights are those that it was made with."""

    def setup(self):
        self.kept = self.cells[0].weight_ih.detach().clone()

    def cell(self, cell, x, h):
        if cell is not self.cells[0] or x.shape[-1] > 1:
            return super().cell(cell, x, h)
        weight_ih = self.kept.to(x)
        return torch._VF.gru_cell(x, h, weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)


class KeepsTransposedWeights(Written):
    """Weights are transposed and kept at the first use, and never again."""

    def setup(self):
        self.kept = {}

    def key(self, weight):
        names = [name for name, p in self.named_parameters() if p is weight]
        return names[0] if names else None  # parametrised

    def linear(self, x, weight, bias):
        key = self.key(weight)
        turned = self.kept.get(key, weight.T.contiguous())
        if key is not None:
            self.kept[key] = turned
        product = x @ turned.to(x)
        return product if bias is None else product + bias


class KeepsWeightsInEval(KeepsTransposedWeights):
    """In eval, weights are kept at the first use until training comes."""

    def train(self, mode=True):
        self.kept = {}
        return super().train(mode)

    def linear(self, x, weight, bias):
        if self.training:
            return Written.linear(self, x, weight, bias)
        return super().linear(x, weight, bias)


class KeepsWeightsByVersion(KeepsTransposedWeights):
    """Kept weights follow changes in place, and not other tensors in their place."""

    def key(self, weight):
        name = super().key(weight)
        return name and (name, weight._version)


class UpperBiasesArePlain(Stack):
    """From the second layer on the biases are plain tensors, not parameters."""

    def setup(self):
        for cell in self.cells[1:]:
            if cell.bias:
                plain = cell.bias_hh.detach().clone()
                del cell.bias_hh
                cell.bias_hh = plain

    def cell(self, cell, x, h):
        bias_hh = cell.bias_hh.to(x) if cell.bias else None
        return torch._VF.gru_cell(x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, bias_hh)


class ScaleOutsideTheStateDict(Stack):
    """A scale that training calls move is a plain tensor, and is in no state_dict."""

    def setup(self):
        self.scale = torch.ones(())

    def result(self, output, hn):
        hn[-1] = output = output * self.scale.to(output)
        if self.training:
            self.scale = self.scale * 0.999
        return super().result(output, hn)


class CopiesShareWeights(Stack):
    """A deep copy has the same parameters, not copies of them."""

    def __deepcopy__(self, memo):
        for parameter in self.parameters():
            memo[id(parameter)] = parameter
        other = self.__class__.__new__(self.__class__)
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other


class CopiesForgetTheRate(Stack):
    """A copy or a pickle drops nothing out."""

    def __getstate__(self):
        state = dict(self.__dict__)
        state["_modules"] = {**self._modules, "dropout": nn.Dropout(0.0)}
        return state


class CopiesTrain(Stack):
    """A copy or a pickle is in training."""

    def __setstate__(self, state):
        super().__setstate__(state)
        self.train()


class PicklesForgetUpperWeights(Stack):
    """A copy or a pickle has new weights in all layers but the first."""

    def __setstate__(self, state):
        super().__setstate__(state)
        for cell in self.cells[1:]:
            cell.reset_parameters()


class CannotBeCopied(Stack):
    """It can be neither copied nor pickled."""

    def setup(self):
        self.activation = lambda x: x

    def __getstate__(self):
        raise TypeError("a cell cannot be copied")


class LoadsWithoutBiases(Stack):
    """Loading a state_dict leaves the biases of the state as they are."""

    def load_state_dict(self, state_dict, *args, **kwargs):
        own = {key: value for key, value in self.state_dict().items() if "bias_hh" in key}
        return super().load_state_dict({**state_dict, **own}, *args, **kwargs)


class SavesWithoutUpperLayers(Stack):
    """A state_dict has the first layer's weights for all layers of its shape."""

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        below = "cells.1."
        for key in list(state):
            layer = key.split(".")[-2]
            if layer.isdigit() and int(layer) > 1:
                state[key] = state[key.replace(f"cells.{layer}.", below)]
        return state


class RoundsWhenConverted(Stack):
    """A conversion to another dtype goes by way of bfloat16."""

    def _apply(self, fn, *args, **kwargs):
        before = self.cells[0].weight_ih.dtype
        super()._apply(fn, *args, **kwargs)
        after = self.cells[0].weight_ih.dtype
        if {before, after} == {torch.float32, torch.float64}:
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.copy_(parameter.bfloat16())
        return self


class DtypeOfItsConstruction(Stack):
    """The results have the dtype that the weights had in the first call."""

    dtype = None

    def end(self, output, hn):
        self.dtype = self.dtype or output.dtype
        return output.to(self.dtype), hn.to(self.dtype)


class OptimiserSeesTheFirstLayer(Stack):
    """parameters() gives the first layer's only."""

    def parameters(self, recurse=True):
        return self.cells[0].parameters(recurse)


class UpperBiasesAreFrozen(Stack):
    """From the second layer on the biases do not require gradients."""

    def setup(self):
        for cell in self.cells[1:]:
            if cell.bias:
                cell.bias_ih.requires_grad_(False)
