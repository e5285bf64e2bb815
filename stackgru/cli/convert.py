"""The command that converts a checkpoint."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackgru.cli.common import FAILED, NO_VERDICT, errors_shown, fail
from stackgru.options import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stackgru.checkpoints.files import Converted

_EPILOG = """\b
Examples:
  stackgru convert decoder.pt gru.pt --to gru
  stackgru convert model.pt cells.pt --to cell --prefix decoder.rnn
  stackgru convert run.ckpt new.ckpt --to gru --key model.state
  stackgru convert model.safetensors gru.safetensors --to gru
  stackgru convert numbered.pt gru.pt --to gru --name decoder
  stackgru convert two.pt gru.pt --to gru --both-ways gru_f,gru_b --name gru
  stackgru convert gru.pt cell.pt --to cell --cells ''
  stackgru convert gru.pt numbered.pt --to cell --stack gru_1,gru_2

\b
Exit status:
  0  OUT is written, and computes what IN does
  1  IN cannot be converted; nothing is written
  2  usage
  3  OUT could not be written, or did not compute what IN does and was removed
"""

_LARGE = 32 * 2**20  # bytes; reading more takes long enough to show progress


@click.command(epilog=_EPILOG)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--to", type=click.Choice(["gru", "cell"]), required=True, help="What OUT holds.")
@click.option(
    "--prefix",
    "prefixes",
    metavar="P",
    multiple=True,
    help="Convert only the stack, cell or GRU of this name (repeatable).",
)
@click.option("--name", metavar="NAME", help="Name of the GRU or stack in OUT, if it is only one.")
@click.option("--stack", metavar="A,B", help="Cells of one stack, the lowest first, in IN or OUT.")
@click.option(
    "--both-ways",
    metavar="F,B",
    help="Cells that go forward and backward in a bidirectional GRU; {} for the layer.",
)
@click.option("--key", metavar="K", help="Key of the state dict in IN, such as model.state.")
@click.option(
    "--cells",
    metavar="NAME",
    default="grus.{}",
    show_default=True,
    help="Name of a cell in its stack, with {} for the layer; '' for a cell in place of the GRU.",
)
@click.option(
    "--trust", is_flag=True, help="Allow IN to execute code; only for files that you trust."
)
@click.option("--force", is_flag=True, help="Overwrite OUT, even if it is IN.")
def convert(
    source: Path,
    target: Path,
    force: bool,
    stack: str | None,
    both_ways: str | None,
    **options: Any,
) -> None:
    """Convert the GRU cells in a checkpoint to nn.GRU, or nn.GRU to cells.

    IN is a PyTorch checkpoint or a safetensors file; OUT gets the same format.
    """
    if target.exists() and not force:
        same = source.exists() and source.samefile(target)
        what = "IN and OUT are the same file" if same else f"{target} exists"
        raise click.UsageError(f"{what}; --force overwrites it.")
    if source.suffix != target.suffix and ".safetensors" in (source.suffix, target.suffix):
        raise click.UsageError("IN and OUT must both be safetensors files, or neither.")
    lists = {"stack": names(stack or ""), "both_ways": names(both_ways or "")}
    with errors_shown("nothing is written"):
        done = _converted(source, target, **lists, **options)
    click.echo(_table(done), nl=False)
    stacks = ", ".join(repr(name) if name else "the whole" for name in done.found)
    what = "computes bit by bit what it" if len(done.found) == 1 else "compute bit by bit what they"
    click.echo(f"{target} is written; {stacks} {what} computed in {source}.")


def _converted(source: Path, target: Path, **options: Any) -> Converted:
    """Convert; end with a sentence and the status of what went wrong."""
    from stackgru.checkpoints.state_dict import ConversionError
    from stackgru.checkpoints.verify import Differs

    try:
        return _convert(source, target, **options)
    except ConversionError as error:
        text = str(error)
        fail(text if text.endswith("?") else f"{text}.", FAILED)
    except Differs as error:
        fail(f"{target} is not written: {error}.", NO_VERDICT)
    except OSError as error:
        # OUT is first written under a temporary name, which would mean nothing to the user.
        is_of_source = error.filename is not None and Path(error.filename) == source
        name = source if is_of_source else target
        fail(f"{name}: {error.strerror or error}.", FAILED if is_of_source else NO_VERDICT)


def _convert(source: Path, target: Path, trust: bool, to: Any, **options: Any) -> Converted:
    """Read, convert, write, read again and compare."""
    from stackgru.checkpoints.files import convert, read, write
    from stackgru.checkpoints.state_dict import Choice
    from stackgru.checkpoints.verify import assert_same, original

    key = options.pop("key")
    old = read(source, trust=trust)
    new, done = convert(old, to, key, Choice(**options))
    is_safe = old.is_safe
    with _watched(source, f"Reading {source.name}") as advance:
        was = original(old, done, to, advance)
    del old

    def check(written: Path) -> None:
        nonlocal new
        new.content = None  # it is on disk now, and need not be in memory twice
        again = read(written, trust=trust, is_safe=is_safe)
        with _watched(written, f"Comparing {target.name}") as advance:
            assert_same(was, again, done, to, advance)

    write(target, new, check)
    return done


@contextmanager
def _watched(path: Path, what: str) -> Iterator[Callable[[int], object]]:
    """Yield what hears of bytes; show progress if the file is large and stderr is a terminal."""
    size = path.stat().st_size
    if size < _LARGE or not sys.stderr.isatty():
        yield bool
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=size)
        yield lambda number: progress.advance(task, number)


def _table(done: Converted) -> str:
    """Return the old and new names in two columns, and the notes on optimisers."""
    width = max(map(len, done.names))
    lines = [f"{old:<{width}}  ->  {new}\n" for old, new in done.names.items()]
    return "".join(lines) + "".join(f"{note}\n" for note in done.notes)
