"""Which studies a folder or a list holds."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from DeepImagingLib.batch.studies import Study, walk, with_fit_names
from DeepImagingLib.bundles import Bundle
from DeepImagingLib.errors import InputError
from DeepImagingLib.files.dicom import is_dicom
from DeepImagingLib.inference.match import match
from DeepImagingLib.study import UNNAMED

VOLUMES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SEGMENTATION = ".seg.nrrd"
INPUT, NAME, SERIES = "input", "name", "series"  # columns of a list


def find_studies(source: str | Path, bundle: Bundle, skip: str | Path | None = None) -> list[Study]:
    """Return the studies for a bundle, in a stable order.

    In a folder, each image file and each folder with DICOM files in it is a study. Where the bundle takes several
    images, a study is a folder with a file, or a folder of DICOM files, for each, named as the bundle names them.
    A list is a CSV file with a row for each study: a column `input`, or one for each of the bundle's inputs; `name`
    and `series` may be there too. Its paths are relative to it.

    Args:
        source: The folder or the list.
        bundle: What is to be run.
        skip: A folder that isn't looked into.

    Raises:
        InputError: It is neither, the list lacks a column, or there is no study.

    Example:
        >>> find_studies("scans", load_bundle("torso_ct_segmentation"))  # doctest: +SKIP
    """
    source, away = _absolute(source), None if skip is None else _absolute(skip)
    if away and source.resolve() == away.resolve():
        raise InputError(f"The results would lie among the images of {source.name!r}; give them a folder of their own.")
    if source.is_dir():
        studies = with_fit_names(list(_in_folder(source, bundle, away)), _ending)
    elif source.is_file() and source.suffix.lower() == ".csv":
        studies = with_fit_names(list(_in_list(source, bundle)))
    else:
        raise InputError(f"{str(source)!r} is neither a folder nor a list (.csv); give one of them.")
    if not studies:
        raise InputError(f"{source.name!r} holds no study for {bundle.name!r}, {_wanted(bundle)}.")
    return studies


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _wanted(bundle: Bundle) -> str:
    if len(bundle.channels) == 1:
        return "which takes an image file or a folder of DICOM files each"
    return f"which takes a folder each with an image for {', '.join(bundle.channels)}, or a list (.csv) of them"


def _in_folder(top: Path, bundle: Bundle, skip: Path | None) -> Iterator[Study]:
    endings = VOLUMES if bundle.takes_volume else VOLUMES + PICTURES
    unread: list[OSError] = []
    for folder, names in walk(top, skip, unread.append):
        images = {name: stem for name in names if (stem := _stem(name, endings))}
        if len(bundle.channels) > 1:
            files = {stem: folder / name for name, stem in images.items()}
            yield from _of_channels(_name(folder, top), {**_series_in(folder), **files}, bundle.channels)
            continue
        for name, stem in images.items():
            yield Study(_name(folder / stem, top), {UNNAMED: folder / name})
        if _holds_dicom(folder, set(names) - set(images)):
            yield Study(_name(folder, top), {UNNAMED: folder})
    for error in unread:
        folder = Path(error.filename)
        yield Study(_name(folder, top), {UNNAMED: folder}, problem=f"The folder can't be read ({error.strerror}).")


def _ending(study: Study) -> str:
    """Return what tells a file from another of the same stem, as a part of a name."""
    name = study.inputs[UNNAMED].name if UNNAMED in study.inputs else ""
    stem = _stem(name, VOLUMES + PICTURES)
    return name[len(stem) :].replace(".", "_") if stem else ""


def _stem(name: str, endings: Sequence[str]) -> str:
    """Return an image's name without its ending, "" for what is none."""
    lower = name.lower()
    ending = next((ending for ending in endings if lower.endswith(ending)), None)
    return name[: -len(ending)] if ending and not lower.endswith(SEGMENTATION) else ""


def _holds_dicom(folder: Path, names: Iterable[str]) -> bool:
    return any(_is_dicom(folder / name) for name in sorted(names))


def _is_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError:  # what can't be opened is no image
        return False


def _series_in(folder: Path) -> dict[str, Path]:
    """Return the folders of DICOM files right below a folder, by name."""
    below = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    return {name: path for name, path in below.items() if _holds_dicom(path, _listed(path))}


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it is told of as a study that can't be read
        return []


def _name(path: Path, top: Path) -> str:
    """Return the way to a study from the top: further studies change it only where one of them would be named alike."""
    return "_".join(path.relative_to(top).parts) or top.name


def _of_channels(name: str, images: Mapping[str, Path], channels: Sequence[str]) -> Iterator[Study]:
    """Yield the study of a folder, if it holds one; one that lacks a channel is told when it is its turn."""
    found = match(channels, list(images))
    if found:
        paths = list(images.values())
        missing = ", ".join(channel for channel in channels if channel not in found)
        problem = missing and f"There is no image for {missing}, or several may be; name the files as the inputs."
        yield Study(name, {channel: paths[index] for channel, index in found.items()}, problem=problem)


def _in_list(path: Path, bundle: Bundle) -> Iterator[Study]:
    columns, rows = _rows(path)
    inputs = {INPUT: UNNAMED} if INPUT in columns else {name.casefold(): name for name in bundle.channels}
    missing = [name for column, name in inputs.items() if column not in columns]
    if missing:
        raise InputError(
            f"{path.name!r} has no column {', '.join(missing)} for {bundle.name!r}; it has {', '.join(columns)}."
        )
    for row in rows:
        given = {name: path.parent / Path(row[column]).expanduser() for column, name in inputs.items() if row[column]}
        empty = ", ".join(column for column in inputs if not row[column])
        first = next(iter(given.values()), path)
        name = row.get(NAME) or _stem(first.name, VOLUMES + PICTURES) or first.name
        yield Study(name, given, row.get(SERIES) or None, empty and f"The list names no file for {empty}; add it.")


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a list, in small letters, and its rows, whichever character stands between them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("no text")
        header = text.partition("\n")[0]
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
        columns, *rows = [[cell.strip() for cell in line] for line in lines if any(line)] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path.name!r} can't be read as a list; save it as CSV in UTF-8.") from error
    columns = [column.casefold() for column in columns]
    return columns, [dict(zip_longest(columns, row[: len(columns)], fillvalue="")) for row in rows]
