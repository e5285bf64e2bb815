"""Importing what a user names: where it is looked for, and what is said where it fails."""

from __future__ import annotations

import sys

import pytest

from stackgru.targets.importing import TargetError, import_target


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, the current one; what is imported from it is forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_module_is_found_in_the_current_folder(folder):
    (folder / "only_in_this_folder.py").write_text("class Outer:\n    inner = 5\n")
    assert import_target("only_in_this_folder:Outer.inner") == 5
    assert sys.path[0] == str(folder)
    assert import_target("only_in_this_folder:Outer").inner == 5
    assert sys.path.count(str(folder)) == 1


def test_a_module_that_needs_another_is_not_said_to_be_missing(folder):
    (folder / "needs_another.py").write_text("import not_installed_at_all")
    said = (
        r"^importing needs_another raised ModuleNotFoundError: "
        r"No module named 'not_installed_at_all' \(needs_another\.py:1\)\.$"
    )
    with pytest.raises(TargetError, match=said):
        import_target("needs_another:Thing")


def test_a_file_of_another_kind(folder):
    (folder / "stack.txt").write_text("Thing = 5")
    with pytest.raises(TargetError, match=r"^\./stack\.txt is not a Python file\.$"):
        import_target("./stack.txt:Thing")


def test_an_interrupt_is_no_error_of_the_target(folder):
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        import_target("interrupted.py:Thing")
    assert "interrupted" not in sys.modules


def test_files_of_one_name_do_not_hide_each_other(folder):
    for number in (1, 2):
        (folder / str(number)).mkdir()
        (folder / str(number) / "of_one_name.py").write_text(f"number = {number}")
    numbers = [import_target(f"{number}/of_one_name.py:number") for number in (1, 2, 1)]
    assert numbers == [1, 2, 1]
