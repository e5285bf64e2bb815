"""The command line in this process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stackgru.cli.main import cli


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Call the command line in this process, from a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments):
        before = {*sys.modules}
        with pytest.raises(SystemExit) as ended:
            cli([str(argument) for argument in arguments])
        for name in {"handwritten", "slow"} & ({*sys.modules} - before):
            del sys.modules[name]
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code, shown.out, shown.err)

    return call
