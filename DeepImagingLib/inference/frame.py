"""The way from the grid that a detector's network sees to that of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import BundleError

if TYPE_CHECKING:
    from monai.data import MetaTensor


@dataclass(frozen=True)
class Frame:
    """The way from the network's grid to that of the image.

    Attributes:
        matrix: (4, 4) in voxels.
    """

    matrix: npt.NDArray[np.float64]

    @classmethod
    def between(cls, prepared: MetaTensor, image: MetaTensor) -> Frame:
        """Return that of a preprocessed image; raises BundleError where the preprocessing lost where it lies."""
        from monai.data.utils import to_affine_nd

        one, other = (to_affine_nd(3, np.asarray(each.affine, dtype=np.float64)) for each in (prepared, image))
        if np.allclose(one, other, rtol=0, atol=1e-6):
            return cls(np.eye(4))
        rank = image.ndim - 1
        one, other = (np.asarray(to_affine_nd(rank, each)) for each in (one, other))
        if np.linalg.det(other) == 0:
            raise BundleError(
                "The bundle resamples pictures in a plane that it doesn't know; use it on pictures alone."
            )
        return cls(np.asarray(to_affine_nd(3, np.linalg.inv(other) @ one)))

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Voxels of the network's grid along each axis (3,) of the image's voxels."""
        return 1 / np.abs(self.matrix[:3, :3]).sum(1)

    def mapped(self, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (N, 6) of the image for boxes (N, 6) or (N, 4) of the network's grid."""
        if corners.shape[1] == 4:  # a picture is half a voxel thick on either side of its plane
            low, high = np.full((len(corners), 1), -0.5), np.full((len(corners), 1), 0.5)
            corners = np.hstack([corners[:, :2], low, corners[:, 2:], high])
        middle, half = (corners[:, :3] + corners[:, 3:]) / 2, (corners[:, 3:] - corners[:, :3]) / 2
        middle = middle @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        half = half @ np.abs(self.matrix[:3, :3]).T
        return np.hstack([middle - half, middle + half])
