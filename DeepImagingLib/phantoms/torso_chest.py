"""Lungs, heart, great vessels and airways of the torso.

A heart with its blood weighs 620 to 840 g in the reference adults of ICRP Publication 89 (2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


@dataclass(frozen=True)
class Heart:
    """Where the heart lies: its centre, half axes (mm) and angles (radians)."""

    center: Point
    radii: Point
    turn: float
    tilt: float


def place_heart(torso: Torso) -> Heart:
    """Choose a heart on the left dome: half axes of 4 to 8 cm make 450 to 1000 mL with its blood."""
    size = torso.between(0.92, 1.25)
    return Heart(
        center=(torso.between(-38, -14), torso.between(12, 36), torso.dome_z + torso.between(30, 58)),
        radii=(torso.between(50, 64) * size, torso.between(42, 55) * size, torso.between(48, 60) * size),
        turn=torso.between(-0.6, 0.3),
        tilt=torso.between(-0.4, 0.5),
    )


def paint_lungs(torso: Torso) -> None:
    """All the space between wall, diaphragm and mediastinum, with vessels and now and then fluid or consolidation."""
    top, tip = torso.dome_z, torso.apex_z
    inset = torso.along_z((top - 100, top, 450, tip - 40, tip), (0, 0, torso.between(0, 6), torso.between(15, 35), 65))
    lungs = (torso.cavity < -3 - inset) & (torso.z > torso.dome + 2) & (torso.z < tip) & (_mediastinum(torso) > 0)
    torso.paint(torso.thorax, Material.FAT)
    torso.paint(torso.thorax & (torso.z > tip - 10), Material.MUSCLE)
    right = torso.x > -5
    for organ, side in ((Organ.RIGHT_LUNG, right), (Organ.LEFT_LUNG, ~right)):
        torso.paint(lungs & side, Material.LUNG, organ)
    vessels = torso.bumps(torso.between(9, 14), 1) > torso.between(1.5, 2.0)
    torso.materials[lungs & vessels & (torso.cavity < -12)] = Material.LUNG_VESSEL
    if torso.chance(0.3):
        _paint_effusion(torso, lungs)


def _mediastinum(torso: Torso) -> Field:
    """Distance to what lies between the lungs: narrower behind, where they wrap around the spine."""
    z = (torso.dome_z, torso.dome_z + 80, torso.dome_z + 150, torso.apex_z)
    widths = (torso.between(10, 40), torso.between(12, 36), torso.between(16, 36), torso.between(24, 44))
    half_width = torso.along_z(z, widths)
    behind = np.clip((torso.y - torso.spine_y + torso.between(-10, 30)) / 60, 0.15, 1.1)
    middle = np.abs(torso.x + 5) - half_width * behind
    spine = np.hypot(torso.x - torso.spine_x, torso.y - torso.spine_y) - torso.between(30, 38)
    return np.asarray(np.minimum(middle, spine), np.float32)


def _paint_effusion(torso: Torso, lungs: Mask) -> None:
    """Fluid or collapsed lung low in the back of one side; fluid is no lung."""
    side = torso.x > -5 if torso.chance(0.5) else torso.x <= -5
    level = torso.between(-85, -45) + (torso.dome_z - torso.z) * 0.2
    low = lungs & side & (torso.y < level) & (torso.z < torso.dome_z + torso.between(0, 90))
    if torso.chance(0.5):
        torso.materials[low] = Material.CONSOLIDATION
    else:
        torso.paint(low, Material.STOMACH)


def paint_heart(torso: Torso, heart: Heart) -> None:
    """Muscle around four chambers, right and left blood apart, in a capsule of fat."""
    room = (torso.z > torso.dome + 2) & (torso.cavity < -5)
    surface = torso.ellipsoid(
        heart.center, heart.radii, turn=heart.turn, tilt=heart.tilt, lumps=torso.bumps(torso.between(25, 45), 3)
    )
    torso.paint((surface < torso.between(0, 10)) & room, Material.FAT)
    torso.paint((surface < 0) & room, Material.MYOCARDIUM, Organ.HEART)
    for offset, size, blood in (
        ((-0.35, -0.15, -0.10), (0.45, 0.50, 0.62), Material.LEFT_BLOOD),  # left ventricle
        ((-0.05, 0.45, -0.15), (0.55, 0.40, 0.60), Material.RIGHT_BLOOD),  # right ventricle, in front
        ((0.55, 0.05, 0.05), (0.38, 0.50, 0.60), Material.RIGHT_BLOOD),  # right atrium
        ((0.10, -0.62, 0.35), (0.55, 0.32, 0.42), Material.LEFT_BLOOD),  # left atrium, behind
    ):
        center = tuple(c + o * r for c, o, r in zip(heart.center, offset, heart.radii, strict=True))
        radii = tuple(s * r * torso.between(0.8, 1.1) for s, r in zip(size, heart.radii, strict=True))
        # zip forgets that there are three
        chamber = torso.ellipsoid(center, radii, turn=heart.turn, tilt=heart.tilt)  # type: ignore[arg-type]
        torso.paint((chamber < 0) & (surface < -3) & room, blood, Organ.HEART)


def paint_airways(torso: Torso, heart: Heart) -> None:
    """Trachea, main bronchi and oesophagus."""
    fork = heart.center[2] + 80
    behind = torso.spine_y_at(fork) + 40
    torso.paint((torso.tube(((0, behind, fork), (0, 0, 640)), (9, 9)) < 0) & torso.thorax, Material.GAS)
    for side in (-1, 1):
        bronchus = torso.tube(((0, behind, fork), (side * 50, behind - 4, fork - 40)), (7, 4))
        torso.paint((bronchus < 0) & ~torso.belongs_to(Organ.HEART), Material.GAS)
    gullet = np.hypot(torso.x + 4 - np.clip((420 - torso.z) * 0.06, 0, 14), torso.y - torso.spine_y - 28)
    free = ~torso.belongs_to(Organ.HEART) & (torso.z > torso.dome_z - 20) & (torso.cavity < 0)
    torso.paint((gullet < torso.between(6, 9)) & free, Material.BOWEL)


def paint_aorta(torso: Torso, heart: Heart) -> None:
    """From the heart over the arch down the spine to its fork at L4, 14 to 40 mm wide, and its branches."""
    widening = torso.between(1, 1.5) if torso.chance(0.25) else 1.0
    radius = torso.between(10, 14) * widening
    path = _aortic_path(torso, heart, radius)
    low = torso.between(7, 11)
    radii = np.array([1.35, 1.4, 1.35, 1.1, 1.05, 1.0, 0.95]) * radius
    distance = torso.tube(path, [*radii, (low + radius) / 2, low * 1.05, low * 0.95])
    inside = distance < 0
    for side in (-1, 1):  # common and external iliac arteries, painted first: they are not aorta
        fork = path[-1]
        bend = (fork[0] + side * torso.between(55, 75), torso.between(-5, 25), 25.0)
        limb = torso.tube(
            (fork, (fork[0] + side * 25, fork[1] - 8, fork[2] - 45), bend, (side * 88, 50, -30)), (6, 6, 5, 4)
        )
        torso.paint(limb < 0, Material.AORTA)
    for z, reach in ((250.0, 240.0), (236.0, 180.0)):  # coeliac trunk and superior mesenteric artery
        root = np.array((path[-2][0], torso.spine_y_at(z) + 30))
        ends = ((root[0], root[1], z), (root[0] + 2, root[1] + 24, (z + reach) / 2), (root[0] + 8, root[1] + 28, reach))
        torso.paint(torso.tube(ends, (4, 4, 3)) < 0, Material.AORTA)
    for side, x in ((1, 20), (-1, -22), (-1, -6)):  # the arch's branches
        start = (path[3][0] + side * 4, path[3][1], path[3][2] + 5)
        torso.paint(torso.tube((start, (x, 0, torso.apex_z - 30), (x * 1.4, 0, 640)), (5, 4.5, 4)) < 0, Material.AORTA)
    torso.paint(inside, Material.AORTA, Organ.AORTA)
    if torso.chance(0.2):
        _paint_dissection(torso, inside)
    if torso.chance(0.45):
        chalk = inside & (distance > -4) & (torso.bumps(13, 1) > 1.5)
        torso.paint(chalk, Material.CALCIUM, Organ.AORTA)


def _aortic_path(torso: Torso, heart: Heart, radius: float) -> list[Point]:
    """Centre line: root, ascending part, arch, then on the left front of the spine."""
    x, y, z = heart.center
    gap, front = torso.between(-2, 4), torso.between(15, 19)
    root = [(x + 16, y + 5, z + 15), (x + torso.between(26, 40), y + 10, z + 60), (x + 28, y, z + 95)]
    arch = [(-5.0, torso.between(-12, 8), z + torso.between(112, 130)), (-23.0, torso.spine_y_at(z + 95) + 38, z + 100)]
    down: list[Point] = [
        (-24, torso.spine_y_at(z + 60) + 28, z + 60),
        (torso.between(-24, -12), torso.spine_y_at(z) + front * 0.8 + radius * 0.8 + gap, z),
        (-9, torso.spine_y_at(290) + front + radius * 0.85 + gap, 290),
        (torso.between(-12, 0), torso.spine_y_at(220) + front + 9 + gap, 220),
    ]
    fork = torso.between(115, 145)
    return [*root, *arch, *down, (torso.between(-8, 2), torso.spine_y_at(fork) + front + 9 + gap, fork)]


def _paint_dissection(torso: Torso, inside: Mask) -> None:
    """A flap that winds down the aorta, with less contrast behind it."""
    angle = torso.between(0, 6.28) + (torso.z - 300) / torso.between(120, 400)
    side = (torso.x - torso.spine_x + 12) * np.cos(angle) + (torso.y - torso.spine_y - 26) * np.sin(angle)
    below = inside & (torso.z < torso.between(250, 600))
    torso.paint(below & (side > 0), Material.FALSE_LUMEN, Organ.AORTA)
    torso.paint(below & (np.abs(side) < 2), Material.MUSCLE, Organ.AORTA)


def paint_great_veins(torso: Torso, heart: Heart) -> None:
    """Venae cavae and the pulmonary trunk: neighbours that look like the aorta and aren't."""
    free = ~torso.belongs_to(Organ.AORTA)
    x, y, z = heart.center
    cava = np.hypot((torso.x - torso.spine_x - torso.between(17, 26)) / 1.2, torso.y - torso.spine_y - 24)
    level = (torso.z > torso.between(110, 140)) & (torso.z < z - 10)
    torso.paint((cava < torso.between(8, 13)) & level & free, Material.VEIN)
    for side in (-1, 1):
        limb = ((10, torso.spine_y_at(135) + 24, 135), (side * 30, torso.spine_y_at(90) + 10, 90), (side * 60, 0, 20))
        torso.paint((torso.tube((*limb, (side * 80, 38, -30)), (8, 7.5, 6, 6)) < 0) & free, Material.VEIN)
    free &= (torso.z > torso.dome) & ~(torso.belongs_to(Organ.HEART) & (torso.z < z + 35))
    trunk = torso.tube(((x - 8, y + 30, z + 20), (x - 5, y + 20, z + 60), (x - 45, -12, z + 78)), (13, 13, 8))
    branch = torso.tube(((x - 5, y + 5, z + 70), (20, 0, z + 66), (55, -10, z + 62)), (10, 9, 6))
    torso.paint((np.minimum(trunk, branch) < 0) & free, Material.RIGHT_BLOOD)
    upper = torso.tube(((x + heart.radii[0] * 0.7, y, z + 20), (28, 8, z + 75), (24, 10, torso.apex_z)), (9, 9, 8))
    torso.paint((upper < 0) & free & ~torso.belongs_to(Organ.HEART), Material.RIGHT_BLOOD)
