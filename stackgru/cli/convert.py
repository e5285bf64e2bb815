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

    from stackgru.checkpoints.files import Checkpoint, Converted
    from stackgru.checkpoints.state_dict import Choice

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
  stackgru convert model.keras gru.pt --to gru
  stackgru convert gru.pt new.keras --like model.keras

\b
Exit status:
  0  OUT is written, and computes what IN does
  1  IN cannot be converted; nothing is written
  2  usage
  3  OUT could not be written, or did not compute what IN does and was removed
"""

_SAFE = ".safetensors"
_LARGE = 32 * 2**20  # bytes; reading more takes long enough to show progress


@click.command(epilog=_EPILOG)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--to", type=click.Choice(["gru", "cell"]), help="What OUT holds.")
@click.option(
    "--like",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of another framework: OUT is a copy of it, with the weights of the nn.GRU in IN.",
)
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
    help="Cells that go forward and backward in a bidirectional GRU: two with {} for the layer, "
    "or two for each.",
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
    to: str | None,
    like: Path | None,
    force: bool,
    stack: str | None,
    both_ways: str | None,
    **options: Any,
) -> None:
    """Convert the GRU cells in a checkpoint to nn.GRU, or nn.GRU to cells.

    IN is a PyTorch checkpoint or a safetensors file; OUT gets the same format. IN can also be a
    file of Keras (.keras, .h5), flax (.msgpack), ONNX (.onnx) or NumPy (.npz), into a copy of which
    --like writes.
    """
    if (to is None) == (like is None):
        raise click.UsageError("One of --to and --like is needed.")
    if target.exists() and not force:
        same = source.exists() and source.samefile(target)
        what = "IN and OUT are the same file" if same else f"{target} exists"
        raise click.UsageError(f"{what}; --force overwrites it.")
    if like is not None and like.suffix != target.suffix:
        raise click.UsageError(f"OUT gets the format of {like}, so its name ends in {like.suffix}.")
    lists = {"stack": names(stack or ""), "both_ways": names(both_ways or "")}
    with errors_shown("nothing is written"):
        done = _converted(source, target, to=to, like=like, **lists, **options)
    click.echo(_table(done), nl=False)
    stacks = ", ".join(repr(name) if name else "the whole" for name in done.found)
    one = len(done.found) == 1
    how = "within rounding" if done.is_rounded else "bit by bit"
    what = f"computes {how} what it" if one else f"compute {how} what they"
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


def _convert(
    source: Path, target: Path, trust: bool, to: Any, like: Path | None, **options: Any
) -> Converted:
    """Read, convert, write, read again and compare."""
    from stackgru.checkpoints.files import convert, read, write
    from stackgru.checkpoints.state_dict import Choice, ConversionError
    from stackgru.checkpoints.verify import assert_same, original

    key = options.pop("key")
    old = read(source, trust=trust)
    if like is not None:
        return _convert_into(like, target, old, key, Choice(**options))
    is_safe = target.suffix == _SAFE if old.cells is not None else old.is_safe
    if is_safe != (target.suffix == _SAFE) and is_safe == (source.suffix == _SAFE):
        raise ConversionError("IN and OUT must both be safetensors files, or neither")
    new, done = convert(old, to, key, Choice(**options))
    new.is_safe = is_safe
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


def _convert_into(
    like: Path, target: Path, old: Checkpoint, key: str | None, choice: Choice
) -> Converted:
    """Put an nn.GRU into a copy of another framework's file, read that again and compare."""
    from stackgru.checkpoints.files import convert_into, read
    from stackgru.checkpoints.others import container_of, read_cells, write_like
    from stackgru.report.files import replacing

    container, cells = container_of(like) or like.suffix[1:], read(like).cells
    if cells is None:
        fail(f"{like} is torch's own; --to converts it.", FAILED)
    own, new, done = convert_into(cells, old, key, choice)
    arrays = cells.changed(new)
    with replacing(target) as temporary:
        write_like(like, temporary, container, arrays)
        again = read_cells(temporary, container).state()
        _compare_with_cells(own, new, cells.with_arrays(arrays).state(), again, done)
    return done


def _compare_with_cells(own: Any, new: Any, expected: Any, again: Any, done: Converted) -> None:
    """Raise Differs unless a file holds what it was to hold, and its cells compute what a GRU does.

    Args:
        own: the GRU's weights.
        new: the same as cells.
        expected: the same as the file can hold them, with sums of biases perhaps.
        again: what the file holds.
        done: how they are called.
    """
    from stackgru.bounds.compare import compare
    from stackgru.checkpoints.verify import Differs, as_gru_and_cells, same

    for name in done.names.values():
        if not same(again[name], expected[name]):
            raise Differs(f"{name!r} differs")
    done.is_rounded = not all(same(again[name], new[name]) for name in done.names.values())
    for name, one in done.found.items():
        gru, (x, h0, *results) = as_gru_and_cells(own, again, one, done.names)
        exact = all(map(same, gru(x, h0), results))
        compared = compare(gru, x, h0, *results)
        if not exact and not (done.is_rounded and compared.within):
            raise Differs(f"{name!r} gives different results on random input: {compared.first}")


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
