"""What there is to find in a folder's scans: LUNA16's or DeepLesion's table, or a JSON of findings beside each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.hits import Numbers
from DeepImagingLib.files.lesions import NO_NODULE, Reference, read_deeplesion, read_luna16

if TYPE_CHECKING:
    from monai.data import MetaTensor

LUNA16, DEEPLESION = "annotations.csv", "DL_info.csv"


class References:
    """The lesions of a folder's scans; where it has a table, a scan that isn't in it has none.

    Args:
        folder: Holds `annotations.csv` (scans are named by their series UID), `DL_info.csv` (by patient_study_series),
            or for each scan a JSON file of its name as `run --output NAME.json` writes; its `findings` count but
            those that were rejected.

    Raises:
        InputError: A table can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._luna = read_luna16(folder / LUNA16) if (folder / LUNA16).is_file() else None
        deep = folder / DEEPLESION
        self._deep = read_deeplesion(deep) if self._luna is None and deep.is_file() else None

    def of(self, name: str, image: MetaTensor) -> Numbers:
        """Return (L, 6) middle and lengths in RAS mm of what there is in a scan.

        Raises:
            InputError: Nothing is known of it.
        """
        if self._luna is not None:
            return _rows(self._luna.get(name, []))
        if self._deep is not None:
            return _rows(self._deep.get(name, [])) + np.append(_first_voxel(image), (0, 0, 0))
        return _rows(findings_in(self._folder / f"{name}.json"))


def _rows(lesions: Sequence[Reference]) -> Numbers:
    kept = [(*lesion.center, *lesion.size) for lesion in lesions if lesion.label != NO_NODULE]
    return np.array(kept, float).reshape(-1, 6)


def _first_voxel(image: MetaTensor) -> Numbers:
    """Return where in RAS mm the voxel lies that DICOM names first: furthest right, in front and below."""
    affine = np.asarray(image.affine, float)
    ends = np.array(np.meshgrid(*([0, n - 1] for n in image.shape[1:]), indexing="ij")).reshape(3, -1)
    corners = affine[:3, :3] @ ends + affine[:3, 3:]
    return np.array((corners[0].max(), corners[1].max(), corners[2].min()))


def findings_in(path: Path) -> list[Reference]:
    """Return what a JSON file of findings, as `run` writes it, has and nobody rejected; InputError where it has none.

    Its sizes are along the axes that it tells; without any, along right, anterior and superior.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kept = [one for one in told["findings"] if one.get("review") != "rejected"]
        order = _right_anterior_superior(told.get("geometry", {}).get("axes"))
        return [
            Reference(tuple(one["center_ras"]), tuple(one["size_mm"][n] for n in order), one["label"]) for one in kept
        ]
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"{path.name} holds no findings ({type(error).__name__}); give each scan a JSON file as `run` writes it, "
            f"or the folder a table {LUNA16} or {DEEPLESION}."
        ) from error


def _right_anterior_superior(axes: Sequence[Sequence[float]] | None) -> list[int]:
    """Return which of the axes, columns of a 3 × 3 matrix, runs along each of the patient's."""
    turned = np.eye(4)
    turned[:3, :3] = np.eye(3) if axes is None else axes
    return [int(n) for n in nibabel.io_orientation(turned)[:, 0].argsort()]
