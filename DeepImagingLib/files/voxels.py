"""Voxels as another program holds them: a window on its memory, turned into an image where one is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.files.image import as_image, in_order

if TYPE_CHECKING:
    from monai.data import MetaTensor


@dataclass(frozen=True, eq=False)
class Voxels:
    """A volume as it lies in memory, slowest axis first: no copy, no conversion, no torch.

    Attributes:
        array: (K, J, I) or (K, J, I, C), in the type it is kept in; it shows later changes of that memory.
        affine: (4, 4) IJK→RAS in mm of the world.
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]

    def image(self) -> MetaTensor:
        """Return a copy as (C, I, J, K) float32, without the alpha of RGBA where nothing is transparent."""
        channels_last = self.array if self.array.ndim == 4 else self.array[..., None]
        if self.array.dtype == np.uint8 and channels_last.shape[3] == 4 and (channels_last[..., 3] == 255).all():
            channels_last = channels_last[..., :3]
        return as_image(in_order(channels_last.transpose(3, 2, 1, 0)), self.affine)
