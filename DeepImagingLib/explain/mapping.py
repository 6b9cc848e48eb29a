"""Bring a heatmap from the network's grid onto the image it was made of, through the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError
from DeepImagingLib.explain.heatmaps import SEEN

if TYPE_CHECKING:
    from monai.data import MetaTensor


def to_input(heatmap: MetaTensor, reference: MetaTensor) -> npt.NDArray[np.float32]:
    """Return a heatmap (I, J, K) at the voxels of an image, linear between cells; zero where the network saw nothing.

    Args:
        heatmap: (1, cells...), as `heatmap` returns it.
        reference: (C, I, J[, K]) before the preprocessing; a picture gives K = 1.

    Raises:
        BundleError: The preprocessing lost where the image lies.
    """
    size, place = heatmap.meta[SEEN]
    # The cells at the edge reach as far as the image that was seen.
    values = _at(reference, heatmap.numpy()[0], heatmap.affine, order=1, mode="nearest")
    return values * _at(reference, np.ones(size, np.float32), place, order=0, mode="grid-constant")


def _at(reference: MetaTensor, values: npt.NDArray[np.float32], affine: Any, **how: Any) -> npt.NDArray[np.float32]:
    """Return values (I, J[, K]), which lie by their affine, at the voxels of an image."""
    from scipy import ndimage

    source, goal = _solid(affine), _solid(reference.affine)
    if not np.isfinite(source).all() or np.linalg.det(source) == 0:
        raise BundleError("The bundle's preprocessing loses where the image lies, so no heatmap can be laid over it.")
    way = np.linalg.solve(source, goal)
    shape = _planes(reference.shape[1:])
    return ndimage.affine_transform(values.reshape(_planes(values.shape)), way[:3, :3], way[:3, 3], shape, **how)


def _planes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return (I, J, K); a picture has one plane, half a voxel thick on either side of its middle."""
    return (*shape, 1)[:3]


def _solid(affine: Any) -> npt.NDArray[np.float64]:
    """Return an affine (4, 4), also of one for pictures alone."""
    from monai.data.utils import to_affine_nd

    return to_affine_nd(3, np.asarray(affine, dtype=np.float64))
