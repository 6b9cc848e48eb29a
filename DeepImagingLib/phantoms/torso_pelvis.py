"""Bladder, prostate or uterus, and the fluid that gathers in a belly.

A bladder's wall weighs 40 to 50 g, a uterus 80 g and a prostate 17 g in the reference adults of ICRP Publication 89
(2002). How full a bladder is, and how large prostates and uteri grow, is chosen wide by eye: from just emptied to
retention, from the reference gland to an enlarged one.
"""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso

BONES = (Organ.SPINE, Organ.RIBS, Organ.HIPS, Organ.SACRUM, Organ.FEMURS, Organ.OTHER_BONE)


def paint_pelvis(torso: Torso) -> None:
    """The bladder behind the pubis, on a prostate or in front of a uterus; painted after the bones."""
    room = (torso.cavity < -3) & ~torso.belongs_to(*BONES) & ~torso.belongs_to(Organ.AORTA)
    millilitres = np.exp(torso.between(np.log(25), np.log(900)))
    widths = np.array((torso.between(0.95, 1.35), torso.between(0.75, 1.1), torso.between(0.7, 1.15)))
    radii = widths * (millilitres * 1000 * 0.75 / np.pi / widths.prod()) ** (1 / 3)
    center = (torso.between(-8, 8), torso.between(12, 34), torso.between(-14, 4) + float(radii[2]))
    bladder = torso.ellipsoid(center, (radii[0], radii[1], radii[2]), lumps=torso.bumps(30, min(3, radii.min() / 8)))
    if torso.chance(0.2 + 0.6 * torso.visceral_fat):
        torso.paint((bladder < torso.between(2, 9)) & room & ~torso.is_made_of(Material.MUSCLE), Material.FAT)
    if not torso.build.female:
        _paint_prostate(torso, center, room)
    elif torso.chance(0.85):
        _paint_uterus(torso, center, float(radii[1]), room)
    _paint_bladder(torso, bladder, room, millilitres)
    if torso.chance(0.1):
        _paint_catheter(torso, center, bladder)


def _paint_prostate(torso: Torso, center: Point, room: Mask) -> None:
    """17 to 54 mL below the bladder in a body of average size, seminal vesicles behind it."""
    gland = torso.ellipsoid(
        (0, center[1] - torso.between(2, 10), torso.between(-32, -18)),
        (torso.between(18, 29), 16, torso.between(14, 28)),
    )
    vesicles = torso.ellipsoid((0, center[1] - torso.between(26, 36), torso.between(-5, 12)), (30, 7, 8))
    torso.paint((gland < 0) & room, Material.UTERUS)
    torso.paint((vesicles + torso.bumps(12, 2) < 0) & room, Material.SOFT)


def _paint_uterus(torso: Torso, center: Point, depth: float, room: Mask) -> None:
    """Behind or upon the bladder, with fibroids and ovaries now and then."""
    middle = (center[0] + torso.between(-15, 15), center[1] - depth - torso.between(-6, 14), torso.between(5, 60))
    body = torso.ellipsoid(
        middle, (torso.between(20, 40), torso.between(14, 28), torso.between(24, 40)), lumps=torso.bumps(25, 2)
    )
    torso.paint((body < 0) & room, Material.UTERUS)
    for side in (-1, 1):
        if torso.chance(0.6):
            ovary: Point = (middle[0] + side * torso.between(35, 55), middle[1] + torso.between(-15, 15), middle[2])
            kind = Material.CYST if torso.chance(0.3) else Material.SOFT
            torso.paint((torso.ball(ovary, torso.between(7, 22)) < 0) & room & torso.abdomen, kind)
    if torso.chance(0.2):
        fibroid = torso.ball((middle[0] + torso.between(-25, 25), middle[1], middle[2] + 25), torso.between(10, 40))
        torso.paint((fibroid < 0) & room & torso.abdomen, Material.UTERUS)


def _paint_bladder(torso: Torso, bladder: Field, room: Mask, millilitres: float) -> None:
    """Urine in a wall that is thick when empty; contrast agent sinks to the back."""
    wall = float(np.interp(millilitres, (20, 200, 800), (5, 3, 1.5))) * torso.between(0.6, 1.8)
    torso.paint((bladder < 0) & room, Material.SOFT, Organ.URINARY_BLADDER)
    urine = (bladder < -wall) & room
    torso.paint(urine, Material.URINE, Organ.URINARY_BLADDER)
    if torso.chance(0.15):
        level = torso.between(-25, 40)
        torso.paint(urine & (torso.y < level), Material.CONTRAST_URINE, Organ.URINARY_BLADDER)


def _paint_catheter(torso: Torso, center: Point, bladder: Field) -> None:
    """A balloon, its tube, and the air that came with it."""
    base = (center[0], center[1] - 4, center[2] - 8)
    balloon = torso.ball(base, torso.between(9, 15))
    inside = bladder < -2
    torso.paint((balloon < 0) & inside, Material.PLASTIC, Organ.URINARY_BLADDER)
    torso.paint((balloon < -2) & inside, Material.URINE, Organ.URINARY_BLADDER)
    bubble = inside & (bladder > -torso.between(5, 14)) & (torso.y > center[1] + 8)
    torso.paint(bubble & (np.abs(torso.x - center[0]) < 30), Material.GAS, Organ.URINARY_BLADDER)


def paint_ascites(torso: Torso) -> None:
    """Fluid instead of fat: along the wall, around the liver and deep in the pelvis."""
    behind = torso.spine_y + 15 - 0.4 * np.clip(np.abs(torso.x) - 45, 0, 100) + torso.bumps(30, 5)
    fat = torso.abdomen & torso.is_made_of(Material.FAT, Material.HAZY_FAT) & (torso.y > behind)
    outer = torso.cavity > -torso.between(6, 60) + torso.bumps(40, 8)
    deep = torso.z < torso.between(0, 70)
    torso.paint(fat & (outer | deep), Material.ASCITES)
