"""From candidates to boxes: MONAI's own decoding, its threshold, and its suppression of overlaps."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.heads import Candidates

MOST_BOXES = 1000
"""Boxes kept, however many a bundle asks for: nobody looks at more."""


def most_boxes(detector: Detector) -> int:
    """Return how many boxes are kept at most."""
    asked = detector.parts.box_selector.detections_per_img
    return min(asked, MOST_BOXES) if asked >= 1 else MOST_BOXES


def select(
    detector: Detector, levels: list[Candidates], padded_size: tuple[int, ...], size: tuple[int, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return boxes (N, 2 D) in the network's grid, scores and classes: MONAI's own selection among candidates."""
    parts = detector.parts
    boxes = [
        parts.box_coder.decode_single(level.codes, anchors)
        for level, anchors in zip(levels, _anchors_of(parts.anchor_generator, levels, padded_size), strict=True)
    ]
    selector = copy.copy(parts.box_selector)
    selector.detections_per_img = most_boxes(detector)
    found, scores, classes = selector.select_boxes_per_image(boxes, [level.scores for level in levels], list(size))
    return found.double().numpy(), scores.double().numpy(), classes.numpy()


def _anchors_of(generator: Any, levels: list[Candidates], size: tuple[int, ...]) -> list[torch.Tensor]:
    """Return the anchors (N, 2 D) of candidates alone, by the rule of MONAI's AnchorGenerator."""
    import torch

    found = []
    for level, shapes in zip(levels, generator.cell_anchors, strict=True):
        strides = torch.tensor([n // g for n, g in zip(size, level.grid)])
        centers = level.places[:, : len(size)] * strides + strides // 2
        if generator.indexing == "xy":
            centers = centers[:, [1, 0, *range(2, len(size))]]
        found.append(centers.repeat(1, 2) + shapes.cpu().float()[level.anchors])
    return found
