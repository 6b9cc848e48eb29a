"""What an image must be before a network sees it; what can be mended is mended and said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from monai.data import MetaTensor

MOST_NOT_FINITE = 0.5
# Cosine between two axes: files keep directions in float32, whose rounding stays far below.
SHEAR_TOLERANCE = 1e-3
SOFTEST_AIR_HU = -200  # a CT holds air or lung, which lie far below
SAME_GRID_MM = 1e-2
LEAST_PIXELS = 8
EIGHT_BITS = 255
OVERSHOOT = 1.1  # that interpolation may leave
BITS = (10, 12, 14, 16)


def check_affine(affine: npt.NDArray[np.float64], name: str) -> None:
    """Raise InputError where (4, 4) IJK→RAS has a zero spacing, isn't finite, or has axes that aren't perpendicular."""
    axes = np.asarray(affine, dtype=np.float64)[:3, :3]
    if not np.all(np.isfinite(affine)):
        raise InputError(f"The geometry of {name} holds values that are not numbers; write its true geometry.")
    spacing = np.linalg.norm(axes, axis=0)
    if np.any(spacing < 1e-6):
        listed = " × ".join(f"{s:g}" for s in spacing)
        raise InputError(f"The voxel spacing of {name} is {listed} mm; write the true spacing into it first.")
    cosines = (axes / spacing).T @ (axes / spacing) - np.eye(3)
    if np.abs(cosines).max() > SHEAR_TOLERANCE:
        angle = np.degrees(np.arccos(np.clip(np.abs(cosines).max(), 0, 1)))
        raise InputError(
            f"The axes of {name} are sheared ({angle:.1f}° instead of 90° between them); harden its transform "
            "and resample it to a straight grid first."
        )


def checked_voxels(image: MetaTensor, name: str) -> tuple[MetaTensor, list[str]]:
    """Return the image with values that aren't finite replaced by its smallest, and a note where there were any.

    Raises:
        InputError: It has no voxels, or more than half of them aren't finite.
    """
    if image.numel() == 0:
        raise InputError(f"{_capital(name)} has no voxels; choose a volume with data.")
    if all(math.isfinite(float(end)) for end in image.as_tensor().aminmax()):
        return image, []
    planes = [plane for channel in image.numpy() for plane in channel]  # by planes, so that masks of them are small
    missing = image.numel() - sum(int(np.isfinite(plane).sum()) for plane in planes)
    if missing > MOST_NOT_FINITE * image.numel():
        share = 100 * missing / image.numel()
        raise InputError(f"{share:.0f} % of the voxels of {name} are not numbers (NaN); use the original volume.")
    lowest = min(float(plane.min(where=np.isfinite(plane), initial=math.inf)) for plane in planes)
    image = image.clone()
    image.as_tensor().nan_to_num_(lowest, lowest, lowest)
    return image, [f"{missing} voxels of {name} were not numbers (NaN) and were set to its minimum, {lowest:g}."]


def unlike_modality(image: MetaTensor, name: str, modality: str) -> str:
    """Return a note where an image (finite) can't well be of the modality of the model, "" where it may be."""
    if modality.upper() != "CT":
        return ""
    low, high = float(image.min()), float(image.max())
    if low < SOFTEST_AIR_HU:
        return ""
    return f"The model expects CT in Hounsfield units, but the values of {name} run from {low:g} to {high:g}; check it."


def check_within(image: MetaTensor, name: str, limits: tuple[float, float]) -> None:
    """Raise InputError where a picture goes far beyond the values that a model was made for, which would be cut off."""
    high = float(image.as_tensor().max())
    if high > limits[1] + (limits[1] - limits[0]):
        raise InputError(
            f"The values of {name} run to {high:g}, but the model takes {limits[0]:g} to {limits[1]:g}; convert it to "
            "these first."
        )


def to_eight_bits(images: Sequence[MetaTensor], name: str) -> tuple[float, str]:
    """Return what brings pictures to the 0 to 255 that a model takes, and a note where that isn't 1.

    Whole numbers are taken for the fewest bits of BITS that hold them, 0 to 1 for shares.

    Raises:
        InputError: They are neither.
    """
    import torch

    ends = [image.as_tensor().aminmax() for image in images]
    low, high = min(float(end.min) for end in ends), max(float(end.max) for end in ends)
    whole = all(bool((image.as_tensor() == torch.round(image.as_tensor())).all()) for image in images)
    shares = high <= (1 if whole else OVERSHOOT)
    slack = (OVERSHOOT - 1) * (1 if shares else EIGHT_BITS)
    bits = next((bits for bits in BITS if high < 2**bits), None)
    if low < -slack or (high > EIGHT_BITS * OVERSHOOT and not (whole and bits)):
        raise InputError(
            f"The values of {name} run from {low:g} to {high:g}, but the model takes 0 to 255; convert it to these."
        )
    if not shares and high <= EIGHT_BITS * OVERSHOOT:
        return 1.0, ""
    most, taken = (1, "shares of 1") if shares else (2 ** (bits or 0) - 1, f"{bits} bits")
    note = f"The values of {name} run from {low:g} to {high:g}, taken for {taken}, and were brought to 0 to 255."
    return EIGHT_BITS / most, note


def check_not_constant(image: MetaTensor, name: str, *, colours: bool = False) -> None:
    """Raise InputError where all voxels of a channel are the same; of `colours`, where those of every channel are."""
    for channel in [image.as_tensor()] if colours else image.as_tensor():
        low, high = channel.aminmax()
        if low == high:
            raise InputError(f"{_capital(name)} is {low:g} everywhere; choose a volume (or region) with content.")


def check_same_grid(first: MetaTensor, other: MetaTensor, names: tuple[str, str]) -> None:
    """Raise InputError where two channels of one study don't share their voxel grid."""
    if first.shape[1:] != other.shape[1:]:
        raise InputError(
            f"{_capital(names[0])} has {_shape(first)} voxels and {names[1]} {_shape(other)}; "
            "resample all channels of a study to one grid."
        )
    apart = millimetres_apart(np.asarray(first.affine), np.asarray(other.affine), tuple(first.shape[1:]))
    if apart > SAME_GRID_MM:
        raise InputError(
            f"{_capital(names[0])} and {names[1]} lie {apart:.2g} mm apart; register and resample them to one grid."
        )


def millimetres_apart(first: npt.NDArray[np.float64], other: npt.NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Return how far two grids of the same shape lie apart at most, given IJK→RAS (4, 4): at the ends of each axis."""
    last = [n - 1 for n in shape] + [0] * (3 - len(shape))  # of a picture the third index is 0
    ends = np.vstack([np.zeros(3), np.diag(last)]).T
    return float(np.abs((first - other) @ np.vstack([ends, np.ones(4)])).max())


def check_size(image: MetaTensor, name: str) -> None:
    """Raise InputError where a picture, or the slices of a volume, are too small to show anything."""
    if min(image.shape[1:3]) < LEAST_PIXELS:
        raise InputError(
            f"{_capital(name)} has {_shape(image)} pixels, too few to show anything; give one of {LEAST_PIXELS} × "
            f"{LEAST_PIXELS} at least."
        )


def check_dimensions(image: MetaTensor, name: str, volume: bool) -> None:
    """Raise InputError where a model for volumes is given a picture, or the other way round."""
    shape = tuple(image.shape[1:])
    if volume and (len(shape) < 3 or 1 in shape):
        raise InputError(
            f"{_capital(name)} is two-dimensional ({_shape(image)} voxels), but the model works on volumes; "
            "give a whole series, with a channel axis in front."
        )
    if not volume and len(shape) > 2 and shape[-1] != 1:
        raise InputError(f"{_capital(name)} is a volume ({_shape(image)} voxels), but the model works on pictures.")


def _shape(image: MetaTensor) -> str:
    return " × ".join(str(n) for n in image.shape[1:])


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
