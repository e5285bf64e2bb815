"""What the commands share: options from the table, errors as one sentence, exit statuses."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from stackgru.options import Option, Options, UsageError, option_named

DONE = 0
#: Some law is violated; of repro, there is no violation; of convert, the input is wrong.
FAILED = 1
USAGE = 2
#: Nothing can be said: a law crashed or timed out, a file was not written, stackgru failed.
NO_VERDICT = 3
INTERRUPTED = 130

_PATHS = {"DIR": click.Path(file_okay=False), "FILE": click.Path(dir_okay=False)}
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class GroupedOption(click.Option):
    """An option with the heading that help lists it under."""

    def __init__(self, *args: Any, group: str = "", **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group; --help comes last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "group", "Running"), []).append(record)
        width = max(len(usage) for records in groups.values() for usage, _ in records)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl([(usage.ljust(width), text) for usage, text in records])


def from_table(*options: Option, **keywords: Any) -> _Decorator:
    """Return a decorator that adds options of the table to a command; keywords are click's."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = _click_option(option, **keywords)(command)
        return command

    return decorate


def _click_option(option: Option, **keywords: Any) -> _Decorator:
    default = getattr(Options, option.field, None)
    shown = f"  [default: {option.text(default)}]" if default not in (None, (), False) else ""
    how: dict[str, Any] = {"is_flag": True}
    if option.type is not bool:
        many = option.type in (tuple, list) and option.field != "arguments"
        how = {"metavar": option.metavar, "type": _PATHS.get(option.metavar), "multiple": many}
    return click.option(
        f"--{option.name}",
        option.field,
        cls=GroupedOption,
        group=option.group,
        help=option.help + shown,
        **how | keywords,
    )


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of options of the table, each as its row says."""
    options = {field: option_named(field) for field in values}
    return {
        field: options[field].read(value, f"--{options[field].name}")
        for field, value in values.items()
        if value is not None
    }


def fail(sentence: str, status: int) -> NoReturn:
    """Show what is wrong, and end with an exit status."""
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(status)


@contextmanager
def errors_shown(so: str, with_traceback: bool = False) -> Iterator[None]:
    """End a command that raises with one sentence; so is what follows if stackgru itself fails."""
    # Torch warns when it is imported without NumPy; nothing here needs NumPy.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")
    try:
        yield
    except click.ClickException:
        raise
    except KeyboardInterrupt:  # click would end with 1, which means that a law is violated
        click.echo("Interrupted: no verdict.", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        from stackgru.targets.importing import TargetError

        if with_traceback:
            traceback.print_exc()
        if isinstance(error, (TargetError, UsageError)):
            fail(str(error), USAGE)
        fail(f"stackgru itself failed, so {so}: {type(error).__name__}: {error}", NO_VERDICT)
