"""compare answers what is asked in public again and again: is this difference rounding?

Each question is a small input after a thread: an nn.GRU, and results that others got with its
weights. Run as a script it prints the rows of the table in docs/foreign.md.
"""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import stackgru
from tests.helpers import ROOT

np = pytest.importorskip("numpy")
ROUNDING, NOT = "rounding", "not rounding"


def drawn(input_size, hidden_size, *shape, **kwargs):
    torch.manual_seed(0)
    return nn.GRU(input_size, hidden_size, **kwargs).eval(), torch.randn(*shape, input_size)


def by_hand(gru, x, candidate=lambda x_n, h_n, b_n, r, h, weight: np.tanh(x_n + r * (h_n + b_n))):
    """Return output and hn of one layer in NumPy, for x (T, B, I)."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weight_ih, weight_hh, bias_ih, bias_hh = (getattr(gru, n).detach().numpy() for n in names)
    h, outputs = np.zeros((x.shape[1], gru.hidden_size), weight_ih.dtype), []
    for step in x.numpy():
        x_r, x_z, x_n = np.split(step @ weight_ih.T + bias_ih, 3, -1)
        h_r, h_z, h_n = np.split(h @ weight_hh.T, 3, -1)
        b_r, b_z, b_n = np.split(bias_hh, 3, -1)
        with np.errstate(over="ignore"):
            r, z = (1 / (1 + np.exp(-sums)) for sums in (x_r + h_r + b_r, x_z + h_z + b_z))
        h = (1 - z) * candidate(x_n, h_n, b_n, r, h, np.split(weight_hh, 3)[2]) + z * h
        outputs.append(h)
    return torch.from_numpy(np.stack(outputs)), torch.from_numpy(h[None])


def reset_before(x_n, h_n, b_n, r, h, weight):
    return np.tanh(x_n + (r * h) @ weight.T + b_n)


def smaller_batches():
    gru, x = drawn(22, 256, 10, 100)
    parts = [gru(rows) for rows in x.split(33, 1)]
    return (gru, x, *(torch.cat(one, 1) for one in zip(*parts, strict=True)))


def one_by_one_both_ways():
    gru, x = drawn(8, 64, 12, 10, bidirectional=True)
    rows = [gru(x[:, row : row + 1]) for row in range(10)]
    return (gru, x, *(torch.cat(parts, 1) for parts in zip(*rows, strict=True)))


def frames_as_a_batch():
    gru, x = drawn(64, 64, 32, 1, num_layers=3)
    frames = [gru(frame[None]) for frame in x]  # each from a state of zeros
    return gru, x, torch.cat([output for output, _ in frames]), frames[-1][1]


def large_input():
    gru, x = drawn(64, 32, 20, 4)
    return (gru, 100 * x, *by_hand(gru, 100 * x))


def own_cell():
    gru, x = drawn(5, 7, 1, 3)
    return (gru, x, *by_hand(gru, x))


def streamed():
    gru, x = drawn(16, 64, 30, 1, num_layers=2)
    outputs, state = [], None
    for frame in x.split(1):
        output, state = gru(frame, state)
        outputs.append(output)
    return gru, x, torch.cat(outputs), state


def half_precision():
    gru, x = drawn(16, 32, 2, 4)
    halved, exact = gru.half(), nn.GRU(16, 32)
    exact.load_state_dict(halved.state_dict())
    x = x.half()
    return (halved, x, *(one.half() for one in exact(x.float())))


def linear_before_reset_is_0():
    gru, x = drawn(1, 32, 10, 1)
    return (gru, x, *by_hand(gru, x, reset_before))


def a_tolerance_of_1e_2():
    gru, x = drawn(4, 4, 3, 2)
    for weight in gru.parameters():
        weight.data.mul_(0.15)
    return (gru, x, *by_hand(gru, x, reset_before))


def gates_of_keras():
    gru, x = drawn(8, 16, 10, 4)
    other = nn.GRU(8, 16)
    for own, theirs in zip(other.parameters(), gru.parameters(), strict=True):
        r, z, n = theirs.data.chunk(3)
        own.data = torch.cat([z, r, n])
    return (gru, x, *other(x))


def one_bias():
    gru, x = drawn(8, 16, 10, 4)
    return (gru, x, *by_hand(gru, x, lambda x_n, h_n, b_n, r, *_: np.tanh(x_n + r * h_n + b_n)))


def padded_both_ways():
    gru, x = drawn(3, 3, 6, 3, num_layers=2, bidirectional=True)
    for row, length in enumerate((6, 5, 3)):
        x[length:, row] = 0
    output, hn = gru(pack_padded_sequence(x, [6, 5, 3]))
    return gru, x, pad_packed_sequence(output)[0], hn


#: By the thread that asks: its small input, the answer, and where results first lie apart.
QUESTIONS = {
    "pytorch 32023": (smaller_batches, ROUNDING, None),
    "tensorflow 11610": (one_by_one_both_ways, ROUNDING, None),
    "onnxruntime 4628": (large_input, ROUNDING, None),
    "discuss.pytorch 169837": (own_cell, ROUNDING, None),
    "DeepFilterNet 106": (streamed, ROUNDING, None),
    "pytorch 84261": (half_precision, ROUNDING, None),
    "pytorch 79501": (frames_as_a_batch, NOT, (1, 2, None)),
    "onnxscript 2852": (linear_before_reset_is_0, NOT, (0, 0, "n")),
    "tvm 8923": (a_tolerance_of_1e_2, NOT, (0, 0, None)),
    "keras 15915": (gates_of_keras, NOT, (0, 0, None)),
    "coremltools 1124": (one_bias, NOT, (0, 0, "n")),
    "pytorch 3662": (padded_both_ways, NOT, (0, 0, None)),
}


def compared(question):
    """Return what compare says, and the largest difference of output and what is allowed there."""
    gru, x, output, hn = question()
    found = stackgru.compare(gru, x, None, output, hn)
    gap = (output - gru(x)[0]).double().abs()
    return found, float(gap.max()), float(found.allowed.output.flatten()[gap.argmax()])


@pytest.mark.parametrize("thread", QUESTIONS)
@torch.no_grad()
def test_a_question_is_answered(thread):
    question, answer, first = QUESTIONS[thread]
    found, difference, allowed = compared(question)
    assert found.within == (answer == ROUNDING), (found.first, difference, allowed)
    if first is not None:
        assert (found.first.step, found.first.layer, found.first.gate) == first


@torch.no_grad()
def test_what_is_not_rounding_may_be_within_a_tolerance():
    _, difference, allowed = compared(a_tolerance_of_1e_2)
    assert allowed < 1e-6 < difference < 1e-2


def test_each_is_in_the_docs():
    text = (ROOT / "docs" / "foreign.md").read_text(encoding="utf-8")
    for thread, (_, answer, _) in QUESTIONS.items():
        assert any(thread in line and f"| {answer} |" in line for line in text.splitlines())


if __name__ == "__main__":
    with torch.no_grad():
        for thread, (question, answer, _) in QUESTIONS.items():
            found, *numbers = compared(question)
            if found.first is not None:
                numbers = found.first.difference, found.first.allowed
            row = [thread, "", *map("{:.1e}".format, numbers), answer]
            sys.stdout.write(f"| {' | '.join(row)} |\n")
