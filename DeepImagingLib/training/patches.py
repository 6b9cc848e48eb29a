"""Patches to train on: a body in a new pose, cropped, painted with new Hounsfield values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.torso import Bytes

SPACING = (4.0, 4.0, 4.0)
"""Voxel size in mm that bodies are drawn at and the network works at."""

PATCH = (96, 80, 64)
"""A whole cross-section: networks that see less of a body collapse on slabs and tight crops."""

Body = tuple[Bytes, Bytes]
"""Materials and organs, (I, J, K) each, at `SPACING`."""


def draw_patch(
    body: Body, intensities: Mapping[str, float], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image (1, 1, *PATCH) and its organs (1, 1, *PATCH): a new pose, crop, contrast phase and noise."""
    box = _box_shape(rng)
    materials, organs = _posed(body, box, rng)
    image = scale_intensity(render(materials, SPACING, rng), **intensities)
    margins = [_split(p - b, rng) for p, b in zip(PATCH, box, strict=True)]
    image, organs = np.pad(image, margins, mode="edge"), np.pad(organs, margins, mode="edge")
    return torch.from_numpy(image)[None, None], torch.from_numpy(organs.astype(np.int64))[None, None]


def _box_shape(rng: np.random.Generator) -> tuple[int, ...]:
    """Choose how much of the patch is image: slabs and tight crops are padded with their margins, as in inference."""
    box = list(PATCH)
    if rng.random() < 0.4:
        box[2] = 6 + int((PATCH[2] - 6) * rng.random() ** 1.5)
    if rng.random() < 0.25:
        box[0], box[1] = (int(rng.uniform(0.5, 1) * p) for p in PATCH[:2])
    return tuple(box)


def _split(total: int, rng: np.random.Generator) -> tuple[int, int]:
    before = total // 2 if rng.random() < 0.5 else int(rng.integers(total + 1))
    return before, total - before


def _posed(body: Body, box: Sequence[int], rng: np.random.Generator) -> Body:
    """Cut a turned and stretched box out of a body; left and right are never swapped."""
    shape = np.array(body[0].shape)
    across = 0.08 if rng.random() < 0.5 else 0.3  # windows at a scan's sides see the body off their middle
    middle = shape * (0.5 + rng.uniform(-across, across, 3) + (0, 0, rng.uniform(-0.3, 0.3)))
    matrix = _rotation(rng.uniform(-0.12, 0.12, 3)) * rng.uniform(0.85, 1.2) * rng.uniform(0.94, 1.06, 3)
    steps = np.meshgrid(*(np.arange(n, dtype=np.float32) - n / 2 for n in box), indexing="ij")
    points = np.rint(np.tensordot(matrix.astype(np.float32), np.stack(steps), 1) + middle[:, None, None, None])
    outside = np.zeros(box, bool)
    for axis in range(2):  # air around, but a body goes on above and below
        outside |= (points[axis] < 0) | (points[axis] >= shape[axis])
    i, j, k = (np.clip(p, 0, n - 1).astype(np.intp) for p, n in zip(points, shape, strict=True))
    materials, organs = body[0][i, j, k], body[1][i, j, k]
    materials[outside] = organs[outside] = 0
    return materials, organs


def _rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rotation about x, then y, then z by angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def scale_intensity(
    image: npt.NDArray[np.float32], a_min: float, a_max: float, b_min: float, b_max: float
) -> npt.NDArray[np.float32]:
    """Map a_min..a_max to b_min..b_max and clip, as ScaleIntensityRanged does."""
    scaled = (image - a_min) / (a_max - a_min) * (b_max - b_min) + b_min
    return np.asarray(np.clip(scaled, b_min, b_max), np.float32)
