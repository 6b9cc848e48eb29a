"""Airways and oesophagus from throat to hila, the thyroid, and as much head as a long scan shows.

Tracheas are 15 to 21 mm wide, within the limits of both sexes (Breatnach et al., AJR 1984, 142:903), bronchi by eye.
"""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Point
from DeepImagingLib.phantoms.torso import Material, Organ, Torso
from DeepImagingLib.phantoms.torso_bones import Bone, paint_bone
from DeepImagingLib.phantoms.torso_heart import Heart
from DeepImagingLib.phantoms.torso_lungs import hilum


def paint_airways(torso: Torso, heart: Heart) -> None:
    """Trachea, main and lobar bronchi with a thin wall."""
    fork = heart.center[2] + torso.between(72, 86)
    carina = (torso.between(-2, 8), torso.spine_y_at(fork) + 38, fork)
    wide = torso.between(7.5, 10.5)
    throat = (torso.between(-4, 6), torso.spine_y_at(600) + 30, 600.0)
    inlet = (throat[0], torso.spine_y_at(torso.apex_z) + 34, torso.apex_z)
    tubes = [torso.tube((carina, inlet, throat, (0.0, torso.spine_y_at(650) + 26, 672.0)), (wide, wide, wide, wide))]
    for side in (-1, 1):
        root = hilum(heart, side)
        entry = (root[0], root[1] - 8, root[2] - 8)
        tubes.append(torso.tube((carina, entry), (wide * 0.85, wide * 0.62), reach=3))
        for end in ((24, 8, 20), (12, -8, -45)):
            lobe = (entry[0] + side * end[0], entry[1] + end[1], entry[2] + end[2])
            tubes.append(torso.tube((entry, lobe), (wide * 0.5, wide * 0.28), reach=3))
    airway = np.minimum.reduce(tubes)
    free = ~torso.belongs_to(Organ.HEART) & (torso.body < -3)
    torso.paint((airway < torso.between(1, 2)) & free, Material.SOFT)
    torso.paint((airway < 0) & free, Material.GAS, Organ.AIRWAYS)


def paint_oesophagus(torso: Torso, heart: Heart) -> None:
    """Behind the trachea and the left atrium, down to the stomach: collapsed, or with some air."""
    low = torso.dome_z - 25
    path: list[Point] = [(-6.0, torso.spine_y_at(630) + 22, 640.0)]
    for z, angle in ((torso.apex_z, -8), (heart.center[2] + 60, -8), (heart.center[2], 4), (torso.dome_z + 10, -6)):
        path.append(torso.beside_spine(z, angle, torso.between(8, 14)))
    path += [(-16.0, torso.spine_y_at(low) + 36, low), (-40.0, 5.0, low - 22)]
    gullet = torso.tube(path, [torso.between(6, 9.5)] * len(path), reach=2)
    free = ~torso.belongs_to(Organ.HEART, Organ.AORTA, Organ.AIRWAYS) & (torso.body < -5)
    torso.paint((gullet < 0) & free, Material.BOWEL)
    if torso.chance(0.4):
        torso.paint((gullet < -torso.between(3, 6)) & free & (torso.bumps(25, 1) > 0), Material.GAS)


def paint_thyroid(torso: Torso) -> None:
    """Two lobes beside the trachea; it takes up contrast like the spleen."""
    size, z = torso.between(0.7, 1.5), 578.0
    y = torso.spine_y_at(z) + 27
    for side in (-1, 1):
        center, radii = (side * (14 + 4 * size), y, z), (8 * size, 9 * size, 22 * size)
        lobe = torso.ellipsoid(center, radii, lumps=torso.bumps(15, 1))
        torso.paint((lobe < 0) & ~torso.belongs_to(Organ.AIRWAYS) & (torso.muscle < -4), Material.SPLEEN)


def paint_head(torso: Torso) -> None:
    """A skull with its brain, and a jaw: what scans from the head on begin with."""
    skull = torso.ellipsoid((0, -8, 770), (76, 96, 92))
    face = torso.ellipsoid((0, 50, 705), (52, 48, 62))
    skin = np.minimum(skull, face) - 6
    torso.paint(skin < 0, Material.FAT)
    torso.paint(np.minimum(skull, face + 4) < 0, Material.MUSCLE)
    torso.body = np.minimum(torso.body, skin)
    paint_bone(torso, skull, Bone(Organ.OTHER_BONE, 6.0, core=Material.SOFT))
    torso.organs[skull < -6] = Organ.OTHER_TISSUE
    jaw = [(-44.0, 12.0, 712.0), (-40.0, 30.0, 678.0), (0.0, 82.0, 668.0), (40.0, 30.0, 678.0), (44.0, 12.0, 712.0)]
    paint_bone(torso, torso.tube(jaw, [8] * 5, reach=3), Bone(Organ.OTHER_BONE, 3.0))
    throat = torso.ellipsoid((0, 28, 700), (12, 9, 40))
    torso.paint(throat < 0, Material.GAS, Organ.AIRWAYS)
