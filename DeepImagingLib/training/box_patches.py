"""Scans with boxes as what detectors train on: rows in voxels, and patches around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Randomizable, Transform

Item = Mapping[str, Any]

MOST_BOXES = 256
"""In a patch; those beyond are left out. A label has as many rows, so that those of several patches make one tensor."""


class BoxRowsd(Transform):
    """Makes of boxes in mm and their labels the rows that a detector's loss takes, in voxels of the prepared image.

    An image that is turned against the patient keeps the lengths of its boxes along the axes that are nearest.
    """

    def __call__(self, data: Item) -> dict[str, Any]:
        """Return the item with "label" (N, 7): corners (xyzxyz, whole numbers at voxels' centres) and number.

        Args:
            data: "image" (C, I, J, K) with its affine, "box" (N, 6), middle and lengths along right, anterior and
                superior in mm, and "label" (N,).
        """
        affine = np.asarray(data["image"].affine, float)
        boxes, numbers = np.asarray(data["box"], float), np.asarray(data["label"], float)
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        order = nibabel.io_orientation(affine)[:, 0].astype(int)
        middles = np.linalg.solve(affine[:3, :3], (boxes[:, :3] - affine[:3, 3]).T).T
        half = boxes[:, 3:][:, order] / sizes / 2
        rows = np.concatenate([middles - half, middles + half, numbers[:, None]], axis=1)
        return {**{key: value for key, value in data.items() if key != "box"}, "label": torch.from_numpy(rows).float()}


class RandBoxPatchd(Randomizable, Transform):
    """Cuts a patch out of an image, mostly one with a box; those whose middle lies in it stay its truth.

    MONAI's `RandCropBoxByPosNegLabeld` copies the whole image for each patch, and fails on one without boxes.

    Args:
        patch: Its shape; where the image is smaller, its margin goes on.
        positive: How often a patch is cut around one of the boxes, where there are any.
        mirror: How often it is mirrored along each axis.
        margin: Voxels by which a box's middle lies within the patch at least.
    """

    def __init__(self, patch: Sequence[int], positive: float = 0.7, mirror: float = 0.5, margin: int = 8) -> None:
        self.patch, self.positive, self.mirror, self.margin = tuple(patch), positive, mirror, margin

    def __call__(self, data: Item) -> dict[str, Any]:
        """Return "image" (C, *patch) and "label" (MOST_BOXES, 7), -1 in rows left over, of an item of `BoxRowsd`."""
        image, rows = np.asarray(data["image"]), np.asarray(data["label"])
        first = self._first(np.array(image.shape[1:]), rows)
        axes = tuple(axis for axis in range(3) if self.R.random() < self.mirror)
        cut = _cut(image, first, self.patch)
        kept = _within(rows, first, self.patch)
        for axis in axes:
            kept[:, [axis, axis + 3]] = self.patch[axis] - 1 - kept[:, [axis + 3, axis]]
        label = np.full((MOST_BOXES, 7), -1.0, np.float32)
        label[: len(kept)] = kept[:MOST_BOXES]
        flipped = np.flip(cut, tuple(axis + 1 for axis in axes)).copy()
        return {**data, "image": torch.from_numpy(flipped), "label": torch.from_numpy(label)}

    def _first(self, shape: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Draw the patch's first voxel."""
        patch, most = np.array(self.patch), np.maximum(shape - self.patch, 0)
        if not len(rows) or self.R.random() >= self.positive:
            return np.asarray(self.R.randint(0, most + 1))
        row = rows[self.R.randint(len(rows))]
        middle = np.round((row[:3] + row[3:6]) / 2)
        low = np.clip(middle - patch + 1 + self.margin, 0, most)
        high = np.clip(middle - self.margin, low, most)
        return np.asarray(self.R.randint(low.astype(int), high.astype(int) + 1))


def _cut(image: npt.NDArray[Any], first: npt.NDArray[np.int64], patch: Sequence[int]) -> npt.NDArray[Any]:
    box = tuple(slice(f, f + n) for f, n in zip(first, patch, strict=True))
    cut = image[:, box[0], box[1], box[2]]
    missing = [(0, n - has) for n, has in zip(patch, cut.shape[1:], strict=True)]
    return np.pad(cut, [(0, 0), *missing], mode="edge")


def _within(
    rows: npt.NDArray[np.float32], first: npt.NDArray[np.int64], patch: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return the rows whose middle lies in the patch, in its voxels, cut off at its edges."""
    moved = rows - np.concatenate([first, first, [0]])
    middles = (moved[:, :3] + moved[:, 3:6]) / 2
    kept = moved[((middles >= -0.5) & (middles < np.array(patch) - 0.5)).all(axis=1)]
    kept[:, :3], kept[:, 3:6] = np.maximum(kept[:, :3], -0.5), np.minimum(kept[:, 3:6], np.array(patch) - 0.5)
    return np.asarray(kept, np.float32)
