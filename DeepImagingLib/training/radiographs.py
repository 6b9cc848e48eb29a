"""Chest radiographs to train a classifier on and to validate it on: drawn once, several of each body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import chest_xray, torso_ct
from DeepImagingLib.phantoms.xray_findings import Finding
from DeepImagingLib.training.phantom_patches import FIRST_TEST_SEED
from DeepImagingLib.training.pool import Arrays, cache_folder, draw_all, kept_or_drawn

FINDINGS = tuple(finding.value for finding in Finding)
LABELS = (*FINDINGS, "no finding")

CHEST_MM = (540.0, 400.0, 600.0)
"""Size of the part of a body that is drawn: all a beam at the lungs may pass, and no legs, which takes a third less."""

CHEST_CENTER = (0.0, 0.0, 170.0)

COARSE = 4  # pixels of a radiograph for one of its regions
KEPT = ("images", "regions")

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """What is taken of each body: the same for the same seed.

    Attributes:
        size: Pixels a side.
        side_mm: Size of the detector.
        exposures: Radiographs of one body; number e of body b has the seed b · exposures + e, whence its view,
            findings and processing.
    """

    size: int
    side_mm: float
    exposures: int

    def draw(self, seed: int) -> Arrays:
        """Return a body's `images` (E, I, J) as bytes, air dark, and `regions` (E, findings, I / 4, J / 4) as bits."""
        body = torso_ct.draw(seed, chest_xray.BODY_SPACING, CHEST_MM, center=CHEST_CENTER)
        way: tuple[Any, ...] = ((self.side_mm / self.size,) * 2, (self.side_mm,) * 2)
        images, regions = [], []
        for number in range(seed * self.exposures, (seed + 1) * self.exposures):
            shot, truth = chest_xray.expose(body, number, *way, photometric="MONOCHROME2")
            brightest = 2 ** shot["cxr"].meta["bits"] - 1
            images.append(np.rint(shot["cxr"].numpy()[0] / brightest * 255).astype(np.uint8))
            regions.append([_coarse(truth.mask(name)[..., 0]) for name in FINDINGS])
        return {"images": np.stack(images), "regions": np.packbits(regions, axis=-1)}


class Radiographs(Dataset[Item]):
    """Radiographs by number, several of each body one after the other; a label for each of `LABELS`.

    `prepare` draws them, on all cores and, where there is a cache, body by body onto the disk, so that who is stopped
    goes on where he was. In memory each takes a byte a pixel.

    Args:
        first: Seed of the first body; the others follow. From FIRST_TEST_SEED on they are for tests.
        bodies: How many.
        exposures: Radiographs of each.
        size: Pixels a side.
        side_mm: Size of the detector.
        cache: Folder that keeps them for other runs; without one, nothing is stored.
        transform: What MONAI's transforms make of {"image": (1, I, J) from 0 to 1, "label": (labels,) of 0 and 1}.
        with_regions: Items have "region" as well, (findings, I, J) of 0 and 1: where each is.

    Raises:
        InputError: Some seeds are kept for tests and others aren't, or the size can't be used.
    """

    def __init__(
        self,
        first: int = 0,
        bodies: int = 400,
        exposures: int = 8,
        size: int = 288,
        side_mm: float = 420.0,
        cache: str | None = None,
        transform: Callable[[Item], Item] | None = None,
        with_regions: bool = False,
    ) -> None:
        if first < 0 or bodies < 1 or exposures < 1:
            raise InputError(f"Bodies have seeds from 0, and there has to be one; got {bodies} from {first}.")
        if first < FIRST_TEST_SEED < (first + bodies) * exposures:
            raise InputError(
                f"Radiographs to train on have seeds below {FIRST_TEST_SEED}; {bodies} bodies from {first}, shot "
                f"{exposures} times each, go beyond."
            )
        if size < 2 * COARSE or size % COARSE:
            raise InputError(f"The size has to be a multiple of {COARSE} pixels from {2 * COARSE} on, not {size}.")
        self.seeds, self.exposures, self.transform = range(first, first + bodies), exposures, transform
        self._series = Series(size, float(side_mm), exposures)
        self._cache, self._with_regions = cache, with_regions
        self._drawn: list[Arrays] = []

    def __len__(self) -> int:
        return len(self.seeds) * self.exposures

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw them; `tell` is called with the share that is done."""
        if not self._drawn:
            folder = cache_folder(self._cache, self._series)
            self._drawn = draw_all(self.seeds, partial(drawn, series=self._series, folder=folder), tell)

    def __getitem__(self, index: int) -> Item:
        """Return a radiograph."""
        regions = self.regions(index)
        there = [bool(region.any()) for region in regions]
        item = {
            "image": torch.from_numpy(self._of(index, "images").astype(np.float32) / 255)[None],
            "label": torch.tensor([*there, not any(there)], dtype=torch.float32),
        }
        if self._with_regions:
            fine = regions.repeat(COARSE, axis=1).repeat(COARSE, axis=2)
            item["region"] = torch.from_numpy(fine.astype(np.float32))
        return self.transform(item) if self.transform else item

    def regions(self, index: int) -> npt.NDArray[np.bool_]:
        """Return where each of `FINDINGS` is, (findings, I / 4, J / 4); a pixel is True where any part of it is."""
        packed = self._of(index, "regions")
        return np.unpackbits(packed, axis=-1, count=packed.shape[-2]).astype(bool)

    def _of(self, index: int, name: str) -> npt.NDArray[np.uint8]:
        if not 0 <= index < len(self):
            raise IndexError(f"there are radiographs 0 to {len(self) - 1}, not {index}")
        self.prepare()
        body, exposure = divmod(index, self.exposures)
        return np.asarray(self._drawn[body][name][exposure], np.uint8)


def drawn(seed: int, series: Series, folder: Path | None) -> Arrays:
    """Return a body's radiographs, from the folder where they are kept."""
    return kept_or_drawn(folder / f"{seed}.npz" if folder else None, KEPT, lambda: series.draw(seed))


def _coarse(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    i, j = (n // COARSE for n in region.shape)
    return np.asarray(region.reshape(i, COARSE, j, COARSE).any(axis=(1, 3)))
