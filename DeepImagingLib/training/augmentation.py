"""Random changes that a modality's scans differ by anyway, as settings of MONAI's transforms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Step = dict[str, Any]

SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)
BOTH, IMAGE = ["image", "label"], ["image"]


def augmentations(labels: Sequence[str] | None, modality: str, dims: int) -> list[Step]:
    """Return transforms for patches of a modality, spatial ones first; magnitudes as nnU-Net's (Isensee et al., 2021).

    Args:
        labels: With one that has a side in its name, nothing is mirrored from left to right; None mirrors nothing.
        modality: As metadata spells it, "CT" or "MR"; others get what suits both.
        dims: 2 or 3.
    """
    return [*_spatial(labels, dims), *intensity(), *(magnetic() if modality.upper().startswith("MR") else [])]


def _spatial(labels: Sequence[str] | None, dims: int) -> list[Step]:
    turned = {
        "_target_": "RandAffined",
        "keys": BOTH,
        "prob": 0.3,
        "rotate_range": [0.26] * (3 if dims == 3 else 1),
        "scale_range": [0.15] * dims,
        "mode": ["bilinear", "nearest"],
        "padding_mode": "border",
    }
    sided = labels is None or any(map(SIDED.search, labels))
    mirrored = [axis for axis in range(dims) if axis or not sided] if labels is not None else []
    return [turned, *({"_target_": "RandFlipd", "keys": BOTH, "prob": 0.5, "spatial_axis": axis} for axis in mirrored)]


def intensity() -> list[Step]:
    """Return changes of intensities that were normalised to about 1."""
    return [
        {"_target_": "RandGaussianNoised", "keys": IMAGE, "prob": 0.15, "std": 0.1},
        {"_target_": "RandGaussianSmoothd", "keys": IMAGE, "prob": 0.15, "sigma_x": [0.5, 1.0], "sigma_y": [0.5, 1.0]},
        {"_target_": "RandScaleIntensityd", "keys": IMAGE, "prob": 0.3, "factors": 0.25},
        {"_target_": "RandShiftIntensityd", "keys": IMAGE, "prob": 0.3, "offsets": 0.1},
        {"_target_": "RandSimulateLowResolutiond", "keys": IMAGE, "prob": 0.15, "zoom_range": [0.5, 1.0]},
        {"_target_": "RandAdjustContrastd", "keys": IMAGE, "prob": 0.15, "gamma": [0.7, 1.5]},
    ]


def magnetic() -> list[Step]:
    """Return artefacts of MR: uneven coils, ringing."""
    return [
        {"_target_": "RandBiasFieldd", "keys": IMAGE, "prob": 0.15, "coeff_range": [0.0, 0.3]},
        {"_target_": "RandGibbsNoised", "keys": IMAGE, "prob": 0.1, "alpha": [0.3, 0.7]},
    ]
