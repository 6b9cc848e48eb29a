"""A dataset as a file beside its training, and as items for a training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset as TorchDataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.lesions import Reference
from DeepImagingLib.training.cases.dataset import SEGMENTATION, Case, Dataset
from DeepImagingLib.training.cases.load import load_case

Item = Mapping[str, Any]


def resolved(dataset: Dataset) -> Dataset:
    """Return a dataset as it will be read from a file: with whole paths."""
    cases = (
        replace(
            case,
            images=tuple(path.absolute() for path in case.images),
            label=case.label and case.label.absolute(),
        )
        for case in dataset.cases
    )
    return replace(dataset, cases=tuple(cases), labels=dict(dataset.labels))


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Write a dataset to a JSON file, which is for this machine: it names files, and no bundle holds it."""
    cases = [
        {
            "images": [str(image) for image in case.images],
            "label": str(case.label) if case.label else None,
            "subject": case.subject,
            "split": case.split,
            "on": list(case.on),
            "boxes": None if case.boxes is None else [asdict(box) for box in case.boxes],
        }
        for case in resolved(dataset).cases
    ]
    content = {
        "task": dataset.task,
        "labels": dict(dataset.labels),
        "channels": list(dataset.channels),
        "cases": cases,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def stored_dataset(path: str | Path) -> Dataset:
    """Read what `write_dataset` wrote.

    Raises:
        InputError: It can't be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        cases = tuple(map(_case, content["cases"]))
        return Dataset(cases, content["labels"], tuple(content["channels"]), content.get("task", SEGMENTATION))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{Path(path).name} is no list of cases ({type(error).__name__}); begin anew.") from error


def _case(stored: Mapping[str, Any]) -> Case:
    boxes = stored.get("boxes")
    return Case(
        tuple(map(Path, stored["images"])),
        Path(stored["label"]) if stored["label"] else None,
        stored["subject"],
        stored["split"],
        tuple(stored.get("on", ())),
        None if boxes is None else tuple(_box(**box) for box in boxes),
    )


def _box(center: Sequence[float], size: Sequence[float], label: str, **told: Any) -> Reference:
    return Reference((center[0], center[1], center[2]), (size[0], size[1], size[2]), label, **told)


class Cases(TorchDataset[Item]):
    """The cases of one split, read when they are asked for.

    Args:
        path: Of a file that `write_dataset` wrote.
        split: "train", "validation" or "test".
        transform: What MONAI's transforms make of what `load_case` returns; without random ones, each case is read and
            transformed once and kept while `memory` lasts.
        memory: GB that kept cases may take.
    """

    def __init__(
        self, path: str, split: str, transform: Callable[[Item], Item] | None = None, memory: float = 4.0
    ) -> None:
        self.dataset = stored_dataset(path)
        self.cases = self.dataset.part(split)
        self.transform = transform
        self._left = memory * 1e9
        self._kept: dict[int, Item] = {}

    @property
    def subjects(self) -> list[str]:
        """Whose each case is."""
        return [case.subject for case in self.cases]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Item:
        """Return a case."""
        if index in self._kept:
            return self._kept[index]
        item: Item = load_case(self.cases[index], self.dataset)
        if self.transform:
            item = self.transform(item)
        size = sum(value.nbytes for value in item.values() if hasattr(value, "nbytes"))
        if size <= self._left:
            self._left -= size
            self._kept[index] = item
        return item
