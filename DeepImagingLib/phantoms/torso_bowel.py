"""Stomach, small bowel, colon and what they hold; their neighbours lie against them with and without fat between.

The hollow organs are the great imitators of an abdomen: a loop of jejunum looks like a kidney's rim, soft stool like
liver, gas and crumbly stool like lung. Lengths and widths follow ICRP Publication 89 (2002): small bowel 2 to 3 cm
wide, colon 3 to 7 cm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Bytes, Material, Organ, Torso

Region = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

SMALL_BOWEL_HOLDS = {Material.BOWEL: 0.46, Material.FLUID: 0.45, Material.FOOD: 0.06, Material.ORAL_CONTRAST: 0.03}
COLON_HOLDS = {
    Material.STOOL: 0.32,
    Material.SOFT_STOOL: 0.24,
    Material.GAS: 0.18,
    Material.FLUID: 0.10,
    Material.BOWEL: 0.13,  # collapsed
    Material.ORAL_CONTRAST: 0.03,
}


class Loops:
    """Tubes that push each other aside: each point belongs to the nearest, so that two lumens have walls between."""

    def __init__(self, torso: Torso, free: Mask) -> None:
        self._torso = torso
        self._box = _box_around(free)
        self._free = free[self._box]
        self._distance: Field = np.full(self._free.shape, np.inf, np.float32)
        self._holds: Bytes = np.zeros(self._free.shape, np.uint8)

    def add(self, path: Sequence[Point], radii: Sequence[float], holds: Material, wall: float, gas_mm: float) -> None:
        """Lay one loop: what it holds up to `gas_mm` above its middle, gas above, in a wall as thick as given (mm)."""
        whole, above = self._torso.tube_and_height(path, radii)
        distance, height = whole[self._box], above[self._box]
        box = _box_around(distance < 0)
        distance, height, nearest = distance[box], height[box], self._distance[box]
        nearer = distance < nearest
        content = np.where(height > gas_mm, Material.GAS, holds)
        content[distance > -wall] = Material.BOWEL
        self._holds[box] = np.where(nearer, content, self._holds[box])
        nearest[nearer] = distance[nearer]

    def paint(self) -> None:
        """Paint all loops where there is room for them."""
        inside = (self._distance < 0) & self._free
        self._torso.materials[self._box][inside] = self._holds[inside]
        self._torso.organs[self._box][inside] = Organ.BOWEL


def paint_bowel(torso: Torso) -> None:
    """Mesentery with its vessels and nodes, small bowel in front of it, duodenum, and the colon around."""
    _paint_mesentery(torso)
    loops = Loops(torso, _room(torso))
    for _ in range(8 + int(torso.between(2, 30) * (1.2 - torso.visceral_fat))):
        _add_small_bowel(torso, loops)
    _add_duodenum(torso, loops)
    _add_colon(torso, loops)
    loops.paint()


def _room(torso: Torso) -> Mask:
    taken = torso.is_made_of(Material.MUSCLE, Material.VEIN, Material.AORTA, Material.CALCIUM)
    return torso.abdomen & (torso.cavity < -1) & ~taken & ~torso.belongs_to(Organ.AORTA)


def _add_small_bowel(torso: Torso, loops: Loops) -> None:
    """A coil somewhere; jejunum also beside the left kidney's hilum, ileum down to the bladder."""
    front = 75 * torso.depth
    regions: tuple[Region, ...] = (
        ((-100, 100), (5, front), (40, 220)),
        ((-95, 5), (-5, front), (140, 255)),
        ((-65, -15), (torso.spine_y_at(200) + 25, 40), (165, 235)),
        ((-75, 75), (-20, front), (-10, 90)),
        ((-105, 105), (0, front * 1.15), (60, 180)),
    )
    path = _wander(torso, regions[int(torso.rng.integers(len(regions)))], int(torso.rng.integers(10, 40)))
    holds = _choose(torso, SMALL_BOWEL_HOLDS)
    radius = torso.between(7, 13) if holds is Material.BOWEL else torso.between(9, 19)
    gas = radius * (torso.between(-0.5, 0.8) if torso.chance(0.22) else 2)
    loops.add(path, _waves(torso, radius, len(path), 0.2), holds, torso.between(1.5, 4), gas)


def _add_duodenum(torso: Torso, loops: Loops) -> None:
    """Around the pancreas' head, then across the spine to the left."""
    y, shift = torso.spine_y_at(200) + 34, torso.between(-15, 15)
    path = [
        (12, y + 34, 236),
        (42, y + 22, 230),
        (50, y + 2, 205),
        (42, y - 4, 175),
        (0, y + 2, 168),
        (-45, y + 30, 195),
    ]
    points = [(a, b, c + shift) for a, b, c in path]
    holds = _choose(torso, SMALL_BOWEL_HOLDS)
    loops.add(points, [torso.between(9, 15)] * len(points), holds, 3, 5 if torso.chance(0.15) else 40)


def _add_colon(torso: Torso, loops: Loops) -> None:
    """From the caecum over both flexures to the rectum: haustra, and contents that change on the way."""
    for path in _colon_parts(torso):
        holds = _choose(torso, COLON_HOLDS)
        radius = torso.between(8, 13) if holds is Material.BOWEL else 14 + 18 * torso.between(0, 1) ** 1.5
        gas = radius * (torso.between(-0.7, 0.8) if torso.chance(0.5) and holds is not Material.BOWEL else 2)
        loops.add(path, _waves(torso, radius, len(path), 0.22), holds, torso.between(1.5, 4), gas)


def _colon_parts(torso: Torso) -> list[list[Point]]:
    """Caecum to rectum in pieces that meet: ascending, hepatic flexure, transverse, splenic flexure and so on."""
    front = torso.between(0.55, 1.05) * 72 * torso.depth
    right, left = torso.between(84, 106), -torso.between(88, 110)
    hepatic = (right - 12, torso.between(-15, 30), torso.between(185, 235))
    splenic = (left + 12, torso.between(-35, 15), torso.dome_z - torso.between(45, 95))
    sag = min(hepatic[2], splenic[2]) - torso.between(-5, 85)
    middle = (torso.between(-20, 20), front, sag)
    caecum, iliac = (right - 5, torso.between(0, 35), 45.0), (left + 10, torso.between(-10, 25), 65.0)
    dome = (torso.between(-25, 30), torso.between(0, 40), torso.between(40, 95))
    rectum = (torso.between(-6, 6), torso.spine_y_at(20) + 15.0, 25.0)
    corners = [caecum, (right, hepatic[1] - 10, 130.0), hepatic, (50.0, front * 0.8, hepatic[2] - 5), middle]
    corners += [
        (-55.0, front * 0.8, (sag + splenic[2]) / 2),
        splenic,
        (left, splenic[1] - 5, 150.0),
        iliac,
        dome,
        rectum,
    ]
    corners.append((rectum[0], rectum[1] + 6, -38.0))
    return [_dense(torso, pair) for pair in pairwise(corners)]


def _dense(torso: Torso, ends: Sequence[Point], step: float = 7.0) -> list[Point]:
    """A gently winding path between two points."""
    start, end = np.array(ends, float)
    count = max(4, int(np.linalg.norm(end - start) / step))
    t = np.linspace(0, 1, count)[:, None]
    sway = np.sin(np.pi * t) * np.sin(t * torso.between(2, 8) + torso.rng.uniform(0, 6, 3)) * torso.between(0, 14)
    return [(float(p[0]), float(p[1]), float(p[2])) for p in start + (end - start) * t + sway]


def _wander(torso: Torso, region: Region, steps: int) -> list[Point]:
    """A random walk that turns back at the region's sides."""
    low, high = np.array(region, float).T
    position, direction = torso.rng.uniform(low, high), torso.rng.standard_normal(3)
    path: list[Point] = []
    for _ in range(steps):
        direction = 0.8 * direction + 0.6 * torso.rng.standard_normal(3)
        direction /= np.linalg.norm(direction) + 1e-6
        ahead = position + 9 * direction
        direction = np.where((ahead < low) | (ahead > high), -direction, direction)
        position = position + 9 * direction
        path.append((float(position[0]), float(position[1]), float(position[2])))
    return path


def _waves(torso: Torso, radius: float, count: int, strength: float) -> list[float]:
    """Radii along a loop that swell and narrow, as haustra and peristalsis make them."""
    pace = torso.between(0.8, 1.6)
    return [radius * (1 + strength * float(np.sin(k * pace))) for k in range(count)]


def _choose(torso: Torso, weights: dict[Material, float]) -> Material:
    return list(weights)[int(torso.rng.choice(len(weights), p=list(weights.values())))]


def _paint_mesentery(torso: Torso) -> None:
    """Fat with vessels, small nodes, now and then hazy."""
    fat = torso.abdomen & torso.is_made_of(Material.FAT)
    if torso.chance(0.2):
        torso.paint(fat & (torso.bumps(torso.between(15, 45), 1) > torso.between(-0.5, 1.2)), Material.HAZY_FAT)
    root = (torso.between(5, 18), torso.spine_y_at(180) + 48, torso.between(190, 225))
    box = _box_around(fat)
    for _ in range(int(torso.rng.integers(6, 22))):
        end = (torso.between(-95, 95), torso.between(0, 65) * torso.depth, torso.between(20, 235))
        between = tuple((a + b) / 2 + torso.between(-15, 15) for a, b in zip(root, end, strict=True))
        vessel = torso.tube((root, (between[0], between[1], between[2]), end), (4, 2.8, 1.8))[box] < 0
        material = Material.PORTAL if torso.chance(0.6) else Material.AORTA
        torso.materials[box][vessel & fat[box]] = material
    for _ in range(int(torso.rng.integers(0, 12))):
        center = (torso.between(-45, 45), torso.spine_y_at(160) + torso.between(15, 70), torso.between(60, 250))
        radius = torso.between(2.5, 7) if torso.chance(0.9) else torso.between(7, 18)
        torso.paint((torso.ball(center, radius) < 0) & fat, Material.SOFT)


def paint_stomach(torso: Torso) -> None:
    """From the fundus under the left dome to the pylorus: folds, food or fluid, gas above it; empty to 1.5 L."""
    top, full = torso.dome_z, torso.between(0.5, 1.3)
    path = (
        (torso.between(-74, -48), torso.between(-25, 18), top - torso.between(32, 60)),
        (torso.between(-78, -55), torso.between(5, 35), top - torso.between(75, 105)),
        (torso.between(-60, -35), torso.between(28, 55), top - torso.between(105, 150)),
        (torso.between(-15, 5), torso.between(32, 60), top - torso.between(110, 160)),
        (torso.between(20, 34), torso.between(20, 42), top - torso.between(90, 120)),
    )
    radii = [r * full for r in (38, 36, 30, 21, 13)]
    distance = torso.tube(path, radii) + torso.bumps(30, 2.5)
    room = _room(torso) & (torso.z < torso.dome - 3)
    if torso.chance(0.2 + 0.6 * torso.visceral_fat):  # else it lies against its neighbours without fat between
        torso.paint((distance < torso.between(1, 7)) & room, Material.FAT)
    wall = torso.between(2, 6) + torso.bumps(9, torso.between(0, 2.5))
    holds = _choose(
        torso, {Material.FLUID: 0.35, Material.FOOD: 0.3, Material.STOMACH: 0.33, Material.ORAL_CONTRAST: 0.02}
    )
    torso.paint((distance < 0) & room, Material.BOWEL, Organ.STOMACH)
    inside = (distance < -wall) & room
    torso.paint(inside, holds, Organ.STOMACH)
    torso.paint(inside & (torso.y > torso.between(5, 85)), Material.GAS, Organ.STOMACH)
    if torso.chance(0.08):
        _paint_feeding_tube(torso, path)


def _paint_feeding_tube(torso: Torso, path: Sequence[Point]) -> None:
    gullet: Point = (-8, torso.spine_y_at(torso.dome_z) + 30, torso.dome_z + 5)
    tube = torso.tube((gullet, *path[:3]), (2.5,) * 4)
    torso.paint((tube < 0) & torso.belongs_to(Organ.STOMACH), Material.PLASTIC, Organ.STOMACH)


def _box_around(mask: Mask) -> tuple[slice, ...]:
    """Return the smallest box that holds a mask (an empty one where the mask is empty)."""
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 0))
    return tuple(box)
