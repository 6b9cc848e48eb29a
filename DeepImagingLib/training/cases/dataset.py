"""What a set of labelled scans is, wherever it was listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.lesions import Reference

SPLITS = ("train", "validation", "test")
SEGMENTATION, CLASSIFICATION, DETECTION = TASKS = ("segmentation", "classification", "detection")


@dataclass(frozen=True)
class Case:
    """One scan with its labels.

    Attributes:
        images: Files or DICOM folders, one a channel in the channels' order, or one that holds all channels.
        label: File with a label number at each voxel; None where what is known of the scan is no mask.
        subject: Whose scan it is; a subject's cases stay in one split.
        split: One of SPLITS, or None where it is still to be chosen.
        on: Names of the labels that the image as a whole has, to classify it.
        boxes: What there is to find in it, in RAS mm; None where they are the pieces of `label`.
    """

    images: tuple[Path, ...] = field(repr=False)
    label: Path | None = field(repr=False)
    subject: str = field(repr=False)
    split: str | None = None
    on: tuple[str, ...] = ()
    boxes: tuple[Reference, ...] | None = field(default=None, repr=False)

    @property
    def key(self) -> Path:
        """The file that no other case has: the label's, or else the image's."""
        return self.label or self.images[0]

    @property
    def mask(self) -> Path:
        """The label's file; of cases that have one."""
        assert self.label is not None
        return self.label

    @property
    def name(self) -> str:
        """How messages call it: the label's file name, or else the image's."""
        return self.key.name


@dataclass(frozen=True)
class Dataset:
    """Labelled scans and what their labels mean.

    Attributes:
        cases: In the order they were listed.
        labels: Name → number in label files that don't name their segments themselves, as `.seg.nrrd` files do. What
            is trained numbers them 1, 2, … in this order.
        channels: Names of the images' channels.
        task: One of TASKS: what a network is to learn of them.
    """

    cases: tuple[Case, ...]
    labels: Mapping[str, int]
    channels: tuple[str, ...] = ("image",)
    task: str = SEGMENTATION

    def part(self, split: str) -> tuple[Case, ...]:
        """Return the cases of a split."""
        return tuple(case for case in self.cases if case.split == split)


def parse_labels(words: str) -> dict[str, int]:
    """Read "liver,tumour" as the numbers 1 and 2, and "liver=5,tumour" as 5 and 6.

    Raises:
        InputError: A name is missing or there twice, or a number isn't one above 0.
    """
    found: dict[str, int] = {}
    number = 0
    for word in words.split(","):
        name, given, value = (part.strip() for part in word.partition("="))
        if given and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise InputError(f"The label {word.strip()!r} needs a whole number above 0 after its '='.")
        number = int(value) if given else number + 1
        if not name or name in found or number in found.values():
            raise InputError(f"The labels {words!r} have an empty name, or a name or number twice; mend --labels.")
        found[name] = number
    return found
