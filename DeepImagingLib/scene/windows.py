"""The window in which a CT is looked at, by what surrounds a finding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.results import Detection

LUNG, SOFT_TISSUE = (1500.0, -600.0), (400.0, 40.0)  # window and level in HU
LUNG_HU = (-960.0, -400.0)  # below is the air around the patient, or in the bowel
AROUND_MM, STEP_MM = 10.0, 2.0
FAIR_SHARE = 0.3  # of what is around a nodule at the chest wall a third and more is lung
MOST_STEPS = 40


def window_of(image: npt.NDArray[Any], affine: npt.NDArray[np.float64], box: Detection) -> tuple[float, float]:
    """Return window and level in HU in which a finding in a CT is seen: those of the lung where lung surrounds it.

    Args:
        image: (I, J, K) in HU.
        affine: (4, 4) IJK→RAS in mm.
        box: Only what lies around it counts, since a finding in the lung may be as dense as any.
    """
    around = _values_around(image, affine, box)
    is_lung = (around > LUNG_HU[0]) & (around < LUNG_HU[1])
    return LUNG if is_lung.size and is_lung.mean() >= FAIR_SHARE else SOFT_TISSUE


def _values_around(image: npt.NDArray[Any], affine: npt.NDArray[np.float64], box: Detection) -> npt.NDArray[Any]:
    """Return the image at points in a rim around a box, of those that lie in the image."""
    halves = np.asarray(box.size) / 2
    axes = [_steps(half + AROUND_MM) for half in halves]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    rim = points[np.any(np.abs(points) > halves, axis=1)] @ box.axes.T + box.center
    inverse = np.linalg.inv(affine)
    ijk = np.rint(rim @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = np.all((ijk >= 0) & (ijk < image.shape), axis=1)
    return image[tuple(ijk[inside].T)]


def _steps(reach: float) -> npt.NDArray[np.float64]:
    return np.linspace(-reach, reach, min(int(2 * reach / STEP_MM) + 1, MOST_STEPS))
