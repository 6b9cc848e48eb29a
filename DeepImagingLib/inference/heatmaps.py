"""A detector's scores as a picture of the input: what it thinks of every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from DeepImagingLib.inference.frame import Frame
    from DeepImagingLib.inference.progress import Monitor

PLANES = 16


def heatmap(
    maps: Sequence[npt.NDArray[np.float32]],
    padded: tuple[int, ...],
    frame: Frame,
    shape: tuple[int, ...],
    squash: bool,
    monitor: Monitor,
) -> npt.NDArray[np.float32]:
    """Return the highest score at each voxel of the image, linear between places.

    Args:
        maps: The highest number of any anchor at each place (I, J, K) of each level's grid.
        padded: Size of the image as the network has it, with what makes it divisible.
        frame: From there to the image.
        shape: (I, J, K) of the image.
        squash: Whether the sigmoid of the numbers is the score.
        monitor: Asked after each slab.
    """
    from scipy import ndimage

    heat = np.full(shape, -np.inf, np.float32)
    back = np.linalg.inv(frame.matrix)
    for values in maps:
        strides = np.array([n // g for n, g in zip((*padded, 1), values.shape)])
        matrix = back[:3, :3] / strides[:, None]
        offset = (back[:3, 3] - strides // 2) / strides  # where MONAI has the anchors of a place
        for first in range(0, shape[0], PLANES):  # by slabs, so that copies are small and a cancel is heard
            monitor.ask()
            slab = heat[first : first + PLANES]
            found = ndimage.affine_transform(
                values, matrix, offset + matrix[:, 0] * first, slab.shape, np.float32, order=1, mode="nearest"
            )
            np.maximum(slab, found, out=slab)
    if squash:
        for plane in heat:
            plane[...] = 1 / (1 + np.exp(-plane))
    return heat
