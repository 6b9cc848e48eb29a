"""Spine, pelvis, ribs and sternum: bone as several materials, since half of a real bone is no brighter than organs."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Material, Organ, Torso

SACRUM_Z = 80.0
"""Where the sacrum ends and the lumbar spine begins."""

CORTEX_MM = 2.5
"""Thickness of compact bone; never less than one voxel."""


def paint_skeleton(torso: Torso) -> None:
    """All bones, discs and the spinal cord, over whatever was painted before."""
    canal = _canal(torso)
    discs, vertebrae = _vertebrae(torso, canal)
    ribs, cartilage = _ribs(torso)
    inside = torso.body < -3
    torso.paint(discs & inside, Material.DISC)
    torso.paint(cartilage & inside, Material.CARTILAGE)
    torso.paint((canal < 0) & (torso.z > SACRUM_Z - 30) & inside, Material.CORD)
    pelvis = _sacrum(torso) | _pelvis(torso) | _femurs(torso)
    _paint_bone(torso, (pelvis | ribs | _sternum(torso) | _shoulders(torso)) & inside, Material.CORTEX, Material.MARROW)
    _paint_bone(torso, vertebrae & inside, Material.VERTEBRA_SHELL, Material.VERTEBRA)


def _paint_bone(torso: Torso, bone: Mask, shell: Material, core: Material) -> None:
    steps = [float(axis[1] - axis[0]) for axis in torso.axes]
    depth = distance_transform_edt(bone, sampling=steps)
    torso.paint(bone, core, Organ.OTHER_BONE)
    torso.paint(bone & (depth <= max(CORTEX_MM, 1.01 * min(steps))), shell, Organ.OTHER_BONE)


def _canal(torso: Torso) -> Field:
    """Distance to the spinal canal, 15 to 19 mm wide, behind the vertebral bodies."""
    distance = np.hypot((torso.x - torso.spine_x) / 1.2, torso.y - (torso.spine_y - 26))
    return np.asarray(distance - torso.between(7.5, 9.5), np.float32)


def _vertebrae(torso: Torso, canal: Field) -> tuple[Mask, Mask]:
    """Discs, and vertebrae of 40 to 54 by 30 to 38 mm every 29 to 37 mm, smaller in the chest."""
    period, disc = torso.between(29, 37), torso.between(5, 9)
    level = np.mod(torso.z + torso.between(0, 40) + (torso.y - torso.spine_y) * torso.between(-0.15, 0.15), period)
    x, y = torso.x - torso.spine_x, torso.y - torso.spine_y
    size = torso.along_z((80, 250, 450, 560), (1.05, 1, 0.8, 0.65))
    waist = 1 - 0.1 * np.cos((level - disc) / (period - disc) * 2 * np.pi - np.pi)
    round_ = np.hypot(x / torso.between(20, 27), y / torso.between(15, 19)) / size
    above = torso.z > SACRUM_Z
    body = (round_ < waist) & above & (canal > 0)
    arch = (canal < 7) & (canal > 0) & (y < -14) & (level > disc * 0.5) & (level < period * 0.85)
    tilt = (level - period / 2) * 0.4
    spinous = (np.abs(x) < 4.5) & (y < -30) & (y > tilt - torso.between(52, 66)) & (level > 4) & (level < period * 0.75)
    transverse = (np.abs(y + 21 + np.abs(x) * torso.between(0.05, 0.3)) < 5) & (np.abs(x) < torso.between(32, 44))
    transverse &= (np.abs(x) > 10) & (level > period * 0.45) & (level < period * 0.8)
    facets = (np.hypot(np.abs(x) - 18, y + 25) < 8) & ((level < disc + 4) | (level > period * 0.7))
    bone = body & (level > disc) | (arch | spinous | transverse | facets) & above & (canal > 0)
    return body & (level <= disc), bone


def _sacrum(torso: Torso) -> Mask:
    """A wedge that curves backwards, with two rows of holes."""
    z = torso.z
    half_width = torso.along_z((-15, 20, 48, SACRUM_Z + 10), (8, 28, 50, 60))
    middle = torso.along_z((-25, -5, 10, 50, SACRUM_Z + 12), (-62, -78, -85, -72, -48)) * min(torso.depth, 1.1)
    thickness = torso.along_z((-20, 0, 60, SACRUM_Z + 10), (4, 7, 16, 22))
    wedge = (np.abs(torso.x) < half_width) & (np.abs(torso.y - middle + np.abs(torso.x) * 0.12) < thickness)
    holes = np.hypot(np.abs(torso.x) - torso.between(18, 24), np.mod(z, 24) - 11) < torso.between(3, 5)
    return wedge & (z < SACRUM_Z + 4 + (torso.y - middle) * 0.3) & (z > -25) & ~(holes & (z < SACRUM_Z - 8))


def _pelvis(torso: Torso) -> Mask:
    """Iliac wings, acetabula, pubic and ischial rami."""
    crest = torso.between(95, 125)
    x, y, z = np.abs(torso.x), torso.y, torso.z
    flare = torso.along_z((10, 50, crest - 15, crest + 20), (90, 92, torso.between(108, 124), torso.between(112, 130)))
    bend = np.sqrt(np.clip(1 - ((y - 10) / torso.between(95, 115)) ** 2, 0, 1))
    thickness = torso.along_z((10, 60, crest), (12, torso.between(4.5, 9), torso.between(4.5, 9))) + torso.bumps(30, 1)
    wings = (np.abs(x - flare * bend) < thickness) & (z > 15) & (z < crest + 15 - ((y - 5) / 17) ** 2)
    wings &= (y > -88) & (y < torso.between(35, 60))
    pubis = (np.hypot(y - 47 + x * 0.35, z + 20 - x * 0.35) < 9) & (x < 78) & (x > 2.5)
    ramus = (np.hypot(x - 25 + (z + 45) * -0.2, y - 26 - z * 0.8) < 8) & (z < -20) & (z > -60)
    bone = wings | pubis | ramus
    for side in (-1, 1):
        bone |= torso.ellipsoid((side * 60, -30, -35), (14, 18, 30)) < 0
        socket = torso.ball((side * 82, 5, 8), 32) < 0
        bone |= socket & (torso.ball((side * 89, 5, 2), 27) > 0) & (x < 98)
    return np.asarray(bone, bool)


def _femurs(torso: Torso) -> Mask:
    """Femoral heads of 42 to 50 mm, necks, trochanters and shafts."""
    bone = np.zeros(torso.x.shape, bool)
    radius = torso.between(21, 25)
    for side in (-1, 1):
        bone |= torso.ball((side * 89, 5, 2), radius) < 0
        bone |= torso.tube(((side * 89, 5, 2), (side * 122, -4, -18), (side * 120, -4, -160)), (13, 17, 14)) < 0
    return bone


def _ribs(torso: Torso) -> tuple[Mask, Mask]:
    """Sloping bands in the wall, bone behind and cartilage in front."""
    slope, spacing = torso.between(0.3, 0.8), torso.between(23, 30)
    height = torso.z + slope * torso.y
    band = np.mod(height + np.abs(torso.x) * torso.between(0, 0.15) + torso.between(0, 30), spacing)
    cage = np.abs(torso.cavity + torso.between(1, 4)) < torso.between(3.5, 5.5)
    ribs = cage & (band < torso.between(7, 12)) & (height > torso.between(185, 245)) & (torso.z < torso.apex_z)
    front = torso.y > torso.between(25, 60) + np.clip((torso.z - torso.dome_z - 80) * 0.2, -10, 60)
    return ribs & ~front, ribs & front


def _sternum(torso: Torso) -> Mask:
    plate = (np.abs(torso.x) < torso.between(14, 20)) & (np.abs(torso.cavity + 5) < 7) & (torso.y > 0)
    return plate & (torso.z > torso.dome_z + torso.between(10, 30)) & (torso.z < torso.apex_z - 40)


def _shoulders(torso: Torso) -> Mask:
    """Collar bones, shoulder blades and the heads of the humeri."""
    x, y, z = np.abs(torso.x), torso.y, torso.z
    collar = (np.hypot(z - (torso.apex_z - 15) - x * 0.08, y - 55 + x * 0.25) < 7) & (x > 18) & (x < 150)
    blade = (np.abs(y + 95 - (140 - x) * 0.25) < 5) & (x > 75) & (x < 145)
    blade &= (z > torso.apex_z - 150) & (z < torso.apex_z - 10)
    heads = torso.ball((165, -10, torso.apex_z - 30), 24) < 0
    return collar | blade | heads | (torso.ball((-165, -10, torso.apex_z - 30), 24) < 0)
