"""Where it is listed what is on images as a whole, and what there is to find in scans."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.references import findings_in
from DeepImagingLib.files.labels import FILES, find_pictures, read_labels
from DeepImagingLib.files.lesions import NO_NODULE, Reference, read_luna16
from DeepImagingLib.files.tables import Row, rows
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, Case, Dataset

CENTER = ("center_right_mm", "center_anterior_mm", "center_superior_mm")
SIZE = ("size_right_mm", "size_anterior_mm", "size_superior_mm")
DIAMETER, LUNA16 = "diameter_mm", "seriesuid"
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
    return LUNA16 in columns or set(CENTER) <= set(columns)


def lists_classes(columns: Sequence[str]) -> bool:
    """Tell whether a table with these columns says what is on images, and names no file of labels for each."""
    return columns[:1] in {(name,) for name in (*FILES, "Image Index")} and "label" not in columns


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
        Case((place,), None, table.subjects.get(name, name), table.splits.get(name), tuple(table.on[name] & set(names)))
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
    if LUNA16 in columns_of(path):
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
        InputError: One can't be read, or names a label that isn't asked for.
    """
    return with_boxes(cases, [findings_in(case.mask) for case in cases], labels, source)


def with_boxes(
    cases: Sequence[Case], boxes: Sequence[Sequence[Reference]], labels: Mapping[str, int] | None, source: str
) -> Dataset:
    """Return cases with their boxes; InputError where one has a label that isn't asked for, or there is none."""
    from dataclasses import replace

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
            if min(width, depth, height) <= 0:
                raise row.wrong(SIZE[0] if sized else DIAMETER, "lengths above 0")
            label = _told(row, "label") or FINDING
            boxes.append(Reference((right, anterior, superior), (width, depth, height), label))
    return found, first


def _told(row: Row | None, column: str) -> str | None:
    return ((row.values.get(column) or "").strip() or None) if row else None


def _places(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return where files are: as they are named from the folder on, or else anywhere in it."""
    places = [folder / name for name in names]
    return places if all(place.exists() for place in places) else _anywhere(folder, names, places)


def _anywhere(folder: Path, names: Sequence[str], places: Sequence[Path]) -> list[Path]:
    try:
        return find_pictures(folder, names)
    except InputError:
        return list(places)  # the inspection tells of each that is missing


def _scan_named(folder: Path, name: str) -> Path:
    """Return the scan of a series, whose file has its name and any ending."""
    found = sorted(path for path in folder.rglob(f"{name}.*") if path.suffix != ".raw")
    return found[0] if found else folder / f"{name}.mhd"
