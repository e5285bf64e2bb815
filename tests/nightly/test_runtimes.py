"""GRUs of other frameworks and runtimes, as far as they are installed, against nn.GRU."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.helpers import ROOT

NO_B_HN = "no b_hn"
RESET_BEFORE = "the reset gate applied before the product"
#: Each target, the package that it needs, the laws that it violates, and what it is instead.
RUNTIMES = {
    "onnx_node:Reference": ("onnx", set(), None),
    "onnx_node:OnnxRuntime": ("onnxruntime", {"not-finite"}, None),
    "onnx_node:LinearBeforeReset0": ("onnxruntime", None, RESET_BEFORE),
    "torch_onnx:TorchScriptExporter": ("onnxruntime", {"not-finite"}, None),
    "torch_onnx:dynamo_exporter": ("onnxruntime", {"not-finite"}, None),
    "torch_onnx:ResetBefore": ("onnxruntime", None, RESET_BEFORE),
    "torch_onnx:GatesSwapped": ("onnxruntime", None, "gates in the order z, r, n"),
    "torch_onnx:SecondBiasLost": ("onnxruntime", None, "one bias instead of two (no b_hh)"),
    "torch_onnx:HnReversed": ("onnxruntime", None, "the layers of hn in reverse"),
    "mlx_gru:Mlx": ("mlx", set(), None),
    "jax_cells:FlaxLinen": ("flax", set(), None),
    "jax_cells:Equinox": ("equinox", set(), None),
    "jax_cells:FlaxNnx": ("flax", None, NO_B_HN),
    "openvino_gru:OpenVino": ("openvino", set(), None),
    "paddle_gru:Paddle": ("paddle", set(), None),
    "ncnn_gru:Ncnn": ("ncnn", set(), None),
    "tvm_gru:compiled": ("tvm", set(), None),
    "executorch_gru:portable": ("executorch", set(), None),
    "executorch_gru:xnnpack": ("executorch", set(), None),
    "keras_gru:Keras": ("keras", set(), None),
    "keras_gru:ResetBefore": ("keras", None, RESET_BEFORE),
}


@pytest.mark.parametrize("target", RUNTIMES)
def test_a_runtime(target, tmp_path, record_property):
    package, violated, variant = RUNTIMES[target]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    place, is_slow = target.replace(":", ".py:"), re.match(r"jax|executorch|tvm|.*dynamo", target)
    few = ["--max-examples", "10", "--timeout", "300"] if is_slow else ["--max-examples", "50"]
    words = [f"examples/foreign/{place}", "--seed", "1", *few]
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "stackgru", "check", *words, "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    report = json.loads(path.read_text())
    found = {law["name"] for law in report["laws"] if law["status"] == "violated"}
    record_property("violated", sorted(found))
    if variant is not None:
        assert done.returncode == 1
        assert any(variant in (cause["variant"] or "") for cause in report["causes"]), done.stdout
        return
    assert (found, done.returncode) == (violated, int(bool(violated))), done.stdout


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is not installed")
def test_the_table_of_what_exporters_write_is_the_docs():
    script = "examples/foreign/torch_onnx_forms.py"
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout in (ROOT / "docs" / "foreign.md").read_text(encoding="utf-8")
    assert done.stdout.count("\n") > 8


def test_an_empty_batch_ends_onnxruntime_and_its_script(tmp_path):
    if find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    target = "examples/foreign/onnx_node.py:EmptyBatches"
    words = [target, "--laws", "empty-batch", "--seed", "1", "--report", str(tmp_path / "found")]
    command = [sys.executable, "-m", "stackgru", "check", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"for an empty batch: the process died \(SIGABRT\)", done.stdout)
    (script,) = tmp_path.glob("found/*/repro.py")
    assert subprocess.run([sys.executable, script], capture_output=True).returncode == -6
