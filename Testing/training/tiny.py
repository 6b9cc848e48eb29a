"""A recipe small enough to be trained in seconds: a network of a few weights, two coarse phantoms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "torso_ct_segmentation"
SPACING = [20.0, 20.0, 20.0]
PATCH = [24, 16, 16]


def config(**changes: Any) -> dict[str, Any]:
    """The shipped recipe, shrunk; `changes` are further settings of its trainer."""
    recipe = json.loads((SHIPPED / "configs" / "train.json").read_text(encoding="utf-8"))
    recipe |= {"steps": 12, "spacing": SPACING}
    network = {"channels": [4, 8], "strides": [2], "num_res_units": 1, "dropout": 0.1}
    recipe["network_def"] |= network
    recipe["inferer"]["roi_size"] = PATCH
    recipe["data"]["bodies"] = 2
    recipe["validation"]["phantoms"]["cases"] = 1
    recipe["trainer"] |= {"precision": "full", "validate_every": 4, "checkpoint_seconds": 0.0} | changes
    return recipe


def write(folder: Path, **changes: Any) -> Path:
    """Write a bundle with that recipe; returns its folder."""
    configs = folder / "configs"
    configs.mkdir(parents=True)
    for name in ("inference.json", "metadata.json"):
        (configs / name).write_bytes((SHIPPED / "configs" / name).read_bytes())
    (configs / "train.json").write_text(json.dumps(config(**changes)), encoding="utf-8")
    return folder
