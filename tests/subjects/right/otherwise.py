"""Right cells as others write them: masks drawn in other ways, and other arithmetic."""

from __future__ import annotations

import functools
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.subjects import classes_in
from tests.subjects.right.variants import Stack, Written


def scripted(function):
    """Compile a function with TorchScript, which recent versions call deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(function)


class BernoulliOfAShape(Stack):
    """The mask is torch.bernoulli of a shape and a probability; it is kept as booleans."""

    def gap(self, state, layer):
        keep = 1 - self.dropout.p
        if not self.training or keep in (0, 1):
            return self.dropout(state)
        mask = torch.bernoulli(torch.empty_like(state), keep).bool()
        return torch.where(mask, state / keep, state.new_zeros(()))


class MaskOfTheFlatState(Stack):
    """Dropout on the state as one long vector."""

    def gap(self, state, layer):
        return self.dropout(state.flatten()).view_as(state)


class DropoutByBlocksOfRows(Stack):
    """Dropout on four rows at a time."""

    def gap(self, state, layer):
        return torch.cat([self.dropout(rows) for rows in state.split(4)])


class NativeDropout(Stack):
    """The operator below F.dropout, which returns its mask as well."""

    def gap(self, state, layer):
        if not self.training or self.dropout.p in (0, 1):
            return self.dropout(state)
        return torch.native_dropout(state, self.dropout.p, True)[0]


class DropoutInPlaceOnACopy(Stack):
    """Dropout in place, on a copy of the state."""

    def gap(self, state, layer):
        return F.dropout(state.clone(), self.dropout.p, self.training, inplace=True)


class _FillingDropout(nn.Dropout):
    def forward(self, input):
        if not self.training:
            return input
        if self.p in (0, 1):
            return input * (1 - self.p)
        dropped = torch.empty_like(input).bernoulli_(1 - self.p) == 0
        return (input / (1 - self.p)).masked_fill(dropped, 0)


class FillsWithZeros(Stack):
    """A subclass of nn.Dropout fills with zeros what it drops."""

    def setup(self):
        self.dropout = _FillingDropout(self.dropout.p)


def _drop_first(dropout, module, args):
    return dropout(args[0]), *args[1:]


class DropoutByHooks(Stack):
    """Hooks of the upper cells drop their inputs."""

    def setup(self):
        for cell in self.cells[1:]:
            cell.register_forward_pre_hook(functools.partial(_drop_first, self.dropout))

    def up(self, state, layer):
        return state


class DropoutMadeLate(Stack):
    """The dropout module is made when it is first needed."""

    def setup(self):
        self.rate, self.dropout = self.dropout.p, None

    def gap(self, state, layer):
        if self.dropout is None:
            self.dropout = nn.Dropout(self.rate).train(self.training)
        return self.dropout(state)


class RecomputedLayers(Stack):
    """Each layer with its dropout is computed again for the backward pass, masks included."""

    def forward(self, input, h0=None):
        new = []
        for layer, old in enumerate(self.start(input, h0)):
            state, input = checkpoint(self.level, layer, input, old, use_reentrant=False)
            new.append(state)
        return self.result(input, new)

    def level(self, layer, x, h):
        state = self.cells[layer](x, h).contiguous()
        return state, self.up(state, layer)


class OtherwiseInTraining(Written):
    """Written out in training; the fused cell in eval, which rounds otherwise."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h) if self.training else cell(x, h)

    def update(self, r, z, n, h):
        return n - z * (n - h)


class ChainOfAddmm(Written):
    """The sums of r and z are accumulated: biases, input, state."""

    def gates(self, cell, x, h):
        gates = 2 * self.hidden_size
        sums = x.new_zeros(gates)
        x_n, h_n = x @ cell.weight_ih[gates:].t(), h @ cell.weight_hh[gates:].t()
        if cell.bias:
            sums = cell.bias_hh[:gates] + cell.bias_ih[:gates]
            x_n, h_n = cell.bias_ih[gates:] + x_n, cell.bias_hh[gates:] + h_n
        for value, weight in ((x, cell.weight_ih), (h, cell.weight_hh)):
            sums = torch.addmm(sums, value, weight[:gates].t())
        r, z = sums.sigmoid().chunk(2, -1)
        return r, z, torch.tanh(x_n + h_n * r)


class ComplexGates(Written):
    """r and z are the real and the imaginary part of complex numbers; half precision is left."""

    def cell(self, cell, x, h):
        kind = torch.promote_types(h.dtype, torch.float32)
        return super().cell(cell, x.to(kind), h.to(kind)).to(h.dtype)

    def linear(self, x, weight, bias):
        r, z, n = weight.to(x.dtype).chunk(3)
        # Not a complex product, in which an infinite x makes NaN.
        gates = torch.complex(x @ r.t(), x @ z.t())
        products = torch.cat([gates.real, gates.imag, x @ n.t()], -1)
        return products if bias is None else products + bias.to(x.dtype)


class GatesByGlu(Written):
    """Every value that a gate is multiplied with goes through F.glu with the gate's sum."""

    def activate(self, x_products, h_products):
        x_r, x_z, x_n = x_products.chunk(3, -1)
        h_r, h_z, h_n = h_products.chunk(3, -1)
        n = torch.tanh(x_n + F.glu(torch.cat([h_n, x_r + h_r], -1), -1))
        return None, x_z + h_z, n

    def update(self, r, z, n, h):
        return F.glu(torch.cat([h, z], -1), -1) + F.glu(torch.cat([n, -z], -1), -1)


@scripted
def _scripted_update(x_products: Tensor, h_products: Tensor, h: Tensor) -> Tensor:
    x_r, x_z, x_n = x_products.chunk(3, -1)
    h_r, h_z, h_n = h_products.chunk(3, -1)
    z = torch.sigmoid(h_z + x_z)
    return z * h + (1 - z) * torch.tanh(x_n + torch.sigmoid(h_r + x_r) * h_n)


class ScriptedWithoutGraph(Written):
    """Without a graph, which would lose derivatives in forward mode, a function in TorchScript."""

    def cell(self, cell, x, h):
        if torch.is_grad_enabled():
            return super().cell(cell, x, h)
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        h_products = self.linear(h, cell.weight_hh, cell.bias_hh)
        return _scripted_update(products, h_products, h.clone())


if hasattr(torch, "vmap"):

    class RowsByVmap(Written):
        """Written for one row, and mapped over the rows."""

        def cell(self, cell, x, h):
            row = super().cell
            return torch.vmap(lambda *one: row(cell, *one))(x, h)


class InPlaceInInference(Written):
    """In inference mode results are written over their terms, and into memory made for them."""

    def cell(self, cell, x, h):
        if not torch.is_inference_mode_enabled():
            return super().cell(cell, x, h)
        gates = [2 * self.hidden_size]
        x_r_z, n = self.linear(x, cell.weight_ih, cell.bias_ih).tensor_split(gates, -1)
        h_r_z, h_n = self.linear(h, cell.weight_hh, cell.bias_hh).tensor_split(gates, -1)
        r, z = x_r_z.add_(h_r_z).sigmoid_().chunk(2, -1)
        n.addcmul_(r, h_n).tanh_()
        return torch.sub(h, n, out=torch.empty_like(n)).mul_(z).add_(n)


CELLS = tuple(one for one in classes_in(__name__) if one.__doc__)
