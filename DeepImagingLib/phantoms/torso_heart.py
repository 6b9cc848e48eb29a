"""The heart: four chambers in their muscle, coronary arteries and valves, in a sac of fat.

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

    def at(self, offset: Point) -> Point:
        """Return a point given in half axes, turned and tilted with the heart, in mm of the body."""
        x, y, z = (o * r for o, r in zip(offset, self.radii, strict=True))
        x, z = x * np.cos(self.tilt) - z * np.sin(self.tilt), z * np.cos(self.tilt) + x * np.sin(self.tilt)
        x, y = x * np.cos(self.turn) - y * np.sin(self.turn), y * np.cos(self.turn) + x * np.sin(self.turn)
        return (self.center[0] + float(x), self.center[1] + float(y), self.center[2] + float(z))


CHAMBERS: tuple[tuple[Point, Point, Material], ...] = (
    # centre and half axes in its own: right atrium, right ventricle in front, left atrium behind, left ventricle
    ((0.58, -0.05, 0.10), (0.36, 0.46, 0.58), Material.RIGHT_BLOOD),
    ((-0.02, 0.48, -0.18), (0.62, 0.36, 0.58), Material.RIGHT_BLOOD),
    ((0.12, -0.62, 0.35), (0.56, 0.34, 0.42), Material.LEFT_BLOOD),
    ((-0.44, -0.14, -0.12), (0.40, 0.42, 0.55), Material.LEFT_BLOOD),
)


def place_heart(torso: Torso) -> Heart:
    """Choose a heart on the left dome: half axes of 4 to 8 cm make 450 to 1000 mL with its blood."""
    size = torso.between(0.88, 1.2) * (1.18 if torso.chance(0.15) else 1.0)
    lift = torso.between(28, 48) + 12 * (size - 1)
    return Heart(
        center=(torso.between(-34, -16), torso.between(16, 34), torso.dome_z + lift),
        radii=(torso.between(54, 64) * size, torso.between(44, 53) * size, torso.between(48, 58) * size),
        turn=torso.between(-0.6, 0.2),
        tilt=torso.between(-0.1, 0.6),
    )


def paint_heart(torso: Torso, heart: Heart) -> None:
    """Muscle around four chambers, right and left blood apart, in a capsule of fat or of fluid."""
    room = (torso.z > torso.dome + 2) & (torso.cavity < -4)
    lumps = torso.bumps(torso.between(25, 45), 3)
    surface = torso.ellipsoid(heart.center, heart.radii, turn=heart.turn, tilt=heart.tilt, lumps=lumps)
    capsule = torso.between(0, 4) + torso.between(0, 6) * torso.visceral_fat
    torso.paint((surface < capsule) & room, Material.FAT)
    if torso.chance(0.07):
        torso.paint((surface < torso.between(3, 16)) & room, Material.EFFUSION)
    torso.paint((surface < 0) & room, Material.MYOCARDIUM, Organ.HEART)
    wall = torso.between(1, 3)
    for offset, size, blood in CHAMBERS:
        radii = tuple(s * r * torso.between(0.85, 1.12) for s, r in zip(size, heart.radii, strict=True))
        # zip forgets that there are three
        chamber = torso.ellipsoid(heart.at(offset), radii, turn=heart.turn, tilt=heart.tilt)  # type: ignore[arg-type]
        torso.paint((chamber < 0) & (surface < -wall) & room, blood, Organ.HEART)
    _paint_coronaries(torso, heart, surface, room)


def _paint_coronaries(torso: Torso, heart: Heart, surface: Field, room: Mask) -> None:
    """Grooves of fat between the chambers with an artery in each, chalky in some; chalk on the valves in a few."""
    front = [heart.at(p) for p in ((0.1, 0.35, 0.8), (-0.35, 0.7, 0.3), (-0.6, 0.55, -0.3), (-0.7, 0.2, -0.65))]
    right = [heart.at(p) for p in ((0.25, 0.45, 0.7), (0.55, 0.65, 0.2), (0.5, 0.55, -0.4), (0.2, 0.1, -0.9))]
    left = [heart.at(p) for p in ((-0.1, 0.2, 0.75), (-0.6, -0.3, 0.55), (-0.6, -0.7, 0.1))]
    near = (surface > -torso.between(4, 9)) & room
    chalk = torso.bumps(9, 1) > (torso.between(0.2, 1.5) if torso.chance(0.35) else 9)
    for path in (front, right, left):
        groove = torso.tube(path, [torso.between(4, 8)] * len(path), reach=2)
        torso.paint((groove < 0) & near & torso.belongs_to(Organ.HEART), Material.FAT, Organ.HEART)
        artery = torso.tube(path, [torso.between(1.5, 2.4)] * len(path), reach=2) < 0
        torso.paint(artery & near, Material.LEFT_BLOOD, Organ.HEART)
        torso.paint(artery & near & chalk, Material.CALCIUM, Organ.HEART)
    if torso.chance(0.15):
        valve = torso.ball(heart.at((-0.1, -0.35, 0.3)), torso.between(5, 14)) < 0
        torso.paint(valve & (torso.bumps(7, 1) > 0.8) & torso.belongs_to(Organ.HEART), Material.CALCIUM, Organ.HEART)
