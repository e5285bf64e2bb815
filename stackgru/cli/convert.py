"""The command that converts a checkpoint."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from stackgru.cli.common import FAILED, NO_VERDICT, errors_shown, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stackgru.checkpoints.files import Converted

_EPILOG = """\b
Examples:
  stackgru convert decoder.pt gru.pt --to gru
  stackgru convert model.pt cells.pt --to cell --prefix decoder.rnn
  stackgru convert run.ckpt new.ckpt --to gru --key model.state
  stackgru convert model.safetensors gru.safetensors --to gru

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
@click.option("--prefix", metavar="P", help="Convert only the stack or GRU of this name.")
@click.option("--key", metavar="K", help="Key of the state dict in IN, such as model.state.")
@click.option(
    "--cells",
    metavar="NAME",
    default="grus.{}",
    show_default=True,
    help="Name of a cell in its stack, with {} for the layer.",
)
@click.option(
    "--trust", is_flag=True, help="Allow IN to execute code; only for files that you trust."
)
@click.option("--force", is_flag=True, help="Overwrite OUT, even if it is IN.")
def convert(source: Path, target: Path, force: bool, **options: Any) -> None:
    """Convert the GRU cells in a checkpoint to nn.GRU, or nn.GRU to cells.

    IN is a PyTorch checkpoint or a safetensors file; OUT gets the same format.
    """
    if target.exists() and not force:
        same = source.exists() and source.samefile(target)
        what = "IN and OUT are the same file" if same else f"{target} exists"
        raise click.UsageError(f"{what}; --force overwrites it.")
    if source.suffix != target.suffix and ".safetensors" in (source.suffix, target.suffix):
        raise click.UsageError("IN and OUT must both be safetensors files, or neither.")
    with errors_shown("nothing is written"):
        done = _converted(source, target, **options)
    click.echo(_table(done), nl=False)
    stacks = ", ".join(repr(name) if name else "the whole" for name in done.found)
    click.echo(f"{target} is written; {stacks} computes bit by bit what it computed in {source}.")


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
    from stackgru.checkpoints.verify import assert_same

    with _watched(source, f"Reading {source.name}") as file:
        old = read(source, file, trust=trust)
    new, done = convert(old, to, **options)

    def check(written: Path) -> None:
        with _watched(written, f"Comparing {target.name}") as file:
            again = read(written, file, trust=trust, is_safe=old.is_safe)
        assert_same(old, again, done, to)

    write(target, new, check)
    return done


@contextmanager
def _watched(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file; show progress if it is large and stderr is a terminal."""
    if path.stat().st_size < _LARGE or not sys.stderr.isatty():
        with path.open("rb") as file:
            yield file
        return
    from rich.console import Console
    from rich.progress import open as watched

    with watched(path, "rb", description=what, console=Console(stderr=True)) as file:
        yield file


def _table(done: Converted) -> str:
    """Return the old and new names in two columns, and the notes on optimisers."""
    width = max(map(len, done.names))
    lines = [f"{old:<{width}}  ->  {new}\n" for old, new in done.names.items()]
    return "".join(lines) + "".join(f"{note}\n" for note in done.notes)
