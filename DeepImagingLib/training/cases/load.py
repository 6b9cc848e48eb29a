"""One case read: its image, and what is known of it, numbered as it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from scipy import ndimage

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import read
from DeepImagingLib.inference.colours import with_channels
from DeepImagingLib.inference.inputs import as_picture
from DeepImagingLib.inference.upright import upright
from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, Case, Dataset

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

SEG_NRRD = ".seg.nrrd"
OVERLAP = "has segments that overlap, and a voxel can have one label only; mend them so that they don't."
SAME_GRID_MM = 1e-2  # how far corners of the same grid may lie apart, in two files that round differently


def load_case(case: Case, dataset: Dataset) -> dict[str, torch.Tensor]:
    """Return a case's image and what is known of it, with K the number of labels.

    Returns:
        "image" (C, I, J, K) and, to segment it, "label" (1, I, J, K) with values 0 to K, on the grid of the first
        image; to classify it, "label" (K,) of 0 and 1; to find boxes in it, "box" (N, 6), middle and lengths along
        right, anterior and superior in mm, and "label" (N,) with values 0 to K - 1.

    Raises:
        InputError: A file can't be read, or files of the case don't lie at the same place.
    """
    import torch

    image = load_image(case, dataset)
    if dataset.task == CLASSIFICATION:
        return {"image": image, "label": torch.tensor([float(name in case.on) for name in dataset.labels])}
    if dataset.task == DETECTION:
        return {"image": image, **load_boxes(case, dataset)}
    numbered = load_mask(case, dataset)
    return {"image": image, "label": numbered if same_grid(numbered, image) else onto_grid(numbered, image)}


def load_mask(case: Case, dataset: Dataset) -> MetaTensor:
    """Return a case's labels (1, I, J, K), numbered 1, 2, …, on their own grid; errors as of `load_case`."""
    label = read(case.mask)
    if label.shape[0] != 1:
        raise InputError(f"{case.mask.name} {OVERLAP}")
    return numbered_labels(label, dataset, numbers_in(case.mask, dataset.labels))


def load_boxes(case: Case, dataset: Dataset) -> dict[str, torch.Tensor]:
    """Return a case's "box" and "label" as `load_case` does; of a mask, boxes around its pieces."""
    import torch

    names = list(dataset.labels)
    if case.boxes is None:
        rows, numbers = pieces_of(load_mask(case, dataset))
    else:
        rows = [(*one.center, *one.size) for one in case.boxes]
        numbers = [names.index(one.label) for one in case.boxes]
    return {
        "box": torch.tensor(np.array(rows, np.float32).reshape(-1, 6)),
        "label": torch.tensor(numbers, dtype=torch.int64),
    }


def pieces_of(label: MetaTensor) -> tuple[list[tuple[float, ...]], list[int]]:
    """Return middle and lengths in mm of the box around each connected piece of each label, and the labels from 0.

    Boxes lie along the axes of the voxels, whichever of right, anterior and superior these are nearest to.
    """
    affine, values = np.asarray(label.affine), label.numpy()[0]
    sizes, order = np.linalg.norm(affine[:3, :3], axis=0), nibabel.io_orientation(affine)[:, 0].argsort()
    rows, numbers = [], []
    for number in np.unique(values[values > 0]):
        pieces, _ = ndimage.label(values == number, np.ones((3,) * values.ndim))
        for box in ndimage.find_objects(pieces):
            low, high = np.array([(part.start, part.stop) for part in (*box, slice(0, 1))[:3]]).T
            middle = affine[:3, :3] @ ((low + high - 1) / 2) + affine[:3, 3]
            rows.append((*middle, *((high - low) * sizes)[order]))
            numbers.append(int(number) - 1)
    return rows, numbers


def load_image(case: Case, dataset: Dataset) -> MetaTensor:
    """Return a case's channels as one image (C, I, J, K); of classification, one plane is an upright picture (C, I, J).

    Raises:
        InputError: As `load_case`, or the number of channels is another.
    """
    import torch
    from monai.data import MetaTensor

    images = [read(path) for path in case.images]
    first = images[0]
    if dataset.task == CLASSIFICATION and len(images) == 1:
        return upright(as_picture(with_channels(first, len(dataset.channels), case.name)[0]))
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
