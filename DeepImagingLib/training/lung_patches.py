"""Lung nodules to train a detector on, and held-out chests to validate it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms import lung_nodules
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.lung_distractors import LUNGS, add_distractors, clear_specks
from DeepImagingLib.phantoms.lung_nodules import Nodule, add_nodules
from DeepImagingLib.phantoms.scanner import THIN_SLICES
from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Bytes
from DeepImagingLib.training.bodies import Bodies, Triple
from DeepImagingLib.training.draws import seeded
from DeepImagingLib.training.phantom_patches import FIRST_TEST_SEED

MOST_BOXES = 16
"""Rows of a label: boxes as MONAI has them (xyzxyz in voxels, whole numbers at voxels' centres) and their class, or
all -1 where there is none, so that labels of several patches make one tensor."""

MARGIN = 8  # voxels around a patch that are painted too, so that a nodule may be cut by its edge
IN_LUNG = 0.85  # how often a patch has lung in its middle; the rest may lie anywhere
MOST_NODULES, APART_MM = 16, 14.0
"""In a patch and its margin, and between their centres: many more than in a patient, for a step learns of each."""
COARSE = 0.6  # how often a scan had larger voxels, from which it was resampled
COARSE_MM = ((0.5, 1.2), (0.8, 3.0))  # in plane, and from slice to slice

Item = Mapping[str, Any]


class LungPatches(Dataset[Item]):
    """Patches of lungs with nodules, without end: item n is a function of the seed and n alone.

    Parts of chests are drawn once, by `prepare`; each item is one of them mirrored at random, with new distractors,
    nodules, contrast, blur and noise, as if resampled from a scan of other voxels.

    Args:
        bodies: To cut from, larger than patches; their seeds are none of those kept for tests.
        patch: Shape of the items.
        transform: What MONAI's transforms make of {"image": (1, *patch) in HU, "label": (MOST_BOXES, 7)}.

    Raises:
        InputError: A seed is one of those kept for tests.
    """

    def __init__(
        self, bodies: Bodies, patch: Sequence[int] = (64, 64, 64), transform: Callable[[Item], Item] | None = None
    ) -> None:
        if bodies.seeds.stop > FIRST_TEST_SEED:
            raise InputError(f"Bodies to train on have seeds below {FIRST_TEST_SEED}, not {bodies.seeds.stop - 1}.")
        self.bodies, self.patch, self.transform = bodies, tuple(patch), transform
        self.spacing = bodies.spacing
        self.prepare = bodies.prepare

    def __getitem__(self, number: int) -> Item:
        """Return the item of that number, from 0 on."""
        rng = np.random.default_rng([self.bodies.seeds.start, 2, number])
        materials, organs = self._cut(*self.bodies[int(rng.integers(len(self.bodies)))].unpack(), rng)
        clear_specks(materials, self.spacing)
        thin = add_distractors(materials, organs, self.spacing, rng)
        affine = np.diag([*self.spacing, 1.0])
        nodules = add_nodules(materials, organs, affine, rng, count=int(rng.integers(MOST_NODULES + 1)), apart=APART_MM)
        inner = tuple(slice((n - p) // 2, (n - p) // 2 + p) for n, p in zip(materials.shape, self.patch, strict=True))
        affine[:3, 3] = [s.start * d for s, d in zip(inner, self.spacing, strict=True)]
        image = coarser(render(materials[inner], self.spacing, rng, thin[inner], THIN_SLICES), self.spacing, rng)
        item = {"image": torch.from_numpy(image)[None], "label": label_of(nodules, affine, self.patch)}
        return seeded(self.transform, rng)(item) if self.transform else item

    def _cut(self, materials: Bytes, organs: Bytes, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
        """Cut out a patch and its margin, mirrored along any of the axes."""
        shape = np.array(materials.shape)
        size = np.minimum(np.array(self.patch) + 2 * MARGIN, shape)
        lung = np.flatnonzero(np.isin(organs, LUNGS)) if rng.random() < IN_LUNG else ()
        place = lung[int(rng.integers(len(lung)))] if len(lung) else rng.integers(organs.size)
        first = np.clip(np.unravel_index(place, materials.shape) - size // 2, 0, shape - size)
        box = tuple(slice(f, f + n) for f, n in zip(first, size, strict=True))
        axes = tuple(axis for axis in range(3) if rng.random() < 0.5)
        return np.flip(materials[box], axes).copy(), np.flip(organs[box], axes).copy()


class LungCases(Dataset[Item]):
    """Held-out chests with nodules, the same ones each time.

    Args:
        first: Seed of the first phantom, one of those kept for tests; the others follow.
        count: How many.
        spacing: Voxel size in mm.
        field_of_view: Size in mm.
        transform: What MONAI's transforms make of {"image": (1, I, J, K) in HU, "label": (N, 7) as in `LungPatches`}.
    """

    def __init__(
        self,
        first: int = FIRST_TEST_SEED,
        count: int = 12,
        spacing: Triple = (1.25, 1.25, 1.25),
        field_of_view: Triple = (360.0, 280.0, 80.0),
        transform: Callable[[Item], Item] | None = None,
    ) -> None:
        if first < FIRST_TEST_SEED:
            raise InputError(f"Bodies to validate on have seeds from {FIRST_TEST_SEED}, not {first}.")
        self.seeds, self.spacing, self.field_of_view = range(first, first + count), spacing, field_of_view
        self.transform = transform
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self.seeds)

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Draw them; `tell` is called with the share that is done."""
        for seed in self.seeds[len(self._items) :]:
            tell(len(self._items) / len(self))
            self._items.append(self._item(seed))

    def __getitem__(self, index: int) -> Item:
        """Return a case."""
        self.prepare()
        return self._items[index]

    def _item(self, seed: int) -> Item:
        images, nodules = lung_nodules.sample(seed, self.spacing, self.field_of_view)
        affine = np.asarray(images["ct"].affine, float)
        boxes = label_of(nodules, affine, images["ct"].shape[1:], len(nodules))
        item = {"image": images["ct"], "label": boxes}
        return self.transform(item) if self.transform else item


def label_of(
    nodules: Sequence[Nodule], affine: npt.NDArray[np.float64], shape: Sequence[int], rows: int = MOST_BOXES
) -> torch.Tensor:
    """Return (rows, 7) boxes of class 0 around the nodules whose middle lies in the image, -1 in rows left over."""
    label = torch.full((rows, 7), -1.0)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    middles = [np.linalg.solve(affine[:3, :3], np.subtract(nodule.center, affine[:3, 3])) for nodule in nodules]
    inside = [n for n, middle in enumerate(middles) if (middle >= 0).all() and (middle <= np.subtract(shape, 1)).all()]
    for row, n in enumerate(inside[:rows]):
        half = nodules[n].diameter / 2 / sizes
        low, high = np.maximum(middles[n] - half, 0), np.minimum(middles[n] + half, shape)
        label[row] = torch.from_numpy(np.concatenate([low, high, [0.0]]))
    return label


def coarser(image: Field, spacing: Triple, rng: np.random.Generator) -> Field:
    """Return an image as it is after resampling from a scan whose voxels were larger, or as it was."""
    if rng.random() > COARSE:
        return image
    plane, slices = (rng.uniform(*span) for span in COARSE_MM)
    shape = [max(2, round(n * s / max(s, v))) for n, s, v in zip(image.shape, spacing, (plane, plane, slices))]
    whole = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    small = interpolate(whole, shape, mode="area")
    return np.asarray(interpolate(small, image.shape, mode="trilinear")[0, 0])
