"""What is promised of every build of torch: tests.sweep runs this on each, and nightly on one."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from stackgru import StackingGRUCell
from stackgru.checkpoints.files import save
from tests.helpers import HANDWRITTEN, stackgru

pytestmark = pytest.mark.nightly


def test_a_wrong_cell_gets_reports_whose_scripts_run_by_themselves(tmp_path):
    target = f"{shutil.copy(HANDWRITTEN, tmp_path)}:DropoutAfterTheLastLayer"
    laws = ("--laws", "one-step", "--laws", "gradients", "--laws", "life")
    few = ("--seed", 1, "-n", 0, "--report", tmp_path / "reports")
    checked = stackgru("check", target, *laws, *few, cwd=tmp_path)
    assert checked.returncode == 1, checked.stderr
    scripts = list((tmp_path / "reports").rglob("*.py"))
    assert len(scripts) == 3
    for script in scripts:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", script.name],
            cwd=script.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout.endswith("They differ.\n")) == (1, True), ran.stderr


# Of what torch 2.0 does as it reads a file.
@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_cells_are_converted_there_and_back_to_the_bit(tmp_path):
    cells = StackingGRUCell(5, 7, 3).state_dict()
    save(cells, tmp_path / "cells.pt")
    for read, made, kind in (("cells", "gru", "gru"), ("gru", "back", "cell")):
        ran = stackgru("convert", f"{read}.pt", f"{made}.pt", "--to", kind, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
    nn.GRU(5, 7, 3).load_state_dict(torch.load(tmp_path / "gru.pt", weights_only=True))
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert list(back) == list(cells)
    assert all(torch.equal(back[key], value) for key, value in cells.items())
