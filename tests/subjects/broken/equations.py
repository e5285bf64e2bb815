"""Cells with another equation: gates, biases and activations."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.subjects.right.variants import Stack, Written


class Overshoots(Stack):
    """Where the old state is large, the new one steps a little past the convex sum."""

    def cell(self, cell, x, h):
        state = super().cell(cell, x, h)
        return torch.where(h.abs() > 4, state + 1e-3 * h, state)


class UpdateGateComplemented(Written):
    """The update gate is taken for its complement."""

    def update(self, r, z, n, h):
        return z * n + (1 - z) * h


class GatesSwapped(Written):
    """The reset gate and the update gate are swapped."""

    def gates(self, cell, x, h):
        r, z, n = super().gates(cell, x, h)
        return z, r, n


class GatesInterleaved(Written):
    """The rows of the weights are taken to be the gates of one unit after the other."""

    def linear(self, x, weight, bias):
        return super().linear(x, weight, bias).unflatten(-1, (-1, 3)).transpose(1, 2).flatten(1)


class BiasesOfGatesSwapped(Written):
    """The biases of the reset gate and of the update gate are swapped."""

    def linear(self, x, weight, bias):
        if bias is not None:
            r, z, n = bias.chunk(3)
            bias = torch.cat([z, r, n])
        return super().linear(x, weight, bias)


class ResetBeforeTheProduct(Written):
    """The reset gate multiplies the state, not its product."""

    def gates(self, cell, x, h):
        r, z, _ = super().gates(cell, x, h)
        x_n = self.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, -1)[2]
        h_n = self.linear(r * h, cell.weight_hh, cell.bias_hh).chunk(3, -1)[2]
        return r, z, torch.tanh(x_n + h_n)


class BiasOutsideTheReset(Written):
    """The state's bias of the candidate is added after the reset gate, not before."""

    def gates(self, cell, x, h):
        if not cell.bias:
            return super().gates(cell, x, h)
        products = self.linear(x, cell.weight_ih, cell.bias_ih + cell.bias_hh)
        return self.activate(products, self.linear(h, cell.weight_hh, None))


class BiasOutsideTheResetAbove(BiasOutsideTheReset):
    """The same in all layers but the first, where the bias is added before the reset gate."""

    def gates(self, cell, x, h):
        if cell is self.cells[0]:
            return Written.gates(self, cell, x, h)
        return super().gates(cell, x, h)


class NoBiasOfTheState(Written):
    """The state's biases are left out."""

    def gates(self, cell, x, h):
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        return self.activate(products, self.linear(h, cell.weight_hh, None))


class NoBiasOfTheInputAbove(Written):
    """From the third layer on, the input's biases are left out."""

    def gates(self, cell, x, h):
        bias = cell.bias_ih if cell in list(self.cells)[:2] else None
        products = self.linear(x, cell.weight_ih, bias)
        return self.activate(products, self.linear(h, cell.weight_hh, cell.bias_hh))


class ResetOfBothProducts(Written):
    """The reset gate multiplies the input's product as well."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        return r, z, torch.tanh(r * (x_products.chunk(3, -1)[2] + h_products.chunk(3, -1)[2]))


class NoReset(Written):
    """The reset gate is always open."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        return r, z, torch.tanh(x_products.chunk(3, -1)[2] + h_products.chunk(3, -1)[2])


class CandidateWithoutState(Written):
    """The candidate does not see the state."""

    def activate(self, x_products, h_products):
        r, z, _ = super().activate(x_products, h_products)
        return r, z, torch.tanh(x_products.chunk(3, -1)[2])


class ResetIsTheComplement(Written):
    """The reset gate is the complement of the update gate."""

    def activate(self, x_products, h_products):
        _, x_z, x_n = x_products.chunk(3, -1)
        _, h_z, h_n = h_products.chunk(3, -1)
        z = torch.sigmoid(x_z + h_z)
        return 1 - z, z, torch.tanh(x_n + (1 - z) * h_n)


class WeightsTransposed(Written):
    """The state's weights of each gate are transposed."""

    def gates(self, cell, x, h):
        weight = torch.cat([gate.T for gate in cell.weight_hh.chunk(3)])
        products = self.linear(x, cell.weight_ih, cell.bias_ih)
        return self.activate(products, self.linear(h, weight, cell.bias_hh))


class HardGates(Written):
    """The gates are straight lines between zero and one."""

    def sigmoid(self, sums):
        return (sums / 6 + 0.5).clamp(0, 1)


class SoftsignGates(Written):
    """The gates are x / (1 + |x|), moved to between zero and one."""

    def sigmoid(self, sums):
        return F.softsign(sums) / 2 + 0.5


class HardCandidate(Written):
    """The candidate is cut off at one, not bent."""

    def tanh(self, sums):
        return F.hardtanh(sums)


class ReluCandidate(Written):
    """The candidate is a rectified sum."""

    def tanh(self, sums):
        return F.relu(sums)


class ScaledTanh(Written):
    """The candidate is LeCun's 1.7159 tanh(2 x / 3)."""

    def tanh(self, sums):
        return 1.7159 * torch.tanh(sums * (2 / 3))


class UpdateGateMoved(Written):
    """A thousandth is added to the update gate's sum, as a forget bias."""

    def update(self, r, z, n, h):
        z = torch.sigmoid(torch.logit(z.double()) + 1e-3).to(z.dtype)
        return super().update(r, z, n, h)


class GatesClipped(Written):
    """The sums of the gates are cut off at ten."""

    def sigmoid(self, sums):
        return torch.sigmoid(sums.clamp(-10, 10))


class CandidateClipped(Written):
    """The candidate stays within 0.99."""

    def tanh(self, sums):
        return torch.tanh(sums).clamp(-0.99, 0.99)


class StateClipped(Stack):
    """New states are cut off at one."""

    def cell(self, cell, x, h):
        return super().cell(cell, x, h).clamp(-1, 1)


class StateBentAgain(Stack):
    """The new state goes through tanh."""

    def cell(self, cell, x, h):
        return torch.tanh(super().cell(cell, x, h)).clone()  # tanh needs what it gave


class StateNormalised(Stack):
    """From the second layer on, what a layer gets is normalised over its units."""

    def gap(self, state, layer):
        return F.layer_norm(super().gap(state, layer), state.shape[-1:])


class UpdateGateLeaks(Written):
    """The update gate is a ten thousandth smaller."""

    def update(self, r, z, n, h):
        return super().update(r, z * (1 - 1e-4), n, h)


class BiasTwiceWhenDeep(Written):
    """From the fourth layer on, the input's biases are added twice."""

    def gates(self, cell, x, h):
        twice = cell.bias and cell in list(self.cells)[3:]
        products = self.linear(x, cell.weight_ih, 2 * cell.bias_ih if twice else cell.bias_ih)
        return self.activate(products, self.linear(h, cell.weight_hh, cell.bias_hh))
