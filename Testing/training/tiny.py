"""What can be trained in seconds: a network of a few weights on two coarse phantoms, and four scans of noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "torso_ct_segmentation"
SPACING = [20.0, 20.0, 20.0]
PATCH = [24, 16, 16]
QUICK = {"precision": "full", "validate_every": 4, "checkpoint_seconds": 0.0}


def config(**changes: Any) -> dict[str, Any]:
    """The shipped recipe, shrunk; `changes` are further settings of its trainer."""
    recipe = json.loads((SHIPPED / "configs" / "train.json").read_text(encoding="utf-8"))
    recipe |= {"steps": 12, "spacing": SPACING}
    network = {"channels": [4, 8], "strides": [2], "num_res_units": 1, "dropout": 0.1}
    recipe["network_def"] |= network
    recipe["inferer"]["roi_size"] = PATCH
    recipe["body_count"] = 2
    recipe["held_out"]["count"] = 1
    recipe["trainer"] |= QUICK | changes
    del recipe["coarse"], recipe["coarse_stage"]
    recipe["trainer"]["before"] = "$@earlier_weights if @start else None"
    return recipe


def staged_config(**changes: Any) -> dict[str, Any]:
    """The shipped recipe, shrunk, with its coarse stage."""
    shipped = json.loads((SHIPPED / "configs" / "train.json").read_text(encoding="utf-8"))
    recipe = config(**changes)
    recipe["network_def"] |= {"channels": [4, 8, 8], "strides": [1, 2]}
    recipe["trainer"]["before"] = shipped["trainer"]["before"]
    recipe["coarse_stage"] = shipped["coarse_stage"]
    coarse = recipe["coarse"] = shipped["coarse"]
    coarse |= {"steps": 12, "spacing": [40.0, 40.0, 40.0]}
    coarse["network_def"] |= recipe["network_def"] | {"channels": [8, 8], "strides": [1]}
    coarse["inferer"]["roi_size"] = [16, 16, 16]
    coarse["trainer"] |= QUICK
    return recipe


def write(folder: Path, staged: bool = False, **changes: Any) -> Path:
    """Write a bundle with that recipe; returns its folder."""
    configs = folder / "configs"
    configs.mkdir(parents=True)
    for name in ("inference.json", "metadata.json"):
        (configs / name).write_bytes((SHIPPED / "configs" / name).read_bytes())
    (configs / "train.json").write_text(
        json.dumps(staged_config(**changes) if staged else config(**changes)), encoding="utf-8"
    )
    return folder


def write_scans(folder: Path) -> Path:
    """Write scans of noise with a bright block (1) and a dark one (2) into images/ and labels/; returns the folder."""
    affine = np.diag([1.5, 1.5, 2.0, 1.0])
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        values = rng.normal(40, 10, (24, 22, 20)).astype(np.float32)
        labels = np.zeros(values.shape, np.uint8)
        labels[4:12, 4:12, 4:12], labels[14:20, 4:12, 4:12] = 1, 2
        values += np.array((0, 80, -80))[labels]
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / "images" / f"secret{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labels" / f"secret{number}.nii.gz")
    return folder
