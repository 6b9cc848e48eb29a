"""Read from MONAI's trace where each voxel of the result lies in the network's grid, axis by axis.

Spacingd, Resized, Orientationd, flips, crops and pads treat each axis on its own. What `Invertd` would do to all
channels at once can therefore be told by three short tables, and be done to as few channels and voxels as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from monai.data import MetaTensor

OUT = -1
"""In place of an index: outside the network's grid, where `Invertd` leaves every channel zero."""

AFFINE_TOLERANCE = 1e-3  # MONAI's own: a resampling that changes less than this is left out
STRAIGHT = 1e-6  # voxels by which a position may depend on other axes and still count as of one axis
HALFWAY = 2 * STRAIGHT  # voxels within which other axes decide
LINEAR = ("linear", "bilinear", "trilinear")

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Affine = npt.NDArray[np.float64]


class NotSeparable(Exception):
    """A step of the trace can't be told axis by axis."""


@dataclass(frozen=True)
class Axis:
    """One axis of N rows, each between two neighbours on an axis of the network's grid.

    Attributes:
        source: That axis of the network's grid.
        first, second: (N,) indices on it, or OUT; the same where a row lies on a grid point.
        weight: (N,) share of `second`, 0..1.
    """

    source: int
    first: Indices
    second: Indices
    weight: Floats

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.first)

    def take(self, rows: Indices) -> Axis:
        """Return the axis with these of its rows; OUT gives rows of nothing."""
        outside = rows == OUT
        first, second, weight = self.first[rows], self.second[rows], self.weight[rows]
        first[outside] = second[outside] = OUT
        weight[outside] = 0
        return replace(self, first=first, second=second, weight=weight)

    def part(self, rows: Indices) -> tuple[Axis, int, int]:
        """Return these rows over a part of the grid, and the first of its planes and the one after its last.

        There is one plane at least, also where all rows are of nothing.
        """
        axis = self.take(rows)
        inside = np.concatenate([ends[ends != OUT] for ends in (axis.first, axis.second)])
        lowest, highest = (int(inside.min()), int(inside.max())) if len(inside) else (0, 0)
        return axis.shifted(-lowest), lowest, highest + 1

    def shifted(self, offset: int) -> Axis:
        """Return the axis on a grid that begins `offset` voxels earlier."""
        first, second = (np.where(rows == OUT, OUT, rows + offset) for rows in (self.first, self.second))
        return replace(self, first=first, second=second)

    def between(self, first: Indices, second: Indices, weight: Floats) -> Axis:
        """Return the axis of rows between these of its rows.

        Raises:
            NotSeparable: Its rows lie between others already: two resamplings don't make one.
        """
        if np.any(self.weight) or np.any(self.first != self.second):
            raise NotSeparable("two steps resample")
        lower = np.where(first == OUT, OUT, self.first[first])
        upper = np.where(second == OUT, OUT, self.first[second])
        alone, whole = weight == 0, weight == 1
        return Axis(
            self.source, np.where(whole, upper, lower), np.where(alone, lower, upper), np.where(whole, 0, weight)
        )


@dataclass(frozen=True)
class Inverse:
    """From the network's grid to the result's.

    Attributes:
        axes: One a spatial axis of the result, in the result's order.
        affine: IJK→RAS (4, 4) in mm of the result so far.
    """

    axes: tuple[Axis, ...]
    affine: Affine

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result (I, J, K) or (I, J)."""
        return tuple(len(axis) for axis in self.axes)


def identity(shape: Sequence[int], affine: Affine) -> Inverse:
    """Return the inverse of nothing: a result in the network's own grid."""
    return Inverse(tuple(_whole(axis, length) for axis, length in enumerate(shape)), affine)


def read_inverse(image: MetaTensor, *, nearest: bool) -> Inverse:
    """Return what `Invertd` would do to a prediction in the grid of a preprocessed image.

    Args:
        image: (C, I, J, K), with the trace of its preprocessing.
        nearest: As `nearest_interp` of Invertd.

    Raises:
        NotSeparable: A step isn't known, was put off (lazy), or mixes axes; the message says which.
    """
    from monai.data.utils import to_affine_nd

    affine = np.asarray(to_affine_nd(3, np.asarray(image.affine, dtype=np.float64)))
    inverse = identity(image.shape[1:], affine)
    for operation in reversed(image.applied_operations):
        name = str(operation["class"])
        if name not in _STEPS or operation.get("lazy"):
            raise NotSeparable(f"{name} isn't known to act on each axis alone")
        inverse = _STEPS[name](inverse, operation, nearest)
    return inverse


def _whole(source: int, length: int) -> Axis:
    rows = np.arange(length)
    return Axis(source, rows, rows, np.zeros(length))


def _undo_orientation(inverse: Inverse, operation: Mapping[str, Any], nearest: bool) -> Inverse:
    import nibabel

    codes = nibabel.orientations.aff2axcodes(operation["extra_info"]["original_affine"])
    wanted = nibabel.orientations.axcodes2ornt(codes)
    rank = len(wanted)
    now = nibabel.orientations.io_orientation(inverse.affine)[:rank]
    change = nibabel.orientations.ornt_transform(now, wanted)
    axes = [_reversed(axis) if sign < 0 else axis for axis, sign in zip(inverse.axes, change[:, 1], strict=True)]
    moved = nibabel.orientations.inv_ornt_aff(change, inverse.shape)
    order = np.argsort(change[:, 0])
    return Inverse(tuple(axes[index] for index in order), inverse.affine @ _square(moved))


def _reversed(axis: Axis) -> Axis:
    return axis.take(np.arange(len(axis))[::-1])


def _undo_flip(inverse: Inverse, operation: Mapping[str, Any], nearest: bool) -> Inverse:
    rank = len(inverse.axes)
    asked = operation["extra_info"]["axes"]
    flipped = range(rank) if asked is None else {int(axis) % rank for axis in np.atleast_1d(asked)}
    moved = np.eye(4)
    for axis in flipped:
        moved[axis, axis], moved[axis, 3] = -1, len(inverse.axes[axis]) - 1
    axes = tuple(_reversed(axis) if index in flipped else axis for index, axis in enumerate(inverse.axes))
    return Inverse(axes, inverse.affine @ moved)


def _undo_crop_and_pad(inverse: Inverse, operation: Mapping[str, Any], nearest: bool) -> Inverse:
    """Undo a step of MONAI's that crops first and pads then, or does one of both."""
    info = operation["extra_info"]
    for part in ("pad_info", "crop_info"):
        if part in info:
            inverse = _undo_crop_and_pad(inverse, info[part], nearest)
    if "padded" in info:
        before = [-int(start) for start, _ in info["padded"][1:]]
        after = [-int(stop) for _, stop in info["padded"][1:]]
        inverse = _extend(inverse, before, after)
    if "cropped" in info:
        cropped = [int(n) for n in info["cropped"]]
        inverse = _extend(inverse, cropped[::2], cropped[1::2])
    return inverse


def _extend(inverse: Inverse, before: Sequence[int], after: Sequence[int]) -> Inverse:
    """Add rows of nothing to the ends of each axis, or take rows away where a number is negative."""
    moved = np.eye(4)
    axes = []
    for index, (axis, low, high) in enumerate(zip(inverse.axes, before, after, strict=True)):
        rows = np.arange(-low, len(axis) + high)
        axes.append(axis.take(np.where((rows < 0) | (rows >= len(axis)), OUT, rows)))
        moved[index, 3] = -low
    return Inverse(tuple(axes), inverse.affine @ moved)


def _undo_resample(inverse: Inverse, operation: Mapping[str, Any], nearest: bool) -> Inverse:
    info = operation["extra_info"]
    size = tuple(int(n) for n in operation["orig_size"])
    target = _square(np.asarray(info["src_affine"], dtype=np.float64))
    step: Affine = np.linalg.solve(inverse.affine, target).astype(np.float64)
    if inverse.shape == size and _unchanged(inverse.affine, target, step):
        return inverse
    reach = np.abs(step[: len(size), : len(size)]) * np.array(size)
    if np.any(reach[~np.eye(len(size), dtype=bool)] > STRAIGHT):
        raise NotSeparable("Spacingd turns the grid")
    mode = "nearest" if nearest else info["mode"]
    if mode not in (*LINEAR, "nearest"):
        raise NotSeparable(f"Spacingd interpolates by {mode}")
    border = _is_border(info["padding_mode"])
    if mode == "nearest":
        aligned = not nearest and info["align_corners"] is True
        rows = _nearest_rows(inverse.shape, size, step, border=border, align_corners=aligned)
        axes = [axis.take(index) for axis, index in zip(inverse.axes, rows, strict=True)]
    else:
        positions = [step[index, index] * np.arange(n) + step[index, 3] for index, n in enumerate(size)]
        axes = [_linear(axis, at, border) for axis, at in zip(inverse.axes, positions, strict=True)]
    return Inverse(tuple(axes), target)


def _unchanged(current: Affine, target: Affine, step: Affine) -> bool:
    return any(
        np.allclose(one, other, rtol=0, atol=AFFINE_TOLERANCE) for one, other in ((current, target), (step, np.eye(4)))
    )


def _is_border(padding: str) -> bool:
    if padding not in ("border", "zeros"):
        raise NotSeparable(f"Spacingd pads by {padding}")
    return padding == "border"


def _linear(axis: Axis, positions: Floats, border: bool) -> Axis:
    """Return rows at positions in voxels of an axis, outside of which the last row goes on, or nothing is."""
    last = len(axis) - 1
    if border:
        positions = positions.clip(0, last)
    # a position that rounding alone keeps off a plane would show dust of it, where MONAI has nothing
    planes = np.round(positions)
    positions = np.where(np.abs(positions - planes) < STRAIGHT, planes, positions)
    low = np.floor(positions).astype(np.int64)
    first, second = (np.where((rows < 0) | (rows > last), OUT, rows) for rows in (low, low + 1))
    return axis.between(first, second, positions - low)


def _nearest_rows(
    shape: Sequence[int], size: Sequence[int], step: Affine, *, border: bool, align_corners: bool
) -> list[Indices]:
    """Return for each axis the nearest rows, by the very arithmetic of MONAI's: it decides where a row lies half-way.

    Raises:
        NotSeparable: Rows lie half-way, and rounding errors from other axes decide.
    """
    import torch
    from monai.networks.utils import to_norm_affine

    rank = len(shape)
    square = torch.as_tensor(step)[[*range(rank), 3]][:, [*range(rank), 3]][None]
    theta = to_norm_affine(square, shape, size, align_corners=align_corners)[0]
    theta = theta[[*range(rank)[::-1], rank]][:, [*range(rank)[::-1], rank]]
    turned = bool(theta[:rank, :rank][~torch.eye(rank, dtype=torch.bool)].any())
    rows = []
    for axis, length in enumerate(shape):
        positions = step[axis, axis] * np.arange(size[axis]) + step[axis, 3]
        if turned and np.any(np.abs(positions % 1 - 0.5) < HALFWAY):
            raise NotSeparable("voxels lie half-way between others in a turned grid")
        lone = [1] * rank
        lone[axis] = size[axis]
        unit = torch.eye(rank, rank + 1, dtype=torch.float64)[None]
        base = torch.nn.functional.affine_grid(unit, [1, 1, *lone], align_corners=align_corners)
        ones = torch.ones(size[axis], 1, dtype=torch.float64)
        moved = torch.cat([base.reshape(-1, rank), ones], 1)[None].bmm(theta[None, :rank].mT)
        grid = torch.zeros_like(base)
        grid[..., rank - 1 - axis] = moved[0, :, rank - 1 - axis].reshape(base.shape[:-1])
        lone[axis] = length
        ramp = torch.arange(1, length + 1, dtype=torch.float64).reshape(1, 1, *lone)
        padding = "border" if border else "zeros"
        found = torch.nn.functional.grid_sample(ramp, grid, "nearest", padding, align_corners)
        rows.append(found.numpy().ravel().astype(np.int64) + OUT)  # what lies outside gave 0
    return rows


def _undo_resize(inverse: Inverse, operation: Mapping[str, Any], nearest: bool) -> Inverse:
    from monai.transforms.utils import scale_affine

    info = operation["extra_info"]
    size = tuple(int(n) for n in operation["orig_size"])
    if info["new_dim"]:
        raise NotSeparable("Resized adds an axis")
    if inverse.shape == size:
        return inverse
    mode = "nearest" if nearest else str(getattr(info["mode"], "value", info["mode"]))
    corners = not nearest and info["align_corners"] is True
    rows = _RESIZE.get(mode)
    if rows is None:
        raise NotSeparable(f"Resized interpolates by {mode}")
    axes = tuple(rows(axis, length, corners) for axis, length in zip(inverse.axes, size, strict=True))
    return Inverse(axes, inverse.affine @ _square(scale_affine(inverse.shape, size, align_corners=corners)))


def _resized_linear(axis: Axis, size: int, corners: bool) -> Axis:
    """Return rows as `torch.nn.functional.interpolate` places them by its linear modes."""
    rows, length = np.arange(size, dtype=np.float64), len(axis)
    if corners:
        positions = rows * ((length - 1) / max(size - 1, 1))
    else:
        positions = (rows + 0.5) * (length / size) - 0.5
    return _linear(axis, positions, border=True)


def _resized_nearest(axis: Axis, size: int, corners: bool) -> Axis:
    import torch

    ramp = torch.arange(len(axis), dtype=torch.float32).reshape(1, 1, -1)
    rows = torch.nn.functional.interpolate(ramp, size=size, mode="nearest").numpy().ravel()
    return axis.take(rows.astype(np.int64))


def _resized_area(axis: Axis, size: int, corners: bool) -> Axis:
    """Return rows as adaptive average pooling makes them, which on a finer grid are means of two rows at most."""
    length = len(axis)
    if size < length:
        raise NotSeparable("Resized averages areas")
    rows = np.arange(size)
    first, stop = rows * length // size, -(-(rows + 1) * length // size)
    return axis.between(first, stop - 1, np.where(stop - first == 2, 0.5, 0.0))


def _square(affine: Any) -> Affine:
    from monai.data.utils import to_affine_nd

    return np.asarray(to_affine_nd(3, np.asarray(affine, dtype=np.float64)))


_RESIZE: dict[str, Callable[[Axis, int, bool], Axis]] = {
    **dict.fromkeys(LINEAR, _resized_linear),
    "nearest": _resized_nearest,
    "area": _resized_area,
}

_CROPS = ("Crop", "SpatialCrop", "CenterSpatialCrop", "CenterScaleCrop", "CropForeground")
_PADS = ("Pad", "SpatialPad", "BorderPad", "DivisiblePad", "ResizeWithPadOrCrop")

_STEPS: dict[str, Callable[[Inverse, Mapping[str, Any], bool], Inverse]] = {
    "Orientation": _undo_orientation,
    "SpatialResample": _undo_resample,
    "Resize": _undo_resize,
    "Flip": _undo_flip,
    **dict.fromkeys((*_CROPS, *_PADS), _undo_crop_and_pad),
}
