"""Pelvis, femurs, ribs with their cartilage, sternum and the bones of the shoulders.

Sizes and slopes, those of ribs and femoral heads among them, are chosen by eye, wide enough for women and men.
"""

from __future__ import annotations

import itertools

import numpy as np

from DeepImagingLib.phantoms.shapes import OUTSIDE_MM, Field, Point, Stroke
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_arms import Arm, paint_arm_bones
from DeepImagingLib.phantoms.torso_bones import Bone, paint_bone
from DeepImagingLib.phantoms.torso_frame import EDGES_Z, SACRUM_Z, Arms
from DeepImagingLib.phantoms.torso_spine import paint_spine

RIB_FALL_MM = (44, 66, 86, 104, 119, 130, 136, 136, 131, 115, 82, 46)
"""How much lower than its head a rib ends, first to twelfth: a slice through the liver's dome meets six a side."""

RIB_END_DEG = (62, 62, 60, 58, 56, 52, 46, 36, 27, 17, -18, -48)
"""Where its bone ends on the wall: 90 is anterior, -90 posterior."""

NOTCH_Z, STERNAL_ANGLE_Z, XIPHOID_Z, TIP_Z = 500.0, 455.0, 362.0, 326.0
"""Heights on the sternum: upper edge, where the second ribs meet it, its lower end, the xiphoid's tip."""


def paint_skeleton(torso: Torso, arms: tuple[Arm, Arm]) -> None:
    """All bones, discs and the spinal cord, over whatever was painted before."""
    _paint_ribs(torso)
    _paint_sternum(torso)
    _paint_shoulders(torso, arms)
    paint_arm_bones(torso, arms)
    _paint_sacrum(torso)
    _paint_hips_and_femurs(torso)
    paint_spine(torso)


def _paint_ribs(torso: Torso) -> None:
    """Twelve pairs of flat curved bars, 11 to 14 mm high, that slope from their vertebrae, and their cartilage."""
    fall, high = torso.between(0.85, 1.12), torso.between(5.4, 6.8)
    seat = torso.between(4.5, 6)
    bones: list[Stroke] = []
    cartilage: list[Stroke] = []
    for side in (-1, 1):
        ends: list[Point] = []
        for number in range(12):
            path = _rib(torso, number, side, fall * torso.between(0.98, 1.02), seat)
            bones += [(a, b, high, high) for a, b in itertools.pairwise(path)]
            ends.append(path[-1])
        for number in range(10):
            path = _rib_cartilage(torso, number, side, ends, seat)
            cartilage += [(a, b, high, high) for a, b in itertools.pairwise(path)]
    off = torso.cavity - np.float32(seat)
    off = np.where(torso.cavity > 30, 0, off)  # heads and necks lie in the spine's groove, where nothing is flat
    thick = torso.between(0.56, 0.7) * high
    soft = _flattened(torso.strokes(cartilage)[0], off, high, 1.1 * thick) < 0
    torso.paint(soft & (torso.body < -1), Material.CARTILAGE)
    if torso.chance(0.4):
        chalk = torso.bumps(8, 1) > torso.between(0.7, 2)
        torso.paint(soft & (torso.body < -1) & chalk, Material.CALCIUM)
    shell = Material.CORTEX if torso.chance(0.8) else Material.VERTEBRA_SHELL  # some are too thin to be white
    bone = Bone(Organ.RIBS, torso.between(0.7, 1.3), shell)
    paint_bone(torso, _flattened(torso.strokes(bones)[0], off, high, thick), bone)


def _flattened(round_: Field, off: Field, high: float, thick: float) -> Field:
    """Return the distance to a tube of half height `high` made oval, `thick` across; `off` is measured that way."""
    flat = np.full_like(round_, OUTSIDE_MM)
    near = round_ < 1
    ratio = np.float32((high / thick) ** 2)
    across = off[near] ** 2
    oval = (round_[near] + np.float32(high)) ** 2 + (ratio - 1) * across
    steep = np.sqrt((oval + ratio * (ratio - 1) * across) / np.maximum(oval, 1e-3))
    flat[near] = (np.sqrt(oval) - high) / np.maximum(steep, 1)
    return flat


def _rib(torso: Torso, number: int, side: int, fall: float, seat: float) -> list[Point]:
    """Head at the disc above its vertebra, over the transverse process, round the wall, forward and down."""
    top = float(EDGES_Z[16 - number + 1]) - 4
    drop = RIB_FALL_MM[number] * fall
    x, y = torso.spine_x_at(top), torso.spine_y_at(top)
    wide = torso.vertebra_radii(top)[0]
    path = [(x + side * (wide - 1), y - 8, top), (x + side * (wide + 15), y - 27, top - 3)]
    end = RIB_END_DEG[number]
    for angle in np.arange(-62, end + 4, 8 if end > 0 else 5):
        share = (angle + 68) / (end + 68)
        px, py, pz = torso.cage_point(float(angle), top - 5 - drop * share**1.25, seat)
        bend = x * np.clip(-angle / 62, 0, 1)  # where the spine is crooked, ribs start beside it
        path.append((side * px + float(bend), max(py, y - 24 - torso.groove_slope * abs(abs(px) - 22) - seat), pz))
    return path


def _rib_cartilage(torso: Torso, number: int, side: int, ends: list[Point], seat: float) -> list[Point]:
    """From a rib's end to the sternum, or from the eighth on to the cartilage above."""
    start = ends[number]
    if number < 7:
        z = float(np.interp(number, (0, 1, 6), (NOTCH_Z - 20, STERNAL_ANGLE_Z, XIPHOID_Z + 3)))
        goal_angle = 90 - float(np.rad2deg(0.16))
    else:
        above = ends[number - 1]
        goal_angle, z = RIB_END_DEG[number - 1] + 12.0, above[2] + 2
    path = [start]
    for share in np.linspace(0.2, 1, 6):
        dip = -14 * np.sin(np.pi * share) if 3 < number < 10 else 0.0
        angle = RIB_END_DEG[number] + share * (goal_angle - RIB_END_DEG[number])
        height = start[2] + (z - start[2]) * share + dip
        px, py, pz = torso.cage_point(float(angle), float(height), seat)
        path.append((side * px, py, pz))
    return path


def _paint_sternum(torso: Torso) -> None:
    """Manubrium, body and xiphoid."""
    lean = torso.between(0.85, 1.2)
    heights = (TIP_Z, XIPHOID_Z, XIPHOID_Z + 8, STERNAL_ANGLE_Z - 4, STERNAL_ANGLE_Z + 6, NOTCH_Z)
    width = torso.along_z(heights, np.multiply((4, 7, 17, 13, 22, 31), lean))
    across = np.maximum(np.abs(torso.x) - width, np.abs(torso.cavity - 6) - torso.between(4.5, 6.5))
    ends = np.maximum(TIP_Z + torso.between(0, 25) - torso.z, torso.z - NOTCH_Z)
    plate = np.maximum(np.maximum(across, ends), -torso.y)
    paint_bone(torso, plate, Bone(Organ.OTHER_BONE, 1.2))


def _paint_shoulders(torso: Torso, arms: tuple[Arm, Arm]) -> None:
    """Collar bones and shoulder blades, which follow the arms."""
    lift = 22.0 if torso.build.arms is Arms.UP else 0.0
    front = torso.cage_point(90, NOTCH_Z)[1]
    blade = _blade(torso, lift)
    flat, tubular = Bone(Organ.OTHER_BONE, 1.5), Bone(Organ.OTHER_BONE, 2.2)
    for arm in arms:
        side, joint = arm.side, arm.joints[0]
        roof = (joint[0] + side * 2, joint[1] - 14, joint[2] + 32)
        collar = [(side * 17.0, front + 4, NOTCH_Z + 2), (side * 65.0, front - 4, NOTCH_Z + 12 + lift / 3)]
        collar += [(side * 115.0, -8.0, joint[2] + 20), (roof[0], roof[1] + 18, roof[2] - 2)]
        paint_bone(torso, torso.tube(collar, (9, 6, 6, 6.5), reach=4), tubular)
        socket = (joint[0] - side * 29, joint[1] - 8, joint[2])
        neck = torso.tube(((side * 108.0, -78.0, joint[2] - 15), socket), (5, 13), reach=4)
        beak = torso.tube((socket, (socket[0], socket[1] + 30, socket[2] + 22)), (7, 5), reach=4)
        spine = torso.tube(((side * 72.0, -98.0, joint[2] - 22), (side * 125.0, -88.0, joint[2] + 8), roof), (4, 6, 8))
        for part in (neck, beak, spine):
            paint_bone(torso, part, tubular)
        paint_bone(torso, np.maximum(blade, -side * torso.x), flat)


def _blade(torso: Torso, lift: float) -> Field:
    """A triangle of thin bone behind the ribs, flat where they curve away: 10 to 20 mm off, and more at its outside."""
    x = np.abs(torso.x)
    top, low = 512 + lift, 385 + lift
    heights = np.linspace(low, top, 6)
    inner = [torso.cage_point(-58, float(z), torso.between(13, 18)) for z in heights]
    start = torso.along_z(heights, [p[0] for p in inner]) + (torso.z - low) * (0.15 if lift else 0.0)
    back = torso.along_z(heights, [p[1] for p in inner])
    outer = np.interp(torso.z, (low, low + 25, top), (96, 116, 142)) + lift * 0.3
    edges = np.maximum(np.maximum(start - 8 - x, x - outer), np.maximum(low - torso.z, torso.z - top))
    slope = torso.between(0.45, 0.75)
    sheet = np.abs(torso.y - back - slope * (x - start)) / np.hypot(1, slope)
    rim = 3.5 * np.exp(-np.clip(outer - x, 0, 60) / 6)  # the thick border towards the arm
    return np.asarray(np.maximum(edges, sheet - torso.between(1.2, 2.2) - rim), np.float32)


def _paint_sacrum(torso: Torso) -> None:
    """A wedge that curves backwards, with two rows of holes and its canal; below it the coccyx."""
    start = torso.spine_y_at(SACRUM_Z)
    box = torso.box((-80, -190, -75), (80, 10, SACRUM_Z + 30))
    x, y, z = torso.x[box], torso.y[box], torso.z[box]
    half_width = torso.along_z((-40, -15, 20, 55, SACRUM_Z + 5), (3, 9, 30, 52, 60))[box]
    back = torso.between(0.8, 1.25)
    curve = np.array((12, -4, -22, -34, -38, -24, 0)) * back
    middle = torso.along_z((-48, -35, -15, 5, 25, 55, SACRUM_Z), start - 4 + curve)[box]
    thickness = torso.along_z((-40, -15, 5, 60, SACRUM_Z), (4, 5, 9, 17, 20))[box]
    depth = np.abs(y - middle + np.abs(x) * 0.2) - thickness * (1 - 0.3 * (np.abs(x) / 60) ** 2)
    ends = np.maximum(z - SACRUM_Z + 3 - (y - start) * 0.25, -46 - z)
    wedge = np.maximum(np.maximum(np.abs(x) - half_width, depth), ends)
    holes = np.hypot(np.abs(x) - 20 - np.clip(z - 20, 0, 60) * 0.08, np.mod(z + 3, 23) - 11) - torso.between(3, 5)
    holes = np.where((z > 0) & (z < SACRUM_Z - 14), holes, 9)
    canal = np.maximum(np.hypot(x / 1.5, y - middle + thickness * 0.75) - thickness * 0.3, 15 - z)
    bone = np.maximum(wedge, -np.minimum(holes, canal)).astype(np.float32)
    paint_bone(torso, bone, Bone(Organ.SACRUM, torso.between(1.0, 2.0)), box)


def _paint_hips_and_femurs(torso: Torso) -> None:
    """Iliac wings, sockets, pubic bones and ischia; heads of 42 to 50 mm, necks, trochanters and shafts."""
    wide = torso.between(0.97, 1.03) * (1.03 if torso.build.female else 0.98)
    radius, shaft = torso.between(21, 25), torso.between(13, 15.5)
    hip, thin = Bone(Organ.HIPS, torso.between(1.2, 2.2)), Bone(Organ.FEMURS, 1.6)
    long = Bone(Organ.FEMURS, torso.between(4, 7))
    wing = _wings(torso, wide)
    turn = torso.between(-12, 12)
    for side in (-1, 1):
        joint = (side * 89 * wide, 5.0, 2.0)
        gap = torso.ball(joint, radius + torso.between(1.5, 4))
        bowl = torso.ball((side * 84 * wide, 4, 7), radius + torso.between(8, 11))
        bowl = np.maximum(bowl, np.abs(torso.x) - 100 * wide)
        pieces = [np.maximum(wing, -side * torso.x), bowl, *_pubis_and_ischium(torso, side, wide)]
        paint_bone(torso, np.maximum(np.minimum.reduce(pieces), -gap), hip)
        low = (side * 117.0 * wide, 2.0, -75.0)
        trochanter = (side * 124.0 * wide, -10.0 + turn, -12.0)
        middle = (side * 108 * wide, -3 + turn / 2, -14.0)
        neck = torso.tube((joint, middle, (side * 119 * wide, -6.0, -35.0)), (14, 13, 17))
        upper = np.minimum(np.minimum(torso.ball(joint, radius), neck), torso.ball(trochanter, 15))
        paint_bone(torso, upper, thin)
        paint_bone(torso, torso.tube((low, (side * 104.0 * wide, 8.0, -320.0)), (shaft * 1.15, shaft)), long)
        paint_bone(torso, torso.tube(((side * 120.0 * wide, -4.0, -40.0), low), (18, shaft * 1.15)), thin)


def _wings(torso: Torso, wide: float) -> Field:
    """Both iliac wings, from the sacrum's sides to the front."""
    crest, front = torso.between(102, 122), torso.between(48, 62)
    x, y, z = np.abs(torso.x), torso.y, torso.z
    heights = (5, 45, crest - 15, crest + 20)
    flare = torso.along_z(heights, np.multiply((90, 94, torso.between(114, 126), torso.between(118, 132)), wide))
    bend = np.sqrt(np.clip(1 - ((y - 15) / torso.between(100, 112)) ** 2, 0, 1))
    middle = torso.between(2.5, 5)
    thickness = torso.along_z((5, 50, crest - 12, crest + 5), (11, middle, middle, 6.5))
    sheet = np.abs(x - flare * bend) - thickness * np.clip(1.8 - bend, 1, 1.6)
    top = z - crest - 4 + (np.clip(np.abs(y - 5) - 8, 0, 99) / 14) ** 2
    notch = 26 - z - np.clip(y + 10, -60, 0) * 0.9  # the greater sciatic notch, behind and below
    edges = np.maximum(np.maximum(top, notch), np.maximum(-92 - y, y - front))
    return np.asarray(np.maximum(np.maximum(sheet, edges), 8 - z), np.float32)


def _pubis_and_ischium(torso: Torso, side: int, wide: float) -> list[Field]:
    """The ring around the obturator foramen, closed in front at the symphysis."""
    upper = ((74, 28, 2), (42, 50, -10), (10, 56, -22))
    lower = ((9, 54, -34), (26, 32, -56), (46, 0, -64))
    seat = ((70, -22, -8), (62, -34, -38), (50, -18, -60))
    paths = ((upper, (12, 8, 10)), (lower, (9, 7, 9)), (seat, (15, 15, 14)))
    return [torso.tube([(side * x * wide, y, z) for x, y, z in path], radii, reach=4) for path, radii in paths]
