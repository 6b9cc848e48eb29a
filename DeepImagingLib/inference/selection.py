"""From candidates to boxes: MONAI's own decoding, its threshold, and its suppression of overlaps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from DeepImagingLib.bundles.detector import Detector
    from DeepImagingLib.inference.heads import Candidates

MOST_BOXES = 1000
"""Boxes kept, however many a bundle asks for: nobody looks at more."""


@dataclass(frozen=True)
class Selected:
    """Boxes in the network's grid.

    Attributes:
        corners: (N, 2 D).
        scores, classes: (N,), the highest score first.
        more: (N, F) further numbers of each.
        beyond: The highest score of a box that is one too many; minus infinity where there is none.
    """

    corners: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    more: npt.NDArray[np.float64]
    beyond: float


def most_boxes(detector: Detector) -> int:
    """Return how many boxes are kept at most."""
    asked = detector.parts.box_selector.detections_per_img
    return min(asked, MOST_BOXES) if asked >= 1 else MOST_BOXES


def smallest_anchor(detector: Detector) -> float:
    """Return the shortest edge of any anchor, in voxels of the network's grid."""
    dims = detector.parts.spatial_dims
    return min(
        float((shapes[:, dims:] - shapes[:, :dims]).min()) for shapes in detector.parts.anchor_generator.cell_anchors
    )


def select(
    detector: Detector, levels: list[Candidates], padded_size: tuple[int, ...], size: tuple[int, ...]
) -> Selected:
    """Return what MONAI's own `BoxSelector.select_boxes_per_image` selects among candidates.

    That tells only boxes, scores and classes; its steps are taken here one by one, so as to know which candidate each
    box came from.
    """
    import torch
    from monai.data.box_utils import batched_nms

    selector, most = detector.parts.box_selector, most_boxes(detector)
    found = [torch.cat(part) for part in zip(*_by_level(detector, levels, padded_size, size), strict=True)]
    corners, scores, classes, _ = found
    kept = batched_nms(corners, scores, classes, selector.nms_thresh, most + 1, selector.box_overlap_metric)
    beyond = float(scores[kept[most]]) if len(kept) > most else -math.inf
    corners, scores, classes, more = (part[kept[:most]] for part in found)
    return Selected(corners.double().numpy(), scores.double().numpy(), classes.numpy(), more.double().numpy(), beyond)


def _by_level(
    detector: Detector, levels: list[Candidates], padded_size: tuple[int, ...], size: tuple[int, ...]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield boxes, scores, classes and further numbers of each level's best candidates, clipped to the image."""
    from monai.data.box_utils import clip_boxes_to_image

    parts = detector.parts
    for level, anchors in zip(levels, _anchors_of(parts.anchor_generator, levels, padded_size), strict=True):
        rows, scores, classes = parts.box_selector.select_top_score_idx_per_level(level.scores)
        boxes = parts.box_coder.decode_single(level.codes, anchors)[rows]
        boxes, inside = clip_boxes_to_image(boxes, list(size), remove_empty=True)
        yield boxes, scores[inside], classes[inside], level.more[rows][inside]


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
