"""How large each structure is, and how bright: volume, mean and standard deviation of the image inside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.results import Segmentation

if TYPE_CHECKING:
    from monai.data import MetaTensor

Image = npt.NDArray[Any]
COLUMNS = ("id", "name", "milliliters", "voxels", "mean", "sd", "unit")
DIGITS = 6
SAMPLES = 32  # an axis, to guess where the values lie


@dataclass(frozen=True)
class Measure:
    """What was measured in one segment.

    Attributes:
        id, name, color: The segment's.
        milliliters, voxels: Its size.
        mean: Of the image's values; None where no voxel has one.
        sd: Sample standard deviation (n − 1), as Slicer's Segment Statistics and ITK give it; None below two voxels.
        unit: Of mean and sd, "HU" for CT, "" where it isn't known.
    """

    id: str
    name: str
    color: tuple[float, float, float]
    milliliters: float
    voxels: int
    mean: float | None
    sd: float | None
    unit: str = ""


def measure(result: Segmentation, image: MetaTensor | Image, modality: str = "") -> tuple[Measure, ...]:
    """Measure each segment on the image it was found in.

    Args:
        result: The segmentation.
        image: (C, I, J, K) in the geometry of the result; the first channel is measured. Values that are not finite
            count as voxels, and in neither mean nor sd.
        modality: As the bundle names it; "CT" gives HU.

    Raises:
        InputError: Image and result differ in size.
    """
    values = np.asarray(image)[0]
    values = values[..., None] if values.ndim == 2 else values
    if values.shape != result.layers.shape[1:]:
        raise InputError(
            f"The image has {values.shape} voxels and the result {result.layers.shape[1:]}; give the image of the run."
        )
    unit = "HU" if modality.upper() == "CT" else ""
    sums = [_sums(layer, values) for layer in result.layers]
    return tuple(
        Measure(s.id, s.name, s.color, voxels * result.voxel_ml, voxels, mean, sd, unit)
        for s in result.segments
        for voxels, mean, sd in [sums[s.layer].of(s.value)]
    )


@dataclass(frozen=True)
class _Sums:
    """Sums over the voxels of each value of a layer, by value; of the image's values less `shift`."""

    voxels: npt.NDArray[np.int64]
    finite: npt.NDArray[np.int64]
    first: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    shift: float

    def of(self, value: int) -> tuple[int, float | None, float | None]:
        """Return the voxels, the mean and the sample standard deviation of a value."""
        if value >= len(self.voxels) or not self.finite[value]:
            return int(self.voxels[value]) if value < len(self.voxels) else 0, None, None
        n, mean = int(self.finite[value]), float(self.first[value] / self.finite[value])
        variance = max(float(self.squares[value]) - n * mean * mean, 0.0) / (n - 1) if n > 1 else None
        return int(self.voxels[value]), mean + self.shift, variance**0.5 if variance is not None else None


def _sums(layer: npt.NDArray[Any], values: Image) -> _Sums:
    """Go over a layer once, plane by plane as they lie in memory: bincount makes 64-bit copies of what it is given."""
    size = int(layer.max()) + 1
    shift = _typical(values)
    voxels, finite = np.zeros(size, np.int64), np.zeros(size, np.int64)
    first, squares = np.zeros(size), np.zeros(size)
    slowest = int(np.argmax(layer.strides))
    for labels, plane in zip(np.moveaxis(layer, slowest, 0), np.moveaxis(values, slowest, 0), strict=True):
        inside = labels > 0
        labels, numbers = labels[inside], plane[inside].astype(np.float64) - shift
        voxels += np.bincount(labels, minlength=size)
        known = np.isfinite(numbers)
        if not known.all():
            labels, numbers = labels[known], numbers[known]
        finite += np.bincount(labels, minlength=size)
        first += np.bincount(labels, numbers, size)
        squares += np.bincount(labels, numbers * numbers, size)
    return _Sums(voxels, finite, first, squares, shift)


def _typical(values: Image) -> float:
    """Return a value from the middle of the image's, to subtract before squaring: it keeps the digits that matter."""
    sample = values[tuple(slice(None, None, max(1, n // SAMPLES)) for n in values.shape)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    return float(np.median(sample)) if sample.size else 0.0


def as_csv(measures: Sequence[Measure]) -> str:
    """Return a table with a header line, one segment a line; unknown values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for found in measures:
        numbers = ["" if n is None else f"{n:.{DIGITS}g}" for n in (found.mean, found.sd)]
        writer.writerow((found.id, found.name, f"{found.milliliters:.3f}", found.voxels, *numbers, found.unit))
    return text.getvalue()
