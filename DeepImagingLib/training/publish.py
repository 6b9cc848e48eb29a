"""From trained weights to a MONAI bundle that tells how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

from DeepImagingLib.bundles.metadata import LIKENESS, OF_WEIGHTS, entries
from DeepImagingLib.bundles.source import read_source
from DeepImagingLib.training import checkpoint
from DeepImagingLib.training.checkpoint import write_whole
from DeepImagingLib.training.classifying import CROSS_ENTROPY
from DeepImagingLib.training.curves import Row
from DeepImagingLib.training.validate import MEAN

SHARED = ("network_def", "anchor_generator", "inferer")
"""What the bundle's inference takes over from the recipe, so that the two can't disagree."""

TAKEN = ("configs", "scripts")
EVEN = 0.5  # from which probability on new weights are taken at their word that an image is like those of the training
MOST_POINTS = 60  # of the curve in the metadata; the whole of it is in curve.csv


@dataclass(frozen=True)
class Account:
    """What a bundle tells of its training.

    Attributes:
        labels: Number of each channel → name.
        metrics: "SET: LABEL" → what was measured of the published weights.
        rows: Of the curve.
        facts: Steps, seed, minutes and the like.
        metric: What was measured.
        decided: Key of the metadata → what follows from the validation, such as a calibration.
    """

    labels: Mapping[int, str]
    metrics: Mapping[str, float]
    rows: Sequence[Row]
    facts: Mapping[str, Any]
    metric: str = "dice"
    decided: Mapping[str, Any] = field(default_factory=dict)


def publish_best(
    recipe: Path, output: Path, facts: Mapping[str, Any] | None = None, rows: Sequence[Row] | None = None
) -> float:
    """Write the bundle of the best checkpoint of a training, be it at its end or not; returns its score.

    Args:
        recipe: Folder of the recipe.
        output: Folder of the new bundle, with the training's folder in it.
        facts, rows: Of the whole training; without them, what was known when the checkpoint was written.

    Raises:
        InputError: There is no such checkpoint.
    """
    best = checkpoint.load(output / checkpoint.FOLDER / checkpoint.BEST)
    told = {**(facts or best["facts"]), "published_step": best["step"]}
    if spread := {name: one for name, one in best["spread"].items() if one}:
        told["spread"] = spread
    rows = rows if rows is not None else best["rows"]
    metric, decided = best.get("metric", Account.metric), best.get("decided", {})
    account = Account(best["labels"], best["metrics"], rows, told, metric, decided)
    publish(recipe, output, best["network"], account)
    return float(np.mean([value for name, value in best["metrics"].items() if name.endswith(f": {MEAN}")]))


def publish(recipe: Path, output: Path, weights: Mapping[str, torch.Tensor], account: Account) -> None:
    """Write the bundle: the recipe's configs, the weights in half precision, and what was measured.

    Args:
        recipe: Folder of the recipe.
        output: Folder of the new bundle.
        weights: Of the network.
        account: For the metadata.
    """
    model = output / "models" / "model.pt"
    model.unlink(missing_ok=True)  # killed in between, the folder shall hold no bundle rather than half of two
    for name in TAKEN:
        if (recipe / name).is_dir():
            shutil.copytree(
                recipe / name, output / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
    if (recipe / "LICENSE").is_file():
        shutil.copyfile(recipe / "LICENSE", output / "LICENSE")
    _share(output)
    path = output / "configs" / "metadata.json"
    metadata = read_source(path, output).config if path.is_file() else {}
    _write(path, _told(metadata, account))
    model.parent.mkdir(exist_ok=True)
    half = _halved(weights)
    write_whole(model, lambda file: torch.save(half, file))


def _halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in half precision; those that a network has under several names are stored once."""
    made: dict[tuple[int, torch.Size], torch.Tensor] = {}
    for value in weights.values():
        key = (value.data_ptr(), value.shape)
        if key not in made:
            made[key] = (value.half() if value.is_floating_point() else value).contiguous()
    return {name: made[value.data_ptr(), value.shape] for name, value in weights.items()}


def _share(output: Path) -> None:
    """Give `inference.json` the recipe's network and inferer, where both have them as plain settings."""
    configs = output / "configs"
    inference = configs / "inference.json"
    recipe = next(configs.glob("train.*"), None)
    if not inference.is_file() or recipe is None:
        return
    config, source = read_source(inference, output).config, read_source(recipe, output).config
    shared = {key: source[key] for key in SHARED if key in source and key in config and _is_plain(source[key])}
    _write(inference, {**config, **shared})


def _is_plain(value: Any) -> bool:
    """Tell whether nothing within refers to anything else of its config."""
    if isinstance(value, (dict, list)):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else value))
    return not (isinstance(value, str) and value[:1] in ("@", "$", "%"))


def _told(metadata: dict[str, Any], account: Account) -> dict[str, Any]:
    """Return metadata with channels, metrics, versions, and how the training went."""
    for output in entries(metadata, "outputs").values():
        output["num_channels"] = len(account.labels)  # type: ignore[index]  # read from JSON: a dict
        output["channel_def"] = {str(n): name for n, name in account.labels.items()}  # type: ignore[index]
    if "training" in metadata:
        begun = (
            f"trained by the recipe of {metadata.get('name', 'another bundle')} {metadata.get('version', '')}".strip()
        )
        metadata = {**metadata, "version": "0.1.0", "changelog": {"0.1.0": begun}}
    metadata = {key: value for key, value in metadata.items() if key not in OF_WEIGHTS}
    if isinstance(metadata.get(LIKENESS), dict):  # from where on other weights took images for like theirs
        metadata[LIKENESS] = metadata[LIKENESS] | {"least": EVEN}
    versions = {"monai": monai.__version__, "pytorch": torch.__version__.partition("+")[0], "numpy": np.__version__}
    return {
        **metadata,
        **account.decided,
        **{f"{name}_version": version for name, version in versions.items()},
        "eval_metrics": {_named(account.metric, name): round(value, 3) for name, value in account.metrics.items()},
        "training": {**account.facts, "curve": _thinned(account.rows)},
    }


def _named(metric: str, name: str) -> str:
    """Return what the figure "SET: LABEL" is called; what a classifier costs is measured beside its metric."""
    return name if name.endswith(f": {CROSS_ENTROPY}") else f"{metric}, {name}"


def _thinned(rows: Sequence[Row]) -> list[dict[str, float]]:
    """Return some rows, from the first to the last, with step, loss and the means of validation alone."""
    kept = [rows[n] for n in sorted({round(n) for n in np.linspace(0, len(rows) - 1, MOST_POINTS)})] if rows else []
    validated = [row for row in rows if any(name.endswith(": mean") for name in row)][-MOST_POINTS:]
    chosen = sorted({id(row): row for row in [*kept, *validated]}.values(), key=lambda row: row["step"])
    return [
        {name: round(value, 4) for name, value in row.items() if name in ("step", "loss") or name.endswith(": mean")}
        for row in chosen
    ]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
