"""Classifications made by hand, for what shows and writes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from DeepImagingLib.results import Classification, Heatmap
from Testing.boxes import provenance

LABELS = ("cardiomegaly", "effusion", "nodule")
PROBABILITIES = (0.12, 0.83, 0.55)
THRESHOLDS = (0.5, 0.5, 0.7)


def classification(affine: np.ndarray, shape: tuple[int, int, int], **further: object) -> Classification:
    """Return one of three labels, of which the second is found; `further` replaces its parts."""
    parts = {
        "labels": LABELS,
        "probabilities": PROBABILITIES,
        "exclusive": False,
        "thresholds": THRESHOLDS,
        "shape": shape,
        "affine": affine,
        "uncalibrated": (0.2, 0.9, 0.6),
        "provenance": provenance("tiny_classification"),
    }
    return Classification(**{**parts, **further})


def heatmap(
    shape: tuple[int, int, int], label: str = "effusion", method: str = "gradcam", at: Sequence[float] = (), **more
) -> Heatmap:
    """Return a bump of height 4 at an index, in the middle unless told."""
    middle = np.reshape(at or [(n - 1) / 2 for n in shape], (3, 1, 1, 1))
    distance = (((np.indices(shape) - middle) / (np.reshape(shape, (3, 1, 1, 1)) / 4)) ** 2).sum(axis=0)
    return Heatmap(label, method, np.asarray(4 * np.exp(-distance), np.float32), **more)
