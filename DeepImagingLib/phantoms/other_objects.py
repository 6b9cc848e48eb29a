"""What is no torso: heads, limbs and test objects, so that a model learns to find no organs in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms.scanner import Spacing, patchy
from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ

Grids = Sequence[npt.NDArray[np.float64]]

BONES = (Material.CORTEX, Material.MARROW)


def draw_other(shape: Sequence[int], spacing: Spacing, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Return (I, J, K) `Material` and `Organ` values of a head, limbs or a test object, lying anywhere in the image."""
    materials = np.zeros(tuple(shape), np.uint8)
    axes = [(np.arange(n) - (n - 1) / 2) * s - rng.uniform(-30, 30) for n, s in zip(shape, spacing, strict=True)]
    at = np.meshgrid(*axes, indexing="ij")
    paint = (_paint_head, _paint_limbs, _paint_test_object)[int(rng.choice(3, p=(0.5, 0.3, 0.2)))]
    paint(materials, at, rng)
    organs = np.where(materials == Material.AIR, Organ.BACKGROUND, Organ.OTHER_TISSUE)
    organs[np.isin(materials, BONES)] = Organ.OTHER_BONE
    return materials, organs.astype(np.uint8)


def _distance(at: Grids, radii: Sequence[float]) -> Field:
    """Return the distance in mm to an ellipsoid around the origin, to first order."""
    share = np.sqrt(sum((a / r) ** 2 for a, r in zip(at, radii, strict=True)))
    return np.asarray((share - 1) * min(radii), np.float32)


def _paint_head(materials: Bytes, at: Grids, rng: np.random.Generator) -> None:
    """Scalp, skull, brain with its ventricles; a face of bone and air in front and below."""
    skin = _distance(at, (rng.uniform(65, 85), rng.uniform(82, 105), rng.uniform(75, 110)))
    scalp, skull = rng.uniform(3, 9), rng.uniform(4, 9)
    materials[skin < 0] = Material.SOFT
    materials[skin < -scalp] = Material.CORTEX
    brain = skin < -scalp - skull
    materials[brain] = Material.CORD
    shape = materials.shape
    materials[brain & (patchy(rng, shape, 6) > 1.6) & (skin < -40)] = Material.FLUID
    face: Mask = (skin < -2) & (at[1] + at[2] * rng.uniform(-1.5, -0.5) > rng.uniform(30, 70))
    texture = patchy(rng, shape, 3)
    materials[face] = Material.MUSCLE
    materials[face & (texture > rng.uniform(0.6, 1.2))] = Material.CORTEX
    materials[face & (texture < -rng.uniform(1, 1.8))] = Material.GAS


def _paint_limbs(materials: Bytes, at: Grids, rng: np.random.Generator) -> None:
    """One or two legs or arms along the body's axis, with two bones each, that meet a thicker end now and then."""
    x, y, z = at
    radius, gap = rng.uniform(28, 75), rng.uniform(0, 20)
    middles = (-radius - gap, radius + gap) if rng.random() < 0.6 else (0.0,)
    skin, bone, hull = rng.uniform(2, 18), rng.uniform(0.18, 0.3) * radius, rng.uniform(2, 7)
    swell = 1 + rng.uniform(0, 1.2) * np.exp(-((z / 45) ** 2))
    for middle in middles:
        limb = np.hypot(x - middle, y) - radius
        materials[limb < 0] = Material.FAT
        materials[limb < -skin] = Material.MUSCLE
        for where, size in (((middle + 0.2 * radius, 0.1 * radius), 1.0), ((middle - 0.4 * radius, 0.0), 0.5)):
            shaft = np.hypot(x - where[0], y - where[1]) - bone * size * swell
            materials[shaft < 0] = Material.CORTEX
            materials[shaft < -hull] = Material.MARROW


def _paint_test_object(materials: Bytes, at: Grids, rng: np.random.Generator) -> None:
    """A cylinder or a ball of one material with inserts of others."""
    filled = (Material.FLUID, Material.PLASTIC, Material.SOFT, Material.FAT)
    size = rng.uniform(40, 130)
    column = np.hypot(at[0], at[1]) - size
    body = column if rng.random() < 0.6 else _distance(at, (size, size * rng.uniform(0.6, 1), size))
    materials[body < 0] = rng.choice(filled)
    for turn in np.arange(0, 6.28, rng.uniform(0.7, 2)):
        insert = np.hypot(at[0] - 0.6 * size * np.sin(turn), at[1] - 0.6 * size * np.cos(turn)) - rng.uniform(4, 16)
        materials[(insert < 0) & (body < -3)] = rng.choice((*filled, Material.GAS, Material.CALCIUM, Material.LUNG))
