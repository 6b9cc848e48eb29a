"""Kidneys in their fat with renal vessels and ureters, and the adrenals above them.

Both kidneys weigh 275 to 310 g in the reference adults of ICRP Publication 89 (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask, Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


@dataclass(frozen=True)
class Bean:
    """Where a kidney lies: side (1 is right), centre, half axes (mm) and angles (radians)."""

    organ: Organ
    side: int
    center: Point
    radii: Point
    turn: float
    tilt: float


def place_kidneys(torso: Torso) -> list[Bean]:
    """Choose two beans beside the spine, the right one a bit lower; now and then one is small, sunk or missing."""
    sides = ((1, Organ.RIGHT_KIDNEY), (-1, Organ.LEFT_KIDNEY))
    return [_place(torso, organ, side) for side, organ in sides if not torso.chance(0.03)]


def kidney_beds(torso: Torso, beans: Sequence[Bean]) -> Mask:
    """Return what lies behind and inward of kidneys, where neither liver nor spleen reaches."""
    beds = np.zeros(torso.x.shape, bool)
    for bean in beans:
        (x, y, z), (wide, deep, tall) = bean.center, bean.radii
        lateral = np.maximum(bean.side * (torso.x - x) / wide + torso.between(0.3, 0.9), 0)
        anterior = np.maximum((torso.y - y) / deep + torso.between(0.1, 0.7), 0)
        vertical = (torso.z - z) / (tall * np.where(torso.z > z, torso.between(0.8, 1.05), 1.4))
        beds |= lateral**2 + anterior**2 + vertical**2 < 0.9 + torso.bumps(30, 0.12)
    return beds


def paint_kidneys(torso: Torso, beans: Sequence[Bean]) -> None:
    """110 to 250 mL each, with what leads to them and the adrenals above."""
    ureter_ends = torso.between(-5, 15)
    for bean in beans:
        _paint_kidney(torso, bean)
        _paint_ureter(torso, bean, ureter_ends)
        _paint_adrenal(torso, bean)


def _place(torso: Torso, organ: Organ, side: int) -> Bean:
    size = torso.between(0.9, 1.1) if torso.chance(0.93) else torso.between(0.6, 0.85)
    sunk = torso.between(30, 80) if torso.chance(0.04) else 0.0
    z = torso.between(168, 228) - (12 if side > 0 else 0) - sunk
    return Bean(
        organ=organ,
        side=side,
        center=(torso.spine_x_at(z) + side * torso.between(58, 76), torso.spine_y_at(z) + torso.between(-18, 8), z),
        radii=(torso.between(26, 33) * size, torso.between(26, 33) * size, torso.between(52, 64) * size),
        turn=side * torso.between(-0.8, 0.2),
        tilt=-side * torso.between(0, 0.4),
    )


def _paint_kidney(torso: Torso, bean: Bean) -> None:
    x, y, z = bean.center
    surface = torso.ellipsoid(bean.center, bean.radii, turn=bean.turn, tilt=bean.tilt, lumps=torso.bumps(35, 1.5))
    vessels = torso.is_made_of(Material.VEIN) & ~torso.belongs_to(Organ.LIVER)
    free = (torso.muscle < -8) & ~torso.belongs_to(Organ.AORTA) & ~vessels & (torso.z < torso.dome)
    _paint_capsule(torso, surface, torso.abdomen & free)
    torso.paint((surface < 0) & free, Material.KIDNEY, bean.organ)
    kidney = torso.belongs_to(bean.organ)
    pyramids = torso.bumps(torso.between(12, 17), 1) > torso.between(-0.6, 0.3)
    torso.paint(kidney & (surface < -torso.between(5, 8)) & pyramids, Material.MEDULLA, bean.organ)
    _paint_sinus(torso, bean, kidney)
    _paint_renal_vessels(torso, bean, free & ~torso.belongs_to(bean.organ, Organ.LIVER))
    room = free & ~torso.belongs_to(Organ.LIVER, Organ.SPLEEN, Organ.STOMACH)
    for _ in range(_how_many_cysts(torso)):
        cyst = (x + bean.side * torso.between(-5, 28), y + torso.between(-15, 15), z + torso.between(-50, 50))
        radius = torso.between(3, 14) if torso.chance(0.8) else torso.between(14, 35)
        torso.paint((torso.ball(cyst, radius) < 0) & room, Material.CYST)
    if torso.chance(0.1):
        stone = (x - bean.side * 8, y + torso.between(-5, 8), z + torso.between(-25, 25))
        torso.paint((torso.ball(stone, torso.between(2, 6)) < 0) & kidney, Material.CALCIUM)


def _how_many_cysts(torso: Torso) -> int:
    if torso.chance(0.015):
        return int(torso.rng.integers(12, 30))  # polycystic
    return int(torso.rng.integers(1, 4)) if torso.chance(0.25) else 0


def _paint_capsule(torso: Torso, surface: Field, free: Mask) -> None:
    """Fat around it, thick or none, sometimes with strands; the liver and the spleen come closest."""
    thick = torso.between(0, 3) if torso.chance(0.25) else torso.between(2, 8 + 18 * torso.visceral_fat)
    solid = torso.belongs_to(Organ.LIVER, Organ.SPLEEN, Organ.STOMACH, Organ.PANCREAS)
    capsule = free & (surface < np.where(solid, torso.between(-1, 4), thick)) & ~torso.is_made_of(Material.MUSCLE)
    torso.paint(capsule, Material.FAT)
    if torso.chance(0.35):
        strands = np.abs(torso.bumps(torso.between(12, 18), 1)) < torso.between(0.05, 0.2)
        torso.paint(capsule & strands, Material.HAZY_FAT)


def _paint_sinus(torso: Torso, bean: Bean, kidney: Mask) -> None:
    """Fat around the renal pelvis, open to the middle; wide and full of urine where the ureter is blocked."""
    x, y, z = bean.center
    middle = (x - bean.side * torso.between(6, 14), y + torso.between(2, 10), z)
    shares = (torso.between(0.45, 0.7), torso.between(0.3, 0.5), torso.between(0.4, 0.6))
    hollow = (bean.radii[0] * shares[0], bean.radii[1] * shares[1], bean.radii[2] * shares[2])
    sinus = torso.ellipsoid(middle, hollow, turn=bean.turn, tilt=bean.tilt, lumps=torso.bumps(25, 3))
    hilum = torso.tube((middle, (x - bean.side * 42, y + 14, z - 8)), (torso.between(5, 10), 5))
    torso.paint(kidney & (np.minimum(sinus, hilum) < 0), Material.FAT)
    blocked = torso.chance(0.06)
    torso.paint(kidney & (sinus < (2 if blocked else -torso.between(3, 8))), Material.RENAL_PELVIS)


def _paint_renal_vessels(torso: Torso, bean: Bean, free: Mask) -> None:
    """An artery from the aorta behind a vein to the cava; the left vein crosses in front of the aorta."""
    x, y, z = bean.center
    spine = torso.spine_y_at(z)
    hilum: Point = (x - bean.side * 14, y + 8, z + 3)
    cava: Point = (18, spine + 26, z + 6)
    bow: Point = (-8, spine + 46, z + 8) if bean.side < 0 else (30, spine + 28, z + 4)
    soft = free & torso.is_made_of(Material.FAT, Material.HAZY_FAT, Material.BOWEL, Material.PANCREAS)
    torso.paint((torso.tube((hilum, bow, cava), (4, 4.5, 4.5)) < 0) & soft, Material.RENAL_VEIN)
    artery = torso.tube((hilum, (-5, spine + 26, z + torso.between(5, 20))), (2.5, 3))
    torso.paint((artery < 0) & soft, Material.AORTA)


def _paint_ureter(torso: Torso, bean: Bean, end: float) -> None:
    x, y, z = bean.center
    path: list[Point] = [
        (x - bean.side * 24, y + 10, z - 15), (bean.side * 42, torso.spine_y_at(130) + 30, 130),
        (bean.side * 48, torso.spine_y_at(80) + 32, 75), (bean.side * 55, -35, 25), (bean.side * 20, -15, end),
    ]  # fmt: skip
    tube = torso.tube(path, (3, 2, 2, 2, 2))
    torso.paint((tube < 0) & torso.is_made_of(Material.FAT, Material.HAZY_FAT), Material.RENAL_PELVIS)


def _paint_adrenal(torso: Torso, bean: Bean) -> None:
    """Two thin limbs in the fat above and in front of the kidney."""
    top: Point = (bean.side * torso.between(30, 42), bean.center[1] + 14, min(bean.center[2] + 62, torso.dome_z - 60))
    for spread in (-10, 10):
        limb = (top[0] + bean.side * (6 + spread * 0.6), top[1] - 16, top[2] + spread * 0.4 - 6)
        tube = torso.tube((top, limb), (torso.between(2.5, 5), 2.5))
        torso.paint((tube < 0) & torso.is_made_of(Material.FAT, Material.HAZY_FAT), Material.SOFT)
