"""A study of a batch: its name, its images, and how one tells that these changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

OWN_FOLDER = ".deepimaging-batch"
"""Lies in every folder that a batch writes to, so that no batch takes results for images."""
LONGEST_NAME = 150  # bytes; an ending and a segment's name are put behind it
UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: What its results are named.
        inputs: Input names to files or folders; `study.UNNAMED` where there is no name.
        series: Which series of a DICOM folder.
        problem: Why it can't be run, "" where nothing is known against it.
    """

    name: str
    inputs: Mapping[str, Path] = field(repr=False)
    series: str | None = field(default=None, repr=False)
    problem: str = ""

    def fingerprint(self) -> str:
        """Return a digest that changes with the images: of their names, sizes and times, so that it is quick."""
        digest = hashlib.sha256(f"{self.series}".encode())
        for name, path in sorted(self.inputs.items()):
            for file in _files(path):
                place = file.relative_to(path).as_posix()
                digest.update(repr((name, path.name, place, *_state(file))).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def walk(top: Path, skip: Path | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder and its files' names, in order; not what is hidden, nor `skip`, nor where a batch writes."""
    for folder, folders, names in os.walk(top):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _left_out(here / name, skip))
        yield here, sorted(name for name in names if not name.startswith("."))


def _left_out(folder: Path, skip: Path | None) -> bool:
    return (folder / OWN_FOLDER).is_dir() or (skip is not None and folder.resolve() == skip.resolve())


def _files(path: Path) -> Iterator[Path]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, names in walk(path):
        yield from (folder / name for name in names)


def _state(file: Path) -> tuple[int, int]:
    """Return size and time of change; what isn't there, or can't be, has none."""
    try:
        state = file.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return state.st_size, state.st_mtime_ns


def with_fit_names(studies: Iterable[Study]) -> list[Study]:
    """Return the studies, each with a name of its own that every file system takes."""
    taken: set[str] = set()
    named = []
    for study in studies:
        fit = _fit(study.name)
        name, count = fit, 1
        while name.casefold() in taken:
            count += 1
            name = f"{fit}_{count}"
        taken.add(name.casefold())
        named.append(replace(study, name=name))
    return named


def _fit(name: str) -> str:
    fit = UNFIT.sub("_", name).strip(". ") or "study"
    if len(os.fsencode(fit)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(fit)).hexdigest()[:8]
        fit = f"{os.fsencode(fit)[-LONGEST_NAME + 9 :].decode('utf-8', 'ignore')}_{digest}"
    return fit
