"""Implementations of one layer: sequence modules, and cells of one step."""

from __future__ import annotations

import os
import sys

import torch

from examples.implementations.base import (
    NAMES,
    SINGLE,
    Absent,
    Attended,
    Padded,
    RowsFirst,
    Stated,
    implementation,
    in_order,
    of_cell,
    submodule,
    without,
)
from stackgru import Convention


@implementation(
    "gru_qat.GRULayer",
    "gru-qat",
    "GRU for quantisation; here with none (fp32)",
    remark="`nn.GRU`, but an empty batch is refused, which is all that was found",
)
def _gru_qat() -> Convention:
    from gru_qat.gru_layer import GRULayer
    from gru_qat.quantizers import PRESETS

    def layers(module):
        keys = ("W_i", "W_h", "b_i", "b_h")
        pairs = zip(NAMES, keys, strict=True)
        of = module.cell
        return [{name: torch.cat([getattr(of, key + g) for g in "rzn"]) for name, key in pairs}]

    constants = {"recipe": PRESETS["fp32"]}
    return Convention(GRULayer, constants=constants, state="concatenated", weights=layers)


@implementation(
    "blitz.BayesianGRU",
    "blitz-bayesian-pytorch",
    "Bayesian GRU layer; here frozen",
    remark="`nn.GRU`, but the state that it makes itself is float32, which is all that was found",
)
def _blitz() -> Convention:
    from blitz.modules import BayesianGRU

    def frozen(input_size, hidden_size):
        return RowsFirst(BayesianGRU(input_size, hidden_size, freeze=True))

    def layers(module):  # columns r, z, n of the input, n of the state; one bias of r and of z
        of, size = module.rnn, module.rnn.out_features
        u, b = of.weight_hh_mu.T, of.bias_mu
        return [
            {
                "weight_ih": of.weight_ih_mu.T[: 3 * size],
                "weight_hh": torch.cat([u[: 2 * size], u[3 * size :]]),
                "bias_ih": b[: 3 * size],
                "bias_hh": torch.cat([torch.zeros_like(b[: 2 * size]), b[3 * size :]]),
            }
        ]

    return Convention(frozen, state="concatenated", weights=layers)


@implementation("torchrl.GRUCell", "torchrl", "as `nn.GRUCell`, whose documentation it repeats")
def _torchrl_cell() -> Convention:
    from torchrl.modules import GRUCell

    return Convention(GRUCell, **SINGLE)


def _attended(where: str, name: str) -> Convention:
    made = getattr(submodule(where), name)

    def cell(input_size, hidden_size, bias=True):
        return Attended(made(input_size, hidden_size, bias))

    return Convention(cell, weights=of_cell, **SINGLE)


@implementation(
    "deepctr_torch.AUGRUCell",
    "deepctr-torch",
    "attentional update gate; here at 1",
    remark="the update gate complemented, and its two biases are one parameter",
)
def _deepctr() -> Convention:
    return _attended("deepctr_torch.layers.sequence", "AUGRUCell")


@implementation("recbole.AUGRUCell", "recbole", "attentional update gate; here at 1")
def _recbole() -> Convention:
    sys.modules.setdefault("torch.utils.tensorboard", Absent("tensorboard"))
    without("thop", "colorama", "texttable", "psutil", "plotly")
    return _attended("recbole.model.sequential_recommender.dien", "AUGRUCell")


@implementation(
    "prediction_flow.AttentionUpdateGateGRUCell",
    "prediction-flow",
    "nothing beyond its name; here at 1",
)
def _prediction_flow() -> Convention:
    return _attended("prediction_flow.pytorch.nn.rnn", "AttentionUpdateGateGRUCell")


@implementation("torch_rechub.AUGRU_Cell", "torch-rechub", "attentional update gate; here at 1")
def _rechub() -> Convention:
    made = submodule("torch_rechub.models.ranking.dien").AUGRU_Cell

    def cell(input_size, hidden_size):
        return Padded(Attended(made(max(input_size, hidden_size))), input_size, hidden_size)

    def layers(module):  # gates apart, (in, out), one bias each
        of, i, h = module.cell.cell, module.input_size, module.hidden_size
        bias = torch.cat([of.br[0, :h], of.bu[0, :h], of.bh[0, :h]])
        return [
            {
                "weight_ih": torch.cat([w[:i, :h].T for w in (of.Wr, of.Wu, of.Wh)]),
                "weight_hh": torch.cat([w[:h, :h].T for w in (of.Ur, of.Uu, of.Uh)]),
                "bias_ih": bias,
                "bias_hh": torch.zeros_like(bias),
            }
        ]

    return Convention(cell, weights=layers, **SINGLE)


@implementation("pyvene.GRUCell", "pyvene", "nothing beyond its name")
def _pyvene() -> Convention:
    made = submodule("pyvene.models.gru.modelings_gru")

    def cell(input_size, hidden_size):
        width = max(input_size, hidden_size)
        return Padded(made.GRUCell(made.GRUConfig(h_dim=width)), input_size, hidden_size)

    def layers(module):
        of, i, h = module.cell, module.input_size, module.hidden_size
        values = (of.x2h.weight, of.h2h.weight, of.x2h.bias, of.h2h.bias)
        cut = [value.unflatten(0, (3, module.width))[:, :h].flatten(0, 1) for value in values]
        return [dict(zip(NAMES, (cut[0][:, :i], cut[1][:, :h], *cut[2:]), strict=True))]

    return Convention(cell, weights=layers, **SINGLE)


@implementation(
    "sheeprl.LayerNormGRUCell",
    "sheeprl",
    "GRU cell with a layer norm; here without",
    remark="the reset gate over the input's part of n as well, z complemented and 1 taken off it",
)
def _sheeprl() -> Convention:
    made = submodule("sheeprl.models.models").LayerNormGRUCell

    def layers(module):  # the state's columns first; gates r, n, z; one bias
        size, weight = module.hidden_size, in_order(module.linear.weight, (0, 2, 1))
        found = {"weight_ih": weight[:, size:], "weight_hh": weight[:, :size]}
        if module.linear.bias is not None:
            found["bias_ih"] = in_order(module.linear.bias, (0, 2, 1))
            found["bias_hh"] = torch.zeros_like(module.linear.bias)
        return [found]

    return Convention(made, arguments=("input_size", "hidden_size"), weights=layers, **SINGLE)


def _keras(reset_after: bool) -> Convention:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    def cell(input_size, hidden_size, dtype=torch.float32):
        made = keras.layers.GRUCell(
            hidden_size,
            reset_after=reset_after,
            dtype=str(dtype).removeprefix("torch."),
            # The orthogonal one does not run in half precision; all weights are set anyway.
            recurrent_initializer="zeros",
        )
        made.build((None, input_size))
        return Stated(made)

    def layers(module):  # kernels (in, out), gates z, r, n; two biases only with reset_after
        of = module.cell
        bias = of.bias.value
        both = bias if reset_after else (bias, torch.zeros_like(bias))
        kernels = of.kernel.value.T, of.recurrent_kernel.value.T
        values = [in_order(value, (1, 0, 2)) for value in (*kernels, *both)]
        return [dict(zip(NAMES, values, strict=True))]

    return Convention(cell, state="list", weights=layers)


@implementation(
    "keras.GRUCell",
    "keras",
    "GRU cell, as cuDNN's",
    remark="its matrix products of float64 are made in float32",
)
def _keras_after() -> Convention:
    return _keras(reset_after=True)


implementation(
    "keras.GRUCell, float32",
    "keras",
    "the same, in float32 only",
    remark="functional_call does not reach its weights, and a state_dict of another does not load",
    dtypes=("float32",),
)(_keras_after)


@implementation(
    "keras.GRUCell, reset_after=False, float32",
    "keras",
    "reset before the product; in float32 only",
    remark="the reset gate before the product",
    dtypes=("float32",),
)
def _keras_before() -> Convention:
    return _keras(reset_after=False)
