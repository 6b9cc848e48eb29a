"""Read the reference lists of two public data sets: LUNA16's nodules and candidates, DeepLesion's lesions.

LUNA16: https://luna16.grand-challenge.org/Data; centres in LPS mm. DeepLesion: https://nihcc.app.box.com/v/DeepLesion,
whose boxes are in pixels of one slice, and slices are counted from the top down.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
DIAMETERS = "Lesion_diameters_Pixel_"


@dataclass(frozen=True)
class Reference:
    """A lesion that somebody marked.

    Attributes:
        center: RAS in mm.
        size: Full lengths along right, anterior and superior in mm; NaN where the list doesn't tell.
        label: What it is.
        score: None where the list has none.
        measured: Longest diameter in mm, where the list tells it beside a box.
        review: What a reader said of a finding that a model made, "" of others.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    label: str
    score: float | None = None
    measured: float | None = None
    review: str = ""

    @property
    def diameter(self) -> float:
        """What was measured, or the largest of its lengths that is known, in mm; NaN where none is."""
        known = [length for length in self.size if not np.isnan(length)]
        return self.measured if self.measured is not None else max(known, default=float("nan"))


@dataclass(frozen=True)
class KeySlice:
    """A lesion on a slice of DeepLesion.

    Attributes:
        file: Name of the slice's picture.
        number: Of the slice in its series, from 1 at the top.
        box: Left, upper, right and lower edge in pixels, 5 further out than the lesion.
        spacing: In mm, of columns, rows and slices.
        label: What it is.
        diameter: Longest in mm, None where the table doesn't tell.
    """

    file: str
    number: int
    box: tuple[float, ...]
    spacing: tuple[float, ...]
    label: str
    diameter: float | None

    def in_volume(self, corner: npt.NDArray[np.float64], first: int = 1) -> Reference:
        """Return it in a volume whose voxel furthest right, in front and above has its centre at `corner` (RAS mm).

        Args:
            corner: As said.
            first: Number of the volume's uppermost slice.
        """
        left, upper, right, lower = self.box
        x, y, z = self.spacing
        away = np.array([(left + right) / 2 * x, (upper + lower) / 2 * y, (self.number - first) * z])
        size = ((right - left) * x, (lower - upper) * y, float("nan"))
        return Reference(_three(corner - away), size, self.label, measured=self.diameter)

    def in_picture(self, affine: npt.NDArray[np.float64]) -> Reference:
        """Return it in the slice's picture, whose pixels have places by an affine and no depth."""
        left, upper, right, lower = self.box
        middle = affine @ np.array([(left + right) / 2, (upper + lower) / 2, 0, 1])
        width, height = np.linalg.norm(affine[:3, :2], axis=0) * (right - left, lower - upper)
        return Reference(_three(middle), (float(width), float(height), float("nan")), self.label)


def _three(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = map(float, values[:3])
    return x, y, z


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
        if diameter <= 0:
            raise row.wrong("diameter_mm", "a length above 0")
        if "class" in row.values and row.number("class") not in (0, 1):
            raise row.wrong("class", "0 or 1")
        label = NO_NODULE if "class" in row.values and row.number("class") == 0 else NODULE
        score = row.number("probability") if "probability" in row.values else None
        lesion = Reference((-x, -y, z), (diameter,) * 3, label, score)
        found.setdefault(row.text("seriesuid"), []).append(lesion)
    return found


def read_deeplesion(path: Path) -> dict[str, list[KeySlice]]:
    """Return the lesions of `DL_info.csv` by series, "patient_study_series" with the digits of the file's names.

    What its authors call possibly noisy is left out.

    Raises:
        InputError: The file is no such table; names line and column.
    """
    found: dict[str, list[KeySlice]] = {}
    columns = ("File_name", "Key_slice_index", "Bounding_boxes", "Spacing_mm_px_", "Coarse_lesion_type")
    for row in rows(path, columns):
        if "Possibly_noisy" in row.values and row.number("Possibly_noisy") == 1:
            continue
        box, spacing = row.numbers("Bounding_boxes", 4), row.numbers("Spacing_mm_px_", 3)
        if box[0] >= box[2] or box[1] >= box[3]:
            raise row.wrong("Bounding_boxes", "left, upper, right and lower edge")
        label = LESION_TYPES.get(int(row.number("Coarse_lesion_type")), OTHER)
        diameters = row.numbers(DIAMETERS, 2) if DIAMETERS in row.values else None
        longest = max(diameters) * spacing[0] if diameters else None
        file, number = row.text("File_name"), int(row.number("Key_slice_index"))
        lesion = KeySlice(file, number, tuple(box), tuple(spacing), label, longest)
        found.setdefault(file.rpartition("_")[0], []).append(lesion)
    return found
