"""Turn arrays and SimpleITK images into the library's image: a channel-first MetaTensor in RAS mm."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from monai.data import MetaTensor

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

NOTE_KEY = "deepimaging_note"
"""Meta key of a sentence about what had to be guessed on reading."""


def as_image(array: npt.NDArray[Any], affine: npt.NDArray[Any], note: str = "") -> MetaTensor:
    """Return `array` (C, I, J, K) or (C, I, J) as a float32 MetaTensor with `affine` (4, 4), IJK→RAS in mm.

    `note` tells what had to be guessed on reading, "" where nothing had to. The other meta data are those that MONAI's
    LoadImage leaves behind, which transforms and their inverses look up.
    """
    import torch
    from monai.data import MetaTensor
    from monai.utils import MetaKeys, SpaceKeys

    plain = array.flags.c_contiguous and array.dtype == np.float32
    data = torch.from_numpy(array if plain else in_order(array))
    matrix = torch.as_tensor(np.asarray(affine, dtype=np.float64))
    meta = {
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_AFFINE: matrix.clone(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[1:]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        NOTE_KEY: note,
    }
    return MetaTensor(data, affine=matrix, meta=meta)


def in_order(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a copy (C, I, J, K) or (C, I, J) as float32, last axis fastest.

    Turned plane by plane: numpy's own way through a whole volume whose first axis is fastest takes three times as long.
    """
    copied = np.empty(array.shape, np.float32)
    for j in range(array.shape[2]):
        copied[:, :, j] = array[:, :, j]
    return copied


def array_from_itk(image: Any) -> npt.NDArray[Any]:
    """Return the voxels of a SimpleITK image as (C, I, J, K) or (C, I, J); components or time as channels."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
        return array.transpose(0, *reversed(range(1, array.ndim)))
    array = array.transpose()
    return np.moveaxis(array, -1, 0) if image.GetDimension() == 4 else array[None]


def affine_from_itk(image: Any) -> npt.NDArray[np.float64]:
    """Return the (4, 4) IJK→RAS matrix in mm of a SimpleITK image, whose own world is LPS."""
    dimension = image.GetDimension()
    kept = min(dimension, 3)
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:kept, :kept]
    affine = np.eye(4)
    affine[:kept, :kept] = direction * np.asarray(image.GetSpacing())[:kept]
    affine[:kept, 3] = np.asarray(image.GetOrigin())[:kept]
    return LPS_TO_RAS @ affine


def digest(image: MetaTensor) -> str:
    """Return the SHA-256 of an image's voxels and affine: the same scan has the same, whatever its file is called."""
    found = hashlib.sha256()
    for part in (image.numpy(), np.asarray(image.affine, dtype=np.float64)):
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
