"""The causes of a real implementation: each goes as it is mended in a copy, and the others stay."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import stackgru

#: The faults of opacus' DPGRU, by a law that sees each: in which file which text is put right.
MENDED = {
    "same-masks": [
        (
            "dp_rnn",
            "            if self.dropout:\n                h_next = self.dropout_layer(h_next)\n",
            "",
        ),
        (
            "dp_rnn",
            "                output = torch.cat(layer_outs, dim=2)  # [T, B, P*H]\n",
            "                output = torch.cat(layer_outs, dim=2)\n"
            "            if self.dropout and layer < self.num_layers - 1:\n"
            "                whole = torch.cat(output) if is_packed else output\n"
            "                sizes = [len(step) for step in output]\n"
            "                whole = self.dropout_layer(whole)\n"
            "                output = list(whole.split(sizes)) if is_packed else whole\n",
        ),
    ],
    "layouts": [
        (
            "dp_rnn",
            "h_last = torch.zeros(max_batch_size, self.hidden_size)",
            "h_last = torch.zeros(max_batch_size, self.hidden_size, dtype=h_0.dtype)",
        )
    ],
    "nested": [
        (
            "param_rename",
            "    return new_state_dict",
            "    for name in list(state_dict):\n"
            "        if name.startswith(prefix) and name[len(prefix) :] in self.old_to_new:\n"
            "            del state_dict[name]\n"
            "    return state_dict\n\n\n"
            "def take_old_keys(self, state_dict, prefix, *rest):\n"
            "    for old, new in self.old_to_new.items():\n"
            "        if prefix + new in state_dict:\n"
            "            state_dict.setdefault(prefix + old, state_dict[prefix + new])",
        ),
        (
            "param_rename",
            "        self._register_state_dict_hook(filter_out_old_keys)\n",
            "        self._register_state_dict_hook(filter_out_old_keys)\n"
            "        self._register_load_state_dict_pre_hook(take_old_keys, with_module=True)\n",
        ),
    ],
    "replaced": [
        (
            "param_rename",
            "            self._register_renamed_parameters()\n",
            '            if "old_to_new" not in self.__dict__:\n'
            "                self._register_renamed_parameters()\n",
        ),
        (
            "dp_rnn",
            "        self.set_rename_map(rename_map)\n",
            "        self.set_rename_map(rename_map)\n"
            "        self._register_renamed_parameters()\n",
        ),
        (
            "dp_rnn",
            "        num_directions = 2 if self.bidirectional else 1\n\n        is_packed",
            "        for old, new in self.old_to_new.items():\n"
            '            path, _, last = old.rpartition(".")\n'
            "            if hasattr(self, new):\n"
            "                self.get_submodule(path)._parameters[last] = getattr(self, new)\n"
            "        num_directions = 2 if self.bidirectional else 1\n\n        is_packed",
        ),
        # Hidden by the others: nn.GRU's load_state_dict takes assign.
        (
            "param_rename",
            "        strict: bool = True,\n    ):",
            "        strict: bool = True,\n        **others,\n    ):",
        ),
        ("param_rename", "state_dict, strict=False\n", "state_dict, strict=False, **others\n"),
    ],
}


def copied(folder, *laws):
    """Write a copy of opacus' DPGRU in which the faults that these laws see are mended."""
    found = Path(find_spec("opacus").submodule_search_locations[0]) / "layers"
    name = "_".join(["mended", *laws]).replace("-", "_")
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    for file in ("dp_rnn", "param_rename"):
        text = (found / f"{file}.py").read_text()
        for place, old, new in [one for law in laws for one in MENDED[law]]:
            if place == file:
                assert text.count(old) == 1, old
                text = text.replace(old, new)
        text = text.replace("from ..utils", "from opacus.utils")
        (package / f"{file}.py").write_text(re.sub(r"from \.(?=\w)", f"from {name}.", text))
    return f"{name}.dp_rnn:DPGRU"


def causes_of(target):
    """Return the laws that see each cause, by what is wrong."""
    report = stackgru.check(target, seed=1)
    return {cause.sentence: cause.laws for cause in report.causes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of mended copies, from which they can be imported."""
    pytest.importorskip("opacus")
    made = tmp_path_factory.mktemp("mended")
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))


@pytest.fixture(scope="module")
def every(folder):
    """The causes of DPGRU as it is."""
    return causes_of(copied(folder))


def test_there_are_as_many_as_faults(every):
    assert len(every) == len(MENDED), every
    assert all(sum(law in laws for laws in every.values()) == 1 for law in MENDED)


@pytest.mark.parametrize("law", MENDED)
def test_a_cause_goes_as_it_is_mended_and_the_others_stay(law, every, folder):
    left = causes_of(copied(folder, law))
    gone = {sentence for sentence, laws in every.items() if law in laws}
    assert {*left} == {*every} - gone
    assert all({*left[sentence]} == {*every[sentence]} for sentence in left)


def test_nothing_is_left_of_what_is_mended(folder):
    assert causes_of(copied(folder, *MENDED)) == {}
