"""Limit a run to a region of the image, and put its answer back into the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import as_image

if TYPE_CHECKING:
    from monai.data import MetaTensor

Ranges = tuple[tuple[int, int], ...]


def crop(image: MetaTensor, roi: Ranges | None) -> MetaTensor:
    """Return the voxels (C, I, J, K) inside half-open ranges, with the affine moved along.

    Raises:
        InputError: The ranges leave the image, or have another number of axes.
    """
    if roi is None:
        return image
    shape = (*image.shape[1:], 1)[:3]
    if any(stop > n for (_, stop), n in zip(roi, shape, strict=False)) or len(roi) < image.ndim - 1:
        asked = ",".join(f"{start}:{stop}" for start, stop in roi)
        listed = " × ".join(map(str, image.shape[1:]))
        raise InputError(f"The region {asked} leaves the image, which has {listed} voxels; choose one inside it.")
    start = np.array([*(r[0] for r in roi), 0][:3] + [1])
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:, 3] = affine @ start
    return as_image(np.asarray(image)[_box(roi, image.ndim)], affine)


def corner(roi: Ranges | None) -> npt.NDArray[np.float64]:
    """Return what has to be added to boxes (N, 6) of a region, in voxels, to have them in the whole image."""
    first = [start for start, _ in roi or ()] + [0, 0, 0]
    return np.array([*first[:3], *first[:3]], np.float64)


def paste(layers: Any, reference: MetaTensor, roi: Ranges | None) -> Any:
    """Return layers (L, I, J, K) of a region within the whole image, empty outside."""
    if roi is None:
        return layers
    whole = np.zeros((len(layers), *reference.shape[1:]), layers.dtype, order="F" if layers.dtype.kind == "f" else "C")
    whole[_box(roi, whole.ndim)] = layers
    return whole


def _box(roi: Ranges, axes: int) -> tuple[slice, ...]:
    """Return the index that takes all channels of a region; a picture (three axes) has no third range."""
    return (slice(None), *(slice(*r) for r in roi))[:axes]
