"""Lung nodules in a torso's CT: where each lies, how wide it is and what kind it is.

Kinds and sizes follow what the Fleischner Society's guidelines tell apart (MacMahon et al., Radiology 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion

from DeepImagingLib.errors import InputError
from DeepImagingLib.phantoms.hounsfield import render
from DeepImagingLib.phantoms.lung_distractors import add_distractors, clear_specks
from DeepImagingLib.phantoms.scanner import THIN_SLICES
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ
from DeepImagingLib.phantoms.torso_ct import Triple, draw

if TYPE_CHECKING:
    from monai.data import MetaTensor

COARSEST_MM = 1.25
"""Nodules of 4 mm need voxels this small."""

CHEST = (0.0, 0.0, 205.0)
"""Where the middle of the lungs lies in the torso's world, roughly, in RAS mm."""

TRIES = 300
APART_MM, GAP_MM = 40.0, 4.0
"""Between the centres of two nodules, and between their surfaces."""
MOST_VESSEL = 0.3
"""Share of a nodule that may lie in a vessel; more is a bulge of the vessel to every reader."""


@unique
class Place(Enum):
    """What a nodule lies beside."""

    FREE = "free"
    VESSEL = "vessel"
    PLEURA = "pleura"


@dataclass(frozen=True)
class Nodule:
    """One nodule: its centre in RAS mm, and what it looks like."""

    center: Triple
    diameter: float
    solid: bool
    spiculated: bool
    place: Place


def sample(
    seed: int, spacing: Triple = (1.0, 1.0, 1.0), field_of_view: Triple = (360.0, 280.0, 96.0)
) -> tuple[dict[str, MetaTensor], tuple[Nodule, ...]]:
    """Return the CT image of a chest, {"ct": (1, I, J, K) float32 in HU}, and the nodules in it.

    There are one to eight among distractors (`lung_distractors`); none where no lung has air. Slices are thin.

    Args:
        seed: Any non-negative integer: the body is that of `torso_ct.sample`, the nodules and the noise are new.
        spacing: Voxel size in mm along right, anterior and superior, 1.25 mm or less.
        field_of_view: Size of the image in mm along the same axes, centred on the lungs.

    Raises:
        InputError: The spacing is too coarse for nodules, or no phantom can be drawn with these numbers.
    """
    import torch
    from monai.data import MetaTensor

    if max(spacing) > COARSEST_MM:
        raise InputError(f"Nodules need a spacing of {COARSEST_MM} mm or less, got {tuple(spacing)}.")
    materials, organs, affine = draw(seed, spacing, field_of_view, center=CHEST)
    rng = np.random.default_rng([seed, 2])
    clear_specks(materials, spacing)
    thin = add_distractors(materials, organs, spacing, rng)
    nodules = add_nodules(materials, organs, affine, rng, count=int(rng.integers(1, 9)))
    image = render(materials, spacing, rng, thin, THIN_SLICES)
    return {"ct": MetaTensor(torch.from_numpy(image[None]), affine=torch.from_numpy(affine))}, nodules


def add_nodules(
    materials: Bytes,
    organs: Bytes,
    affine: npt.NDArray[np.float64],
    rng: np.random.Generator,
    count: int,
    apart: float = APART_MM,
) -> tuple[Nodule, ...]:
    """Paint nodules into the lungs of (I, J, K) `materials` in place; fewer where there is no room for `count`.

    Their centres lie `apart` mm from each other or more, and never so near that two would touch.
    """
    lung = (organs == Organ.RIGHT_LUNG) | (organs == Organ.LEFT_LUNG)
    air = np.argwhere(lung & (materials == Material.LUNG))
    vessel = lung & (materials == Material.LUNG_VESSEL)
    beside = {
        Place.VESSEL: np.argwhere(vessel),
        Place.PLEURA: np.argwhere(lung & ~binary_erosion(lung, border_value=1)),
    }
    nodules: list[Nodule] = []
    for _ in range(TRIES if len(air) else 0):
        if len(nodules) == count:
            break
        place = Place(rng.choice([p.value for p in Place]))
        where = beside.get(place, air)
        if not len(where):
            continue
        nodule = _draw(where[int(rng.integers(len(where)))], affine, rng, place)
        if all(_are_apart(nodule, other, apart) for other in nodules) and _fits(nodule, lung, vessel, affine):
            _paint(nodule, materials, lung, affine, rng)
            nodules.append(nodule)
    return tuple(nodules)


def _are_apart(one: Nodule, other: Nodule, least: float) -> bool:
    touching = (one.diameter + other.diameter) / 2 + GAP_MM
    return bool(np.linalg.norm(np.subtract(one.center, other.center)) > max(least, touching))


def _draw(
    voxel: npt.NDArray[np.int64], affine: npt.NDArray[np.float64], rng: np.random.Generator, place: Place
) -> Nodule:
    """Draw a nodule of 4 to 30 mm, small ones more often, at a voxel or not far beside it."""
    diameter = float(4 * (30 / 4) ** rng.uniform(0, 1) ** 1.3)
    center = affine[:3, :3] @ (voxel + rng.uniform(-0.5, 0.5, 3)) + affine[:3, 3]
    if place is not Place.FREE:
        aside = rng.standard_normal(3)
        shift = rng.uniform(0.4, 0.7) if place is Place.VESSEL else rng.uniform(0, 0.4)
        center += aside / np.linalg.norm(aside) * diameter * shift
    solid = bool(rng.random() < 0.7)
    spiculated = solid and diameter > 8 and bool(rng.random() < 0.4)
    return Nodule((float(center[0]), float(center[1]), float(center[2])), diameter, solid, spiculated, place)


def _fits(
    nodule: Nodule, lung: npt.NDArray[np.bool_], vessel: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]
) -> bool:
    """Tell whether the nodule lies in the image and the lung, all of it, or by the pleura half to nine tenths."""
    if not _is_inside(nodule, affine, lung.shape):
        return False
    box, distance = _distance(nodule, affine, lung.shape, margin=0.0)
    ball = distance < 0
    whole = 4 / 3 * np.pi * (nodule.diameter / 2) ** 3 / abs(np.linalg.det(affine[:3, :3]))
    if (vessel[box] & ball).sum() > MOST_VESSEL * whole:
        return False
    share = (lung[box] & ball).sum() / whole
    return bool(0.5 < share < 0.92 if nodule.place is Place.PLEURA else share > 0.93)


def _is_inside(nodule: Nodule, affine: npt.NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    middle = np.linalg.solve(affine[:3, :3], np.subtract(nodule.center, affine[:3, 3]))
    reach = nodule.diameter / 2 / np.linalg.norm(affine[:3, :3], axis=0)
    return bool((middle - reach >= 0).all() and (middle + reach <= np.subtract(shape, 1)).all())


def _paint(
    nodule: Nodule,
    materials: Bytes,
    lung: npt.NDArray[np.bool_],
    affine: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """A dented ball; spikes around a spiculated one, a denser core in some that are not solid."""
    box, distance = _distance(nodule, affine, lung.shape, margin=nodule.diameter / 2)
    distance += _dents(nodule, box, affine, rng)
    spikes = _spikes(nodule, box, affine, rng) if nodule.spiculated else distance
    inside = lung[box] & (np.minimum(distance, spikes) < 0)
    view = materials[box]
    view[inside] = Material.NODULE if nodule.solid else Material.SUBSOLID_NODULE
    if not nodule.solid and rng.random() < 0.5:
        view[inside & (distance < -nodule.diameter * rng.uniform(0.25, 0.4))] = Material.NODULE


def _dents(
    nodule: Nodule, box: tuple[slice, ...], affine: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return how deep the surface is dented in mm: none to half of the radius, so that balls become lobes."""
    offset = _offsets(nodule, box, affine) * (2 * np.pi / nodule.diameter)
    waves = rng.normal(0, 0.45, (3, 3))  # a wave in one to a few diameters
    heights = [np.sin(np.tensordot(wave, offset, 1) + rng.uniform(0, 2 * np.pi)) for wave in waves]
    return np.asarray(nodule.diameter * rng.uniform(0, 0.12) * np.clip(np.sum(heights, axis=0), 0, 2))


def _spikes(
    nodule: Nodule, box: tuple[slice, ...], affine: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the distance to thin needles that leave the nodule's centre in many directions."""
    offset = _offsets(nodule, box, affine)
    nearest = np.full(offset.shape[1:], np.inf)
    for _ in range(int(rng.integers(8, 20))):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        along = np.clip(np.tensordot(direction, offset, 1), 0, nodule.diameter * rng.uniform(0.6, 0.95))
        away = np.linalg.norm(offset - direction[:, None, None, None] * along, axis=0)
        nearest = np.minimum(nearest, away - rng.uniform(0.5, 0.9))
    return nearest


def _distance(
    nodule: Nodule, affine: npt.NDArray[np.float64], shape: tuple[int, ...], margin: float
) -> tuple[tuple[slice, ...], npt.NDArray[np.float64]]:
    """Return a box of voxels around the nodule and their distances to its surface in mm."""
    middle = np.linalg.solve(affine[:3, :3], np.subtract(nodule.center, affine[:3, 3]))
    reach = (nodule.diameter / 2 + margin) / np.linalg.norm(affine[:3, :3], axis=0) + 1
    box = tuple(slice(max(0, int(m - r)), min(n, int(m + r) + 2)) for m, r, n in zip(middle, reach, shape, strict=True))
    return box, np.linalg.norm(_offsets(nodule, box, affine), axis=0) - nodule.diameter / 2


def _offsets(nodule: Nodule, box: tuple[slice, ...], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    voxels = np.asarray(np.mgrid[box], float)
    world = np.tensordot(affine[:3, :3], voxels, 1) + affine[:3, 3][:, None, None, None]
    return np.asarray(world - np.reshape(nodule.center, (3, 1, 1, 1)))
