"""The command that converts a checkpoint."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

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
  3  OUT could not be written, or does not compute what IN does; then it is not kept
"""

_LARGE = 32 * 2**20  # bytes, from where on reading takes long enough to watch


@click.command(epilog=_EPILOG)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--to", type=click.Choice(["gru", "cell"]), required=True, help="What it is to hold.")
@click.option("--prefix", metavar="P", help="Convert the stack or the GRU of this name only.")
@click.option("--key", metavar="K", help="Where in IN the state dict is, as model.state.")
@click.option(
    "--cells",
    metavar="NAME",
    default="grus.{}",
    show_default=True,
    help="How a cell is called within its stack, with {} for the layer.",
)
@click.option("--trust", is_flag=True, help="Run what is pickled in IN. Whose file is it?")
@click.option("--force", is_flag=True, help="Write over OUT, be it IN itself.")
def convert(source: Path, target: Path, **options: Any) -> None:
    """Convert the GRU cells in a checkpoint to nn.GRU, or nn.GRU to cells.

    IN is a checkpoint of PyTorch or a safetensors file; OUT gets the same format.
    """
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")
    from stackgru.checkpoints.state_dict import ConversionError
    from stackgru.checkpoints.verify import Differs

    force = options.pop("force")
    if target.exists() and not force:
        same = source.exists() and source.samefile(target)
        what = "IN and OUT are one file" if same else f"{target} is there already"
        raise click.UsageError(f"{what}; --force writes over it.")
    if source.suffix != target.suffix and ".safetensors" in (source.suffix, target.suffix):
        raise click.UsageError("IN and OUT must both be safetensors files, or neither.")
    try:
        done = _convert(source, target, **options)
    except ConversionError as error:
        text = str(error)
        click.echo(f"Error: {text if text.endswith('?') else f'{text}.'}", err=True)
        sys.exit(1)
    except Differs as error:
        click.echo(f"Error: {target} is not written: {error}.", err=True)
        sys.exit(3)
    except OSError as error:
        # What is written goes to a file beside OUT first, whose name says nothing to anybody.
        is_of_source = error.filename is not None and Path(error.filename) == source
        name = source if is_of_source else target
        click.echo(f"Error: {name}: {error.strerror or error}.", err=True)
        sys.exit(1 if is_of_source else 3)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        click.echo(f"Error: stackgru itself failed, so nothing is written: {what}", err=True)
        sys.exit(3)
    click.echo(_table(done), nl=False)
    stacks = ", ".join(repr(name) if name else "the whole" for name in done.found)
    click.echo(f"{target} is written; {stacks} gives bit by bit what it gave in {source}.")


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
    """Open a file; show how far it is read where it is large and somebody watches."""
    if path.stat().st_size < _LARGE or not sys.stderr.isatty():
        with path.open("rb") as file:
            yield file
        return
    from rich.console import Console
    from rich.progress import open as watched

    with watched(path, "rb", description=what, console=Console(stderr=True)) as file:
        yield file


def _table(done: Converted) -> str:
    """Return the old and the new names in two columns, and what became of optimisers."""
    width = max(map(len, done.names))
    lines = [f"{old:<{width}}  ->  {new}\n" for old, new in done.names.items()]
    return "".join(lines) + "".join(f"{note}\n" for note in done.notes)
