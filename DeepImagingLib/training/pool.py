"""Phantoms drawn once for a whole training: by several processes, and kept on disk for other runs where asked."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from DeepImagingLib import phantoms
from DeepImagingLib.errors import InputError, WorkerError
from DeepImagingLib.training.checkpoint import write_whole

Arrays = dict[str, npt.NDArray[np.generic]]
T = TypeVar("T")

WORTH_PROCESSES = 6  # phantoms from which on it pays to start processes


def draw_all(seeds: Sequence[int], one: Callable[[int], T], tell: Callable[[float], None]) -> list[T]:
    """Return what `one` draws of each seed, on all cores.

    Args:
        seeds: Of the phantoms.
        one: Draws one; other processes are given it too.
        tell: Called with the share that is done; may raise to stop.

    Raises:
        WorkerError: A process that draws was ended.
    """
    if len(seeds) < WORTH_PROCESSES:
        return [_told(one(seed), (n + 1) / len(seeds), tell) for n, seed in enumerate(seeds)]
    with ProcessPoolExecutor(_cores(), get_context("spawn"), _leave_signals_alone) as pool:
        try:
            return [_told(drawn, (n + 1) / len(seeds), tell) for n, drawn in enumerate(pool.map(one, seeds))]
        except BrokenProcessPool as error:
            raise WorkerError("A process that draws phantoms was ended; is there memory enough?") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def kept_or_drawn(path: Path | None, names: Sequence[str], draw: Callable[[], Arrays]) -> Arrays:
    """Return the arrays of a file, or draw them and write it; without a path, nothing is kept."""
    if path is None:
        return draw()
    try:
        with np.load(path) as kept:
            return {name: kept[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # not there, or cut off by a power cut
        drawn = draw()
        write_whole(path, lambda file: np.savez_compressed(file, **drawn))  # type: ignore[arg-type]  # no flags in it
        return drawn


def cache_folder(cache: str | os.PathLike[str] | None, way: object) -> Path | None:
    """Return a folder of its own for each way of drawing: the code of the phantoms, and what `way` is shown as.

    Raises:
        InputError: It can't be made.
    """
    if not cache:
        return None
    digest = hashlib.sha256(repr(way).encode())
    for path in sorted(Path(phantoms.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = Path(cache) / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The cache {cache} can't be used ({error.strerror}); name another folder.") from error
    return folder


def _told(drawn: T, share: float, tell: Callable[[float], None]) -> T:
    tell(share)
    return drawn


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_signals_alone() -> None:
    """Ctrl-C goes to all processes of a terminal; what to do about it is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
