"""What is taken for a lung nodule and is none: vessels end-on, airways, scars, thick pleura, bone islands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, find_objects, label

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ

Vector = npt.NDArray[np.float64]
Box = tuple[slice, ...]

LUNGS = (Organ.RIGHT_LUNG, Organ.LEFT_LUNG)
BONES = (Organ.SPINE, Organ.RIBS, Organ.OTHER_BONE)
CUBIC_MM_PER_LITRE = 1e6
SPECK_MM = 50.0  # consolidated lung up to this width is a nodule or a mass to every reader
COMPACT = 0.15  # share of its box that a speck fills; nets and bands fill less


def clear_specks(materials: Bytes, spacing: npt.ArrayLike) -> None:
    """Give compact little islands of consolidation their air back, in place: they would be nodules without a truth."""
    spacing = np.asarray(spacing, float)
    pieces, _ = label(materials == Material.CONSOLIDATION)
    largest = np.pi / 6 * SPECK_MM**3 / np.prod(spacing)
    sizes = np.bincount(pieces.ravel())
    for number, box in enumerate(find_objects(pieces), 1):
        piece = pieces[box] == number
        if sizes[number] < largest and sizes[number] > COMPACT * piece.size:
            materials[box][piece] = Material.LUNG


def add_distractors(materials: Bytes, organs: Bytes, spacing: npt.ArrayLike, rng: np.random.Generator) -> Field:
    """Paint distractors into (I, J, K) `materials` in place, and return what is thinner than voxels are.

    Args:
        materials, organs: Of a torso.
        spacing: Voxel size in mm.
        rng: Where everything random comes from.

    Returns:
        The share of vessel (or scar, or airway wall) in each voxel of lung, for `hounsfield.render`.
    """
    spacing = np.asarray(spacing, float)
    lung = np.isin(organs, LUNGS)
    thin: Field = np.zeros(materials.shape, np.float32)
    places = np.argwhere(lung & (materials == Material.LUNG))
    litres = len(places) * float(np.prod(spacing)) / CUBIC_MM_PER_LITRE
    for _ in range(rng.poisson(litres * rng.uniform(20, 120))):
        _add_vessel(thin, _start(places, spacing, rng), spacing, rng)
    for _ in range(rng.poisson(litres * rng.uniform(0, 12))):
        _add_airway(thin, materials, _start(places, spacing, rng), spacing, rng)
    for _ in range(rng.poisson(litres * rng.uniform(0, 2))):
        _add_scar(thin, _start(places, spacing, rng), spacing, rng)
    _thicken_pleura(materials, lung, spacing, rng)
    _add_bone_islands(materials, np.isin(organs, BONES), spacing, rng)
    return thin


def _start(places: npt.NDArray[np.int64], spacing: Vector, rng: np.random.Generator) -> Vector:
    return np.asarray((places[int(rng.integers(len(places)))] + rng.uniform(-0.5, 0.5, 3)) * spacing)


def _add_vessel(thin: Field, start: Vector, spacing: Vector, rng: np.random.Generator) -> None:
    """A twig that winds, tapers and forks."""
    twigs = [(start, _direction(rng), float(0.45 * 5 ** rng.random()))]
    for _ in range(int(rng.integers(1, 7))):
        start, heading, radius = twigs.pop(0)
        end = start + heading * rng.uniform(6, 18)
        _fill(thin, *_capsule(thin.shape, spacing, start, end, radius), radius, spacing)
        for _ in range(1 + (rng.random() < 0.4)):
            bent = heading + rng.normal(0, 0.35, 3)
            twigs.append((end, bent / np.linalg.norm(bent), radius * rng.uniform(0.7, 0.95)))


def _add_airway(thin: Field, materials: Bytes, start: Vector, spacing: Vector, rng: np.random.Generator) -> None:
    """A tube of air with a wall, and its artery beside it: end-on, a signet ring."""
    heading, outer = _direction(rng), rng.uniform(1.3, 3.5)
    end = start + heading * rng.uniform(8, 25)
    inner = outer - rng.uniform(0.5, 1.1)
    box, distance = _capsule(thin.shape, spacing, start, end, outer)
    wall = _share(distance, spacing) - _share(distance + outer - inner, spacing)
    thin[box] = np.maximum(thin[box], wall)
    lumen = (distance < inner - outer) & (materials[box] == Material.LUNG)
    materials[box][lumen] = Material.GAS
    aside = np.cross(heading, _direction(rng))
    aside *= (outer * 1.8) / (np.linalg.norm(aside) + 1e-9)
    beside = outer * rng.uniform(0.6, 1.0)
    _fill(thin, *_capsule(thin.shape, spacing, start + aside, end + aside, beside), beside, spacing)


def _add_scar(thin: Field, middle: Vector, spacing: Vector, rng: np.random.Generator) -> None:
    """A thin band."""
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    half = np.array((rng.uniform(6, 20), rng.uniform(2, 10), rng.uniform(0.3, 1.2)))
    box = _box(thin.shape, spacing, middle - half[0], middle + half[0])
    points = _points(box, spacing) - middle
    outside = np.max([np.abs(points @ axis) - size for axis, size in zip(axes, half)], axis=0)
    thin[box] = np.maximum(thin[box], _share(outside, spacing))


def _thicken_pleura(materials: Bytes, lung: Mask, spacing: Vector, rng: np.random.Generator) -> None:
    """Flat plaques, now and then with calcium."""
    rim = lung & ~binary_erosion(lung, border_value=1)
    places = np.argwhere(rim)
    square_cm = len(places) * float(np.prod(spacing)) ** (2 / 3) / 100
    for _ in range(rng.poisson(square_cm * rng.uniform(0, 0.02)) if len(places) else 0):
        middle, radius = _start(places, spacing, rng), rng.uniform(4, 15)
        box = _box(lung.shape, spacing, middle - radius, middle + radius)
        near = np.linalg.norm(_points(box, spacing) - middle, axis=-1) < radius
        layers = max(1, round(rng.uniform(1, 3.5) / float(spacing.mean())))
        flat = near & lung[box] & ~binary_erosion(lung[box], iterations=layers, border_value=1)
        materials[box][flat] = Material.CALCIUM if rng.random() < 0.2 else Material.SOFT


def _add_bone_islands(materials: Bytes, bone: Mask, spacing: Vector, rng: np.random.Generator) -> None:
    """Dense spots within ribs and vertebrae."""
    places = np.argwhere(bone)
    for _ in range(rng.poisson(1.0) if len(places) else 0):
        middle, radius = _start(places, spacing, rng), rng.uniform(1.5, 5)
        box = _box(bone.shape, spacing, middle - radius, middle + radius)
        near = np.linalg.norm(_points(box, spacing) - middle, axis=-1) < radius
        materials[box][near & bone[box]] = Material.CORTEX


def _direction(rng: np.random.Generator) -> Vector:
    direction = rng.standard_normal(3)
    return np.asarray(direction / np.linalg.norm(direction))


def _capsule(
    shape: tuple[int, ...], spacing: Vector, start: Vector, end: Vector, radius: float
) -> tuple[Box, npt.NDArray[np.float64]]:
    """Return a box of voxels around a straight piece of tube, and their distances to its surface in mm."""
    margin = radius + 2 * spacing.max()
    box = _box(shape, spacing, np.minimum(start, end) - margin, np.maximum(start, end) + margin)
    points, axis = _points(box, spacing) - start, end - start
    along = np.clip(points @ axis / (axis @ axis), 0, 1)
    return box, np.asarray(np.linalg.norm(points - along[..., None] * axis, axis=-1) - radius)


def _fill(thin: Field, box: Box, distance: npt.NDArray[np.float64], radius: float, spacing: Vector) -> None:
    """Fill a tube in; one that is thinner than voxels fills no more of them than its cross-section."""
    most = min(1.0, np.pi * radius**2 / float(np.prod(spacing)) ** (2 / 3))
    thin[box] = np.maximum(thin[box], most * _share(distance, spacing))


def _share(distance: npt.NDArray[np.float64], spacing: Vector) -> Field:
    """Return how much of a voxel lies within a surface at a distance, to first order."""
    return np.asarray(np.clip(0.5 - distance / spacing.mean(), 0, 1), np.float32)


def _box(shape: tuple[int, ...], spacing: Vector, low: Vector, high: Vector) -> Box:
    return tuple(_ranges(shape, np.floor(low / spacing).astype(int), np.ceil(high / spacing).astype(int) + 1))


def _ranges(shape: tuple[int, ...], low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Iterator[slice]:
    for size, first, stop in zip(shape, low, high, strict=True):
        yield slice(int(np.clip(first, 0, size)), int(np.clip(stop, 0, size)))


def _points(box: Box, spacing: Vector) -> npt.NDArray[np.float64]:
    """Return the positions (..., 3) in mm of a box's voxels."""
    return np.stack(np.meshgrid(*(np.arange(s.start, s.stop) * d for s, d in zip(box, spacing)), indexing="ij"), -1)
