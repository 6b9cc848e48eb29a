"""Whether volumes of the scene can be given to a model: told at once, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.inference import checks
from DeepImagingLib.inference.inputs import label_of
from DeepImagingLib.scene.volumes import voxels


@dataclass(frozen=True)
class _Grid:
    """What the checks ask of an image, without its voxels: (C, I, J, K) and IJK→RAS in mm."""

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]


def problem(volumes: Mapping[str, Any], *, takes_volume: bool = True) -> str:
    """Return why a model can't run on these volume nodes, by input name; "" where it can."""
    try:
        grids = {name: _checked(node, label_of(name, volumes), takes_volume) for name, node in volumes.items()}
        first = next(iter(grids), "")
        for name, grid in grids.items():
            checks.check_same_grid(grids[first], grid, (f"the input {first!r}", f"the input {name!r}"))
    except InputError as error:
        return str(error)
    return ""


def doubt(volumes: Mapping[str, Any], modality: str) -> str:
    """Return why the answer may be nonsense, though a model for this modality could run; "" where nothing seems odd."""
    if modality.upper() != "CT":
        return ""
    for node in volumes.values():
        low, high = value_range(node)
        if low >= checks.SOFTEST_AIR_HU:
            return f"This model expects CT in HU; this volume's values run from {low:g} to {high:g}."
    return ""


def value_range(volume_node: Any) -> tuple[float, float]:
    """Return the lowest and the highest value of a volume node; VTK keeps them until the voxels change."""
    low, high = volume_node.GetImageData().GetScalarRange()
    return float(low), float(high)


def _checked(node: Any, label: str, takes_volume: bool) -> _Grid:
    """Return the grid of a volume node; raises InputError where a model can't have it."""
    found = voxels(node)
    i, j, k = found.array.shape[2::-1]
    grid = _Grid((1, i, j, k), found.affine)
    checks.check_affine(found.affine, label)
    checks.check_dimensions(grid, label, takes_volume)
    low, high = value_range(node)
    if low == high:
        raise InputError(f"{label[:1].upper()}{label[1:]} is {low:g} everywhere; choose a volume with content.")
    return grid
