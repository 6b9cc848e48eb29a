"""What thresholds find in a CT of the torso: a baseline that networks have to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

BODY_HU, LUNG_HU, BONE_HU = -300, -500, 160
SOFT_HU, LIVER_SPREAD_HU, LIVER_CORE_MM = (30, 200), 35, 7.0
LUNG_ML, BONE_ML = 50.0, 1.0  # smaller pieces are bowel gas and calcifications


def by_rules(image: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> dict[str, Mask]:
    """Return body, lungs, bone and liver by Hounsfield units.

    Args:
        image: (I, J, K) in HU; I runs from side to side, K along the body.
        affine: IJK→RAS in mm.
    """
    body = _body(image)
    millilitres = abs(np.linalg.det(affine[:3, :3])) / 1000
    air = _pieces(body & (image < LUNG_HU), LUNG_ML / millilitres)
    x = affine[0, 0] * np.arange(image.shape[0])[:, None, None]
    middle = (x * body).sum() / max(1, body.sum())
    bone = _pieces(body & (image > BONE_HU), BONE_ML / millilitres)
    liver = _liver(image, body & ~bone & (x > middle), np.linalg.norm(affine[:3, :3], axis=0))
    found = {"body": body, "right lung": air & (x > middle), "left lung": air & (x < middle), "bone": bone}
    return found | {"liver": liver}


def _liver(image: npt.NDArray[np.float32], where: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """The largest even piece of soft tissue on the right: smoothed, opened by a few millimetres, closed again."""
    smooth = ndimage.gaussian_filter(image, 2 / spacing)
    counts, edges = np.histogram(smooth[where & (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])], 60)
    usual = edges[counts.argmax()] if counts.any() else SOFT_HU[0]
    even = where & (np.abs(smooth - usual) < LIVER_SPREAD_HU)
    core = ndimage.distance_transform_edt(even, sampling=spacing) > LIVER_CORE_MM
    pieces, count = ndimage.label(core)
    if not count:
        return core
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return np.asarray(even & (ndimage.distance_transform_edt(~largest, sampling=spacing) < LIVER_CORE_MM + 1))


def _body(image: npt.NDArray[np.float32]) -> Mask:
    """The largest piece that is not air, without tables and sheets, filled slice by slice."""
    solid = ndimage.binary_opening(image > BODY_HU, iterations=2)
    pieces, count = ndimage.label(solid)
    if count == 0:
        return np.asarray(solid)
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return np.stack([ndimage.binary_fill_holes(largest[..., k]) for k in range(image.shape[2])], -1)


def _pieces(mask: Mask, least: float) -> Mask:
    """Keep the connected pieces of at least so many voxels."""
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) >= least
    large[0] = False
    return np.asarray(large[pieces])
