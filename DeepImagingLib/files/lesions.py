"""Read the reference lists of two public data sets: LUNA16's nodules and candidates, DeepLesion's lesions.

LUNA16: https://luna16.grand-challenge.org/Data; centres in LPS mm. DeepLesion: https://nihcc.app.box.com/v/DeepLesion,
whose boxes are in pixels of one slice; centres are given here in mm from the centre of that series' first voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DeepImagingLib.files.tables import rows

LESION_TYPES = {
    1: "bone",
    2: "abdomen",
    3: "mediastinum",
    4: "liver",
    5: "lung",
    6: "kidney",
    7: "soft tissue",
    8: "pelvis",
}
"""DeepLesion's coarse types; -1 where it tells none."""
OTHER = "lesion"
NODULE, NO_NODULE = "nodule", "no nodule"


@dataclass(frozen=True)
class Reference:
    """A lesion that somebody marked.

    Attributes:
        center: RAS in mm.
        size: Full lengths along right, anterior and superior in mm; NaN where the list doesn't tell.
        label: What it is.
        score: None where the list has none.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    label: str
    score: float | None = None

    @property
    def diameter(self) -> float:
        """The largest of its lengths that is known, in mm; NaN where none is."""
        known = [length for length in self.size if not np.isnan(length)]
        return max(known, default=float("nan"))


def read_luna16(path: Path) -> dict[str, list[Reference]]:
    """Return the nodules of `annotations.csv`, or the places of `candidates.csv`, by series UID.

    A candidate has no size, and the label "nodule" or "no nodule" by its class; a table of detections, with a
    `probability`, gives scores.

    Raises:
        InputError: The file is no such table; names line and column.
    """
    found: dict[str, list[Reference]] = {}
    for row in rows(path, ("seriesuid", "coordX", "coordY", "coordZ")):
        x, y, z = (row.number(f"coord{axis}") for axis in "XYZ")
        diameter = row.number("diameter_mm") if "diameter_mm" in row.values else float("nan")
        label = NO_NODULE if "class" in row.values and row.number("class") == 0 else NODULE
        score = row.number("probability") if "probability" in row.values else None
        lesion = Reference((-x, -y, z), (diameter,) * 3, label, score)
        found.setdefault(row.text("seriesuid"), []).append(lesion)
    return found


def read_deeplesion(path: Path) -> dict[str, list[Reference]]:
    """Return the lesions of `DL_info.csv` by series, "patient_study_series" with the digits of the file's names.

    The table knows no origin: centres are in mm of a volume that is made of the key slices' series with its slice 1
    first, spaced as the table says, whose first voxel's centre is 0 and whose axes run left, back and up as those of
    an axial CT. The third length isn't told.

    Raises:
        InputError: The file is no such table; names line and column.
    """
    found: dict[str, list[Reference]] = {}
    columns = ("File_name", "Key_slice_index", "Bounding_boxes", "Spacing_mm_px_", "Coarse_lesion_type")
    for row in rows(path, columns):
        box, spacing = np.array(row.numbers("Bounding_boxes", 4)), np.array(row.numbers("Spacing_mm_px_", 3))
        x, y = (box[:2] + box[2:]) / 2 * spacing[:2]
        z = (row.number("Key_slice_index") - 1) * spacing[2]
        width, height = (box[2:] - box[:2]) * spacing[:2]
        label = LESION_TYPES.get(int(row.number("Coarse_lesion_type")), OTHER)
        lesion = Reference((-float(x), -float(y), float(z)), (float(width), float(height), float("nan")), label)
        found.setdefault(row.text("File_name").rpartition("_")[0], []).append(lesion)
    return found
