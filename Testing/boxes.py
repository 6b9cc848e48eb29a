"""Detections made by hand, for what shows and writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from DeepImagingLib.results import Detection, Detections, Provenance

Corners = tuple[float, float, float, float, float, float]


def detection(
    index_box: Corners, affine: np.ndarray, score: float, label: str = "nodule", more: Mapping[str, float] | None = None
) -> Detection:
    """Return the detection of a box in voxels of a grid with this (4, 4) IJK→RAS."""
    low, high = np.reshape(index_box, (2, 3))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    center = (affine @ [*(low + high) / 2, 1.0])[:3]
    size = (high - low) * spacing
    axes = affine[:3, :3] / spacing
    return Detection(label, score, tuple(center.tolist()), tuple(size.tolist()), axes, index_box, more or {})


def detections(
    boxes: Sequence[tuple[Corners, float]], affine: np.ndarray, shape: tuple[int, int, int], **further: object
) -> Detections:
    """Return detections of (index box, score), the default threshold at 0.5."""
    found = tuple(detection(box, affine, score) for box, score in boxes)
    return Detections(found, ("nodule",), 0.5, shape, affine, **further)


def provenance(bundle: str = "tiny_detection", notes: tuple[str, ...] = ()) -> Provenance:
    """Return where a made result comes from."""
    return Provenance(
        bundle, "1.0", "4f" * 32, {"image": "ab" * 32}, {"precision": "full"}, "cpu", "full", "as planned",
        {"monai": "1.6.1"}, {"Network": 1.0}, 2**30, notes,
    )  # fmt: skip
