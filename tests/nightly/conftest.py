"""Every test of nightly is marked so, and starts from a known state."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from stackgru.torch_settings import settings_kept

#: Seconds after which a test is stuck where no alarm reaches it; its process is ended.
LIMIT = 3600.0


def pytest_ignore_collect(config):
    """Spare a run of the default tier the collection of a thousand tests."""
    return True if config.option.markexpr == "not nightly" else None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.nightly)
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(autouse=True)
def known_state():
    """No database, one thread, and global settings put back."""
    profile = settings.get_current_profile_name()
    settings.register_profile("nightly", settings.get_profile(profile), database=None)
    settings.load_profile("nightly")
    faulthandler.dump_traceback_later(LIMIT, exit=True, file=sys.__stderr__)
    with settings_kept(), torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        yield
    faulthandler.cancel_dump_traceback_later()
    settings.load_profile(profile)
