"""A pool of phantoms' label maps: drawn by several processes, packed in memory, kept on disk only where asked."""

from __future__ import annotations

import hashlib
import os
import signal
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from DeepImagingLib import phantoms
from DeepImagingLib.errors import InputError, WorkerError
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.training.checkpoint import write_whole

Bytes = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]

WORTH_PROCESSES = 6  # bodies from which on it pays to start processes


def _triple(values: Sequence[float]) -> Triple:
    """Return numbers that a config may have as a list."""
    x, y, z = map(float, values)
    return x, y, z


@dataclass(frozen=True)
class View:
    """What is seen of bodies.

    Attributes:
        spacing: Voxel size in mm.
        field_of_view: Size in mm.
        center: Middle of it, in RAS mm.
        spread: How far that of one body may lie from there.
    """

    spacing: Triple
    field_of_view: Triple
    center: Triple = (0.0, 0.0, 0.0)
    spread: Triple = (0.0, 0.0, 0.0)

    def draw(self, seed: int) -> tuple[Bytes, Bytes, npt.NDArray[np.float64]]:
        """Return a body's materials and organs (I, J, K), and their affine."""
        x, y, z = np.random.default_rng([seed, 3]).uniform(-1, 1, 3) * self.spread + self.center
        return torso_ct.draw(seed, self.spacing, self.field_of_view, center=(float(x), float(y), float(z)))


class Body:
    """A phantom's materials and organs, (I, J, K) each, as few bytes: a pool of hundreds fits into memory.

    Args:
        materials, organs: The volumes.
        affine: IJK→RAS in mm.
    """

    def __init__(self, materials: Bytes, organs: Bytes, affine: npt.NDArray[np.float64]) -> None:
        self.shape = materials.shape
        self.affine = affine
        self._packed = zlib.compress(np.stack([materials, organs]).tobytes(), 1)

    def unpack(self) -> tuple[Bytes, Bytes]:
        """Return materials and organs."""
        both = np.frombuffer(zlib.decompress(self._packed), np.uint8).reshape(2, *self.shape)
        return both[0], both[1]


class Bodies:
    """The torsos that patches are cut from, drawn once; several data sets may share them.

    Args:
        first: Seed of the first; the others follow.
        count: How many.
        spacing: Voxel size in mm.
        field_of_view: Size in mm.
        cache: Folder that keeps them for other runs; without one, nothing is stored.
        center: Middle of the field of view in the body's world, in RAS mm.
        spread: How far from there, along each axis, that of a body may lie at most; its seed decides.
    """

    def __init__(
        self,
        first: int = 0,
        count: int = 300,
        spacing: Triple = (4.0, 4.0, 4.0),
        field_of_view: Triple = (480.0, 360.0, 800.0),
        cache: str | None = None,
        center: Triple = (0.0, 0.0, 0.0),
        spread: Triple = (0.0, 0.0, 0.0),
    ) -> None:
        if first < 0 or count < 1:
            raise InputError(f"Bodies have seeds from 0, and there has to be one; got {count} from {first}.")
        self.seeds = range(first, first + count)
        self.spacing = spacing
        self._view = View(*map(_triple, (spacing, field_of_view, center, spread)))
        self._cache = cache
        self._drawn: list[Body] = []

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Body:
        """Return a body."""
        self.prepare()
        return self._drawn[index]

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw them; `tell` is called with the share that is done."""
        self._drawn = self._drawn or draw_bodies(self.seeds, self._view, self._cache, tell)


def draw_bodies(
    seeds: Sequence[int], view: View, cache: str | os.PathLike[str] | None, tell: Callable[[float], None]
) -> list[Body]:
    """Return a body for each seed, drawn on all cores.

    Args:
        seeds: Of `phantoms.torso_ct.draw`.
        view: What to draw of each.
        cache: Folder where bodies are kept for other runs; what another version of the phantoms drew is not taken.
        tell: Called with the share that is done; may raise to stop.

    Raises:
        WorkerError: A process that draws was ended.
    """
    folder = _cache_folder(Path(cache), view) if cache else None
    one = partial(_drawn, view=view, folder=folder)
    if len(seeds) < WORTH_PROCESSES:
        return [_told(one(seed), (n + 1) / len(seeds), tell) for n, seed in enumerate(seeds)]
    with ProcessPoolExecutor(_cores(), get_context("spawn"), _leave_signals_alone) as pool:
        try:
            return [_told(body, (n + 1) / len(seeds), tell) for n, body in enumerate(pool.map(one, seeds))]
        except BrokenProcessPool as error:
            raise WorkerError("A process that draws phantoms was ended; is there memory enough?") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _told(body: Body, share: float, tell: Callable[[float], None]) -> Body:
    tell(share)
    return body


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_signals_alone() -> None:
    """Ctrl-C goes to all processes of a terminal; what to do about it is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _drawn(seed: int, view: View, folder: Path | None) -> Body:
    if folder is None:
        return Body(*view.draw(seed))
    path = folder / f"{seed}.npz"
    try:
        with np.load(path) as kept:
            return Body(kept["materials"], kept["organs"], kept["affine"])
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # not there, or cut off by a power cut
        materials, organs, affine = view.draw(seed)
        write_whole(path, lambda file: np.savez_compressed(file, materials=materials, organs=organs, affine=affine))
        return Body(materials, organs, affine)


def _cache_folder(cache: Path, view: View) -> Path:
    """Return a folder of its own for each way of drawing: the code of the phantoms, the grid."""
    digest = hashlib.sha256(repr(view).encode())
    for path in sorted(Path(phantoms.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The cache {cache} can't be used ({error.strerror}); name another folder.") from error
    return folder
