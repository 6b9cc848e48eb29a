"""The spine: vertebrae from L5 to the neck with their processes, discs, the canal and what age does to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Field
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_bones import Bone, paint_bone
from DeepImagingLib.phantoms.torso_frame import EDGES_Z, SACRUM_Z

LUMBAR, THORACIC = 5, 17
"""How many vertebrae lie below the chest's, and below the neck's."""


@dataclass(frozen=True)
class Levels:
    """Points of the spine's box in the spine's own frame.

    Attributes:
        x, y: Right and anterior of the vertebral bodies' centres.
        number: Which vertebra, 0 for L5.
        up: Height over the vertebra's lower edge, its disc included; `height`: of the whole level.
        disc: Height of the disc; `wide`, `deep`: half axes of the vertebral body, all in mm.
    """

    x: Field
    y: Field
    number: Field
    up: Field
    height: Field
    disc: Field
    wide: Field
    deep: Field


def paint_spine(torso: Torso) -> None:
    """Discs and vertebrae 2 to 10 mm apart, with osteophytes, fused levels and fractures now and then."""
    box = torso.box((-85, -190, SACRUM_Z - 25), (85, 10, float(EDGES_Z[-1])))
    here = _levels(torso, box)
    canal = np.hypot(here.x / 1.15, here.y + here.deep + 7) - torso.between(7.5, 9.5)
    column = _column(here, torso.between(0.5, 1))
    bodies = np.maximum(column, -_between_vertebrae(torso, here))
    bodies = np.minimum(bodies, _osteophytes(torso, here, column))
    arches = np.minimum.reduce([_arch(here, canal), _spinous(torso, here), _transverse(torso, here), _facets(here)])
    above = SACRUM_Z + (here.y) * 0.25 - torso.z[box]
    ahead = np.maximum(-canal, above)
    disc = np.maximum(column + 1, above) < 0
    for where, material in ((disc, Material.DISC), ((canal < 0) & (torso.z[box] > SACRUM_Z - 20), Material.CORD)):
        torso.materials[box][where] = material
        torso.organs[box][where] = Organ.OTHER_TISSUE
    _paint_epidural_fat(torso, here, canal, box)
    shell, cortex = torso.between(0.8, 1.6), torso.between(1.2, 2.2)
    paint_bone(torso, np.maximum(arches, ahead), Bone(Organ.SPINE, cortex), box)
    spongy = Bone(Organ.SPINE, shell, Material.VERTEBRA_SHELL, Material.VERTEBRA)
    paint_bone(torso, np.maximum(bodies, ahead), spongy, box)


def _levels(torso: Torso, box: tuple[slice, ...]) -> Levels:
    """Cut the spine across its own curve, so that discs tilt with it."""
    z = np.arange(SACRUM_Z - 60, float(EDGES_Z[-1]) + 40, 1.0)
    curve = np.array([torso.spine_y_at(h) for h in z])
    side = np.array([torso.spine_x_at(h) for h in z])
    x, y = torso.x[box] - torso.spine_x[box], torso.y[box] - torso.spine_y[box]
    lean = torso.along_z(z, np.gradient(curve))[box] * y + torso.along_z(z, np.gradient(side))[box] * x
    along = torso.z[box] + np.clip(lean, -25, 25)
    number = np.clip(np.searchsorted(EDGES_Z, along.ravel()).reshape(along.shape) - 1, 0, len(EDGES_Z) - 2)
    bottom, height = EDGES_Z[number].astype(np.float32), np.diff(EDGES_Z)[number].astype(np.float32)
    share = np.interp(np.arange(len(EDGES_Z) - 1), (0, 4, 6, 16, 22), (0.28, 0.25, 0.2, 0.18, 0.28))
    wear = torso.rng.uniform(0.45, 1.1, len(share)) if torso.chance(0.35) else torso.rng.uniform(0.9, 1.1, len(share))
    middles = EDGES_Z[:-1] + np.diff(EDGES_Z) / 2
    wide, deep = np.array([torso.vertebra_radii(float(z)) for z in middles]).T
    return Levels(
        x=x,
        y=y,
        number=number.astype(np.float32),
        up=along - bottom,
        height=height,
        disc=(height * (share * wear)[number]).astype(np.float32),
        wide=wide[number].astype(np.float32),
        deep=deep[number].astype(np.float32),
    )


def _column(here: Levels, waist: float) -> Field:
    """Distance to the column of bodies and discs: kidney-shaped, with a waist at the middle of each body."""
    middle = (here.up - (here.height + here.disc) / 2) / (here.height - here.disc)
    narrow = waist * 3.0 * np.clip(1 - 4 * middle * middle, 0, 1)
    round_ = (np.hypot(here.x / here.wide, here.y / here.deep) - 1) * here.deep + narrow
    return np.asarray(np.maximum(round_, -here.y - here.deep * 0.85), np.float32)


def _between_vertebrae(torso: Torso, here: Levels) -> Field:
    """Distance to the discs; a fracture lowers a body's front, a fused level has no disc."""
    bulge = 1.5 * np.clip(1 - np.hypot(here.x / here.wide, here.y / here.deep), 0, 1)
    lower = here.up - here.disc - bulge
    upper = here.height + bulge * 0.5 - here.up
    count = len(EDGES_Z) - 1
    crushed, fused = np.zeros(count), np.zeros(count, bool)
    hurt, grown = torso.rng.integers(0, count, 3), torso.rng.integers(0, count, 2)
    crushed[hurt] = torso.between(0.1, 0.55) if torso.chance(0.15) else 0.0
    fused[grown] = torso.chance(0.06)
    number = here.number.astype(np.int64)
    sunk = crushed[number] * (here.height - here.disc) * np.clip(0.5 + here.y / (2 * here.deep), 0.1, 1)
    disc = np.minimum(lower, upper - sunk)
    return np.asarray(np.where(fused[number], 9, disc), np.float32)


def _osteophytes(torso: Torso, here: Levels, column: Field) -> Field:
    """Lips of bone at the edges of the bodies, in some people bridges over the discs."""
    size = torso.between(0, 5) if torso.chance(0.4) else 0.0
    edge = np.minimum(np.abs(here.up - here.disc), np.abs(here.height - here.up))
    reach = torso.between(1.5, 4)
    ring = np.maximum(column - size * np.clip(1 - edge / (2 * reach), 0, 1), -column - 2)
    lips = np.maximum(ring, edge - reach)
    return np.asarray(lips if size > 1 else np.full_like(column, 9), np.float32)


def _arch(here: Levels, canal: Field) -> Field:
    """Pedicles and laminae around the canal."""
    body = here.height - here.disc
    middle = here.disc + 0.55 * body
    ring = np.maximum(canal - 5.5, here.y + here.deep - 2)
    pedicle = np.maximum(ring, np.abs(here.up - middle - 0.1 * body) - 0.24 * body)
    lamina = np.maximum(np.maximum(ring, here.y + here.deep + 8), np.abs(here.up - middle + 0.12 * body) - 0.42 * body)
    return np.asarray(np.minimum(pedicle, lamina), np.float32)


def _spinous(torso: Torso, here: Levels) -> Field:
    """One process behind: a broad blade in the loins, long and steep in the chest, small in the neck."""
    thoracic, neck = _is_thoracic(here), here.number >= THORACIC
    start = -here.deep - 14
    length = np.where(neck, 20, torso.between(26, 42))
    steep = np.where(thoracic, torso.between(0.6, 1.1), 0.15)
    back = start - here.y
    height = np.where(thoracic, 5, np.where(neck, 4, 9.5))
    middle = here.disc + 0.45 * (here.height - here.disc) - steep * back
    middle = np.mod(here.up - middle + here.height / 2, here.height) - here.height / 2  # it may reach the level below
    blade = np.maximum(np.abs(here.x) - 3.2 - 0.06 * np.clip(back, 0, 99), np.abs(middle) - height)
    return np.asarray(np.maximum(blade, np.maximum(-back, back - length)), np.float32)


def _transverse(torso: Torso, here: Levels) -> Field:
    """A process on either side, swept back in the chest where the ribs lean on it."""
    x = np.abs(here.x)
    thoracic, neck = _is_thoracic(here), here.number >= THORACIC
    sweep = np.where(thoracic, 0.5, torso.between(0.05, 0.25))
    reach = np.where(thoracic, 33 - 0.5 * (here.number - LUMBAR), np.where(neck, 25, torso.between(38, 46)))
    y = here.y + np.where(neck, 2, here.deep + 3) + sweep * (x - 12)
    z = here.up - here.disc - 0.62 * (here.height - here.disc)
    bar = np.hypot(y, z * 0.8) - np.where(thoracic, 5.5, 4.2)
    return np.asarray(np.maximum(bar, np.maximum(x - reach, 9 - x)), np.float32)


def _facets(here: Levels) -> Field:
    """Joints between the arches, over the discs."""
    edge = np.minimum(here.up, here.height - here.up)
    round_ = np.hypot(np.abs(here.x) - 0.72 * here.wide, here.y + here.deep + 11) - 6.5
    joint = np.abs(here.up - here.disc * 0.4)
    return np.asarray(np.maximum(np.maximum(round_, edge - 9), 0.8 - joint), np.float32)


def _is_thoracic(here: Levels) -> Field:
    return (here.number >= LUMBAR) & (here.number < THORACIC)  # type: ignore[return-value]


def _paint_epidural_fat(torso: Torso, here: Levels, canal: Field, box: tuple[slice, ...]) -> None:
    """Fat behind the dura and in the foramina, where nerves leave."""
    behind = (canal < 0) & (canal > -torso.between(1, 3)) & (here.y < -here.deep - 9)
    foramen = np.hypot(here.y + here.deep + 5, (here.up - here.disc * 0.7) * 0.7) < 5
    foramen &= (np.abs(here.x) < 26) & (np.abs(here.x) > 9)
    fat = (behind | foramen) & (torso.z[box] > SACRUM_Z)
    torso.materials[box][fat] = Material.FAT
    torso.organs[box][fat] = Organ.OTHER_TISSUE
