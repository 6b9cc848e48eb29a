"""Pictures as they are looked at: networks for pictures know no world, so which corner comes first is settled here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.files import as_image

if TYPE_CHECKING:
    from monai.data import MetaTensor

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Turn:
    """How the first two axes of a grid become columns and rows of a picture as it is shown.

    Columns run to the patient's left, rows downwards: to the feet, or of an axial plane to the back; in a sagittal
    plane columns run to the back (DICOM PS3.3 C.7.6.1.1.1, and how Slicer shows slices). All of these point against
    the axes of RAS.

    Attributes:
        swapped: True where the first axis holds the rows.
        flipped: After that, which of columns (0) and rows (1) are stored the other way round.
        spacing: Of columns and rows in mm.
    """

    swapped: bool
    flipped: tuple[int, ...]
    spacing: tuple[float, float]

    def upright(self, values: Array) -> Array:
        """Return a view (C, columns, rows, ...) of values (C, I, J, ...)."""
        values = np.swapaxes(values, 1, 2) if self.swapped else values
        return np.flip(values, tuple(1 + axis for axis in self.flipped))

    def back(self, values: Array) -> Array:
        """Return a view (I, J, ...) of values (columns, rows, ...)."""
        values = np.flip(values, self.flipped)
        return np.swapaxes(values, 0, 1) if self.swapped else values

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """IJK→RAS (4, 4) of the upright picture in a world of its own, an axial plane: MONAI asks for none other."""
        return np.diag([-self.spacing[0], -self.spacing[1], 1.0, 1.0])


def turn_of(affine: npt.NDArray[np.float64]) -> Turn:
    """Return how pictures, or slices along the third axis, with an affine IJK→RAS (4, 4) become upright.

    The identity stands for "nobody said where it lies", as MONAI's reader of pictures has it: these stay as they are.
    """
    if np.array_equal(affine, np.eye(4)):
        return Turn(False, (), (1.0, 1.0))
    from nibabel.orientations import io_orientation

    axes, signs = io_orientation(affine).T
    order = [1, 0] if axes[0] > axes[1] else [0, 1]
    spacing = np.linalg.norm(affine[:3, :2], axis=0)[order]
    flipped = tuple(place for place, axis in enumerate(order) if signs[axis] > 0)
    return Turn(order == [1, 0], flipped, (float(spacing[0]), float(spacing[1])))


def upright(image: MetaTensor) -> MetaTensor:
    """Return a picture (C, columns, rows) of one (C, I, J), in a plane of its own; volumes as they are."""
    if image.ndim > 3:
        return image
    turn = turn_of(np.asarray(image.affine, np.float64))
    return as_image(turn.upright(image.numpy()), turn.affine)
