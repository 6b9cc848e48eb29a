"""A study of a batch: its name, its images, and how one tells that these changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

OWN_FOLDER = ".deepimaging-batch"
"""Lies in every folder that a batch writes to, so that no batch takes results for images."""
LONGEST_NAME = 150  # bytes; an ending and a segment's name are put behind it
UNFIT = re.compile(r'[\\/:*?"<>|\x00-\x1f\ud800-\udfff]+')  # a surrogate stands for bytes that are no text


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
                digest.update(repr((name, path.name, place, *state_of(file))).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def walk(
    top: Path, skip: Path | None = None, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder and its files' names, in order; not what is hidden, nor `skip`, nor where a batch writes.

    Each folder comes once, whatever links lead to it: those are followed last.
    """
    seen: set[str] = set()
    tops = deque([top])
    while tops:
        for folder, folders, names in os.walk(tops.popleft(), onerror=unreadable):
            real = os.path.realpath(folder)
            below = [] if real in seen else [Path(folder, name) for name in _shown(folders)]
            below = [path for path in below if not _left_out(path, skip)]
            tops.extend(path for path in below if path.is_symlink())
            folders[:] = [path.name for path in below if not path.is_symlink()]
            if real not in seen:
                seen.add(real)
                yield Path(folder), _shown(names)


def _shown(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("."))


def _left_out(folder: Path, skip: Path | None) -> bool:
    return os.path.isdir(folder / OWN_FOLDER) or (skip is not None and folder.resolve() == skip.resolve())


def _files(path: Path) -> Iterator[Path]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, names in walk(path):
        yield from (folder / name for name in names)


def state_of(file: Path) -> tuple[int, int]:
    """Return size and time of change; what isn't there, or can't be, has none."""
    try:
        state = file.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return state.st_size, state.st_mtime_ns


def with_fit_names(studies: Sequence[Study], ending: Callable[[Study], str] = lambda _: "") -> list[Study]:
    """Return the studies, each with a name of its own that every file system takes.

    Those of one name all get what `ending` tells of them behind it, and are numbered in their order where that is the
    same.
    """
    alike = Counter(_fit(study.name).casefold() for study in studies)
    taken: set[str] = set()
    named = []
    for study in studies:
        fit = _fit(study.name)
        fit = _fit(study.name + ending(study)) if alike[fit.casefold()] > 1 else fit
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
