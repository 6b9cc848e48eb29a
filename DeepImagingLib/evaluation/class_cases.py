"""Images whose findings are known, to judge a classifier by: made radiographs, or pictures with a table of labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError

if TYPE_CHECKING:
    from monai.data import MetaTensor

BOXES = "BBox_List_2017.csv"


@dataclass(frozen=True)
class Case:
    """One image and what it shows.

    Attributes:
        name: Of the image.
        image: (C, I, J).
        findings: Names of the labels it shows.
        regions: Label to (I, J) where that is.
        subject: Whose image it is.
        known: Names of all labels that are known to be there or not.
    """

    name: str
    image: MetaTensor
    findings: frozenset[str]
    regions: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    subject: str = ""
    known: tuple[str, ...] = ()


def radiographs(seeds: range, exposures: int = 1) -> Iterator[Case]:
    """Yield made chest radiographs, as they are displayed: so many of each body, which is one subject.

    Args:
        seeds: Of the bodies.
        exposures: Of each body; number e of body b has the seed b · exposures + e, as those to train on.
    """
    from DeepImagingLib.phantoms import chest_xray, torso_ct
    from DeepImagingLib.phantoms.xray_findings import Finding

    for seed in seeds:
        body = torso_ct.draw(seed, chest_xray.BODY_SPACING, chest_xray.BODY_SIZE)
        for number in range(seed * exposures, (seed + 1) * exposures):
            images, truth = chest_xray.expose(body, number, photometric="MONOCHROME2")
            found = frozenset(chest_xray.present(truth))
            regions = {name: truth.mask(name)[..., 0] for name in found}
            known = tuple(one.value for one in Finding)
            yield Case(f"radiograph {number}", images["cxr"], found, regions, f"phantom {seed}", known)


def pictures(folder: Path, listed: str | None = None) -> Iterator[Case]:
    """Yield the pictures that a folder's one table of labels names, with their boxes where there is a list of these.

    Args:
        folder: With pictures in folders of any depth.
        listed: Path, from the folder on, of a list of those to take; without one, all are.

    Raises:
        InputError: There is no table, it doesn't know a picture of the list, or a picture is missing.
    """
    from DeepImagingLib.files import read
    from DeepImagingLib.files.labels import find_pictures, read_boxes, read_labels, read_list

    tables = sorted(path for path in folder.glob("*.csv") if path.name != BOXES)
    if len(tables) != 1:
        raise InputError(f"The folder {folder.name!r} has {len(tables)} tables of labels (.csv); leave one in it.")
    table = read_labels(tables[0])
    boxes = read_boxes(folder / BOXES) if (folder / BOXES).is_file() else {}
    names = read_list(folder / listed) if listed else tuple(table.on)
    table.truth(names, ())  # tells of a picture it doesn't know
    for name, path in zip(names, find_pictures(folder, names), strict=True):
        image = read(path)
        regions: dict[str, npt.NDArray[np.bool_]] = {}
        for box in boxes.get(name, ()):
            mask = box.mask((int(image.shape[1]), int(image.shape[2])))
            regions[box.label] = regions.get(box.label, np.zeros_like(mask)) | mask
        yield Case(name, image, table.on[name], regions, table.subjects.get(name, ""), table.labels)
