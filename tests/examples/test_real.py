"""Real implementations from the package registry, which no one here wrote."""

from __future__ import annotations

import json

import pytest

from tests.helpers import invoke

pytestmark = pytest.mark.real


#: Laws that answer what is asked here; nightly runs all of them.
FEW = [
    "--max-examples=5",
    *(
        f"--laws={name}"
        for name in ["equation", "one-step", "same-masks", "unrolled", "gradients", "purity"]
    ),
]
OF_MASKS = [f"--laws={name}" for name in ("equation", "one-step", "same-masks", "order-matters")]


def checked(target, tmp_path, *options):
    """Check a target; return the result of the command and the report."""
    file = tmp_path / "report.json"
    result = invoke("check", target, "--seed", 1, "--json", file, *options)
    return result, json.loads(file.read_text())


@pytest.mark.nightly
def test_opacus_drops_out_what_it_carries_on(tmp_path):
    pytest.importorskip("opacus", reason="opacus is not installed")
    result, report = checked("opacus.layers:DPGRU", tmp_path, *FEW)
    assert result.exit_code == 1
    assert "same values yes, same training no" in result.stdout.splitlines()[-1]
    assert report["kind"] == "sequence"
    laws = {law["name"]: law for law in report["laws"]}
    assert laws["equation"]["status"] == "holds"
    violation = laws["same-masks"]["violation"]
    assert violation["case"] == (
        "input_size=1 hidden_size=1 num_layers=1 batch=1 seq_len=1 dropout=0.5 dtype=float64 "
        "mode=train seed=0"
    )
    assert violation["message"] == (
        "masks drawn by the target: got 1 (one of shape (1, 1)), expected none"
    )


def test_torchrl_draws_its_masks_in_time_order(tmp_path):
    pytest.importorskip("torchrl", reason="torchrl is not installed")
    result, report = checked("torchrl.modules:GRU", tmp_path, *FEW)
    assert result.exit_code == 0, result.stdout
    verdict = report["verdict"]
    assert verdict["same_values"] == verdict["same_training"] == "yes"
    assert verdict["same_seeds_one_step"] == "yes"
    assert verdict["same_seeds_whole_sequences"] == "no"
    assert report["build_facts"]["whole_sequences_from_one_seed"]["3 layers"] == "other masks"


@pytest.mark.nightly
def test_torchrl_is_violated_when_that_counts(tmp_path):
    pytest.importorskip("torchrl", reason="torchrl is not installed")
    options = ("--strict", "--max-examples", 20, *OF_MASKS)
    result, report = checked("torchrl.modules:GRU", tmp_path, *options)
    assert result.exit_code == 1
    violated = [law["name"] for law in report["laws"] if law["status"] == "violated"]
    assert violated == ["order-matters"]
    assert report["verdict"]["same_training"] == "yes"


@pytest.mark.nightly
def test_gru_is_gru(tmp_path):
    result, report = checked("torch.nn:GRU", tmp_path, "--strict", "--max-examples", 10)
    assert result.exit_code == 0, result.stdout
    assert set(list(report["verdict"].values())[2:]) == {"yes"}
