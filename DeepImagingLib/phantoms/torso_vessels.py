"""Aorta with its branches and diseases, venae cavae, pulmonary vessels: bright neighbours that look alike.

The aorta is 14 to 40 mm wide in adults (Rogers et al., Am J Cardiol 2013) and wider where it is aneurysmal.
"""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_heart import Heart
from DeepImagingLib.phantoms.torso_lungs import hilum

TWIG = 1.2
"""Radius in mm at which vessels of the lung end."""


def paint_aorta(torso: Torso, heart: Heart) -> None:
    """From the heart over the arch and down the spine to its fork at L4, and its branches, which are not aorta."""
    radius = torso.between(10, 14) * (torso.between(1, 1.5) if torso.chance(0.25) else 1.0)
    path, radii = _aortic_path(torso, heart, radius)
    distance = torso.tube(path, radii)
    _paint_branches(torso, path)
    inside = distance < 0
    torso.paint((distance < torso.between(0.5, 3)) & torso.is_made_of(Material.LUNG), Material.FAT)
    torso.paint(inside, Material.AORTA, Organ.AORTA)
    if torso.chance(0.3):
        _paint_thrombus(torso, distance, heart)
    if torso.chance(0.18):
        _paint_dissection(torso, inside, path)
    if torso.chance(0.5):
        patches = torso.bumps(torso.between(8, 14), 1) > torso.between(0.9, 1.9)
        chalk = inside & (distance > -torso.between(2, 4)) & patches
        torso.paint(chalk, Material.CALCIUM, Organ.AORTA)


def _aortic_path(torso: Torso, heart: Heart, radius: float) -> tuple[list[Point], list[float]]:
    """Centre line and radii: root, ascending part, arch, then on the left front of the spine, -2 to 5 mm from it."""
    x, y, z = heart.center
    gap = torso.between(-2, 4)
    right, top = torso.between(24, 38), z + torso.between(108, 132)
    swelling, low = torso.between(1, 1.8) if torso.chance(0.1) else 1.0, torso.between(7.5, 11)
    points: list[Point] = [(x + 14, y + 4, z + 14), (x + right, y + 8, z + 58), (x + right - 4, y, z + 88)]
    points.append((-6.0, torso.between(-16, 2), top))
    widths = [1.3 * radius, 1.4 * radius * swelling, 1.3 * radius * swelling, 1.15 * radius]
    wander = torso.between(0, 10)
    fork = torso.between(118, 148)
    bulge = torso.between(1.2, 2.8) if torso.chance(0.08) else 1.0
    upper, lower = ((top - 26, -48), (z + 60, -50), (z + 10, -46)), ((310, -34), (270, -22), (225, -16), (185, -14))
    for height, angle in (*upper, *lower):
        turn = angle + wander * np.sin(height / 40)
        wide = float(np.interp(height, (150, 230, 320, z + 60), (low, (low + radius) / 2, radius, 1.06 * radius)))
        points.append(torso.beside_spine(height, float(turn), gap + wide))
        widths.append(wide * (bulge if height < 200 else 1))
    points.append(torso.beside_spine(fork, torso.between(-16, 4), gap + low))
    widths.append(low * (1 + 0.5 * (bulge - 1)))
    return points, widths


def _paint_branches(torso: Torso, path: list[Point]) -> None:
    """Arteries of legs, bowel and neck; those of the kidneys come with the kidneys."""
    fork, wind = path[-1], torso.between(-12, 12)
    limbs = []
    for side in (-1, 1):
        bend = (fork[0] + side * torso.between(50, 70), torso.between(-15, 15), 40.0)
        leg = ((side * 86, 48, -30), (side * 80, 34, -110), (side * 62, 12, -280))
        limb = (fork, (fork[0] + side * 25, fork[1] - 8 + wind, fork[2] - 40), bend, *leg)
        limbs.append(torso.tube(limb, (6.5, 6, 5, 4.5, 4.2, 3.6), reach=2))
        inner = (bend, (side * 55, -35, 30), (side * 50, -50, 0))
        limbs.append(torso.tube(inner, (4, 3, 2), reach=2))
        limbs.append(torso.tube(((fork[0], fork[1], 236), (side * 30, fork[1] - 2, 228)), (2.5, 2.5), reach=2))
    for z, fall in ((252.0, 10.0), (238.0, 60.0)):  # coeliac trunk and superior mesenteric artery
        x, y, _ = torso.beside_spine(z, -14, 15)
        ends = ((x, y, z), (x + 2, y + 18, z - fall / 2), (x + 8, y + 24, z - fall))
        limbs.append(torso.tube(ends, (4, 3.8, 3), reach=2))
    torso.paint(np.minimum.reduce(limbs) < 0, Material.AORTA)
    arch = path[3]
    top = torso.apex_z
    for side, x, y in ((1, 20, -6), (-1, -20, -4), (-1, -14, -14)):
        start = (arch[0] + (8 if side > 0 else -6), arch[1] + y / 2 + 6, arch[2])
        neck = torso.spine_y_at(590) + 26
        goal = (x * 1.35, neck, 640.0) if y > -10 else (-105.0, y - 10, top + 4)
        ends = (start, (x, (start[1] + neck) / 2, top - 25), goal)
        torso.paint(torso.tube(ends, (5.5, 4.5, 3.6), reach=2) < 0, Material.AORTA)
    subclavian = ((20.0, -6.0, top - 20), (60.0, -12.0, top + 4), (115.0, -14.0, top - 4))
    torso.paint(torso.tube(subclavian, (5, 4.5, 4), reach=2) < 0, Material.AORTA)


def _paint_thrombus(torso: Torso, distance: Field, heart: Heart) -> None:
    """A crescent of clot or plaque along the wall of the descending part."""
    facing = np.sin(np.arctan2(torso.y - torso.spine_y - 25, torso.x - torso.spine_x + 12) + torso.between(0, 6.28))
    behind = (torso.y < heart.center[1] - 20) | (torso.z < heart.center[2] - 20)
    clot = (distance < 0) & (distance > -torso.between(1, 6) * facing) & behind & (torso.z < torso.between(180, 420))
    torso.paint(clot, Material.SOFT, Organ.AORTA)


def _paint_dissection(torso: Torso, inside: Mask, path: list[Point]) -> None:
    """A flap that winds down the aorta from the root or from the arch, with less contrast behind it."""
    heights = [p[2] for p in path[3:]][::-1]
    x = torso.along_z(heights, [p[0] for p in path[3:]][::-1])
    y = torso.along_z(heights, [p[1] for p in path[3:]][::-1])
    angle = torso.between(0, 6.28) + (torso.z - 300) / torso.between(80, 400)
    across = (torso.x - x) * np.cos(angle) + (torso.y - y) * np.sin(angle) - torso.between(-4, 4) + torso.bumps(40, 1)
    below = inside & (torso.z < torso.between(250, 600)) & (torso.z > torso.between(60, 250))
    torso.paint(below & (across > 0), Material.FALSE_LUMEN, Organ.AORTA)
    torso.paint(below & (np.abs(across) < torso.between(0.6, 1.5)), Material.FLAP, Organ.AORTA)


def paint_great_veins(torso: Torso, heart: Heart) -> None:
    """Venae cavae into the right atrium, their branches, and the azygos."""
    free = ~torso.belongs_to(Organ.AORTA) & ~torso.is_made_of(Material.AORTA)
    wide, flat = torso.between(8.5, 13), torso.between(-3, 3)
    fork, atrium = torso.between(120, 140), heart.at((0.55, -0.2, -0.15))
    levels = (fork, 170.0, 215.0, 250.0)
    lower = [torso.beside_spine(z, 38 + (z - 170) * 0.05, wide + flat - 2) for z in levels]
    x, y = atrium[0], atrium[1]
    lower += [((lower[-1][0] + x) / 2 + 4, lower[-1][1] + 8, 285.0), (x, y - 4, torso.dome_z - 2), atrium]
    in_belly = torso.tube(lower, (wide * 0.9, wide, wide, wide * 1.05, wide * 1.15, wide * 1.1, wide), reach=2) < 0
    start = lower[0]
    for side in (-1, 1):
        limb = (start, (side * 28, torso.spine_y_at(90) + 12, 92), (side * 58, -10, 35), (side * 80, 36, -30))
        leg = ((side * 72, 22, -110), (side * 56, 2, -280))
        torso.paint((torso.tube((*limb, *leg), (8, 7.5, 6.5, 6.5, 6, 5), reach=2) < 0) & free, Material.VEIN)
    torso.paint(in_belly & free & ~torso.belongs_to(Organ.HEART), Material.VEIN, Organ.VENA_CAVA)
    _paint_upper_cava(torso, heart, free)
    azygos = [torso.beside_spine(z, 8, 3) for z in (290.0, 350.0, heart.center[2] + 60)]
    torso.paint((torso.tube(azygos, (3, 3.5, 4.5), reach=2) < 0) & free & torso.is_made_of(Material.FAT), Material.VEIN)


def _paint_upper_cava(torso: Torso, heart: Heart, free: Mask) -> None:
    """Superior vena cava, both brachiocephalic veins and the jugular ones."""
    z, top = heart.center[2], torso.apex_z
    atrium, wide = heart.at((0.6, 0.0, 0.55)), torso.between(7.5, 11)
    join = (28.0, 4.0, z + 118)
    upper = torso.tube((atrium, (27.0, heart.center[1] - 14, z + 80), join), (wide, wide, wide * 0.95), reach=2)
    outside = free & ~torso.belongs_to(Organ.HEART) & ~torso.is_made_of(Material.GAS)
    neck = torso.spine_y_at(590) + 24
    for path in (
        (join, (30.0, 4.0, top - 25), (34.0, neck, 640.0)),
        (join, (-8.0, 22.0, top - 38), (-30.0, 12.0, top - 15), (-34.0, neck, 640.0)),
        ((32.0, 4.0, top - 18), (70.0, 6.0, top - 2), (130.0, -2.0, top - 14)),
        ((-30.0, 12.0, top - 16), (-70.0, 6.0, top - 2), (-130.0, -2.0, top - 14)),
    ):
        vein = torso.tube(path, [torso.between(5, 7.5)] * len(path), reach=2) < 0
        torso.paint(vein & outside, Material.RIGHT_BLOOD)
    torso.paint((upper < torso.between(1, 3)) & torso.is_made_of(Material.LUNG), Material.FAT)
    torso.paint((upper < 0) & outside, Material.RIGHT_BLOOD, Organ.VENA_CAVA)


def paint_pulmonary_vessels(torso: Torso, heart: Heart) -> None:
    """The trunk and its two arteries, and four veins into the left atrium, as far as the hila."""
    x, y, z = heart.center
    free = ~torso.belongs_to(Organ.AORTA, Organ.VENA_CAVA) & ~torso.is_made_of(Material.AORTA, Material.GAS)
    wide = torso.between(11, 16)
    crotch = (x - 6, y - 14, z + 70)
    trunk = ((x - 4, y + 30, z + 22), (x - 8, y + 14, z + 56), crotch)
    left, right = hilum(heart, -1), hilum(heart, 1)
    arteries = [torso.tube(trunk, (wide, wide, wide * 0.9), reach=2)]
    tapering = (wide * 0.8, wide * 0.75, wide * 0.55)
    arteries.append(torso.tube((crotch, (-38.0, y - 30, z + 74), left), tapering, reach=2))
    arteries.append(torso.tube((crotch, (14.0, y - 22, z + 64), right), tapering, reach=2))
    for side, root in ((-1, left), (1, right)):
        for target in ((16, 6, 34), (14, -10, -45)):
            end = (root[0] + side * target[0], root[1] + target[1], root[2] + target[2])
            arteries.append(torso.tube((root, end, _beyond(root, end)), (wide * 0.5, wide * 0.32, TWIG), reach=2))
    above = (torso.z > torso.dome) & ~(torso.belongs_to(Organ.HEART) & (torso.z < z + 34))
    torso.paint((np.minimum.reduce(arteries) < 0) & free & above, Material.RIGHT_BLOOD, Organ.PULMONARY_VESSELS)
    atrium = heart.at((0.1, -0.65, 0.35))
    veins = []
    for side in (-1, 1):
        for height in (18.0, -14.0):
            start = (atrium[0] + side * 18, atrium[1], atrium[2] + height * 0.6)
            end = (side * 48.0 - 4, atrium[1] + 8 * np.sign(height), atrium[2] + height * 1.6)
            veins.append(torso.tube((start, end, _beyond(start, end)), (torso.between(6, 8), 5, TWIG), reach=2))
    outside = free & ~torso.belongs_to(Organ.HEART, Organ.PULMONARY_VESSELS) & (torso.z > torso.dome)
    torso.paint((np.minimum.reduce(veins) < 0) & outside, Material.LEFT_BLOOD, Organ.PULMONARY_VESSELS)


def _beyond(start: Point, end: Point) -> Point:
    """Return where a vessel has become a twig: with a blunt end in the lung it would look like a nodule."""
    x, y, z = np.add(end, np.subtract(end, start) * 0.9)
    return float(x), float(y), float(z)
