"""Whether volumes of the scene can be given to a model: told at once, before anything is started."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference import checks
from DeepImagingLib.inference.inputs import label_of
from DeepImagingLib.scene.volumes import voxels

SAMPLE = 4_000_000
"""Voxels to look at before somebody notices."""
MOST_KEPT = 16
_ranges: dict[tuple[str, int], tuple[float, float]] = {}


@dataclass(frozen=True)
class _Grid:
    """What the checks ask of an image, without its voxels: (C, I, J, K) and IJK→RAS in mm."""

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]


def problem(volumes: Mapping[str, Any], *, takes_volume: bool | None = True) -> str:
    """Return why a model can't run on these volume nodes, by input name; "" where it can.

    `takes_volume` is None for a model that takes pictures and volumes.
    """
    try:
        grids = {name: _checked(node, label_of(name, volumes), takes_volume) for name, node in volumes.items()}
        _check_distinct(volumes)
        first = next(iter(grids), "")
        for name, grid in grids.items():
            checks.check_same_grid(grids[first], grid, (f"the input {first!r}", f"the input {name!r}"))
    except InputError as error:
        return str(error)
    return ""


def _check_distinct(volumes: Mapping[str, Any]) -> None:
    """Raise InputError where one volume is given for two inputs."""
    by_node: dict[int, str] = {}
    for name, node in volumes.items():
        other = by_node.setdefault(id(node), name)
        if other != name:
            raise InputError(f"The inputs {other!r} and {name!r} are the same volume; choose one for each.")


def doubt(volumes: Mapping[str, Any], modality: str) -> str:
    """Return why the answer may be nonsense, though a model for this modality could run; "" where nothing seems odd."""
    if modality.upper() != "CT":
        return ""
    for node in volumes.values():
        if _sample(node)[0] < checks.SOFTEST_AIR_HU:
            continue
        low, high = value_range(node)
        if low >= checks.SOFTEST_AIR_HU:
            return f"This model expects CT in HU; this volume's values run from {low:g} to {high:g}."
    return ""


def value_range(volume_node: Any) -> tuple[float, float]:
    """Return the lowest and the highest value of a volume node's voxels, values that are not numbers left out.

    It is kept until the voxels change, since panels ask for it again and again. (VTK's own takes ten times as long.)
    """
    image_data = volume_node.GetImageData()
    key = (image_data.__this__, image_data.GetMTime())
    if key not in _ranges:
        while len(_ranges) >= MOST_KEPT:
            del _ranges[next(iter(_ranges))]
        _ranges[key] = _range(voxels(volume_node).array)
    return _ranges[key]


def _range(array: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    return (float(np.nanmin(array)), float(np.nanmax(array))) if math.isnan(low) else (low, high)


def _sample(volume_node: Any) -> tuple[float, float]:
    """Return the range of some slices, in no time whatever the size."""
    array = voxels(volume_node).array
    return _range(array[:: max(1, array.size // SAMPLE)])


def _checked(node: Any, label: str, takes_volume: bool | None) -> _Grid:
    """Return the grid of a volume node; raises InputError where a model can't have it."""
    found = voxels(node)
    i, j, k = found.array.shape[2::-1]
    grid = _Grid((1, i, j, k), found.affine)
    checks.check_affine(found.affine, label)
    if takes_volume is not None:
        checks.check_dimensions(grid, label, takes_volume)
    low, high = _sample(node)
    if low == high and (low, high) == value_range(node):
        raise InputError(f"{label[:1].upper()}{label[1:]} is {low:g} everywhere; choose a volume with content.")
    return grid
