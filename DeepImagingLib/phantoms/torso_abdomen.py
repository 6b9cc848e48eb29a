"""Liver, spleen, kidneys, bowel and the organs of the pelvis.

Sizes spread around the reference adults of ICRP Publication 89 (2002): liver 1.4 to 1.8 kg, spleen 130 to 150 g,
both kidneys 275 to 310 g.
"""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


def paint_liver(torso: Torso) -> None:
    """All the space under the right dome down to a tilted plane, close to the wall; 1 to 2.3 L in adults."""
    lower = torso.dome_z - torso.between(110, 180)
    slope, thick_to = torso.between(0.55, 1.2), torso.between(40, 80)
    floor = lower + slope * np.clip(thick_to - torso.x, 0, 200) + torso.between(-0.35, 0.35) * torso.y
    left_tip = torso.between(-90, -15) + torso.bumps(40, 4)
    behind = torso.between(-25, -5) + np.clip(torso.between(0, 30) - torso.x, 0, 200) * torso.between(0.3, 0.7)
    lobes = (torso.x > left_tip) & (torso.y > behind) | (torso.x > torso.between(20, 40))
    near_wall = torso.cavity + torso.between(2, 5) + torso.bumps(30, 2) < 0
    spine = np.hypot(torso.x - torso.spine_x, torso.y - torso.spine_y) < torso.between(28, 36)
    free = torso.abdomen & ~spine & ~torso.belongs_to(Organ.AORTA) & ~torso.is_made_of(Material.VEIN)
    liver = lobes & near_wall & free & (torso.z > floor + torso.bumps(45, 5)) & (torso.z < torso.dome - 1)
    torso.paint(liver, Material.LIVER, Organ.LIVER)
    _paint_liver_vessels(torso, liver)
    if torso.chance(0.25):
        _paint_liver_lesions(torso, liver)
    if torso.chance(0.8):
        _paint_gallbladder(torso)


def _paint_liver_vessels(torso: Torso, liver: Mask) -> None:
    branches = torso.bumps(torso.between(12, 16), 1) > torso.between(1.7, 2.4)
    torso.paint(liver & branches & (torso.cavity < -10) & (torso.z < torso.dome - 10), Material.VEIN, Organ.LIVER)
    portal = torso.tube(((5, 25, 225), (25, 22, 245), (50, 15, 262), (75, 5, 272)), (6.5, 7, 5, 3.5)) < 0
    torso.paint(portal & liver, Material.VEIN, Organ.LIVER)
    torso.paint(portal & ~liver & torso.is_made_of(Material.FAT), Material.VEIN)


def _paint_liver_lesions(torso: Torso, liver: Mask) -> None:
    for _ in range(int(torso.rng.integers(1, 5))):
        center = (torso.between(20, 120), torso.between(-50, 60), torso.between(190, 320))
        kind = Material.TUMOUR if torso.chance(0.6) else Material.CYST
        torso.paint((torso.ball(center, torso.between(5, 22)) < 0) & liver, kind, Organ.LIVER)


def _paint_gallbladder(torso: Torso) -> None:
    center = (torso.between(35, 75), torso.between(25, 60), torso.between(180, 225))
    radii = (torso.between(11, 19), torso.between(11, 19), torso.between(18, 34))
    bag = torso.ellipsoid(center, radii, turn=torso.between(-1, 1), tilt=torso.between(-0.8, 0.8))
    free = torso.abdomen & (torso.cavity < -6) & ~torso.belongs_to(Organ.AORTA)
    torso.paint((bag < 0) & free, Material.GALLBLADDER)


def paint_spleen(torso: Torso) -> None:
    """A crescent that hugs the left wall; 100 to 400 mL in adults, more where it is enlarged."""
    center = (torso.between(-116, -92), torso.between(-58, -18), torso.between(245, 285))
    radii = (torso.between(44, 60), torso.between(46, 70), torso.between(46, 72))
    lumps = torso.bumps(torso.between(25, 45), 3)
    blob = torso.ellipsoid(center, radii, turn=torso.between(-0.6, 0.6), tilt=torso.between(-0.3, 0.5), lumps=lumps)
    rind = (torso.cavity > -torso.between(38, 75) + torso.bumps(35, 3)) & (torso.cavity < -torso.between(1, 4))
    spleen = (blob < 0) & rind & torso.abdomen & (torso.z < torso.dome - 2)
    torso.paint(spleen, Material.SPLEEN, Organ.SPLEEN)


def paint_kidneys(torso: Torso) -> None:
    """Two beans beside the spine in a capsule of fat, the right one a bit lower; 110 to 250 mL each."""
    for side, organ in ((1, Organ.RIGHT_KIDNEY), (-1, Organ.LEFT_KIDNEY)):
        z = torso.between(170, 240) - (12 if side > 0 else 0)
        center = (side * torso.between(58, 76), torso.spine_y_at(z) + torso.between(-12, 12), z)
        _paint_kidney(torso, organ, side, center)


def _paint_kidney(torso: Torso, organ: Organ, side: int, center: Point) -> None:
    size = torso.between(0.9, 1.1)
    radii = (torso.between(26, 33) * size, torso.between(26, 33) * size, torso.between(52, 64) * size)
    turn, tilt = side * torso.between(-0.8, 0.2), -side * torso.between(0, 0.4)
    surface = torso.ellipsoid(center, radii, turn=turn, tilt=tilt, lumps=torso.bumps(35, 1.5))
    cava = torso.is_made_of(Material.VEIN) & ~torso.belongs_to(Organ.LIVER)
    free = (torso.muscle < -8) & ~torso.belongs_to(Organ.AORTA) & ~cava
    solid = torso.belongs_to(Organ.LIVER, Organ.SPLEEN)
    capsule = torso.abdomen & free & (surface < np.where(solid, torso.between(0, 4), torso.between(3, 20)))
    torso.paint(capsule & ~torso.is_made_of(Material.MUSCLE), Material.FAT)
    torso.paint((surface < 0) & free, Material.KIDNEY, organ)
    kidney = torso.belongs_to(organ)
    middle = (center[0] - side * torso.between(6, 14), center[1] + torso.between(2, 10), center[2])
    hollow = (
        radii[0] * torso.between(0.45, 0.7),
        radii[1] * torso.between(0.3, 0.5),
        radii[2] * torso.between(0.4, 0.6),
    )
    sinus = torso.ellipsoid(middle, hollow, turn=turn, tilt=tilt, lumps=torso.bumps(25, 3))
    hilum = torso.tube((middle, (center[0] - side * 42, center[1] + 14, center[2] - 8)), (torso.between(5, 10), 5))
    torso.paint(kidney & (np.minimum(sinus, hilum) < 0), Material.FAT)
    torso.paint(kidney & (sinus < -torso.between(3, 8)), Material.RENAL_PELVIS)
    vein = torso.tube(((middle[0], middle[1], middle[2] + 3), (side * 14, center[1] + 20, center[2] + 2)), (4, 4.5))
    torso.paint((vein < -0.5) & ~torso.belongs_to(Organ.AORTA, Organ.LIVER) & ~kidney, Material.VEIN)
    if torso.chance(0.2):
        cyst = (center[0] + side * torso.between(5, 25), center[1], center[2] + torso.between(-40, 40))
        torso.paint((torso.ball(cyst, torso.between(6, 22)) < 0) & free, Material.CYST)


def paint_stomach(torso: Torso) -> None:
    """Fundus under the left dome and antrum across the midline, filled with food, fluid and gas above it."""
    top = (torso.between(-72, -42), torso.between(15, 45), torso.between(240, 290))
    radii = (torso.between(28, 48), torso.between(25, 45), torso.between(35, 60))
    fundus = torso.ellipsoid(top, radii, tilt=torso.between(-0.6, 0.6), lumps=torso.bumps(30, 3))
    low = (torso.between(-30, 5), torso.between(35, 60), torso.between(205, 240))
    antrum = torso.ellipsoid(
        low, (torso.between(30, 50), 20, 20), tilt=torso.between(-0.5, 0.2), lumps=torso.bumps(30, 2)
    )
    stomach = np.minimum(fundus, antrum)
    free = torso.abdomen & (torso.z < torso.dome - 3) & ~torso.belongs_to(Organ.AORTA)
    _paint_hollow(torso, stomach, torso.y - torso.between(15, 100), free, _filling(torso, 0.25))


def paint_bowel(torso: Torso) -> None:
    """Small bowel at random, and the colon's frame; what they hold looks like organs, fluid or lung."""
    front = 75 * torso.depth
    regions = (
        ((-100, 100), (5, front), (40, 220)),
        ((-95, 5), (-5, front), (140, 255)),
        ((-75, 75), (-20, front), (-10, 90)),
        ((-100, 100), (0, front), (60, 160)),
    )
    for _ in range(int(torso.rng.integers(8, 20))):
        region = regions[int(torso.rng.integers(len(regions)))]
        path = _wander(torso, region, int(torso.rng.integers(12, 45)))
        _paint_loop(torso, path, torso.between(8, 15), _filling(torso, 0.05), gas=0.3)
    duodenum: list[Point] = [(10, 40, 235), (40, 25, 230), (48, 2, 205), (40, -4, 175), (0, 8, 168), (-45, 35, 200)]
    _paint_loop(torso, duodenum, torso.between(9, 14), Material.BOWEL, gas=0.1)
    for path in _colon(torso, front):
        _paint_loop(torso, path, torso.between(14, 28), _filling(torso, 0.65), gas=0.65)
    rectum = np.hypot(torso.x / 1.2, torso.y + 58) - torso.between(12, 22)
    low = (torso.z < 55) & (torso.z > -40) & (torso.cavity < 0)
    torso.paint((rectum < 0) & low, _filling(torso, 0.4))


def _colon(torso: Torso, front: float) -> list[list[Point]]:
    """Ascending, transverse and descending colon, and the sigmoid."""
    frames: list[list[Point]] = []
    for side in (1, -1):
        x, y, top = side * torso.between(92, 116), torso.between(-20, 20), 212 if side > 0 else 250
        frames.append([(x + 6 * np.sin(z / 14), y + 6 * np.sin(z / 19), z) for z in np.linspace(40, top, 14)])
    height, sag = torso.between(150, 250), torso.between(0, 70)
    across = np.linspace(0, 1, 14)
    frames.append([(210 * t - 105, torso.between(0.6, 1) * front, height - sag * np.sin(np.pi * t)) for t in across])
    frames.append(_wander(torso, ((-60, 45), (-45, 45), (-5, 90)), 18))
    return frames


def _wander(torso: Torso, region: tuple[tuple[float, float], ...], steps: int) -> list[Point]:
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


def _filling(torso: Torso, stool: float) -> Material:
    """Choose what a loop holds; `stool` is how likely that is."""
    if torso.chance(stool):
        return Material.STOOL
    return Material.BOWEL if torso.chance(0.5) else Material.STOMACH


def _paint_loop(torso: Torso, path: list[Point], radius: float, filling: Material, *, gas: float) -> None:
    radii = [radius * (1 + 0.2 * np.sin(k * 0.9)) for k in range(len(path))]
    distance, height = torso.tube_and_height(path, radii)
    level = radius * torso.between(-0.7, 0.8) if torso.chance(gas) else radius * 2
    _paint_hollow(torso, distance, height - level, _free_for_bowel(torso), filling)


def _free_for_bowel(torso: Torso) -> Mask:
    return torso.abdomen & ~torso.belongs_to(Organ.AORTA) & ~torso.is_made_of(Material.MUSCLE, Material.VEIN)


def _paint_hollow(torso: Torso, distance: Field, above_level: Field, free: Mask, filling: Material) -> None:
    """Paint a wall of a few mm, what is inside, and gas where `above_level` is positive."""
    torso.paint((distance < 0) & free, Material.BOWEL)
    inside = (distance < -torso.between(2, 5)) & free
    torso.paint(inside, filling)
    torso.paint(inside & (above_level > 0), Material.GAS)


def paint_pancreas(torso: Torso) -> None:
    """A lobulated strip in front of the spine with the splenic vein behind it."""
    center = (torso.between(-20, 10), torso.between(5, 25), torso.between(215, 245))
    radii = (torso.between(45, 80), torso.between(8, 14), torso.between(9, 16))
    strip = torso.ellipsoid(center, radii, turn=torso.between(-0.5, 0.2), lumps=torso.bumps(20, 3))
    free = torso.abdomen & torso.is_made_of(Material.FAT, Material.BOWEL)
    torso.paint((strip < 0) & free, Material.PANCREAS)
    y, z = center[1] - 10, center[2] + 2
    vein = torso.tube(((-85, y - 15, z + 20), (-45, y, z + 8), (0, y + 4, z)), (4, 4, 5))
    torso.paint((vein < 0) & torso.is_made_of(Material.FAT, Material.PANCREAS), Material.VEIN)


def paint_bladder(torso: Torso) -> None:
    """The bladder behind the pubis, nearly empty to very full, with uterus or seminal vesicles and prostate around."""
    center = (torso.between(-8, 8), torso.between(10, 38), torso.between(8, 48))
    radii = (torso.between(26, 56), torso.between(22, 46), torso.between(20, 50))
    bladder = (torso.ellipsoid(center, radii, lumps=torso.bumps(30, 2)) < 0) & (torso.cavity < -3)
    bladder &= ~torso.belongs_to(Organ.OTHER_BONE)
    room = (torso.cavity < -3) & ~torso.belongs_to(Organ.OTHER_BONE)
    behind = (center[0], center[1] - torso.between(10, 35), torso.between(0, 50))
    above = torso.ellipsoid(behind, (torso.between(22, 48), torso.between(14, 26), torso.between(16, 32)))
    below = torso.ball((center[0], center[1] - 8, center[2] - torso.between(30, 55)), torso.between(16, 26))
    torso.paint((np.minimum(above, below) < 0) & room, Material.SOFT)
    torso.paint(bladder, Material.URINE, Organ.URINARY_BLADDER)
