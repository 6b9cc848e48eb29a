"""Write several files so that all of them appear under their final names, or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from DeepImagingLib.errors import InputError, OutputError


@contextmanager
def staged(finals: Sequence[Path]) -> Iterator[dict[Path, Path]]:
    """Give a place beside each final path to write to; move all there at the end, or remove them on any error.

    Args:
        finals: The files asked for. Missing parent folders are made (and removed again on an error).

    Yields:
        final path → path to write to, with the same file name, on the same file system. Further files written
        into the same folder (one a segment, say) move along.

    Raises:
        InputError: A folder can't be made or written to; raised before anything is computed.
        OutputError: The disk is full, or writing failed.
    """
    made: list[Path] = []
    stages: dict[Path, Path] = {}
    try:
        for final in finals:
            made += _make_folder(final)
            stages[final] = _stage_for(final)
        yield {final: stage / final.name for final, stage in stages.items()}
        _publish(stages)
    except OSError as error:
        _remove(made, stages)
        reason = error.strerror or "writing failed"
        raise OutputError(
            f"The results could not be written ({reason}); free space or choose another place."
        ) from error
    except BaseException:
        _remove(made, stages)
        raise
    for stage in stages.values():
        shutil.rmtree(stage, ignore_errors=True)


def _make_folder(final: Path) -> list[Path]:
    """Make the folder of a file; returns those that were made, innermost first."""
    missing = [folder for folder in final.parents if not folder.exists()]
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {str(final.parent)!r} can't be made ({error.strerror}); choose another."
        ) from error
    if final.is_dir():
        raise InputError(f"{str(final)!r} is a folder; name a file.")
    return missing


def _stage_for(final: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=".deepimaging-", dir=final.parent))
    except OSError as error:
        raise InputError(
            f"The folder {str(final.parent)!r} can't be written to ({error.strerror}); choose another place."
        ) from error


def _publish(stages: dict[Path, Path]) -> None:
    """Move what was written to its final place; an empty stage means that a writer failed without saying so."""
    for final, stage in stages.items():
        written = list(stage.iterdir())
        if not written or any(path.stat().st_size == 0 for path in written):
            raise OutputError(f"{final.name!r} could not be written; is the disk full?")
    for final, stage in stages.items():
        for path in stage.iterdir():
            os.replace(path, final.parent / path.name)


def _remove(made: Sequence[Path], stages: dict[Path, Path]) -> None:
    for stage in stages.values():
        shutil.rmtree(stage, ignore_errors=True)
    for folder in made:
        with suppress(OSError):  # not empty: somebody else's files are in it by now
            folder.rmdir()
