"""The recipe of docs/campaigns.md: one database on a Redis server, and execnet's other workers."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT

RECIPE = dict(
    re.findall(
        r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "docs/campaigns.md").read_text(), re.DOTALL
    )
)
#: A test that runs for some seconds, and whose target is wrong in one case of a few hundred.
RARE = """
import torch
from stackgru import StackingGRUCell

class Rare(StackingGRUCell):
    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return output + (input.size(0) == 7 and self.num_layers == 3), hn
"""


@pytest.fixture
def server(tmp_path_factory):
    redis = pytest.importorskip("redis", reason="redis is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    words = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    process = subprocess.Popen(
        words, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL
    )
    client = redis.Redis(port=port)
    for _ in range(100):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    yield process, port
    process.kill()
    process.wait()


def free_port():
    """Return a port that nobody listens on; two tests may have a server each at once."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def campaign(folder, port, *options, target="rare:Rare", laws=("equation",), **changed):
    """Write the recipe into a folder, and start pytest there."""
    folder.mkdir(exist_ok=True)
    (folder / "rare.py").write_text(RARE)
    recipe = RECIPE["test_campaign.py"].replace("my_model:Stack", target)
    recipe = recipe.replace("timeout=0", f"timeout=0, laws={laws}, **{changed}")
    (folder / "test_campaign.py").write_text(recipe)
    (folder / "conftest.py").write_text(RECIPE["conftest.py"].replace("6379", str(port)))
    report = folder / "report.json"
    words = ["pytest", "-q", "-p", "no:cacheprovider", "test_campaign.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.Popen(
        [sys.executable, "-m", *words, "--stackgru", f"json={report}", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def laws_of(folder):
    return json.loads((folder / "report.json").read_text())["laws"]


def test_the_second_run_begins_with_what_the_first_found(server, tmp_path):
    _, port = server
    first = campaign(tmp_path / "first", port, "-n", "1", seed=1)
    assert first.wait(timeout=300) == 1, first.stdout.read()
    assert laws_of(tmp_path / "first")[0]["status"] == "violated"
    # Another folder, as on another host; by itself this seed and two examples find nothing.
    other = [f"popen//python={sys.executable}"]
    second = campaign(tmp_path / "second", port, "-d", "--tx", *other, seed=2, max_examples=2)
    assert second.wait(timeout=300) == 1, second.stdout.read()
    (found,) = laws_of(tmp_path / "second")
    assert (found["status"], found["examples"]) == ("violated", 1)


def test_a_run_outlives_its_server(server, tmp_path):
    process, port = server
    right = "stackgru:StackingGRUCell"
    some = ("equation", "one-step", "rows", "chunks")
    run = campaign(tmp_path, port, "-n", "1", target=right, laws=some, seed=1, max_examples=300)
    for _ in range(1200):
        if "." in os.read(run.stdout.fileno(), 1000).decode():  # the first law holds
            break
    process.kill()
    printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    found = laws_of(tmp_path)
    assert [law["status"] for law in found] == ["holds"] * len(some)
    assert "the example database failed: ConnectionError" in found[-1]["reason"]
