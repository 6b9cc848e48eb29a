"""A pool of phantoms' label maps: drawn by several processes, packed in memory, kept on disk only where asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.training.pool import Arrays, cache_folder, draw_all, kept_or_drawn

Bytes = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]

KEPT = ("materials", "organs", "affine")


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
        if not self._drawn:
            folder = cache_folder(self._cache, self._view)
            self._drawn = draw_all(self.seeds, partial(_drawn, view=self._view, folder=folder), tell)


def _drawn(seed: int, view: View, folder: Path | None) -> Body:
    def draw() -> Arrays:
        return dict(zip(KEPT, view.draw(seed), strict=True))

    return Body(**kept_or_drawn(folder / f"{seed}.npz" if folder else None, KEPT, draw))  # type: ignore[arg-type]  # the very fields of a body
