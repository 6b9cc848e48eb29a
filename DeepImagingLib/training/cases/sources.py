"""Where sets of labelled scans are listed: folders, Decathlon's dataset.json, CSV; with masks, words or boxes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from DeepImagingLib.errors import InputError
from DeepImagingLib.training.cases import marks
from DeepImagingLib.training.cases.dataset import DETECTION, SEGMENTATION, SPLITS, Case, Dataset

IMAGES, LABELS, DECATHLON = "images", "labels", "dataset.json"
ENDINGS = (".seg.nrrd", *marks.IMAGE_ENDINGS, marks.FINDINGS)
SYNONYMS = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}


def read_dataset(
    source: str | Path, labels: Mapping[str, int] | None = None, images: str = "*", label_files: str = "*"
) -> Dataset:
    """Read a list of labelled scans; their files aren't opened.

    Args:
        source: A folder with `images/` and `labels/` that hold files of the same names, masks or JSON files of findings
            as `run` writes them; or a folder with, or the file, `dataset.json` as the Medical Segmentation Decathlon
            has it (Antonelli et al., Nat Commun 2022); or a CSV, or a folder with one: with the columns image (or
            image_NAME, one a channel), label and, if there are, subject and split; a table of labels of whole images;
            or one of boxes (both as `marks` tells). Paths in lists are relative to the list.
        labels: Name → number in the label files; needed where the list doesn't say.
        images, label_files: Patterns of the file names in a folder, such as "*_ct.nii.gz" and "*_seg.nii.gz"; what the
            stars stand for pairs them.

    Raises:
        InputError: There is no such list, it can't be read, or nothing says what the labels mean.
    """
    source = _list_in(Path(source))
    if source.is_dir():
        cases = tuple(_in_folder(source, images, label_files))
        if any(case.mask.suffix.lower() == marks.FINDINGS for case in cases):
            return marks.read_box_files(cases, labels, source.name)
        return _named(cases, labels, source)
    try:
        if source.suffix.lower() == ".csv":
            return _split_known(_in_table(source, labels), source)
        if source.suffix.lower() == ".json":
            return _in_decathlon(source, labels)
    except OSError as error:
        raise InputError(f"{source.name} can't be read ({error.strerror}); check the path.") from error
    raise InputError(
        f"{source.name} is no list of labelled scans; give a folder with {IMAGES}/ and {LABELS}/, a {DECATHLON} or a "
        "CSV with the columns image and label."
    )


def _list_in(source: Path) -> Path:
    """Return the list that a folder has, or the folder where it has none, or several."""
    if (source / DECATHLON).is_file():
        return source / DECATHLON
    if not source.is_dir() or ((source / IMAGES).is_dir() and (source / LABELS).is_dir()):
        return source
    tables = list(source.glob("*.csv"))
    return tables[0] if len(tables) == 1 else source


def _in_table(path: Path, labels: Mapping[str, int] | None) -> Dataset:
    columns = marks.columns_of(path)
    if marks.lists_boxes(columns):
        return marks.read_box_table(path, labels)
    return marks.read_classes(path, labels) if marks.lists_classes(columns) else _in_csv(path, labels)


def _split_known(dataset: Dataset, path: Path) -> Dataset:
    """Return the dataset with its splits as they are called here."""
    cases = (replace(case, split=_split(case.split or "", case.name, path)) for case in dataset.cases)
    return replace(dataset, cases=tuple(cases))


def for_task(dataset: Dataset, task: str) -> Dataset:
    """Return a dataset to learn a task from: pieces of masks are boxes where boxes are asked for.

    Raises:
        InputError: What is known of its scans doesn't tell that.
    """
    if (dataset.task, task) == (SEGMENTATION, DETECTION):
        return replace(dataset, task=DETECTION)
    if dataset.task != task:
        raise InputError(f"The data are for {dataset.task}, and {task} is to be learnt; give data for that.")
    return dataset


def _named(
    cases: tuple[Case, ...], labels: Mapping[str, int] | None, source: Path, channels: tuple[str, ...] = ("image",)
) -> Dataset:
    if not cases:
        raise InputError(f"{source.name} lists no case with an image and a label; is it the right one?")
    if not labels:
        raise InputError(f"Nothing in {source.name} says what the labels mean; name them with --labels NAME[=NUMBER],…")
    return Dataset(cases, dict(labels), channels)


def _in_folder(folder: Path, images: str, labels: str) -> Iterator[Case]:
    """Pair files whose names are the same but for ending and pattern; a partner that isn't there will be missed."""
    of_images, of_labels = _stems(folder / IMAGES, images), _stems(folder / LABELS, labels)
    for stem in sorted(of_images.keys() | of_labels.keys()):
        image = of_images.get(stem) or _expected(folder / IMAGES, images, stem, of_labels[stem])
        yield Case((image,), of_labels.get(stem) or _expected(folder / LABELS, labels, stem, image), stem)


def _expected(folder: Path, pattern: str, stem: str, partner: Path) -> Path:
    return folder / (partner.name if pattern == "*" else pattern.replace("*", stem))


def _stems(folder: Path, pattern: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder.parent.name}/{folder.name}; put files of the same names in both.")
    if pattern.count("*") != 1:
        raise InputError(f"The pattern {pattern!r} needs one star, which stands for the case's name.")
    before, _, after = pattern.partition("*")
    return {
        _without_ending(path.name[len(before) : len(path.name) - len(after)]): path
        for path in sorted(folder.glob(pattern))
        if not path.name.startswith(".")
    }


def _without_ending(name: str) -> str:
    return next((name[: -len(ending)] for ending in ENDINGS if name.lower().endswith(ending)), name)


def _in_csv(path: Path, labels: Mapping[str, int] | None) -> Dataset:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
        rows = [{key: (row[name] or "").strip() for key, name in columns.items()} for row in reader]
    images = [column for column in columns if column == "image" or column.startswith("image_")]
    if not images or "label" not in columns:
        raise InputError(f"{path.name} needs the columns image (or image_NAME, one a channel) and label.")
    if gaps := [str(line) for line, row in enumerate(rows, 2) if not all(row[name] for name in (*images, "label"))]:
        raise InputError(f"{path.name} has no image or no label in the lines {', '.join(gaps)}; fill in or leave out.")
    cases = tuple(_of_row(path, line, row, images) for line, row in enumerate(rows, 2))
    return _named(cases, labels, path, tuple(column.removeprefix("image_") for column in images))


def _of_row(path: Path, line: int, row: Mapping[str, str], images: Sequence[str]) -> Case:
    files = tuple(path.parent / row[column] for column in images)
    split = _split(row.get("split", ""), f"line {line}", path)
    return Case(files, path.parent / row["label"], row.get("subject") or str(files[0]), split)


def _split(word: str, where: str, path: Path) -> str | None:
    split = SYNONYMS.get(word.lower(), word.lower())
    if split and split not in SPLITS:
        raise InputError(f"The split {word!r} in {where} of {path.name} is none of {', '.join(SPLITS)}.")
    return split or None


def _in_decathlon(path: Path, labels: Mapping[str, int] | None) -> Dataset:
    try:
        listed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cases = tuple(_of_entry(path.parent, entry) for entry in listed["training"])
        channels = listed.get("modality") or listed.get("channel_names") or {"0": "image"}
        named = _label_numbers(listed["labels"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"{path.name} is no list as the Medical Segmentation Decathlon has it ({type(error).__name__}: {error}); "
            'it needs "labels" and "training" with "image" and "label" each.'
        ) from error
    return _named(cases, labels or named, path, tuple(channels[key] for key in sorted(channels, key=int)))


def _of_entry(folder: Path, entry: Mapping[str, str]) -> Case:
    image, label = folder / entry["image"], folder / entry["label"]
    return Case((image,), label, _without_ending(image.name))


def _label_numbers(labels: Mapping[str, Any]) -> dict[str, int]:
    """Return name → number above 0, whichever of the two the file has first."""
    if all(str(key).isdigit() for key in labels):
        return {str(name): int(number) for number, name in labels.items() if int(number) > 0}
    return {str(name): int(number) for name, number in labels.items() if int(number) > 0}
