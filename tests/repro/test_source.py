"""The source of a function as a script shows it."""

from __future__ import annotations

from torch import Tensor

from stackgru.repro.scripts.source import source_of

LAW = '''\
def statement(x, row=0):
    """A law, of which the first line is kept."""
    twice = doubled(x)
    yield "doubled", twice, x + x
'''
CUT = '''\
def statement(x, row=0):
    """A law, of which the first line is kept."""
    twice = doubled(x)
'''


def doubled(x: Tensor) -> Tensor:
    """Return twice x."""
    return 2 * x  # type: ignore[no-any-return]


class Holder:
    """Holds a value.

    Args:
        value: it.
    """

    def __init__(self, value: int) -> None:
        self.value = value

    def double(self) -> int:
        """Return twice the value."""

        return 2 * self.value


def statement(x: Tensor, row: int = 0):
    """A law, of which the first line is kept.

    And no other.
    """
    twice = doubled(x)
    yield "doubled", twice, x + x


def test_what_a_law_calls_is_shown_without_docstrings_annotations_and_notes():
    assert source_of(doubled) == "def doubled(x):\n    return 2 * x\n"
    assert '"""' not in source_of(Holder)
    assert "class Holder:\n    def __init__(self, value):" in source_of(Holder)
    assert "    def double(self):\n        return 2 * self.value\n" in source_of(Holder)


def test_a_law_keeps_the_first_line_of_its_docstring():
    assert source_of(statement, is_law=True) == LAW
    last = statement.__code__.co_firstlineno + 5
    assert source_of(statement, last, is_law=True) == CUT
