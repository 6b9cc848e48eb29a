"""What lies around a patient: table and mattress, blankets and clothes, tubes and cables."""

from __future__ import annotations

import numpy as np

from DeepImagingLib.phantoms.shapes import Field, Mask
from DeepImagingLib.phantoms.torso import Material, Organ, Torso


def paint_surroundings(torso: Torso) -> None:
    """Drawn last, in the air only, as background."""
    back = _back(torso)
    if torso.chance(0.9):
        _paint_table(torso, back)
    if torso.chance(0.35):
        _paint_cover(torso)
    for _ in range(int(torso.rng.integers(0, 4)) if torso.chance(0.35) else 0):
        _paint_cable(torso)


def _fill(torso: Torso, where: Mask, material: Material) -> None:
    torso.paint(where & torso.is_made_of(Material.AIR), material, Organ.BACKGROUND)


def _back(torso: Torso) -> float:
    """Return how far behind the scan's middle the patient's back ends (mm of the scan, not of the body)."""
    behind = (torso.body < 0).any(axis=(0, 2))
    return float(torso.axes[1][behind].min()) if behind.any() else float(torso.axes[1][0])


def _paint_table(torso: Torso, back: float) -> None:
    """A flat or curved top, often a second shell below, with foam between or a mattress on it."""
    x, y = torso.axes[0][:, None, None], torso.axes[1][None, :, None]
    x = x - torso.between(-25, 25)
    sag = torso.between(0, 0.0022) if torso.chance(0.75) else 0.0  # therapy tables are flat
    mattress = torso.between(5, 40) if torso.chance(0.4) else torso.between(-6, 4)
    depth = back - mattress - (y - sag * x**2)  # how far below the top
    half_width, thickness = torso.between(170, 265), torso.between(15, 70)
    within = np.abs(x) < half_width * np.clip(1.05 - 0.004 * np.abs(depth), 0.5, 1)
    everywhere = torso.x.shape
    if mattress > 5:
        _fill(torso, np.broadcast_to((depth < 0) & (depth > -mattress) & within, everywhere), Material.FOAM)
    skin = torso.between(1.5, 5)
    bow = sag * torso.between(0, 1.5) * x**2
    top, bottom = np.abs(depth) < skin, np.abs(depth - thickness + bow) < torso.between(1, 4)
    shells = top | bottom if torso.chance(0.8) else top
    if torso.chance(0.3):
        _fill(torso, np.broadcast_to((depth > 0) & (depth < thickness - bow) & within, everywhere), Material.FOAM)
    _fill(torso, np.broadcast_to(shells & within, everywhere), Material.TABLE)


def _paint_cover(torso: Torso) -> None:
    """A blanket or gown in folds over the body, sometimes with a gap of air below."""
    gap, folds = torso.between(0, 12), torso.bumps(torso.between(20, 50), torso.between(1, 8))
    height = torso.body - gap + folds
    over = torso.y > torso.between(-60, 60)
    ends = (torso.z < torso.between(150, 500)) | torso.chance(0.3)
    _fill(torso, (np.abs(height) < torso.between(1.5, 5)) & over & ends, Material.CLOTH)


def _paint_cable(torso: Torso) -> None:
    """A tube, an electrode's wire or an infusion line upon or beside the patient."""
    x = torso.between(-190, 190)
    ends = [(x + torso.between(-120, 120), torso.between(20, 130) * torso.depth, torso.between(-50, 550)) for _ in "ab"]
    radius = torso.between(1.5, 6)
    tube: Field = torso.tube(ends, (radius, radius))
    _fill(torso, tube < 0, Material.METAL if torso.chance(0.1) else Material.PLASTIC)
    if radius > 3.5:
        hollow = tube < -2
        torso.paint(hollow & torso.is_made_of(Material.PLASTIC), Material.AIR, Organ.BACKGROUND)
