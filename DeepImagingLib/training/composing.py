"""A recipe put together for labelled scans: a plain MONAI bundle with `train.json`, from a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.training.cases.dataset import CLASSIFICATION, DETECTION, SEGMENTATION

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

Settings = Mapping[str, Any]
Steps = Sequence[Mapping[str, Any]]

BOTH = ["image", "label"]
CASES = "$@output_dir + '/training/cases.json'"
PLACES = "label_cls_indices"
THRESHOLD = "score_threshold"
KEPT = ("groups", "hidden", "borders", THRESHOLD)
"""Keys of the metadata of a bundle that hold for what is trained from it."""
OUTPUT: Mapping[str, Settings] = {
    SEGMENTATION: {"is_patch_data": True, "format": "segmentation"},
    CLASSIFICATION: {"type": "probabilities", "dtype": "float32", "format": "classes"},
    DETECTION: {"type": "object", "format": "dict"},
}
MOST_PLACES = 10_000
"""Voxels of each label that patches are drawn around; to look for them in each draw would take seconds."""


def train_config(
    settings: Settings,
    labels: Mapping[str, str],
    head: Mapping[str, Sequence[int]],
    own: Settings,
) -> Settings:
    """Return what `train.json` says.

    Args:
        settings: Key → value at the top, of a plan.
        labels: Number of each output of the network → name.
        head: Weights with a row for each label, with the axes.
        own: What a task adds: its loss, data and validation, and under `trainer` how it is measured.
    """
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/trained'",
        "device": "$'cuda' if torch.cuda.is_available() else 'cpu'",
        "seed": 0,
        "cases": CASES,
        "start": None,
        "trust": None,
        "minutes": None,
        "resume": False,
        "cache_gb": 4.0,
        **settings,
        "labels": dict(labels),
        "processes": 1,
        "steps": "$max(1, @epochs * len(@train_cases) // (@batch_size * @accumulate * @processes))",
        "network": "$@network_def.to(@device)",
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "params": "$@network.parameters()",
            "lr": "@learning_rate",
            "weight_decay": "@weight_decay",
        },
        "lr_scheduler": {
            "_target_": "torch.optim.lr_scheduler.OneCycleLR",
            "optimizer": "@optimizer",
            "max_lr": "@learning_rate",
            "total_steps": "$@steps + 1",
            "pct_start": 0.1,
            "cycle_momentum": False,
        },
        "train_cases": _cases("train", "@train_transform"),
        "data": {
            "_target_": "DeepImagingLib.training.Shuffled",
            "data": "@train_cases",
            "transform": "@patch_transform",
            "seed": "@seed",
        },
        "validation": {"cases": _cases("validation", "@validation_transform")},
        "earlier_weights": {
            "_target_": "DeepImagingLib.training.EarlierWeights",
            "bundle": "@start",
            "labels": "@labels",
            "head": dict(head),
            "trust": "@trust",
        },
        "initialize": ["$monai.utils.set_determinism(seed=@seed)"],
        "run": ["$@trainer.run()"],
        **own,
        "trainer": {
            "_target_": "DeepImagingLib.training.Trainer",
            "network": "@network",
            "loss": "@loss",
            "optimizer": "@optimizer",
            "lr_scheduler": "@lr_scheduler",
            "data": "@data",
            "labels": "@labels",
            "inferer": "@inferer",
            "validation": "@validation",
            "steps": "@steps",
            "batch_size": "@batch_size",
            "accumulate": "@accumulate",
            "device": "@device",
            "seed": "@seed",
            "resume": "@resume",
            "minutes": "@minutes",
            "output": "@output_dir",
            "bundle": "@bundle_root",
            "validate_every": "$max(1, @steps // 10)",
            "patience": "@patience",
            "frozen": "@frozen",
            "before": "$@earlier_weights if @start else None",
            **own["trainer"],
        },
    }


def of_masks(settings: Settings, labels: Sequence[str], drawn: Sequence[str]) -> Settings:
    """Return what a recipe of segmentation adds to `train_config`.

    Args:
        settings: Of a plan.
        labels: Of the network, the background first.
        drawn: Those of them that the cases have, in their order.
    """
    order = [0, *(labels.index(name) for name in drawn)]
    preparation: list[Any] = [*settings["preparation"]]
    if order != list(range(len(order))):
        numbers = {"orig_labels": list(range(len(order))), "target_labels": order}
        preparation.append({"_target_": "MapLabelValued", "keys": "label", **numbers})
    typed = {"_target_": "EnsureTyped", "keys": BOTH, "track_meta": False}
    if settings["keep_old"]:
        old = "DeepImagingLib.training.OldLabelsd"
        preparation.append(
            {"_target_": old, "keys": "label", "bundle": "@start", "device": "@device", "trust": "@trust"}
            | {"drawn": order[1:]}
        )
    kept = [name for number, name in enumerate(labels) if number not in order]
    beside = {"measure": {"_target_": "DeepImagingLib.training.DiceBesideKept", "kept": kept}} if kept else {}
    return {
        "loss": {"_target_": "DeepImagingLib.training.PresentDiceCELoss"},
        "case_transform": {"_target_": "Compose", "transforms": [*preparation, typed]},
        "validation_transform": "@case_transform",
        "pad": {"_target_": "SpatialPadd", "keys": BOTH, "spatial_size": "@patch", "mode": "edge"},
        "places": {
            "_target_": "ClassesToIndicesd",
            "keys": "label",
            "num_classes": "$len(@labels)",
            "max_samples_per_class": MOST_PLACES,
        },
        "train_transform": {"_target_": "Compose", "transforms": ["@case_transform", "@pad", "@places"]},
        "crop": {
            "_target_": "RandCropByLabelClassesd",
            "keys": BOTH,
            "label_key": "label",
            "indices_key": PLACES,
            "spatial_size": "@patch",
            "num_classes": "$len(@labels)",
            "num_samples": 1,
            "warn": False,
        },
        "patch_transform": {
            "_target_": "Compose",
            "transforms": ["@crop", {"_target_": "DeleteItemsd", "keys": PLACES}, *settings["augmentation"], "@typed"],
        },
        "typed": typed,
        "trainer": beside,
    }


def _cases(split: str, transform: str) -> Settings:
    kind = "DeepImagingLib.training.Cases"
    return {
        "_target_": kind,
        "path": "@cases",
        "split": split,
        "transform": transform,
        "memory": "@cache_gb",
    }


def inference_config(
    settings: Settings, inferer: Settings, postprocessing: Steps, handlers: Steps = (), ending: str = "nii.gz"
) -> Settings:
    """Return what `inference.json` says: the same preparation and network, run by MONAI's evaluator.

    Args:
        settings: Of a plan.
        inferer: Runs the network.
        postprocessing: Of its answer.
        handlers: Beside the one that loads the weights.
        ending: Of the files in the folder that MONAI's run takes.
    """
    loading = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]
    weights = {
        "_target_": "CheckpointLoader",
        "load_path": "$@bundle_root + '/models/model.pt'",
        "load_dict": {"model": "@network"},
    }
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "./data",
        "datalist": f"$list(sorted(glob.glob(@dataset_dir + '/*.{ending}')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": settings["network_def"],
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*loading, *of_the_image(settings["preparation"])]},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": dict(inferer),
        "postprocessing": {"_target_": "Compose", "transforms": list(postprocessing)},
        "handlers": [weights, *handlers],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$os.makedirs(@output_dir, exist_ok=True)"],
        "run": ["$@evaluator.run()"],
    }


MASKS: Steps = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
        "to_tensor": True,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_dtype": "uint8"},
]
"""What makes a mask of a segmentation network's answer, labels that exclude each other."""


def of_the_image(steps: Steps) -> list[dict[str, Any]]:
    """Return steps for an image and its labels as those for the image alone."""
    return [_alone(step) for step in steps]


def _alone(step: Mapping[str, Any]) -> dict[str, Any]:
    alone = {**step, "keys": "image"}
    if isinstance(step.get("mode"), list):
        alone["mode"] = step["mode"][0]
    return alone


def metadata(
    name: str,
    task: str,
    labels: Mapping[str, str],
    channels: Sequence[str],
    modality: str,
    patch: Sequence[int],
    splits: Mapping[str, Sequence[str]],
    base: Bundle | None,
) -> Settings:
    """Return what `metadata.json` says, before there is anything measured.

    Args:
        name: That lists of models show.
        task: One of `cases.TASKS`.
        labels: Number of each of the network's outputs → name.
        channels: Of the image.
        modality: As "CT".
        patch: Shape of what the network sees at once.
        splits: Split → hashes of its images.
        base: The bundle that was gone on from.
    """
    names = list(labels.values())[1:] if task == SEGMENTATION else list(labels.values())
    does = f"{task.capitalize()} of {', '.join(names)}"
    kept = {key: base.metadata[key] for key in KEPT if base and key in base.metadata}
    if base and not {*labels.values()} >= _meant(base):
        kept = {key: value for key, value in kept.items() if key == THRESHOLD}
    if base and modality != base.modality:
        kept.pop("borders", None)
    value = {"type": "image", "dtype": "float32", "spatial_shape": list(patch)}
    return {
        "version": "0.1.0",
        "changelog": {
            "0.1.0": f"trained on labelled scans, from {base.name + ' ' + base.version if base else 'scratch'}"
        },
        "name": name,
        "task": does,
        "description": f"{does} in {modality or 'images'}, trained on {len(splits['train'])} scans.",
        "intended_use": "Research only; not for clinical use",
        "network_data_format": {
            "inputs": {
                "image": {
                    **value,
                    "is_patch_data": task != CLASSIFICATION,
                    "modality": modality,
                    "num_channels": len(channels),
                    "channel_def": {str(n): name for n, name in enumerate(channels)},
                }
            },
            "outputs": {
                "pred": {
                    **(value if task == SEGMENTATION else {}),
                    **OUTPUT[task],
                    "num_channels": len(labels),
                    "channel_def": dict(labels),
                }
            },
        },
        "data_split": {split: list(hashes) for split, hashes in splits.items()},
        **kept,
    }


def _meant(base: Bundle) -> set[str]:
    """Return the labels without which what the bundle tells of groups and borders has no meaning."""
    numbers = {number for border in base.borders for number in (*border.labels, *border.into)}
    return {label for group in base.groups.values() for label in group} | {base.labels[number] for number in numbers}


def write_recipe(folder: Path, train: Settings, inference: Settings, told: Settings) -> None:
    """Write the recipe's three files."""
    configs = folder / "configs"
    configs.mkdir(parents=True, exist_ok=True)
    for name, content in (("train", train), ("inference", inference), ("metadata", told)):
        text = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
        (configs / f"{name}.json").write_text(text, encoding="utf-8")
