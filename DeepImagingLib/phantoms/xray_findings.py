"""What a chest radiograph is read for, put into the body: heart size, fluid, air, consolidation and nodules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, binary_erosion, distance_transform_edt

from DeepImagingLib.phantoms.radiograph import Beam, Points, Volume
from DeepImagingLib.phantoms.shapes import Field, Mask, smooth_field
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ

M = Material
LUNGS = (Organ.RIGHT_LUNG, Organ.LEFT_LUNG)

TRIES = 40
OUTSIDE = 0.3
"""Line integral of attenuation below which a ray passes no patient."""
DARK = 45
"""Percentile of the patient's line integrals, from the darkest on, above which nobody looks for nodules."""
CLEAR_SHARE = 0.45
"""How much of its way through the patient a ray takes through lung beside heart and diaphragm."""
CLEAR = 1.2
"""How many standard deviations of what is around it a nodule has to add, on average, to be seen."""


@unique
class Finding(Enum):
    """What can be seen, as segments spell it."""

    CARDIOMEGALY = "cardiomegaly"
    EFFUSION = "effusion"
    PNEUMOTHORAX = "pneumothorax"
    NODULE = "nodule"
    CONSOLIDATION = "consolidation"


@dataclass
class Chest:
    """The part of a body that is shot, and what is found in it.

    Attributes:
        materials, organs: (I, J, K) values of `Material` and `Organ`; a lung keeps its label whatever fills it.
        volume: Where the voxels lie.
        supine: Lying on the back instead of standing or sitting.
        regions: (I, J, K) voxels of each finding.
        pleura: Surface of a lung that has come off its wall.
        nodules: (I, J) thickness of each in mm on the detector, where they are finer than voxels.
    """

    materials: Bytes
    organs: Bytes
    volume: Volume
    supine: bool
    rng: np.random.Generator
    regions: dict[Finding, Mask] = field(default_factory=dict)
    pleura: Mask | None = None
    nodules: list[Field] = field(default_factory=list)

    def lung(self, *organs: Organ) -> Mask:
        """Return the voxels of one lung, or of both where none is named."""
        return np.isin(self.organs, organs or LUNGS)

    def between(self, low: float, high: float) -> float:
        """Draw a number evenly from low to high."""
        return float(self.rng.uniform(low, high))

    def a_side(self) -> Organ:
        """Draw a lung."""
        return LUNGS[int(self.rng.integers(2))]

    def add(self, finding: Finding, where: Mask, material: Material) -> None:
        """Fill voxels, and remember them as part of this finding and of no other."""
        self.materials[where] = material
        self.regions = {other: region & ~where for other, region in self.regions.items()}
        self.regions[finding] = where | self.regions.get(finding, np.zeros_like(where))


def set_heart(chest: Chest, beam: Beam, ratio: float) -> None:
    """Grow or shrink the heart until its shadow is `ratio` of the thorax's inner width, mostly to the left and up."""
    for _ in range(4):  # walls and the diaphragm hold it back, so that one step is seldom enough
        widths = [float(np.ptp(_across(chest, beam, where))) for where in (chest.organs == Organ.HEART, chest.lung())]
        if not all(widths) or abs(widths[0] / widths[1] - ratio) < 0.015:
            return
        _resize_heart(chest, float(np.clip(ratio * widths[1] / widths[0], 0.6, 1.8)))


def _across(chest: Chest, beam: Beam, where: Mask) -> Points:
    """Return where voxels lie across the detector; at least one place."""
    return beam.place(chest.volume.points(where))[0] if where.any() else np.zeros(1)


def _resize_heart(chest: Chest, across: float) -> None:
    """Make the heart that much wider, and less so deeper and higher; lung gives way or fills what is left."""
    heart, lungs = chest.organs == Organ.HEART, chest.lung()
    points = chest.volume.points(heart)
    scale = np.array([across, across**0.5, across**0.4])
    low, high = points.min(axis=0), points.max(axis=0)
    fixed = np.array([low[0] + 0.7 * (high[0] - low[0]), low[1] + 0.4 * (high[1] - low[1]), low[2]])
    capsule = _fat_around(chest, heart, low[2])
    grown = _scaled(chest, np.where(heart | capsule, chest.materials, 0), fixed, scale)
    is_heart = _scaled(chest, heart.astype(np.uint8), fixed, scale) > 0
    new = (grown > 0) & (heart | capsule | lungs)
    for _ in range(round(chest.between(10, 30) / chest.volume.spacing[2])):  # down to the diaphragm, which carries it
        sunk = np.roll(new, -1, axis=2) & lungs & ~new
        grown[sunk], is_heart[sunk] = M.MYOCARDIUM, True
        new |= sunk
    left = (chest.volume.axes[0] < fixed[0])[:, None, None]
    for organ, side in zip(LUNGS, (~left, left), strict=True):  # a smaller heart leaves room for the lungs
        emptied = (heart | capsule) & ~new & side
        chest.materials[emptied], chest.organs[emptied] = M.LUNG, organ
    chest.materials[new] = grown[new]
    chest.organs[new] = np.where(is_heart, Organ.HEART, Organ.OTHER_TISSUE)[new]


def _fat_around(chest: Chest, heart: Mask, lowest: float) -> Mask:
    """Return the fat and fluid within 16 mm of the heart, which move with it."""
    near, box = np.zeros_like(heart), _box_around(heart, round(16 / min(chest.volume.spacing)) + 1)
    near[box] = distance_transform_edt(~heart[box], sampling=chest.volume.spacing) < 16
    fat = np.isin(chest.materials, (M.FAT, M.EFFUSION)) & (chest.organs == Organ.OTHER_TISSUE)
    return near & fat & (chest.volume.axes[2] > lowest)


def _box_around(where: Mask, margin: int) -> tuple[slice, ...]:
    """Return the part of the grid that holds all of a mask, and some voxels more: distances there are quick."""
    box = []
    for axis in range(3):
        inside = np.flatnonzero(where.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + 1 + margin) if len(inside) else slice(0))
    return tuple(box)


def _scaled(chest: Chest, values: Bytes, fixed: Points, scale: Points) -> Bytes:
    """Return (I, J, K) values grown about a fixed point in mm."""
    center = (fixed - [axis[0] for axis in chest.volume.axes]) / chest.volume.spacing
    return np.asarray(affine_transform(values, 1 / scale, center - center / scale, order=0), np.uint8)


def add_pneumothorax(chest: Chest, organ: Organ) -> None:
    """Air between wall and lung, most of it above: the lung shrinks towards its root and keeps a thin white edge."""
    lung = chest.lung(organ)
    inner, back, low = _root(chest, lung)
    kept = np.array([chest.between(0.72, 0.93), chest.between(0.85, 1), chest.between(0.82, 0.96)])
    smaller = _scaled(chest, lung.astype(np.uint8), np.array((inner, back, low)), kept) > 0
    x, z = chest.volume.axes[0][:, None, None], chest.volume.axes[2]
    smaller |= lung & (np.abs(x - inner) < 20) & (z <= z[smaller.any(axis=(0, 1))].max())  # it stays on the heart
    chest.add(Finding.PNEUMOTHORAX, lung & ~smaller, M.GAS)
    edge = lung & smaller & ~binary_erosion(smaller)
    chest.pleura = edge if chest.pleura is None else chest.pleura | edge


def _root(chest: Chest, lung: Mask) -> tuple[float, float, float]:
    """Return where a lung hangs on to: the x of its inner side, its middle y, and a low z."""
    points = chest.volume.points(lung)
    middle = float(np.median(chest.volume.points(chest.lung())[:, 0]))
    inner = points[np.argsort(np.abs(points[:, 0] - middle))[: max(1, len(points) // 20)]]
    return float(inner[:, 0].mean()), float(np.median(points[:, 1])), float(np.percentile(points[:, 2], 12))


def add_effusion(chest: Chest, organ: Organ) -> None:
    """Fluid where gravity takes it: up to a meniscus on standing, behind the lung on lying down."""
    lung = chest.lung(organ)
    points = chest.volume.points(lung)
    _, y, z = (axis.reshape(shape) for axis, shape in zip(chest.volume.axes, ((-1, 1, 1), (1, -1, 1), (1, 1, -1))))
    if chest.supine:
        level = np.percentile(points[:, 1], 1) + chest.between(25, 75)
        fluid = lung & (y + 0.1 * (z - points[:, 2].mean()) < level)
    else:
        lowest, highest = np.percentile(points[:, 2], (0.5, 99))
        level = lowest + chest.between(0.22, 0.6) * (highest - lowest)
        inward, box = np.zeros(lung.shape), _box_around(lung, 1)
        inward[box] = distance_transform_edt(lung[box], sampling=chest.volume.spacing)
        open_above = bool((chest.materials[lung] == M.GAS).any())  # air over fluid: a level, no meniscus
        climb = 0 if open_above else chest.between(20, 60) * np.exp(-inward / chest.between(7, 14))
        fluid = lung & (z < level + climb)
    chest.add(Finding.EFFUSION, fluid, M.EFFUSION)


def add_consolidation(chest: Chest, beam: Beam) -> None:
    """One to three patches of lung without air, bounded by the pleura and now and then by a straight fissure.

    Their middles project onto lung, not onto heart or diaphragm, behind which a reader sees little.
    """
    through_lung, through_body = (beam.project(m, chest.volume) for m in (chest.lung(), chest.materials != M.AIR))
    clear = through_lung > CLEAR_SHARE * through_body
    for _ in range(int(chest.rng.integers(1, 4))):
        lung = chest.lung(chest.a_side()) & np.isin(chest.materials, (M.LUNG, M.LUNG_VESSEL))
        points = chest.volume.points(lung)
        points = points[_shown_in(clear, beam, points)]
        if not len(points):
            continue
        center = points[int(chest.rng.integers(len(points)))]
        radii = chest.rng.uniform(18, 55, 3)
        grid = [(a - c) / r for a, c, r in zip(chest.volume.axes, center, radii, strict=True)]
        distance = sum(g.reshape(s) ** 2 for g, s in zip(grid, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True))
        ragged = smooth_field(chest.volume.axes, chest.rng, chest.between(14, 26)) * chest.between(0.1, 0.4)
        patch = lung & (np.sqrt(distance) - 1 + ragged < 0)
        if chest.rng.random() < 0.4:  # a fissure, which falls forwards
            patch &= (grid[2][None, None, :] * radii[2] + 0.7 * grid[1][None, :, None] * radii[1]) < 8
        chest.add(Finding.CONSOLIDATION, patch, M.CONSOLIDATION)


def _shown_in(film: Mask, beam: Beam, points: Points) -> npt.NDArray[np.bool_]:
    """Return which of (N, 3) points lie in a part of the (I, J) film."""
    u, v = beam.place(points)
    i, j = (np.rint((axis[0] - at) / beam.pixel_mm).astype(int) for axis, at in ((beam.u, u), (beam.v, v)))
    on = (i >= 0) & (i < film.shape[0]) & (j >= 0) & (j < film.shape[1])
    on[on] = film[i[on], j[on]]
    return on


def add_nodules(chest: Chest, beam: Beam, ground: Field, per_mm: float) -> Field:
    """Put in one to four balls of 8 to 30 mm in aired lung, where a reader could see them.

    Args:
        chest: Gets them.
        beam: They are drawn finer than voxels.
        ground: (I, J) line integrals of attenuation without them.
        per_mm: What a millimetre of them adds.

    Returns:
        (I, J) what they add; nothing where none can be seen.
    """
    points = chest.volume.points(chest.lung() & (chest.materials == M.LUNG))
    u, v = beam.place(points)
    points = points[(np.abs(u) < abs(beam.u[0]) - 25) & (np.abs(v) < abs(beam.v[0]) - 25)]
    added = np.zeros_like(ground)
    count = int(chest.rng.integers(1, 5))
    for _ in range(TRIES if len(points) else 0):
        if len(chest.nodules) == count:
            break
        center = points[int(chest.rng.integers(len(points)))]
        ball = _lumpy_ball(center, chest.between(4, 15), beam, chest.rng)
        shadow = np.asarray(per_mm * chest.between(0.5, 1.2) * ball, np.float32)
        if stands_out(shadow, ground):
            chest.nodules.append(ball)
            added += shadow
    return added


def stands_out(shadow: Field, ground: Field) -> bool:
    """Tell whether a shadow would be seen: the film isn't white there, and what else varies around it varies less.

    Args:
        shadow: (I, J) what it adds to the line integrals of attenuation.
        ground: (I, J) what is there without it.
    """
    rows, columns = (np.flatnonzero(shadow.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return False
    wide, high = len(rows) // 2 + 1, len(columns) // 2 + 1
    near = np.s_[max(0, rows[0] - wide) : rows[-1] + wide + 1, max(0, columns[0] - high) : columns[-1] + high + 1]
    inside = shadow[near] > 0
    body = ground[ground > OUTSIDE]
    if ground[near][inside].mean() > np.percentile(body, DARK):
        return False
    i, j = np.indices(inside.shape)
    slope = np.stack([np.ones(inside.size), i.ravel(), j.ravel()], axis=1)
    values = ground[near].ravel()
    rest = values - slope @ np.linalg.lstsq(slope, values, rcond=None)[0]
    return bool(shadow[near][inside].mean() > CLEAR * rest.std())


def _lumpy_ball(center: Points, radius: float, beam: Beam, rng: np.random.Generator) -> Field:
    """Return the (I, J) thickness of a ball that is not quite round, in mm."""
    u, v = (float(p[0]) for p in beam.place(center[None]))
    angle = np.arctan2(beam.v[None, :] - v, beam.u[:, None] - u)
    waves = sum(rng.normal(0, 0.5 / n) * np.cos(n * angle + rng.uniform(0, 6.28)) for n in range(2, 8))
    larger = float(beam.magnification(center[1]))
    size = radius * larger * (1 + 0.15 * waves)
    apart = np.hypot(beam.u[:, None] - u, beam.v[None, :] - v) / size
    return np.asarray(2 * radius * np.sqrt(np.clip(1 - apart**2, 0, None)), np.float32)


def heart_ratio(heart: Mask, lungs: Mask) -> float:
    """Return the width of the heart's (I, J) shadow as a share of the widest of both lungs'."""
    spans = [np.flatnonzero(mask.any(axis=1)) for mask in (heart, lungs)]
    if not all(len(span) for span in spans):
        return 0.0
    return float(np.ptp(spans[0]) + 1) / float(np.ptp(spans[1]) + 1)


def lung_points(chest: Chest, organ: Organ, count: int) -> tuple[Points, Points]:
    """Return a lung's root (3,) and `count` points (N, 3) in its aired parts, both in mm."""
    aired = chest.lung(organ) & np.isin(chest.materials, (M.LUNG, M.LUNG_VESSEL, M.CONSOLIDATION))
    points = chest.volume.points(aired)
    if len(points) < count:
        return np.zeros(3), points[:0]
    inner, middle, _ = _root(chest, aired)
    height = float(np.percentile(points[:, 2], chest.between(48, 60)))
    chosen = points[chest.rng.choice(len(points), count, replace=False)]
    return np.array([inner, middle, height]), chosen + chest.rng.uniform(-1.5, 1.5, (count, 3))
