"""Which forms of nn.GRU do torch's two ONNX exporters write rightly?

    pip install onnx onnxruntime onnxscript
    python examples/foreign/torch_onnx_forms.py

Each form is exported once and run by onnxruntime with another number of steps and rows than it was
exported with. Whether its results are nn.GRU's is told without a tolerance, by stackgru.compare.
"""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import onnxruntime
import torch
from torch import nn

import stackgru

FORMS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "three layers": {"num_layers": 3},
    "no biases": {"num_layers": 2, "bias": False},
    "both ways": {"bidirectional": True},
    "two layers both ways": {"num_layers": 2, "bidirectional": True},
    "batch first": {"batch_first": True},
    "batch first, two layers both ways": {
        "num_layers": 2,
        "bidirectional": True,
        "batch_first": True,
    },
}
CELLS = "StackingGRUCell, three layers"
EXPORTERS = {"tracing": False, "dynamo": True}
#: onnxruntime's own sigmoid and tanh: see docs/foreign.md.
ACTIVATION_ERROR = 7e-7
STEPS, OTHER_STEPS = 5, 7  # of the export, and of the run
_NAMES: dict[str, Any] = {"input_names": ["x", "h0"], "output_names": ["output", "hn"]}


def session(
    module: nn.Module, x: torch.Tensor, h0: torch.Tensor, axes: Any, *, dynamo: bool
) -> onnxruntime.InferenceSession:
    """Return a session that runs what an exporter writes."""
    file = io.BytesIO()
    if dynamo:
        chosen = [dict.fromkeys(one, torch.export.Dim.AUTO) for one in axes]
        how: dict[str, Any] = {"dynamic_shapes": tuple(chosen), "verbose": False}
    else:
        how = {"dynamic_axes": {"x": axes[0], "h0": axes[1]}, "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x, h0), file, dynamo=dynamo, **_NAMES, **how)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what it raises tells enough
    return onnxruntime.InferenceSession(file.getvalue(), settings, ["CPUExecutionProvider"])


def of_form(kwargs: dict[str, Any], steps: int, *, dynamo: bool) -> stackgru.Comparison:
    """Return how an exported nn.GRU compares with itself, run over so many steps."""
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, **kwargs).eval()
    states = gru.num_layers * (1 + gru.bidirectional)

    def drawn(length: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(length, rows, 3)
        return x.transpose(0, 1) if gru.batch_first else x, torch.randn(states, rows, 4)

    made = session(gru, *drawn(STEPS, 6), ([0, 1], [1]), dynamo=dynamo)
    x, h0 = drawn(steps, 2)
    output, hn = map(torch.from_numpy, made.run(None, {"x": x.numpy(), "h0": h0.numpy()}))
    return stackgru.compare(gru, x, h0, output, hn, activation_error=ACTIVATION_ERROR)


def of_cells(*, dynamo: bool) -> stackgru.Comparison:
    """Return how an exported stack of cells, one step, compares with the nn.GRU that it is."""
    torch.manual_seed(0)
    cells, gru = stackgru.StackingGRUCell(3, 4, 3).eval(), nn.GRU(3, 4, 3)
    stackgru.copy_weights(cells, gru)
    made = session(cells, torch.randn(6, 3), torch.randn(3, 6, 4), ([0], [1]), dynamo=dynamo)
    x, h0 = torch.randn(2, 3), torch.randn(3, 2, 4)
    output, hn = map(torch.from_numpy, made.run(None, {"x": x.numpy(), "h0": h0.numpy()}))
    return stackgru.compare(gru, x[None], h0, output[None], hn, activation_error=ACTIVATION_ERROR)


def answer(form: str, exporter: str) -> str:
    """Return what became of a form: nn.GRU's results, others, or none."""
    dynamo, raised = EXPORTERS[exporter], ""
    for steps in (OTHER_STEPS, STEPS):
        try:
            if form == CELLS:
                found = of_cells(dynamo=dynamo)
            else:
                found = of_form(FORMS[form], steps, dynamo=dynamo)
        except Exception as error:  # an exporter or a runtime may raise anything
            raised = type(error).__name__
            continue
        only = ", but only over the steps of the export" if steps == STEPS else ""
        return f"nn.GRU{only}" if found.within else f"not nn.GRU: {found.first}"
    return f"raised {raised}"


def main() -> None:
    """Print the table."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what is not installed
    print(f"| form | {' | '.join(EXPORTERS)} |")
    print(f"|---{'|---' * len(EXPORTERS)}|")
    for form in (*FORMS, CELLS):
        print(f"| {form} | {' | '.join(answer(form, one) for one in EXPORTERS)} |")


if __name__ == "__main__":
    main()
