"""Write several files so that all of them appear under their final names, or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from DeepImagingLib.errors import InputError, OutputError

LONGEST_NAME = 200  # bytes; file systems take 255, and the files of overlapping segments add the segment's name


@contextmanager
def staged(finals: Sequence[Path], is_input: Callable[[Path], bool] = lambda path: False) -> Iterator[dict[Path, Path]]:
    """Give a place beside each final path to write to; move all there at the end, or remove them on any error.

    Args:
        finals: The files asked for. Missing parent folders are made (and removed again on an error).
        is_input: Tells of a place whether what lies there must not be replaced.

    Yields:
        final path → path to write to, with the same file name, on the same file system. Further files written
        into the same folder (one a segment, say) move along.

    Raises:
        InputError: A folder can't be made or written to, or a file is asked for twice; raised before anything is
            computed.
        OutputError: Nothing was written for a file, or it can't be moved to its place.
    """
    made: list[Path] = []
    stages: dict[Path, Path] = {}
    try:
        _check_each_once(finals)
        for final in finals:
            _make_folder(final, made)
            stages[final] = _stage_for(final)
        yield {final: stage / final.name for final, stage in stages.items()}
        _publish(_moves(stages, is_input))
    except BaseException:
        _remove_stages(stages)
        for folder in made:
            with suppress(OSError):  # not empty: somebody else's files are in it by now
                folder.rmdir()
        raise
    _remove_stages(stages)


def failed_writing(error: OSError) -> OutputError:
    """Return what a user reads where the system refuses to write."""
    return OutputError(
        f"The results could not be written ({error.strerror or 'writing failed'}); free space or choose another place."
    )


def _check_each_once(finals: Sequence[Path]) -> None:
    resolved = [final.resolve() for final in finals]
    for final in finals:
        if resolved.count(final.resolve()) > 1:
            raise InputError(f"The output {final.name!r} is asked for twice; give each output its own name.")


def _make_folder(final: Path, made: list[Path]) -> None:
    """Make the folder of a file; each one that is missing is put before those in `made` first, innermost in front."""
    if len(os.fsencode(final.name)) > LONGEST_NAME:
        raise InputError(f"The output name {final.name[:40]!r}… is too long; give it at most {LONGEST_NAME} bytes.")
    if final.is_dir():
        raise InputError(f"The output {str(final)!r} is a folder; name a file in it.")
    try:
        made[:0] = [folder for folder in final.parents if not folder.exists()]
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {str(final.parent)!r} can't be made ({error.strerror}); choose another place."
        ) from error


def _stage_for(final: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=".deepimaging-", dir=final.parent))
    except OSError as error:
        raise InputError(
            f"The folder {str(final.parent)!r} can't be written to ({error.strerror}); choose another place."
        ) from error


def _moves(stages: Mapping[Path, Path], is_input: Callable[[Path], bool]) -> dict[Path, Path]:
    """Return final path → written file for all that was written.

    Raises:
        InputError: A file would replace an input.
        OutputError: A stage is empty (a writer failed without saying so), or two files want one place.
    """
    moves: dict[Path, Path] = {}
    for final, stage in stages.items():
        written = list(stage.iterdir())
        if not written or any(path.stat().st_size == 0 for path in written):
            raise OutputError(f"The output {final.name!r} could not be written; is the disk full?")
        for path in written:
            target = final.parent / path.name
            if target in moves or target.is_dir():
                raise OutputError(f"The place of {path.name!r} is taken; choose another name for the output.")
            if is_input(target):
                raise InputError(f"The file {path.name!r} would replace an input; give the output another name.")
            moves[target] = path
    return moves


def _publish(moves: Mapping[Path, Path]) -> None:
    """Move every file to its place; where one move fails, put back what was there before."""
    done: list[Path] = []
    try:
        for target, written in moves.items():
            done.append(target)
            if target.exists():
                _aside(written).parent.mkdir(exist_ok=True)
                os.replace(target, _aside(written))
            os.replace(written, target)
    except BaseException as error:
        for target in done:
            _put_back(target, _aside(moves[target]))
        if isinstance(error, OSError):
            raise failed_writing(error) from error
        raise


def _aside(written: Path) -> Path:
    """Return where the older file goes that a written one replaces, until all are in place."""
    return written.parent / "before" / written.name


def _put_back(target: Path, aside: Path) -> None:
    with suppress(OSError):  # whatever can't be put back must not keep the others from it
        if aside.exists():
            os.replace(aside, target)
        else:
            target.unlink(missing_ok=True)


def _remove_stages(stages: Mapping[Path, Path]) -> None:
    for stage in stages.values():
        shutil.rmtree(stage, ignore_errors=True)
