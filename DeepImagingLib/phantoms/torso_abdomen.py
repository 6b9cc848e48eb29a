"""The belly in the order in which its organs overlap; bones come between `paint_abdomen` and `paint_pelvis`."""

from __future__ import annotations

from DeepImagingLib.phantoms.torso import Torso
from DeepImagingLib.phantoms.torso_bowel import paint_bowel, paint_stomach
from DeepImagingLib.phantoms.torso_kidneys import kidney_beds, paint_kidneys, place_kidneys
from DeepImagingLib.phantoms.torso_liver import paint_liver, paint_pancreas, paint_spleen
from DeepImagingLib.phantoms.torso_pelvis import paint_ascites, paint_pelvis

__all__ = ["paint_abdomen", "paint_pelvis"]


def paint_abdomen(torso: Torso) -> None:
    """Everything between the diaphragm and the pelvis that is no bone."""
    kidneys = place_kidneys(torso)
    beds = kidney_beds(torso, kidneys)
    paint_bowel(torso)
    paint_stomach(torso)
    paint_liver(torso, beds)
    paint_spleen(torso, beds)
    paint_pancreas(torso)
    paint_kidneys(torso, kidneys)
    if torso.chance(0.08):
        paint_ascites(torso)
