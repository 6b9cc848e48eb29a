"""Lungs with fissures, vessels that taper from the hila, and what disease makes of them.

Both hold 2 to 8 L, wide around the reference adults of ICRP Publication 66 (1994): women and men have 2.7 and 3.3 L at
rest, 5.0 and 7.0 L with a full breath. Fissures, vessels and disease are made by eye.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from DeepImagingLib.phantoms.shapes import Field, Mask, Point, Stroke
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_heart import Heart

Vector = npt.NDArray[np.float64]

LUNGS = {1: Organ.RIGHT_LUNG, -1: Organ.LEFT_LUNG}


def hilum(heart: Heart, side: int) -> Point:
    """Return where the vessels of a lung (side 1 is right) enter it."""
    return (side * 38.0 - 2, heart.center[1] - 34, heart.center[2] + (50 if side > 0 else 58))


def paint_lungs(torso: Torso, heart: Heart) -> None:
    """All the space between wall, diaphragm and mediastinum; the rest of the chest starts as fat with lymph nodes."""
    torso.paint(torso.thorax, Material.FAT)
    torso.paint(torso.thorax & (torso.z > torso.apex_z - 4), Material.MUSCLE)
    rest = np.maximum(torso.cavity + torso.between(2, 3.5), torso.dome + torso.between(1, 3) - torso.z)
    lungs = np.maximum(np.maximum(rest, -_mediastinum(torso, heart)), torso.z - torso.apex_z) < 0
    nodes = torso.thorax & (torso.bumps(9, 1) > torso.between(1.5, 3)) & (torso.z > heart.center[2] + 35)
    torso.paint(nodes & (np.abs(torso.x) < 45), Material.SOFT)
    middle = torso.x > torso.along_z((torso.dome_z, heart.center[2] + 40, torso.apex_z), (-4, 0, 0))
    sides = {1: lungs & middle, -1: lungs & ~middle}
    for side, lung in sides.items():
        torso.paint(lung, Material.LUNG, LUNGS[side])
        _paint_fissures(torso, lung, side)
    _paint_vessels(torso, heart, lungs)
    _paint_disease(torso, sides)


def _mediastinum(torso: Torso, heart: Heart) -> Field:
    """Distance to what lies between the lungs: a thin sheet before and behind, the heart and the spine."""
    z = (torso.dome_z, heart.center[2] + 30, heart.center[2] + 95, torso.apex_z - 25, torso.apex_z)
    plump = 8 * torso.visceral_fat
    widths = (8, torso.between(14, 27) + plump, torso.between(23, 35) + plump, torso.between(26, 34), 36)
    width = torso.along_z(z, widths) + torso.bumps(32, 4)
    ahead = np.clip((torso.y - heart.center[1] + 12) / 55, 0, 1)  # thin behind the breastbone
    behind = np.clip((heart.center[1] - 22 - torso.y) / 40, 0, 1)  # and where the lungs reach round the spine
    sheet = np.abs(torso.x + 3) - np.clip(width * (1 - torso.between(0.5, 0.9) * ahead - 0.45 * behind), 3, None)
    spine = np.hypot((torso.x - torso.spine_x) / 1.1, torso.y - torso.spine_y + 5) - torso.along_z((330, 540), (27, 22))
    fat = torso.between(2, 8) + plump
    wide, deep, high = heart.radii
    sac = torso.ellipsoid(heart.center, (wide + fat, deep + fat, high + fat), turn=heart.turn, tilt=heart.tilt)
    foot = torso.ball((heart.center[0] * 1.6, heart.center[1] + 30, torso.dome_z - 8), torso.between(15, 38) + plump)
    return np.minimum(np.minimum(sheet, spine), np.minimum(sac, foot)).astype(np.float32)


def _paint_fissures(torso: Torso, lung: Mask, side: int) -> None:
    """Oblique and, on the right, horizontal: thin double sheets of pleura."""
    start, rise = torso.dome_z + torso.between(60, 90), torso.between(0.8, 1.1)
    fissure = np.abs(torso.z - start + rise * (torso.y + 10) + torso.bumps(50, 4)) < 0.5
    if side > 0:
        level = torso.z - start - torso.between(25, 40)
        fissure |= (np.abs(level + torso.bumps(50, 3)) < 0.4) & (torso.y > 0)
    torso.materials[lung & fissure] = Material.LUNG_VESSEL


def _paint_vessels(torso: Torso, heart: Heart, lungs: Mask) -> None:
    """Arteries and veins that branch from the hilum, and the walls of the bronchi beside them."""
    rng = np.random.default_rng(torso.rng.integers(2**32))
    thick = torso.between(0.85, 1.25)
    strokes: list[Stroke] = []
    for side in (-1, 1):
        root = np.array(hilum(heart, side))
        for target in ((75, 25, 460), (88, -45, 430), (95, 15, 385), (80, -55, 350), (100, -30, 330), (60, 40, 400)):
            goal = np.array((side * target[0], target[1], target[2] + torso.dome_z - 330.0))
            for _ in range(2):  # an artery and a vein
                direction = goal - root + rng.normal(0, 14, 3)
                strokes += _branches(rng, root + rng.normal(0, 5, 3), direction, 4.6 * thick, 34.0, 6)
    vessels = torso.strokes(strokes, reach=1)[0]
    torso.materials[lungs & (vessels < 0)] = Material.LUNG_VESSEL


def _branches(
    rng: np.random.Generator, start: Vector, direction: Vector, radius: float, length: float, generations: int
) -> list[Stroke]:
    """Return a tree of vessels: each piece splits into two thinner and shorter ones (about Murray's law)."""
    heading = direction / np.linalg.norm(direction)
    end = start + heading * length * rng.uniform(0.7, 1.3)
    pieces: list[Stroke] = [(tuple(start), tuple(end), radius, radius * 0.8)]
    if generations > 1:
        aside = np.cross(heading, rng.standard_normal(3))
        for sign in (-1, 1):
            bent = heading + sign * rng.uniform(0.3, 0.8) * aside / np.linalg.norm(aside)
            pieces += _branches(rng, end, bent, radius * 0.76, length * 0.84, generations - 1)
    return pieces


def _paint_disease(torso: Torso, sides: dict[int, Mask]) -> None:
    """Each at its own chance, on one side or both."""
    for side, lung in sides.items():
        if torso.chance(0.10):
            _paint_consolidation(torso, lung)
        if torso.chance(0.09):
            _paint_basal_collapse(torso, lung)
        if torso.chance(0.08):
            _paint_effusion(torso, lung)
        if torso.chance(0.03):
            _paint_lost_lung(torso, lung)
        if torso.chance(0.03):
            _paint_pneumothorax(torso, lung, side)
    both = sides[1] | sides[-1]
    air = both & torso.is_made_of(Material.LUNG)
    if torso.chance(0.12):  # emphysema: holes, most of them above
        holes = torso.bumps(torso.between(7, 14), 1) > 2.2 - torso.along_z((torso.dome_z, torso.apex_z), (0, 1.2))
        torso.materials[air & holes] = Material.GAS
    if torso.chance(0.1):  # fibrosis: a net under the pleura of the bases
        net = np.abs(torso.bumps(torso.between(6, 10), 1)) < torso.between(0.1, 0.35)
        low = torso.z < torso.dome_z + torso.between(0, 90)
        torso.materials[air & net & low & (torso.cavity > -torso.between(10, 30))] = Material.CONSOLIDATION


def _paint_consolidation(torso: Torso, lung: Mask) -> None:
    """Patches of pneumonia: still lung, as dense as muscle or a haze."""
    patches = torso.bumps(torso.between(18, 40), 1) > torso.between(1.0, 2.0)
    torso.materials[lung & patches] = Material.CONSOLIDATION


def _paint_basal_collapse(torso: Torso, lung: Mask) -> None:
    """Lung low in the back that lost its air."""
    depth = torso.y - (torso.spine_y - torso.between(10, 32)) + torso.bumps(30, 4)
    low = torso.z < torso.dome_z + torso.between(-30, 70)
    torso.materials[lung & low & (depth < 0)] = Material.CONSOLIDATION


def _paint_effusion(torso: Torso, lung: Mask) -> None:
    """Fluid is no lung: a crescent along the back, with collapsed lung before it."""
    level = torso.spine_y + torso.between(-45, 25) + (torso.dome_z + 30 - torso.z) * torso.between(0.05, 0.3)
    rim = np.clip(torso.cavity + 30, 0, 30) * torso.between(0.3, 1.2)
    surface = torso.y - level - rim
    torso.materials[lung & (surface < torso.between(4, 22))] = Material.CONSOLIDATION
    torso.paint(lung & (surface < 0), Material.EFFUSION)


def _paint_lost_lung(torso: Torso, lung: Mask) -> None:
    """A lung that was removed or is all fluid; what may be left of it is at the hilum."""
    torso.paint(lung, Material.EFFUSION if torso.chance(0.7) else Material.SOFT)


def _paint_pneumothorax(torso: Torso, lung: Mask, side: int) -> None:
    """Air outside of the lung collects in front of it and is no lung."""
    front = (torso.y > torso.between(25, 80)) | (torso.cavity > -torso.between(3, 20))
    gone = lung & front & (torso.x * side > 10)
    torso.paint(gone, Material.GAS)
