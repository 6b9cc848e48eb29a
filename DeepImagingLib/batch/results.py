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
from DeepImagingLib.batch.studies import OWN_FOLDER, Study, state_of
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
        taken = {}
        endings = tuple(ending.replace(".seg.nrrd", ".nrrd") for ending in formats)  # as probability volumes have them
        for name, identity in identities.items():
            known = [file for file in self._files(name) if file.endswith(endings)]
            if why := self._other(name, identity, {*known, *(name + ending for ending in formats)}):
                taken[name] = why
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

        What an earlier result of the same identity has in other formats stays; all else of an earlier one goes.

        Raises:
            InputError: Something else is in its place.
            OutputError: It can't be written.
        """
        name = entry.study.name
        files = sorted(path.name for path in stage.iterdir())
        if not files or any((stage / file).stat().st_size == 0 for file in files):
            raise OutputError("The result could not be written; is the disk full?")
        if not self._replace and (why := self._other(name, identity, files)):
            raise InputError(f"Something else is in the place of the result ({why}); move it away.")
        earlier, older = _made(_read(self._report(name))), self._files(name)
        same = earlier.get("identity") == identity
        stays = {file: state for file, state in older.items() if same and self._all_there([file])}
        whole = same and older.keys() <= {*stays, *files}
        made = {
            "study": name,
            "identity": identity,
            "formats": sorted({*formats, *(earlier["formats"] if whole else ())}),
            "seconds": round(entry.seconds, 3),
            "removed": sorted(older.keys() - {*stays, *files}),
        }
        try:
            for file in files:
                _sync(stage / file)
            made["files"] = {**stays, **{file: state_of(stage / file) for file in files}}
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

    def _files(self, name: str) -> dict[str, Any]:
        """Return the files that an earlier result of this name consists of, beside its report, as they were written."""
        listed = _made(_read(self._report(name))).get("files", {})
        return {file: state for file, state in listed.items() if Path(file).name == file}

    def _all_there(self, files: Iterable[str]) -> bool:
        return all((self._folder / file).is_file() for file in files)

    def _other(self, name: str, identity: Identity, files: Iterable[str]) -> str:
        """Say what else a result of these files would replace, "" where nothing is."""
        made, older = _made(_read(self._report(name))), self._files(name)
        differing = [key for key, value in identity.items() if made and made["identity"].get(key) != value]
        if differing:
            return f"the result has another {' and '.join(differing)}"
        for file in sorted(files) if made else [f"{name}.json", *sorted(files)]:
            path = self._folder / file
            if path.exists() and list(state_of(path)) != older.get(file):
                why = "was changed after it was written" if file in older else "is no result of a batch"
                return f"{file!r} {why}"
        return ""

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
        made = _read(stage / COMPLETE)[BATCH]
        report = self._report(made["study"])
        for path in (report, *(self._folder / file for file in made["removed"])):
            path.unlink(missing_ok=True)
        _sync(self._folder)
        for path in stage.iterdir():
            if path.name != COMPLETE:
                os.replace(path, self._folder / path.name)
        _sync(self._folder)
        os.replace(stage / COMPLETE, report)
        _sync(self._folder)
        shutil.rmtree(stage, ignore_errors=True)

    def _write(self, path: Path, content: str | Mapping[str, Any]) -> None:
        """Write a file so that either its older or its new content is there, and whole."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        written = self._own / "writing"
        # what is no text in a file's name is written as JSON escapes it
        written.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
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
    if not isinstance(made, dict) or not {"identity", "files", "formats", "seconds"} <= made.keys():
        return {}
    return made if isinstance(made["files"], dict) else {}


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
