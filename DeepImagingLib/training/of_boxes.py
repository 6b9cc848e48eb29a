"""Detectors trained on scans of your own: settings worked out from the data, and what the recipe says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepImagingLib.bundles.detector import SETTINGS
from DeepImagingLib.errors import InputError
from DeepImagingLib.training.augmentation import IMAGE, intensity, magnetic
from DeepImagingLib.training.cases import Facts
from DeepImagingLib.training.composing import of_the_image
from DeepImagingLib.training.continued import case_transforms, input_channels, network_settings, setting_of
from DeepImagingLib.training.planning import Choice, Plan, epochs, guessed_modality, intensities

if TYPE_CHECKING:
    from DeepImagingLib.bundles import Bundle

Settings = Mapping[str, Any]

STEPS = {"again": 1000, "scratch": 6000}
PATCH, WINDOW = 64, 96
LEAST_ANCHOR, ANCHORS = 2.0, 3
"""Voxels of the smallest anchor, and how many there are."""
FINEST_MM = 0.5
SELECTOR = {"score_thresh": 0.02, "topk_candidates_per_level": 1000, "nms_thresh": 0.22, "detections_per_img": 100}
SAMPLER = {"hard": 0.7, "batch_size_per_image": 96, "positive_fraction": 0.33, "pool_size": 20, "min_neg": 16}
NETWORK = {
    "spatial_dims": 3,
    "out_channels": 32,
    "kernel_size": [3, 3, 3, 3],
    "strides": [2, 2, 2, 2],
    "upsample_kernel_size": [2, 2, 2],
    "filters": [32, 64, 96, 128],
    "norm_name": ["INSTANCE", {"affine": True, "eps": 1e-3}],
}
DIVISIBLE = 16
"""Voxels that a side of this network's input has to be a multiple of."""


def plan(facts: Sequence[Facts], channels: Sequence[str], base: Bundle | None, outputs: int) -> Plan:
    """Return the settings of a training.

    Args:
        facts: Of the cases.
        channels: Of their images.
        base: To go on from; None begins from scratch.
        outputs: Labels of the network.

    Raises:
        BundleError: The bundle can't be gone on from.
        InputError: The images are pictures, or have another number of channels.
    """
    if any(len(one.shape) != 3 for one in facts) or (base and base.spatial_dims != 3):
        raise InputError("Detectors can't be trained on pictures yet; give volumes.")
    if base and len(channels) != input_channels(base):
        raise InputError(f"{base.name} takes {input_channels(base)} channels, and the cases have {len(channels)}.")
    modality = base.modality if base else guessed_modality(facts)
    steps = [{**step, "keys": IMAGE} for step in (*intensity(), *(magnetic() if modality.startswith("MR") else ()))]
    names = ", ".join(step["_target_"].removeprefix("Rand").removesuffix("d") for step in steps)
    return {
        **(_from(base, outputs) if base else _scratch(facts, len(channels), outputs, modality)),
        "augmentation": Choice(steps, f"{names}, beside mirroring: what {modality or 'any'} scans differ by"),
        "batch_size": Choice(2, "two patches steady a step"),
        "learning_rate": Choice(5e-4 if base else 1e-3, "half of what begins at random" if base else "for AdamW"),
        **epochs(facts, STEPS["again" if base else "scratch"]),
        "frozen": Choice(0.1 if base else 0.0, "share of the steps in which only new weights move"),
        "mask_weight": Choice(0.0 if base else 1.0, "what tells a fresh network sooner where to look"),
    }


def _from(base: Bundle, outputs: int) -> Plan:
    as_it_is = f"as {base.name} has it"
    settings = base.config[SETTINGS]
    window = _given(base, settings, "set_sliding_window_inferer").get("roi_size") or [WINDOW] * 3
    divisible = setting_of(base, base.detector).get("size_divisible", DIVISIBLE)
    sides = list(divisible) if isinstance(divisible, (list, tuple)) else [divisible] * 3
    patch = [max(side, min(length, PATCH) // side * side) for side, length in zip(sides, window, strict=True)]
    return {
        "preparation": Choice(of_the_image(case_transforms(base)), as_it_is),
        "network_def": Choice(network_settings(base, outputs), f"{as_it_is}, for {outputs} labels"),
        "anchor_generator": Choice(setting_of(base, base.detector, "anchor_generator"), as_it_is),
        "size_divisible": Choice(sides, as_it_is),
        "selector": Choice({**SELECTOR, **_given(base, settings, "set_box_selector_parameters")}, as_it_is),
        "window": Choice(list(window), as_it_is),
        "patch": Choice(patch, f"of its windows, {PATCH} voxels a side at most"),
    }


def _given(base: Bundle, settings: Settings, method: str) -> dict[str, Any]:
    """Return the arguments of a call that sets the base's detector up."""
    return dict(setting_of(base, SETTINGS, method)) if method in settings else {}


def _scratch(facts: Sequence[Facts], channels: int, outputs: int, modality: str) -> Plan:
    lengths = np.concatenate([one.lengths for one in facts])
    spacing, why = _spacing(facts, lengths)
    anchors = _anchors(lengths / spacing)
    shown = ", ".join(f"{one[0]:g} × {one[1]:g} × {one[2]:g}" for one in anchors)
    resampled = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": [spacing] * 3,
            "mode": "bilinear",
            "padding_mode": "border",
        },
    ]
    network = {
        "_target_": "monai.apps.detection.networks.retinanet_network.RetinaNet",
        "spatial_dims": 3,
        "num_classes": outputs,
        "num_anchors": len(anchors),
        "feature_extractor": {"_target_": "DynUNet", "in_channels": channels, **NETWORK},
        "size_divisible": [DIVISIBLE] * 3,
        "use_list_output": False,
    }
    generator = {
        "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
        "feature_map_scales": [1],
        "base_anchor_shapes": anchors,
    }
    return {
        "preparation": Choice(
            [*resampled, *of_the_image(intensities(facts, modality == "CT"))], f"spacing {spacing:g} mm, {why}"
        ),
        "network_def": Choice(network, "a small U-Net whose answer has half of the resolution"),
        "anchor_generator": Choice(generator, f"anchors of {shown} voxels, a third of the boxes each"),
        "size_divisible": Choice([DIVISIBLE] * 3, "what the network halves"),
        "selector": Choice(SELECTOR, "scores from 0.02, a hundred boxes a scan"),
        "window": Choice([WINDOW] * 3, "what fits into any memory"),
        "patch": Choice([PATCH] * 3, "what a CPU does in about a second"),
    }


def _spacing(facts: Sequence[Facts], lengths: Any) -> tuple[float, str]:
    """Return a voxel's side in mm: the scans' own, or larger where small boxes are many voxels wide."""
    own = float(np.median([sorted(one.spacing)[1] for one in facts]))
    small = float(np.percentile(lengths.max(axis=1), 10)) / (2 * LEAST_ANCHOR)
    chosen = round(max(FINEST_MM, own, small), 2)
    return chosen, "the scans' own" if chosen == round(own, 2) else "small boxes are a few voxels wide"


def _anchors(voxels: Any) -> list[list[float]]:
    """Return the mean shape of each third of the boxes, the small ones first."""
    thirds = np.array_split(voxels[voxels.prod(axis=1).argsort()], ANCHORS)
    return [[round(max(LEAST_ANCHOR, float(side)), 1) for side in some.mean(axis=0)] for some in thirds if len(some)]


def recipe(settings: Settings, outputs: int) -> Settings:
    """Return what a recipe of detection adds to `composing.train_config`, with MONAI's matcher, sampler and losses.

    Args:
        settings: Of a plan.
        outputs: Labels of the network.
    """
    typed = {"_target_": "EnsureTyped", "keys": ["image", "label"], "track_meta": False}
    rows = {"_target_": "DeepImagingLib.training.BoxRowsd"}
    cut = {"_target_": "DeepImagingLib.training.RandBoxPatchd", "patch": "@patch"}
    return {
        "detector": _detector(outputs),
        "sampler": {"_target_": "DeepImagingLib.training.GrowingHardness", **SAMPLER},
        "detector_ops": [
            "$@detector.set_atss_matcher(num_candidates=4, center_in_gt=False)",
            "$setattr(@detector, 'fg_bg_sampler', @sampler)",
            *_ops(settings),
        ],
        "loss": {
            "_target_": "DeepImagingLib.training.DetectorLoss",
            "detector": "@detector",
            "patch": "@patch",
            "mask_weight": "@mask_weight",
        },
        "case_transform": {"_target_": "Compose", "transforms": [*settings["preparation"], rows, typed]},
        "train_transform": "@case_transform",
        "validation_transform": "@case_transform",
        "patch_transform": {"_target_": "Compose", "transforms": [cut, *settings["augmentation"], typed]},
        "trainer": {
            "_requires_": "@detector_ops",
            "inferer": "@detector",
            "measure": {"_target_": "DeepImagingLib.training.measure_detector", "_mode_": "callable"},
            "metric": "sensitivity",
        },
    }


def _ops(settings: Settings) -> list[str]:
    """Return the calls that set a detector up, as every reader of bundles takes them: with plain arguments."""
    selector = ", ".join(f"{name}={value!r}" for name, value in settings["selector"].items())
    return [
        "$@detector.set_target_keys(box_key='box', label_key='label')",
        f"$@detector.set_box_selector_parameters({selector})",
        "$@detector.set_sliding_window_inferer(roi_size=@window, overlap=0.25, sw_batch_size=1, mode='gaussian')",
    ]


def _detector(outputs: int) -> Settings:
    return {
        "_target_": "monai.apps.detection.networks.retinanet_detector.RetinaNetDetector",
        "network": "@network",
        "anchor_generator": "@anchor_generator",
        "debug": False,
        "spatial_dims": 3,
        "num_classes": outputs,
        "size_divisible": "@size_divisible",
    }


def inference_config(settings: Settings, outputs: int) -> Settings:
    """Return what `inference.json` says: the same preparation and detector; MONAI's run writes `findings.json`."""
    loading = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]
    typed = {"_target_": "EnsureTyped", "keys": "image"}
    boxes = [
        {"_target_": "AffineBoxToWorldCoordinated", "box_keys": "box", "box_ref_image_keys": "image"},
        {"_target_": "ConvertBoxModed", "box_keys": "box", "src_mode": "xyzxyz", "dst_mode": "cccwhd"},
        {"_target_": "DeleteItemsd", "keys": ["image"]},
    ]
    prepared = "@preprocessing({'image': path})"
    found = "@detector([scan['image'].to(@device)], use_inferer=True)[0]"
    kept = "('box', 'label', 'label_scores')"
    placed = f"@postprocessing({{**{found}, 'image': scan['image']}})"
    plain = f"{{k: v.tolist() for k, v in {placed}.items() if k in {kept}}}"
    return {
        "imports": ["$import glob", "$import json", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "./data",
        "datalist": "$sorted(glob.glob(@dataset_dir + '/*.nii.gz'))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        **{key: settings[key] for key in ("window", "size_divisible", "network_def", "anchor_generator")},
        "network": "$@network_def.to(@device)",
        "detector": _detector(outputs),
        "detector_ops": _ops(settings),
        "preprocessing": {"_target_": "Compose", "transforms": [*loading, *settings["preparation"], typed]},
        "postprocessing": {"_target_": "Compose", "transforms": boxes},
        "find": f"$lambda path: (lambda scan: {plain})({prepared})",
        "initialize": [
            "$@network.load_state_dict(torch.load(@bundle_root + '/models/model.pt', map_location=@device, "
            "weights_only=True))",
            "$@detector_ops",
            "$@detector.eval()",
            "$torch.set_grad_enabled(False)",
            "$os.makedirs(@output_dir, exist_ok=True)",
        ],
        "run": [
            "$json.dump({os.path.basename(path): @find(path) for path in @datalist}, "
            "open(@output_dir + '/findings.json', 'w'))"
        ],
    }
