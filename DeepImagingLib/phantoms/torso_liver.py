"""Liver, gallbladder, spleen and pancreas.

Sizes spread around the reference adults of ICRP Publication 89 (2002): liver 1.4 to 1.8 kg, spleen 130 to 150 g,
pancreas 120 to 140 g, gall bladder 8 to 10 g with 48 to 58 g of bile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


@dataclass(frozen=True)
class LiverFloor:
    """The liver's lower surface: flat on the right, rising to the left, sometimes with a tongue down at the side."""

    lower: float
    slope: float
    thick_to: float
    pitch: float
    tongue: float
    hollow: float

    def at(self, x: Field | float, y: Field | float) -> Field:
        """Return its height above each point, in mm."""
        x, y = np.asarray(x), np.asarray(y)
        rising = self.slope * np.clip(self.thick_to - x, 0, 200)
        tongue = self.tongue * np.clip((x - 62) / 40, 0, 1) ** 0.7 * np.exp(-(((y - 5) / 42) ** 2))
        return np.asarray(self.lower + rising + self.pitch * y - tongue - self.hollow * (y / 60) ** 2)


def paint_liver(torso: Torso, beds: Mask) -> None:
    """All the space under the right dome down to a tilted plane, close to the wall; 1 to 2.3 L in adults.

    It stays out of the kidneys' `beds`.
    """
    shrunken = torso.chance(0.1)
    floor = LiverFloor(
        lower=torso.dome_z - torso.between(90, 120) if shrunken else torso.dome_z - torso.between(110, 180),
        slope=torso.between(0.55, 1.2),
        thick_to=torso.between(40, 80),
        pitch=torso.between(-0.35, 0.35),
        tongue=torso.between(30, 80) if torso.chance(0.12) else 0.0,  # Riedel's lobe
        hollow=torso.between(-15, 30),
    )
    underside = torso.z - floor.at(torso.x, torso.y) + torso.bumps(50, 8) + torso.bumps(22, 2)
    edge = torso.cavity + torso.between(2, 5) + torso.bumps(30, 2)
    if shrunken:
        edge += torso.between(2, 12) + torso.bumps(14, 2)
    spine = np.hypot(torso.x - torso.spine_x, torso.y - torso.spine_y) < torso.between(28, 36)
    taken = torso.is_made_of(Material.VEIN, Material.AORTA) | torso.belongs_to(Organ.AORTA)
    room = torso.abdomen & ~spine & ~taken & ~beds & (torso.z < torso.dome - 1) & _lobes(torso)
    if torso.chance(0.2 + 0.6 * torso.visceral_fat):  # else bowel and stomach touch it without fat between
        torso.paint(room & (edge < 0) & (underside > -torso.between(2, 9)), Material.FAT)
    liver = room & (edge < 0) & (underside > 0)
    torso.paint(liver, Material.LIVER, Organ.LIVER)
    _paint_liver_vessels(torso, liver)
    if torso.chance(0.7):
        _paint_cleft(torso, liver, underside)
    if torso.chance(0.3):
        _paint_liver_lesions(torso, liver)
    if torso.chance(0.82):
        _paint_gallbladder(torso, floor)
    elif torso.chance(0.5):
        _paint_clips(torso, floor)


def _lobes(torso: Torso) -> Mask:
    """How far the liver reaches to the left, up to the spleen, and how thin its left lobe is."""
    if torso.chance(0.25):
        left, rise = torso.between(-135, -90), torso.between(0.1, 0.35)
    else:
        left, rise = torso.between(-90, -15), torso.between(0.3, 0.7)
    behind = torso.between(-25, -5) + np.clip(torso.between(0, 30) - torso.x, 0, 200) * rise
    right_lobe = torso.x > torso.between(18, 36) - torso.between(0.15, 0.7) * (torso.y + 15) + torso.bumps(45, 4)
    return np.asarray((torso.x > left + torso.bumps(40, 4)) & (torso.y > behind) | right_lobe, bool)


def _paint_liver_vessels(torso: Torso, liver: Mask) -> None:
    """The portal vein and its two branches, three hepatic veins, and finer ones at random."""
    fine = torso.bumps(torso.between(12, 16), 1) > torso.between(1.7, 2.4)
    deep = liver & (torso.cavity < -10) & (torso.z < torso.dome - 10)
    torso.paint(deep & fine, Material.PORTAL, Organ.LIVER)
    top = torso.dome_z
    back, level = torso.spine_y_at(top - 90), top - torso.between(78, 105)
    mouth: Point = (20, back + 42, top - 28)
    for tip in ((92, back + 35, top - 75), (58, back + 72, top - 80), (-18, back + 78, top - 55)):
        end = (tip[0] + torso.between(-12, 12), tip[1] + torso.between(-12, 12), tip[2] + torso.between(-12, 12))
        torso.paint((torso.tube((mouth, end), (torso.between(4, 7), 2.5)) < 0) & liver, Material.VEIN, Organ.LIVER)
    fork: Point = (28, back + 52, level)
    trunk = torso.tube(((4, back + 54, level - 28), fork), (torso.between(5, 8), 7))
    right = torso.tube((fork, (58, back + 45, level + 16), (85, back + 34, level + 20)), (7, 5, 3))
    left = torso.tube((fork, (6, back + 72, level + 20), (-16, back + 84, level + 22)), (6, 4.5, 3))
    portal = np.minimum(np.minimum(trunk, right), left)
    torso.paint((portal < torso.between(-1, 4)) & liver & (torso.x < torso.between(25, 50)), Material.FAT)
    torso.paint((portal < 0) & liver, Material.PORTAL, Organ.LIVER)
    torso.paint((trunk < 0) & ~liver & torso.abdomen & torso.is_made_of(Material.FAT), Material.PORTAL)


def _paint_cleft(torso: Torso, liver: Mask, underside: Field) -> None:
    """The fat of the round ligament's fissure between the lobes."""
    sheet = np.abs(torso.x - torso.between(2, 28) - 0.2 * (torso.y - 40) + torso.bumps(40, 3)) < torso.between(1, 4)
    torso.paint(liver & sheet & (torso.y > torso.between(15, 45)) & (underside < torso.between(20, 60)), Material.FAT)


def _paint_liver_lesions(torso: Torso, liver: Mask) -> None:
    for _ in range(int(torso.rng.integers(1, 7))):
        center = (torso.between(-40, 120), torso.between(-50, 60), torso.dome_z - torso.between(0, 140))
        kind = Material.TUMOUR if torso.chance(0.6) else Material.CYST
        radius = torso.between(3, 18) if torso.chance(0.85) else torso.between(18, 45)
        lesion = torso.ball(center, radius) + torso.bumps(20, 1.5)
        torso.paint((lesion < 0) & liver, kind, Organ.LIVER)


def _paint_gallbladder(torso: Torso, floor: LiverFloor) -> None:
    """A pear under the liver, contracted to distended (5 to 100 mL), with stones lying in the back of it."""
    x, y = torso.between(32, 72), torso.between(20, 62)
    width = torso.between(6, 10) if torso.chance(0.15) else torso.between(11, 22)
    center = (x, y, float(floor.at(x, y)) + torso.between(-18, 10))
    radii = (width, width * torso.between(0.85, 1.15), width * torso.between(1.3, 2.3))
    bag = torso.ellipsoid(
        center, radii, turn=torso.between(-1, 1), tilt=torso.between(-0.9, 0.9), lumps=torso.bumps(25, 1.2)
    )
    room = torso.abdomen & (torso.cavity < -4) & ~torso.belongs_to(Organ.AORTA)
    bile = (bag < 0) & room
    torso.paint(bile, Material.GALLBLADDER, Organ.GALLBLADDER)
    if torso.chance(0.35):
        torso.paint(bile & (bag > -torso.between(1, 4)), Material.SOFT, Organ.GALLBLADDER)
    if torso.chance(0.15):  # stones or sludge sink to the back of who lies supine
        bottom = torso.y < y - radii[1] * torso.between(0.1, 0.7)
        torso.paint((bag < -2) & room & bottom & (torso.bumps(10, 1) > -0.3), Material.GALLSTONE, Organ.GALLBLADDER)


def _paint_clips(torso: Torso, floor: LiverFloor) -> None:
    """Where a gallbladder was taken out."""
    for _ in range(3):
        x, y = torso.between(25, 45), torso.between(15, 40)
        clip = torso.ball((x, y, float(floor.at(x, y)) + torso.between(-8, 8)), torso.between(1, 2))
        torso.paint((clip < 0) & torso.abdomen, Material.METAL)


def paint_spleen(torso: Torso, beds: Mask) -> None:
    """A crescent that hugs the left wall; 100 to 400 mL in adults, more where it is enlarged; now and then none.

    It stays out of the kidneys' `beds`, though it may touch them.
    """
    if torso.chance(0.02):
        return
    grown = torso.between(1.1, 1.5) if torso.chance(0.22) else 1.0
    z = torso.dome_z - torso.between(62, 95) - 40 * (grown - 1)
    x, y, _ = torso.cage_point(-torso.between(8, 34), z, -torso.between(20, 36))
    center = (-x, y, z)
    radii = (torso.between(38, 54) * grown, torso.between(42, 62) * grown, torso.between(42, 64) * grown)
    lumps = torso.bumps(torso.between(25, 45), 3)
    blob = torso.ellipsoid(center, radii, turn=torso.between(-0.6, 0.6), tilt=torso.between(-0.3, 0.5), lumps=lumps)
    rind = (torso.cavity > -torso.between(32, 70) * grown + torso.bumps(35, 3)) & (torso.cavity < -torso.between(1, 4))
    room = torso.abdomen & (torso.z < torso.dome - 2) & ~torso.belongs_to(Organ.AORTA) & ~beds
    if torso.chance(0.2 + 0.6 * torso.visceral_fat):
        torso.paint(rind & (blob < torso.between(1, 8)) & room & ~torso.belongs_to(Organ.LIVER), Material.FAT)
    spleen = (blob < 0) & rind & room
    torso.paint(spleen, Material.SPLEEN, Organ.SPLEEN)
    if torso.chance(0.1):
        hilum = (center[0] + radii[0] * 0.9, center[1] + torso.between(0, 30), center[2] + torso.between(-30, 20))
        bud = (torso.ball(hilum, torso.between(4, 9)) < 0) & room & torso.is_made_of(Material.FAT)
        torso.paint(bud, Material.SPLEEN)


def paint_pancreas(torso: Torso) -> None:
    """From the duodenum's bend over the spine to the spleen, lobulated with fat; the splenic vein runs behind it."""
    y, z = torso.spine_y_at(215) + torso.between(42, 54), torso.dome_z - torso.between(95, 130)
    up = torso.between(5, 30)
    path: list[Point] = [
        (36, y - 4, z - 22), (30, y, z - 6), (8, y + 12, z + 2), (-22, y + 8, z + up * 0.6),
        (-55, y - 12, z + up), (-82, y - 28, z + up + 6),
    ]  # fmt: skip
    size = torso.between(0.7, 1.15)
    distance = torso.tube(path, [r * size for r in (18, 20, 14, 15, 16, 13)])
    ragged = torso.bumps(torso.between(9, 16), torso.between(1.5, 4.5))
    taken = torso.is_made_of(Material.MUSCLE, Material.AORTA, Material.VEIN)
    taken |= torso.belongs_to(Organ.AORTA, Organ.GALLBLADDER)
    taken |= torso.belongs_to(Organ.LIVER, Organ.SPLEEN) & (distance > -torso.between(2, 9))
    free = torso.abdomen & (torso.cavity < -8) & ~taken
    torso.paint((distance < torso.between(0, 4)) & free, Material.FAT)
    torso.paint((distance + ragged < 0) & free, Material.PANCREAS, Organ.PANCREAS)
    if torso.chance(0.12):
        torso.paint((distance < -torso.between(5, 8)) & free, Material.CYST, Organ.PANCREAS)  # a wide duct
    vein = torso.tube(
        ((-92, y - 35, z + up + 10), (-50, y - 20, z + up + 2), (-15, y - 4, z + 8), (8, y + 2, z)), (3.5, 4, 4.5, 6)
    )
    mesenteric = torso.tube(((10, y + 2, z - 90), (9, y + 6, z - 30), (8, y + 2, z)), (4, 5, 6))
    soft = torso.is_made_of(Material.FAT, Material.HAZY_FAT, Material.PANCREAS)
    torso.paint((np.minimum(vein, mesenteric) < 0) & soft & torso.abdomen, Material.PORTAL)
