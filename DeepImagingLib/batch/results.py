"""The folder that a batch writes to: whole results under final names, whatever happens and whenever.

A result is complete when its report is there, which is moved into place last. Everything is made in a folder of the
batch's own inside; what is complete there when a batch is killed is moved out by the next one, the rest is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from DeepImagingLib.batch.entry import Entry, table
from DeepImagingLib.batch.studies import OWN_FOLDER, Study
from DeepImagingLib.errors import InputError, OutputError
from DeepImagingLib.files import failed_writing

BATCH = "batch"
"""Key of what a report says of the batch that made it."""
COMPLETE = ".complete"
STAGE = "stage-"
SUMMARY = "summary.csv"

Identity = Mapping[str, Any]
"""What makes a result the same: model, options, images; plain values as JSON gives them back."""


class Results:
    """The folder, for one batch at a time.

    Args:
        folder: Made where it is missing.
        replace: Other files may be replaced by results.

    Raises:
        InputError: It can't be written to, or another batch is writing to it.
    """

    def __init__(self, folder: Path, *, replace: bool = False) -> None:
        self._folder = folder
        self._own = folder / OWN_FOLDER
        self._replace = replace
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            self._lock = (self._own / "lock").open("a+")
        except OSError as error:
            raise InputError(
                f"The folder {str(folder)!r} can't be written to ({error.strerror}); choose another place."
            ) from error
        self._hold()
        self._tidy()
        self._failed: dict[str, Any] = _read(self._own / "failed.json")

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what isn't complete, and let another batch write here."""
        self._tidy()
        self._lock.close()

    def known(self, study: Study, identity: Identity, formats: Sequence[str]) -> Entry | None:
        """Return what became of a study in an earlier call; None where that isn't known, or was another."""
        report = _read(self._report(study.name))
        made = _made(report)
        whole = made and set(formats) <= set(made["formats"]) and self._all_there(made["files"])
        if whole and made["identity"] == identity:
            return Entry(study, made["seconds"], report, earlier=True)
        failed = self._failed.get(study.name, {})
        if failed.get("identity") == identity:
            return Entry(study, failed["seconds"], error=failed["error"], earlier=True)
        return None

    def check_free(self, identities: Mapping[str, Identity], formats: Sequence[str]) -> None:
        """Raise InputError where results of these names would replace what is something else."""
        taken = {name: why for name, identity in identities.items() if (why := self._other(name, identity, formats))}
        if taken and not self._replace:
            name, why = next(iter(taken.items()))
            raise InputError(
                f"{self._folder.name!r} holds something else under the names of {len(taken)} studies (at {name!r} "
                f"{why}); give another output folder, or replace them (--replace)."
            )

    def stage(self) -> Path:
        """Return a new folder to write the files of one study to."""
        return Path(tempfile.mkdtemp(prefix=STAGE, dir=self._own))

    def drop(self, stage: Path) -> None:
        """Remove what was written for a study, unless it is complete and only couldn't be moved yet."""
        if not (stage / COMPLETE).exists():
            shutil.rmtree(stage, ignore_errors=True)

    def keep(self, stage: Path, entry: Entry, identity: Identity, formats: Sequence[str]) -> None:
        """Move a result into place; from here on it is kept, also where this process is killed.

        Raises:
            OutputError: It can't be written, or something else is in its place.
        """
        name = entry.study.name
        files = sorted(path.name for path in stage.iterdir())
        if not files or any((stage / file).stat().st_size == 0 for file in files):
            raise OutputError("The result could not be written; is the disk full?")
        in_the_way = [file for file in files if (self._folder / file).exists() and file not in self._files(name)]
        if in_the_way and not self._replace:
            raise OutputError(f"{in_the_way[0]!r} is there already and no result of this batch; move it away.")
        made = {
            "study": name,
            "identity": identity,
            "formats": list(formats),
            "files": files,
            "seconds": round(entry.seconds, 3),
        }
        try:
            for file in files:
                _sync(stage / file)
            self._write(stage / COMPLETE, {**(entry.report or {}), BATCH: made})
            self._move(stage)
        except OSError as error:
            raise failed_writing(error) from error
        if self._failed.pop(name, None):
            self._write(self._own / "failed.json", self._failed)

    def note_failure(self, entry: Entry, identity: Identity) -> None:
        """Remember that a study failed."""
        self._failed[entry.study.name] = {"identity": identity, "error": entry.error, "seconds": entry.seconds}
        self._write(self._own / "failed.json", self._failed)

    def write_summary(self, entries: Iterable[Entry]) -> None:
        """Write the table anew; raises PermissionError where another program keeps it open (Windows)."""
        self._write(self._folder / SUMMARY, table(list(entries)))

    # --- what is there ---

    def _report(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _files(self, name: str) -> list[str]:
        """Return the names of the files that an earlier result of this name consists of, beside its report."""
        listed = _made(_read(self._report(name))).get("files", [])
        return [file for file in listed if Path(file).name == file]

    def _all_there(self, files: Iterable[str]) -> bool:
        return all((self._folder / file).is_file() for file in files)

    def _other(self, name: str, identity: Identity, formats: Sequence[str]) -> str:
        """Say what else is under a name, "" where nothing is."""
        made = _made(_read(self._report(name)))
        if made:
            differing = [key for key, value in identity.items() if made["identity"].get(key) != value]
            return f"the result has another {' and '.join(differing)}" if differing else ""
        files = [f"{name}.json", *(name + ending for ending in formats)]
        return next((f"{file!r} is no result of a batch" for file in files if (self._folder / file).exists()), "")

    # --- how it gets there ---

    def _hold(self) -> None:
        """Keep other batches out for as long as this process lives; the system lets go of it where that is killed."""
        try:
            _lock(self._lock)
        except OSError as error:
            self._lock.close()
            raise InputError(
                f"Another batch is writing to {str(self._folder)!r}; wait for it, or give another output folder."
            ) from error

    def _tidy(self) -> None:
        """Finish or remove what a killed batch left."""
        for path in self._own.glob(f"{STAGE}*"):
            if (path / COMPLETE).exists():
                self._move(path)
            shutil.rmtree(path, ignore_errors=True)

    def _move(self, stage: Path) -> None:
        """Move a complete result into place; done again after being killed in the middle, it does the rest."""
        name = _read(stage / COMPLETE)[BATCH]["study"]
        older = [self._folder / file for file in self._files(name)]
        for path in (self._report(name), *older):
            path.unlink(missing_ok=True)
        _sync(self._folder)
        for path in stage.iterdir():
            if path.name != COMPLETE:
                os.replace(path, self._folder / path.name)
        _sync(self._folder)
        os.replace(stage / COMPLETE, self._report(name))
        _sync(self._folder)
        shutil.rmtree(stage, ignore_errors=True)

    def _write(self, path: Path, content: str | Mapping[str, Any]) -> None:
        """Write a file so that either its older or its new content is there, and whole."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        written = self._own / "writing"
        written.write_text(text, encoding="utf-8", newline="")
        _sync(written)
        os.replace(written, path)
        _sync(path.parent)


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _made(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report says of the batch that made it; nothing where it was made otherwise."""
    made = report.get(BATCH)
    return made if isinstance(made, dict) and {"identity", "files", "formats", "seconds"} <= made.keys() else {}


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk itself; Windows knows no such thing for folders."""
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[Any]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
