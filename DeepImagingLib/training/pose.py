"""New poses of a body: cut out of its label maps turned, stretched, bent and cropped, never mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation
from torch.nn.functional import interpolate

Bytes = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]

SLAB, TIGHT = 0.3, 0.2  # how often few slices are scanned, and less than the whole width
LEAST_SLICES = 6
HEIGHTS = 0.18, 0.88  # where the middle of a box lies between thighs and neck, as a share of the body's height
BENT = 0.7  # how often a body is bent elastically
CONTROL_POINTS = (5, 5, 4)
MOST_BENT = 1.8  # voxels of displacement, one standard deviation at a control point


def box_shape(patch: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    """Choose how much of a patch is image: slabs and tight crops, whose margins repeat their edge, as in inference."""
    box = list(patch)
    if rng.random() < SLAB:
        least = min(LEAST_SLICES, box[2])
        box[2] = least + int((box[2] - least) * rng.random() ** 1.5)
    if rng.random() < TIGHT:
        box[:2] = [int(rng.uniform(0.5, 1) * n) for n in box[:2]]
    return tuple(box)


def pad_to(volume: npt.NDArray[np.generic], before: Sequence[int], patch: Sequence[int]) -> npt.NDArray[np.generic]:
    """Repeat the edges of a box, which begins at `before` in the patch."""
    margins = [(b, p - n - b) for b, p, n in zip(before, patch, volume.shape, strict=True)]
    return np.pad(volume, margins, mode="edge")


def margins_before(box: Sequence[int], patch: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    """Place a box in the middle of its patch, or anywhere."""
    spare = [p - b for p, b in zip(patch, box, strict=True)]
    return tuple(n // 2 if rng.random() < 0.5 else int(rng.integers(n + 1)) for n in spare)


def posed(
    materials: Bytes, organs: Bytes, box: Sequence[int], rng: np.random.Generator, stretch: Vector
) -> tuple[Bytes, Bytes]:
    """Cut a box out of a body; there is air around, but a body goes on above and below.

    Args:
        materials, organs: (I, J, K), 0 for air.
        box: Shape to return.
        rng: Where everything random comes from.
        stretch: Voxels of the body for one of the box, an axis each.
    """
    shape = materials.shape
    points = _points(shape, box, rng, stretch)
    outside = torch.zeros(tuple(box), dtype=torch.bool)
    flat = torch.zeros(tuple(box), dtype=torch.long)
    for axis, (at, size) in enumerate(zip(points, shape, strict=True)):
        at = at.round_().long()
        if axis < 2:
            outside |= (at < 0) | (at >= size)
        flat.mul_(size).add_(at.clamp_(0, size - 1))
    inside, places = ~outside.numpy(), flat.numpy()
    return materials.reshape(-1)[places] * inside, organs.reshape(-1)[places] * inside


def _points(shape: Sequence[int], box: Sequence[int], rng: np.random.Generator, stretch: Vector) -> list[torch.Tensor]:
    """Return where in a body each voxel of the box lies, a tensor an axis."""
    size = np.array(shape)
    across = 0.08 if rng.random() < 0.75 else 0.25  # windows at a scan's sides see the body off their middle
    middle = size * np.append(rng.uniform(0.5 - across, 0.5 + across, 2), rng.uniform(*HEIGHTS))
    turn = Rotation.from_euler("xyz", rng.uniform(-0.12, 0.12, 3)).as_matrix()
    matrix = turn * rng.uniform(0.85, 1.2) * rng.uniform(0.94, 1.06, 3) * stretch
    steps = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in box]
    i, j, k = (s.reshape([-1 if a == b else 1 for b in range(3)]) for a, s in enumerate(steps))
    points = [float(row[0]) * i + float(row[1]) * j + float(row[2]) * k + float(m) for row, m in zip(matrix, middle)]
    if rng.random() < BENT:
        control = rng.standard_normal((1, 3, *CONTROL_POINTS), np.float32) * rng.uniform(0.3, MOST_BENT)
        bend = interpolate(torch.from_numpy(control.astype(np.float32)), tuple(box), mode="trilinear")[0]
        points = [at + b for at, b in zip(points, bend, strict=True)]
    return points
