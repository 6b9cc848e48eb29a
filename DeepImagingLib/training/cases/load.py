"""One case read: its image, and its labels on the image's grid, numbered as they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from DeepImagingLib.training.cases.dataset import Case, Dataset

if TYPE_CHECKING:
    from monai.data import MetaTensor

SEG_NRRD = ".seg.nrrd"
OVERLAP = "has segments that overlap, and a voxel can have one label only; mend them so that they don't."
SAME_GRID_MM = 1e-2  # how far corners of the same grid may lie apart, in two files that round differently


def load_case(case: Case, dataset: Dataset) -> dict[str, MetaTensor]:
    """Return a case's image and labels.

    Returns:
        "image" (C, I, J, K) and "label" (1, I, J, K) with values 0 to K, K the number of labels; both on the grid of
        the first image.

    Raises:
        InputError: A file can't be read, or files of the case don't lie at the same place.
    """
    image = load_image(case, dataset)
    label = read(case.label)
    if label.shape[0] != 1:
        raise InputError(f"{case.label.name} {OVERLAP}")
    numbered = numbered_labels(label, dataset, numbers_in(case.label, dataset.labels))
    return {"image": image, "label": numbered if same_grid(numbered, image) else onto_grid(numbered, image)}


def load_image(case: Case, dataset: Dataset) -> MetaTensor:
    """Return a case's channels as one image (C, I, J, K).

    Raises:
        InputError: As `load_case`, or the number of channels is another.
    """
    import torch
    from monai.data import MetaTensor

    images = [read(path) for path in case.images]
    first = images[0]
    for path, image in zip(case.images, images, strict=True):
        if not same_grid(image, first):
            raise InputError(f"{path.name} has another grid than {case.images[0].name}; resample it to that first.")
    whole = MetaTensor(torch.cat([image.as_tensor() for image in images]), affine=first.affine)
    if len(whole) != len(dataset.channels):
        listed = ", ".join(dataset.channels)
        raise InputError(
            f"{case.images[0].name} has {len(whole)} channels, expected {len(dataset.channels)} ({listed})."
        )
    return whole


def numbers_in(path: Path, labels: Mapping[str, int]) -> dict[str, int]:
    """Return name → number in that file: its own names where it has some, else those of the dataset."""
    own = segment_numbers(path) if path.name.lower().endswith(SEG_NRRD) else {}
    return {name: own[name] for name in labels if name in own} if own else dict(labels)


def segment_numbers(path: Path) -> dict[str, int]:
    """Return the names of a `.seg.nrrd` file's segments with their label values."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    keys = set(reader.GetMetaDataKeys())
    found: dict[str, int] = {}
    for prefix in takewhile(lambda one: f"{one}Name" in keys, (f"Segment{number}_" for number in count())):
        name = reader.GetMetaData(f"{prefix}Name")
        if name in found:
            raise InputError(f"{path.name} has two segments called {name!r}; rename one of them.")
        found[name] = int(reader.GetMetaData(f"{prefix}LabelValue"))
    return found


def numbered_labels(label: MetaTensor, dataset: Dataset, numbers: Mapping[str, int]) -> MetaTensor:
    """Return labels as 1, 2, … in the order of the dataset's; any other number becomes background."""
    import torch
    from monai.data import MetaTensor

    values = label.numpy()
    new = np.zeros(values.shape, np.uint8)
    for ours, name in enumerate(dataset.labels, 1):
        if name in numbers:
            new[values == numbers[name]] = ours
    return MetaTensor(torch.from_numpy(new), affine=label.affine)


def same_grid(one: MetaTensor, other: MetaTensor) -> bool:
    """Tell whether the voxels of two images lie at the same places."""
    if one.shape[1:] != other.shape[1:]:
        return False
    return bool(np.abs(corners(one) - corners(other)).max() < SAME_GRID_MM)


def corners(image: MetaTensor) -> np.ndarray:
    """Return the (8, 3) middles of the corner voxels in RAS mm; a picture has a single slice."""
    sides = [(0, n - 1) for n in (*image.shape[1:], 1)[:3]]
    index = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)
    affine = np.asarray(image.affine)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])


def onto_grid(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """Return labels on the grid of an image, background where they don't reach."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import ResampleToMatch

    placed = ResampleToMatch(mode="nearest", padding_mode="zeros")(label, image)
    return MetaTensor(placed.as_tensor().to(torch.uint8), affine=image.affine)
