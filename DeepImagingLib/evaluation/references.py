"""What there is to find in a folder's scans: LUNA16's or DeepLesion's table, or a JSON of findings beside each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.hits import Numbers
from DeepImagingLib.files.lesions import NO_NODULE, KeySlice, Reference, read_deeplesion, read_luna16

if TYPE_CHECKING:
    from monai.data import MetaTensor

LUNA16 = ("annotations.csv", "candidates.csv")
"""The first that a folder has is taken: of candidates, those of class 1 are lesions, of unknown size."""
DEEPLESION = "DL_info.csv"
ACCEPTED, REJECTED = "accepted", "rejected"
_STACK = re.compile(r"(?P<series>\d+_\d+_\d+)_(?P<first>\d+)-\d+")
"""A volume of some of a series' slices, as the script that comes with DeepLesion names it."""
_ENDING = re.compile(r"\.(nii\.gz|nii|nrrd|nhdr|mha|mhd|png|jpe?g|tiff?|bmp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A scan of a folder, by the names under which a list may have it.

    Attributes:
        name: In reports.
        path: Of its file, or its folder of DICOM files.
    """

    name: str
    path: Path

    @property
    def stem(self) -> str:
        """What its file is called, or its folder, without an ending that images have: LUNA16's series UID."""
        return _ENDING.sub("", self.path.name)

    @property
    def names(self) -> tuple[str, str]:
        """What a list may call it: by its file, and by its folder too, as DeepLesion's slices lie."""
        return self.stem, f"{self.path.parent.name}_{self.stem}"


class References:
    """The lesions of a folder's scans; where it has a table, a scan that isn't in it has none.

    Args:
        folder: Holds `annotations.csv` or `candidates.csv` (scans are named by their series UID), `DL_info.csv`
            (volumes by patient_study_series or patient_study_series_first-last, pictures as the table names them), or
            beside each scan a JSON file of its name as `run --output NAME.json` writes it; what was rejected is no
            lesion, what was accepted is one also below the threshold.
        places: Of the scans.

    Raises:
        InputError: A table or file can't be read, or has none of the scans.
    """

    def __init__(self, folder: Path, places: Sequence[Place]) -> None:
        self._lists: Mapping[str, Sequence[Reference | KeySlice]]
        tables = [name for name in (*LUNA16, DEEPLESION) if (folder / name).is_file()]
        self.table = tables[0] if tables else None
        if self.table is None:
            self._lists = {place.name: findings_in(_beside(folder, place)) for place in places}
        elif self.table == DEEPLESION:
            self._lists = read_deeplesion(folder / self.table)
        else:
            every = read_luna16(folder / self.table)
            self._lists = {name: [one for one in some if one.label != NO_NODULE] for name, some in every.items()}
        self._keys = {place.name: self._key(place) for place in places}
        if places and self._lists and not any(key in self._lists for key in self._keys.values()):
            raise InputError(
                f"{self.table} has none of the {len(places)} scans, such as {places[0].stem!r}; name their files as "
                f"the table names them, such as {next(iter(self._lists))!r}."
            )
        if self.table in LUNA16 and (twice := _twice(self._keys)):
            raise InputError(
                f"{' and '.join(twice)} are both called as {self.table} calls one scan; leave one of them."
            )

    @property
    def has_places_alone(self) -> bool:
        """Whether sizes of some lesions aren't known at all."""
        return any(np.isnan(one.diameter) for some in self._lists.values() for one in some if one.diameter is not None)

    def of(self, place: Place, image: MetaTensor) -> list[Reference]:
        """Return what there is in a scan."""
        listed = self._lists.get(self._keys[place.name], ())
        known = [one for one in listed if isinstance(one, Reference)]
        slices = [one for one in listed if isinstance(one, KeySlice)]
        if image.dim() == 3:  # a picture: the table has every slice of the series
            slices = [one for one in slices if _ENDING.sub("", one.file) in place.names]
            return [*known, *(one.in_picture(np.asarray(image.affine, float)) for one in slices)]
        stack = _STACK.fullmatch(place.stem)
        corner, first = _first_voxel(image), int(stack["first"]) if stack else 1
        placed = [one.in_volume(corner, first) for one in slices if _lies_in(one, image, first)]
        return [*known, *placed]

    @property
    def labels(self) -> set[str]:
        """What the lesions are called."""
        return {one.label for some in self._lists.values() for one in some}

    def told(self) -> dict[str, int | str]:
        """Return how scans and entries fit, for a report."""
        if self.table is None:
            reviews = [one.review for some in self._lists.values() for one in some if isinstance(one, Reference)]
            not_reviewed = sum(review not in ("", ACCEPTED) for review in reviews)
            return {"from": "a JSON file beside each scan", "findings_not_reviewed": not_reviewed}
        used = set(self._keys.values())
        absent = sum(key not in self._lists for key in self._keys.values())
        unused = sum(name not in used for name in self._lists)
        return {"from": self.table, "scans_without_entry": absent, "entries_without_scan": unused}

    def _key(self, place: Place) -> str:
        """Return under which name the list has a scan."""
        if self.table is None:
            return place.name
        stack = _STACK.fullmatch(place.stem)
        series = [stack["series"]] if stack else [name.rpartition("_")[0] for name in place.names]
        names = (place.stem, place.name, *series)
        return next((name for name in names if name in self._lists), place.name)


def _twice(keys: Mapping[str, str]) -> list[str]:
    """Return the scans that a list has under the same name."""
    return next((same for key in keys.values() if len(same := [n for n, one in keys.items() if one == key]) > 1), [])


def _beside(folder: Path, place: Place) -> Path:
    """Return the JSON file of a scan: beside it under its name, or in the folder under that of the report."""
    beside = place.path.parent / f"{place.stem}.json"
    return beside if beside.is_file() else folder / f"{place.name}.json"


def _lies_in(lesion: KeySlice, image: MetaTensor, first: int) -> bool:
    height = int(np.abs(np.asarray(image.affine, float)[2, :3]).argmax())
    return first <= lesion.number < first + image.shape[1 + height]


def _first_voxel(image: MetaTensor) -> Numbers:
    """Return where in RAS mm the voxel lies that DeepLesion counts from: furthest right, in front and above."""
    affine = np.asarray(image.affine, float)
    ends = np.array(np.meshgrid(*([0, n - 1] for n in image.shape[1:]), indexing="ij")).reshape(3, -1)
    return np.asarray((affine[:3, :3] @ ends + affine[:3, 3:]).max(axis=1))


def rows_of(lesions: Iterable[Reference]) -> Numbers:
    """Return (L, 6) middle and lengths in RAS mm."""
    return np.array([(*lesion.center, *lesion.size) for lesion in lesions], float).reshape(-1, 6)


def findings_in(path: Path) -> list[Reference]:
    """Return what a JSON file of findings, as `run` writes it, has: all that nobody rejected, and what was accepted.

    Its sizes are along the axes that it tells; without any, along right, anterior and superior.

    Raises:
        InputError: It has none, or one without a place or with lengths that aren't above 0.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kept = [one for one in told["findings"] if one.get("review") != REJECTED]
        kept += [one for one in told.get("below_threshold", []) if one.get("review") == ACCEPTED]
        order = _right_anterior_superior(told.get("geometry", {}).get("axes"))
        found = [_reference(one, order) for one in kept]
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"{path.name} holds no findings ({type(error).__name__}); give each scan a JSON file as `run` writes it, "
            f"or the folder a table {', '.join(LUNA16)} or {DEEPLESION}."
        ) from error
    if not all(np.isfinite((*one.center, *one.size)).all() and min(one.size) > 0 for one in found):
        raise InputError(f"{path.name} has a finding without a place, or with a length that isn't above 0 mm; mend it.")
    return found


def _reference(one: Mapping[str, Any], order: Sequence[int]) -> Reference:
    """Return a finding of a JSON file; errors as of wrong types and missing keys."""
    x, y, z = map(float, one["center_ras"])
    lengths = [float(one["size_mm"][n]) for n in order]
    size = (lengths[0], lengths[1], lengths[2])
    return Reference((x, y, z), size, str(one["label"]), review=str(one.get("review", "")))


def _right_anterior_superior(axes: Sequence[Sequence[float]] | None) -> list[int]:
    """Return which of the axes, columns of a 3 × 3 matrix, runs along each of the patient's."""
    turned = np.eye(4)
    turned[:3, :3] = np.eye(3) if axes is None else axes
    return [int(n) for n in nibabel.io_orientation(turned)[:, 0].argsort()]
