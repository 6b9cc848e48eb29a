"""Metal in the body: hip joints, rods and screws in the spine, pacemakers, wires in the sternum.

What was bone stays part of that bone in the truth; scanners cast streaks from it.
"""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Mask, Point
from DeepImagingLib.phantoms.torso import Material, Torso


def paint_implants(torso: Torso) -> None:
    """Now and then one of each; painted after the bones."""
    for paint, probability in ((_paint_hip, 0.06), (_paint_rods, 0.05), (_paint_pacemaker, 0.03), (_paint_wires, 0.04)):
        if torso.chance(probability):
            paint(torso)


def _replace(torso: Torso, where: Mask) -> None:
    torso.materials[where & (torso.body < 0)] = Material.METAL


def _paint_hip(torso: Torso) -> None:
    """A head in a cup, and a stem down the thigh bone; now and then on both sides."""
    first = 1 if torso.chance(0.5) else -1
    for side in (first, -first) if torso.chance(0.25) else (first,):
        head: Point = (side * 89, 5, 2)
        neck: Point = (side * 106, 0, -8)
        ball, cup = torso.ball(head, torso.between(13, 17)), torso.ball(head, torso.between(22, 27))
        stem = torso.tube((neck, (side * 117, -3, -35), (side * 113, 4, -150)), (8, 8, 5))
        metal = np.minimum(np.minimum(ball, stem), torso.tube((head, neck), (7, 7))) < 0
        shell = (np.abs(cup) < 2.5) & (torso.z + 0.7 * side * (head[0] - torso.x) > 0)
        _replace(torso, metal | shell)


def _paint_rods(torso: Torso) -> None:
    """Two rods behind the spine on screws through the vertebrae's roots."""
    low, levels = torso.between(95, 330), int(torso.rng.integers(2, 8))
    heights = low + 34.0 * np.arange(levels)
    for side in (-1, 1):
        behind = torso.between(26, 32)
        path = [
            (torso.spine_x_at(float(z)) + side * 21.0, torso.spine_y_at(float(z)) - behind, float(z)) for z in heights
        ]
        rod = torso.tube(path, (2.8,) * levels) < 0
        for x, y, z in path:
            rod |= torso.tube(((x, y, z), (x - side * 9, y + behind + 8, z)), (3.5, 2.5)) < 0
        _replace(torso, rod)


def _paint_pacemaker(torso: Torso) -> None:
    """A can under the left collar bone."""
    round_ = np.hypot(torso.x + torso.between(75, 100), torso.z - torso.apex_z + torso.between(35, 70)) < 24
    _replace(torso, round_ & (torso.y > 0) & (np.abs(torso.muscle - 4) < 4))


def _paint_wires(torso: Torso) -> None:
    """Loops that hold a sternum together."""
    for z in torso.dome_z + np.arange(40, 150, 25.0) + torso.rng.uniform(-4, 4, 5):
        front = (np.abs(torso.cavity - torso.between(1, 4)) < 2) & (torso.y > 0)
        _replace(torso, front & (np.abs(torso.x) < 10) & (np.abs(torso.z - z) < 1.5))
