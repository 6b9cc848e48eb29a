"""Pictures with a table of labels to train a classifier on: a folder such as ChestX-ray14's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from DeepImagingLib.files.labels import find_pictures, read_labels, read_list
from DeepImagingLib.inference.inputs import as_picture
from DeepImagingLib.inference.upright import upright
from DeepImagingLib.training.pool import Arrays, cache_folder, draw_all, kept_or_drawn

Item = Mapping[str, Any]
Part = Literal["all", "train", "validation"]

TOGETHER = 256  # pictures that are read by a process, and kept in a file, at a time
BRIGHTEST = 255


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Attributes:
        paths: Of all of them.
        size: Pixels a side of what is kept.
    """

    paths: tuple[str, ...]
    size: int

    def some(self, number: int) -> Arrays:
        """Return the `images` (N, I, J) of a group as bytes, each shrunk to a square."""
        group = self.paths[number * TOGETHER : (number + 1) * TOGETHER]
        return {"images": np.stack([_shrunk(Path(path), self.size) for path in group])}


class LabelledPictures(Dataset[Item]):
    """Grey pictures of 8 bits by number, in the order of the list, or else of the table.

    `prepare` reads them, on all cores and, where there is a cache, group by group onto the disk, so that who is stopped
    goes on where he was. In memory each takes a byte a pixel.

    Args:
        folder: With the pictures, in folders of any depth, and the files below.
        table: Name of the table of labels (see `files.labels.read_labels`), or how it begins where there is one such
            table alone, as `Data_Entry_2017_v2020.csv` for `Data_Entry_2017.csv`.
        listed: Name of a file that lists the pictures to take; without one, all of the table are.
        labels: To tell; without any, the table's.
        size: Pixels a side.
        part: Of the patients, "train" or "validation"; all pictures of one are in the same part. A table without
            patients has each picture for itself.
        held_out: Share of the patients that is for validation.
        seed: Of their draw.
        cache: Folder that keeps what was read for other runs; without one, nothing is stored.
        transform: What MONAI's transforms make of {"image": (1, I, J) from 0 to 1, "label": (labels,) of 0 and 1}.

    Raises:
        InputError: There is no folder, table or list, a picture is missing, a label unknown, or the part empty.
    """

    def __init__(
        self,
        folder: str | None,
        table: str = "Data_Entry_2017.csv",
        listed: str | None = None,
        labels: Sequence[str] | None = None,
        size: int = 256,
        part: Part = "all",
        held_out: float = 0.125,
        seed: int = 0,
        cache: str | None = None,
        transform: Callable[[Item], Item] | None = None,
    ) -> None:
        if not folder:
            raise InputError("The recipe trains on pictures of your own; name their folder with --data.")
        root = Path(folder)
        known = read_labels(_table(root, table))
        names = read_list(root / listed) if listed else tuple(known.on)
        truth = known.truth(names, labels or known.labels)
        subjects = [known.subjects.get(name, name) for name in names]
        chosen = _members(subjects, part, held_out, seed)
        if not len(chosen):
            raise InputError(
                f"The folder {root.name!r} has no picture left for {part}; give pictures of more patients."
            )
        found = find_pictures(root, [names[n] for n in chosen])
        self.subjects = tuple(subjects[n] for n in chosen)
        self.transform = transform
        self._truth = torch.tensor(truth[chosen], dtype=torch.float32)
        self._reading = Reading(tuple(map(str, found)), size)
        self._cache = cache
        self._groups: Sequence[Arrays] = ()

    def __len__(self) -> int:
        return len(self.subjects)

    def prepare(self, tell: Callable[[float], None] = lambda _: None) -> None:
        """Read them; `tell` is called with the share that is done."""
        if not self._groups:
            states = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in self._reading.paths]
            folder = cache_folder(self._cache, (states, self._reading.size))
            groups = range(-(-len(self) // TOGETHER))
            self._groups = draw_all(groups, partial(_kept, reading=self._reading, folder=folder), tell)

    def __getitem__(self, index: int) -> Item:
        """Return a picture."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are pictures 0 to {len(self) - 1}, not {index}")
        self.prepare()
        group, place = divmod(index, TOGETHER)
        values = self._groups[group]["images"][place].astype(np.float32) / BRIGHTEST
        item = {"image": torch.from_numpy(values)[None], "label": self._truth[index].clone()}
        return self.transform(item) if self.transform else item


def _table(root: Path, name: str) -> Path:
    """Return the table of this name, or the one that has more to its name: ChestX-ray14's was renamed."""
    path = root / name
    longer = list(path.parent.glob(f"{path.stem}*{path.suffix}"))
    return longer[0] if len(longer) == 1 else path


def _members(subjects: Sequence[str], part: Part, held_out: float, seed: int) -> npt.NDArray[np.intp]:
    """Return the numbers of the pictures of a part, drawn by whose they are."""
    own = sorted(set(subjects))
    drawn = np.random.default_rng(seed).permutation(len(own))[: round(held_out * len(own))]
    held = np.isin(subjects, [own[n] for n in drawn])
    return np.flatnonzero({"all": np.ones_like(held), "train": ~held, "validation": held}[part])


def _kept(number: int, reading: Reading, folder: Path | None) -> Arrays:
    return kept_or_drawn(folder / f"{number}.npz" if folder else None, ("images",), lambda: reading.some(number))


def _shrunk(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """Return (I, J) a grey picture, each pixel the mean of what it covers."""
    image = upright(as_picture(read(path)))
    values = image.as_tensor()
    if values.ndim != 3 or not (values == values[:1]).all() or not 0 <= values.min() <= values.max() <= BRIGHTEST:
        raise InputError(f"{path.name} is no grey picture of 8 bits; this recipe takes no other.")
    shrunk = torch.nn.functional.interpolate(values[None, :1], (size, size), mode="area")
    return shrunk[0, 0].round().to(torch.uint8).numpy()
