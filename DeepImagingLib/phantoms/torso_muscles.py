"""Skin, fat, the muscles of wall, back, chest, hips and thighs, and the fat between them."""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Material, Torso


def paint_wall(torso: Torso) -> None:
    """Skin, fat, muscle, breasts and the diaphragm; everything else is painted over them."""
    inside = torso.body < 0
    torso.paint(inside, Material.FAT)
    torso.paint(inside & (torso.body > -2.0), Material.SKIN)
    if torso.breast is not None:
        gland = torso.bumps(torso.between(9, 16), 1) > torso.between(-0.3, 2)
        torso.paint((torso.breast < -8) & (torso.body < -6) & gland, Material.SOFT)
    torso.paint(torso.muscle < 0, Material.MUSCLE)
    _paint_chest_fat(torso)
    _paint_hip_fat(torso)
    torso.paint(torso.abdomen, Material.FAT)
    torso.paint((torso.cavity < 0) & (np.abs(torso.z - torso.dome) < torso.between(1, 3)), Material.MUSCLE)
    middle = (torso.muscle < 0) & (torso.cavity > 0) & (torso.y > 0) & (np.abs(torso.x) < torso.between(1, 7))
    torso.paint(middle & (torso.z > 40) & (torso.z < 290), Material.FAT)  # between the straight muscles of the belly


def _paint_chest_fat(torso: Torso) -> None:
    """Fat between the layers of muscle on the ribs, round the shoulder blade, and in the armpits.

    Muscles in front (pectoral) and behind (latissimus, those of the blade, trapezius) leave a gap at the side, where
    only the serratus covers the ribs; sheets of fat part what lies over each other, as in any axial slice.
    """
    lean = torso.between(0.5, 1) + torso.fat / 60
    depth = torso.cavity + torso.bumps(28, 2)
    around = np.rad2deg(np.arctan2(torso.y, np.abs(torso.x))) + torso.bumps(40, 6)
    high = torso.along_z((330, 380, 420), (0, 0.5, 1))
    serratus = torso.between(11, 16)
    gap = torso.along_z((380, 430, 500, 535), (3, torso.between(6, 18), torso.between(14, 26), -9))
    middle = torso.between(14, 24) - torso.between(0, 0.5) * (depth - 25)
    armpit = (np.abs(around - middle) < gap) & (depth > serratus) & (torso.muscle > -45)
    front = (np.abs(torso.x) < torso.between(6, 20) + 0.4 * (depth - 14)) & (depth > 12) & (torso.y > 0)
    minor, major = torso.between(17, 21), torso.between(23, 27)
    sheets = np.minimum(np.abs(depth - serratus), np.abs(depth - np.where(around > 0, minor, major)))
    sheets = np.minimum(sheets, np.abs(torso.muscle + torso.between(9, 14) + torso.bumps(25, 2)))
    planes = (sheets < (0.4 + 0.9 * high) * lean) & (depth > 11) & (torso.bumps(30, 1) < torso.between(0, 1))
    shoulder = np.abs(torso.bumps(torso.between(18, 28), 1)) < lean * torso.along_z((470, 535), (0, 0.35))
    shoulder &= torso.cavity > 11
    where = (armpit | planes | shoulder | (front & (torso.z < 490))) & (torso.muscle < 0) & (torso.z > 330)
    torso.paint(where, Material.FAT)


def _paint_hip_fat(torso: Torso) -> None:
    """Fat between the buttocks, and in sheets between the muscles of hip and thigh."""
    sheets = np.abs(torso.bumps(torso.between(28, 48), 1)) < torso.between(0.02, 0.1) + torso.fat / 600
    low = torso.z < 120 + 0.3 * np.abs(torso.y)
    torso.paint(sheets & low & (torso.muscle < -3), Material.FAT)
    cleft = (np.abs(torso.x) < torso.between(3, 9)) & (torso.y < torso.spine_y - 5) & (torso.z < 30)
    torso.paint((cleft | ((np.abs(torso.x) < 5) & (torso.z < -75))) & (torso.muscle < 0), Material.FAT)


def paint_back_muscles(torso: Torso) -> None:
    """Erector spinae, psoas and quadratus lumborum; then all muscle is streaked with fat."""
    strength = torso.build.muscle
    for side in (-1, 1):
        erector = (torso.between(24, 32) * strength, torso.between(20, 30) * strength, 330.0)
        behind = torso.ellipsoid((side * torso.between(28, 36), -66, 260), erector)
        torso.paint((behind < 0) & (torso.muscle < 0) & ~torso.thorax, Material.MUSCLE)
        square = torso.ellipsoid((side * 68, torso.between(-68, -54), 175), (torso.between(14, 22), 10, 60))
        torso.paint((square < 0) & (torso.muscle < 0), Material.MUSCLE)
        torso.paint((_psoas(torso, side, strength) < 0) & (torso.z < 270) & (torso.muscle < 0), Material.MUSCLE)
    streaks = np.abs(torso.bumps(torso.between(12, 22), 1)) < torso.between(0.0, 0.14) * torso.between(0.2, 1)
    torso.paint(_muscle(torso) & streaks, Material.FAT)


def _muscle(torso: Torso) -> Mask:
    return torso.is_made_of(Material.MUSCLE) & (np.abs(torso.z - torso.dome) > 5)


def _psoas(torso: Torso, side: int, strength: float) -> Field:
    """Beside the lumbar spine, drifting outward and forward on its way to the hip."""
    lateral = side * (36 + np.clip((170 - torso.z) * 0.24, -9, 48))
    anterior = torso.spine_y + np.clip((150 - torso.z) * 0.3, -4, 52)
    radii = (14, torso.between(17, 27) * strength, torso.between(15, 25) * strength, 9, 2)
    distance = np.hypot(torso.x - torso.spine_x - lateral, torso.y - anterior)
    return np.asarray(distance - torso.along_z((-20, 60, 150, 240, 270), radii), np.float32)
