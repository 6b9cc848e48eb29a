"""What a classifier says of images whose labels are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.hits import Numbers


@dataclass(frozen=True)
class Judged:
    """What a classifier says of images, and what is on them.

    Attributes:
        images: (N,) names.
        labels: (L,) names.
        truth: (N, L) 1 where an image has a label, 0 where not.
        probabilities: (N, L).
        thresholds: (L,) from which a label counts as found, where several may be.
        exclusive: Each image has one label.
        uncalibrated: (N, L) probabilities without the model's calibration, where it has one.
        subjects: (N,) who is seen, where several images may be of one.

    Raises:
        InputError: These don't fit, hold something else, or hold nothing.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    truth: npt.NDArray[np.int64]
    probabilities: Numbers
    thresholds: tuple[float, ...]
    exclusive: bool
    uncalibrated: Numbers | None = None
    subjects: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        shape = len(self.images), len(self.labels)
        said = [self.probabilities, *([] if self.uncalibrated is None else [self.uncalibrated])]
        if not all(shape):
            raise InputError("There is no image with a label to evaluate on; give some.")
        if any(values.shape != shape for values in (self.truth, *said)) or len(self.thresholds) != shape[1]:
            raise InputError(f"Truths and probabilities don't fit {shape[0]} images and {shape[1]} labels; give each.")
        if not all(((values >= 0) & (values <= 1)).all() for values in said):
            raise InputError("A probability isn't between 0 and 1; evaluate what the model's activation gives.")
        if not np.isin(self.truth, (0, 1)).all() or (self.exclusive and (self.truth.sum(axis=1) != 1).any()):
            what = "one label" if self.exclusive else "0 or 1 for each label"
            raise InputError(f"Not every image has {what}; mend the table of labels.")
        if self.subjects is not None and len(self.subjects) != shape[0]:
            raise InputError(f"{len(self.subjects)} subjects are told of {shape[0]} images; tell of each, or of none.")

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """(N, L) the likeliest label where they are exclusive, else those that reach their threshold."""
        if self.exclusive:
            return np.asarray(self.probabilities.argmax(axis=1)[:, None] == np.arange(len(self.labels)))
        return np.asarray(self.probabilities >= np.array(self.thresholds))
