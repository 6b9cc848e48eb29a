"""What thresholds find in a CT of the torso: a baseline that networks have to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

BODY_HU, LUNG_HU, BONE_HU = -300, -500, 160
LIVER_HU, LIVER_BLUR_MM, LIVER_NECK_MM = (40, 160), 2.0, 4.0
BODY_ML, LUNG_ML, BONE_ML = 100.0, 50.0, 1.0  # smaller pieces are sheets, bowel gas and calcifications


def by_rules(image: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> dict[str, Mask]:
    """Return body, lungs, bone and liver by Hounsfield units.

    Args:
        image: (I, J, K) in HU; I runs from side to side, K along the body.
        affine: IJK→RAS in mm.
    """
    millilitres = abs(np.linalg.det(affine[:3, :3])) / 1000
    body = _body(image, BODY_ML / millilitres)
    air = _pieces(body & (image < LUNG_HU), LUNG_ML / millilitres)
    x = affine[0, 0] * np.arange(image.shape[0])[:, None, None]
    middle = (x * body).sum() / max(1, body.sum())
    bone = _pieces(body & (image > BONE_HU), BONE_ML / millilitres)
    liver = _liver(image, body & ~bone & (x > middle), np.linalg.norm(affine[:3, :3], axis=0))
    found = {"body": body, "right lung": air & (x > middle), "left lung": air & (x < middle), "bone": bone}
    return found | {"liver": liver}


def _liver(image: npt.NDArray[np.float32], where: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """The largest piece of what is as bright as liver on the right, smoothed, where it isn't thin; holes filled."""
    smooth = ndimage.gaussian_filter(image, LIVER_BLUR_MM / spacing)
    within = where & (smooth > LIVER_HU[0]) & (smooth < LIVER_HU[1])
    disc = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])
    thick = ndimage.binary_opening(within, disc, iterations=max(1, round(LIVER_NECK_MM / spacing[0])))
    return _filled(_pieces(thick, np.bincount(ndimage.label(thick)[0].ravel())[1:].max(initial=1)))


def _body(image: npt.NDArray[np.float32], least: float) -> Mask:
    """Large pieces that are not air, without tables and sheets, filled slice by slice."""
    return _filled(_pieces(ndimage.binary_opening(image > BODY_HU, iterations=2), least))


def _filled(mask: Mask) -> Mask:
    return np.stack([ndimage.binary_fill_holes(mask[..., k]) for k in range(mask.shape[2])], -1)


def _pieces(mask: Mask, least: float) -> Mask:
    """Keep the connected pieces of at least so many voxels."""
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) >= least
    large[0] = False
    return np.asarray(large[pieces])
