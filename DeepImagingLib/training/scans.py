"""Real scans with reference labels, measured beside the phantoms: no weights are chosen by phantoms alone."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch.utils.data import Dataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read

Item = Mapping[str, Any]


class Scans(Dataset[Item]):
    """Cases that a JSON file lists, their labels renumbered to the network's.

        {"labels": {"liver": 5, "left lung": [10, 11]}, "cases": [{"image": "ct.nii.gz", "label": "labels.nii.gz"}]}

    Paths are relative to the file; an image may be a folder of DICOM. A label that the file doesn't name isn't scored.

    Args:
        path: The file; None is no case at all.
        labels: Number → name of the network's labels.
        transform: What MONAI's transforms make of {"image", "label"}, (1, I, J, K) each, with their affines.

    Raises:
        InputError: The file, or a label's name in it, can't be used.
    """

    def __init__(
        self,
        path: str | None,
        labels: Mapping[int | str, str],
        transform: Callable[[Item], Item] | None = None,
    ) -> None:
        self.transform = transform
        self._cases: list[Mapping[str, str]] = []
        self._numbers: dict[int, int] = {}
        self._items: dict[int, Item] = {}
        if path is not None:
            self._folder = Path(path).parent
            self._read(Path(path), {name: int(number) for number, name in labels.items()})

    def _read(self, path: Path, numbers: Mapping[str, int]) -> None:
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            self._cases = [{"image": case["image"], "label": case["label"]} for case in listed["cases"]]
            named = {
                name: [operator.index(one) for one in (given if isinstance(given, list) else [given])]
                for name, given in listed["labels"].items()
            }
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(
                f'{path} is no list of scans ({type(error).__name__}: {error}); expected {{"labels": {{NAME: NUMBER}}, '
                '"cases": [{"image": PATH, "label": PATH}]}.'
            ) from error
        if unknown := sorted(named.keys() - numbers.keys()):
            raise InputError(f"{path} names the label {unknown[0]!r}, which is none of {', '.join(numbers)}.")
        self._numbers = {old: numbers[name] for name, several in named.items() for old in several}

    def __len__(self) -> int:
        return len(self._cases)

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Read all of them, so that a wrong file is told before training; `tell` is called with the share done."""
        for index in range(len(self)):
            tell(index / len(self))
            self[index]

    def __getitem__(self, index: int) -> Item:
        """Return a case; it is read once."""
        if index not in self._items:
            image, label = (read(self._folder / self._cases[index][key]) for key in ("image", "label"))
            if image.shape[1:] != label.shape[1:]:
                raise InputError(
                    f"{Path(self._cases[index]['label']).name} has another grid than its image; resample it."
                )
            old = label.numpy()
            new = np.zeros(old.shape, np.uint8)
            for number, ours in self._numbers.items():
                new[old == number] = ours
            item = {"image": image, "label": MetaTensor(torch.from_numpy(new), affine=label.affine)}
            self._items[index] = self.transform(item) if self.transform else item
        return self._items[index]
