"""Where it is listed what is on images as a whole, and what there is to find in scans."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.references import findings_in
from DeepImagingLib.files.labels import FILES, read_labels
from DeepImagingLib.files.lesions import NO_NODULE, Reference, read_luna16
from DeepImagingLib.files.tables import Row, rows
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, Case, Dataset

CENTER = ("center_right_mm", "center_anterior_mm", "center_superior_mm")
SIZE = ("size_right_mm", "size_anterior_mm", "size_superior_mm")
DIAMETER = "diameter_mm"
OF_LUNA16 = ("seriesuid", "coordX", "coordY", "coordZ")
MASKS_OF_LUNA16 = "seg-lungs"
"""What the folder of LUNA16's lung masks, which are called as the scans are, begins with."""
FINDINGS = ".json"
IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
FINDING = "finding"
"""What is called so that has no label."""


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the names in the first line of a table; InputError where there is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return tuple(name.strip() for name in next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} can't be read as a table ({type(error).__name__}); give a CSV file.") from error


def lists_boxes(columns: Sequence[str]) -> bool:
    """Tell whether a table with these columns lists boxes."""
    return set(OF_LUNA16) <= set(columns) or set(CENTER) <= set(columns)


def lists_classes(columns: Sequence[str]) -> bool:
    """Tell whether a table with these columns says what is on images, and names no file of labels for each."""
    has_masks = "label" in (column.lower() for column in columns)
    return columns[:1] in {(name,) for name in (*FILES, "Image Index")} and not has_masks


def read_classes(path: Path, labels: Mapping[str, int] | None) -> Dataset:
    """Read a table of labels (see `files.labels.read_labels`).

    Args:
        path: Of the table; files are relative to it, or anywhere below under a name of their own.
        labels: Those to learn; without any, the table's.

    Raises:
        InputError: It can't be read, or a file or label of it isn't there.
    """
    table = read_labels(path)
    names = tuple(labels or table.labels)
    table.truth((), names)  # tells of a label that it doesn't know
    cases = tuple(
        Case(
            (place,),
            None,
            table.subjects.get(name, name),
            table.splits.get(name),
            tuple(one for one in names if one in table.on[name]),
        )
        for name, place in zip(table.on, _places(path.parent, tuple(table.on)), strict=True)
    )
    return Dataset(cases, {name: number for number, name in enumerate(names, 1)}, task=CLASSIFICATION)


def read_box_table(path: Path, labels: Mapping[str, int] | None) -> Dataset:
    """Read a table of boxes, one a line; an image without any has a line with its name alone.

    Args:
        path: Of a CSV with `image`, a centre and a `diameter_mm` or three sizes, all in mm along right, anterior and
            superior, and, if there are, `label`, `subject` and `split`; or LUNA16's `annotations.csv`.
        labels: Those to learn; without any, all that there are.

    Raises:
        InputError: It can't be read, names a label that isn't asked for, or an image isn't there.
    """
    if set(OF_LUNA16) <= set(columns_of(path)):
        of_image: dict[str, list[Reference]] = {}
        for series, lesions in read_luna16(path).items():
            of_image[series] = [one for one in lesions if one.label != NO_NODULE]
        first: dict[str, Row] = {}
        files = {name: _scan_named(path.parent, name) for name in of_image}
    else:
        of_image, first = _boxes(path)
        files = dict(zip(of_image, _places(path.parent, tuple(of_image)), strict=True))
    cases = [
        Case((files[name],), None, _told(first.get(name), "subject") or name, _told(first.get(name), "split"))
        for name in of_image
    ]
    return with_boxes(cases, list(of_image.values()), labels, path.name)


def read_box_files(cases: Sequence[Case], labels: Mapping[str, int] | None, source: str) -> Dataset:
    """Read cases whose label is a JSON file of findings, as `run --output NAME.json` writes it.

    Raises:
        InputError: One is missing or can't be read, or names a label that isn't asked for.
    """
    if missing := [case.images[0].name for case in cases if case.mask.suffix.lower() != FINDINGS]:
        raise InputError(f"There is no JSON file of findings for {', '.join(missing)}; write one, or remove the scan.")
    return with_boxes(cases, [findings_in(case.mask) for case in cases], labels, source)


def with_boxes(
    cases: Sequence[Case], boxes: Sequence[Sequence[Reference]], labels: Mapping[str, int] | None, source: str
) -> Dataset:
    """Return cases with their boxes; InputError where one has no size or a label that isn't asked for, or all none."""
    for case, some in zip(cases, boxes, strict=True):
        if any(not (0 < side < np.inf) for one in some for side in one.size):
            raise InputError(
                f"{source} has a box in {case.name} whose lengths aren't all above 0 mm; mend or remove it."
            )
    known = dict.fromkeys(one.label for some in boxes for one in some)
    names = tuple(labels or sorted(known))
    if strange := sorted(known.keys() - set(names)):
        raise InputError(f"{source} has boxes of {strange[0]!r}, which isn't among the labels; add it to --labels.")
    if not known:
        raise InputError(f"{source} has no box; there is nothing to learn from it.")
    marked = tuple(replace(case, boxes=tuple(some)) for case, some in zip(cases, boxes, strict=True))
    return Dataset(marked, {name: number for number, name in enumerate(names, 1)}, task=DETECTION)


def _boxes(path: Path) -> tuple[dict[str, list[Reference]], dict[str, Row]]:
    """Return the boxes of each image, and its first line."""
    sized = set(SIZE) <= set(columns_of(path))
    found: dict[str, list[Reference]] = {}
    first: dict[str, Row] = {}
    for row in rows(path, ("image", *CENTER, *(SIZE if sized else (DIAMETER,)))):
        name = row.text("image")
        first.setdefault(name, row)
        boxes = found.setdefault(name, [])
        if any(_told(row, column) for column in CENTER):
            right, anterior, superior = (row.number(column) for column in CENTER)
            width, depth, height = (row.number(column) for column in SIZE) if sized else [row.number(DIAMETER)] * 3
            label = _told(row, "label") or FINDING
            boxes.append(Reference((right, anterior, superior), (width, depth, height), label))
    return found, first


def _told(row: Row | None, column: str) -> str | None:
    return ((row.values.get(column) or "").strip() or None) if row else None


def _places(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return where files are: as they are named from the folder on, or else anywhere in it.

    Of one that is nowhere the inspection tells; InputError where there are several of a name.
    """
    elsewhere: dict[str, list[Path]] = {name: [] for name in names if not (folder / name).exists()}
    for path in folder.rglob("*") if elsewhere else ():
        if path.name in elsewhere:
            elsewhere[path.name].append(path)
    return [_only(name, elsewhere.get(name, [])) or folder / name for name in names]


def _scan_named(folder: Path, name: str) -> Path:
    """Return the scan of a series, whose file has its name and the ending of an image's; errors as of `_places`."""
    found = [path for path in folder.rglob(f"{name}.*") if path.name.removeprefix(name) in IMAGE_ENDINGS]
    scans = [path for path in found if not path.parent.name.startswith(MASKS_OF_LUNA16)]
    return _only(name, scans) or folder / f"{name}.mhd"


def _only(name: str, found: Sequence[Path]) -> Path | None:
    if len(found) > 1:
        folders = ", ".join(sorted(path.parent.name for path in found))
        raise InputError(f"{name} is in several folders ({folders}); leave the one that is meant.")
    return found[0] if found else None
