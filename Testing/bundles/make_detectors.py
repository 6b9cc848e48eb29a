"""Small detection bundles in the style of the zoo's `lung_nodule_ct_detection`, with seeded random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from DeepImagingLib.bundles import torchvision_parts

Config = dict[str, Any]
SPACING = [2.0, 2.0, 2.5]


def write_detector(
    folder: Path,
    *,
    spatial_dims: int = 3,
    classes: Sequence[str] = ("nodule",),
    window: Sequence[int] = (32, 32, 32),
    settings: Config | None = None,
    seed: int = 0,
) -> Path:
    """Write a bundle whose residual network is so narrow that a run takes a second; returns its folder.

    Args:
        folder: To be made.
        spatial_dims: 2 or 3.
        classes: Names of what it finds.
        window: Voxels.
        settings: Further keys of the config, which replace those there are.
        seed: Of the weights.
    """
    config = detector_config(spatial_dims, len(classes), window) | (settings or {})
    write_config(folder, config, detector_metadata(classes, spatial_dims))
    network = load_network(folder)
    spread(network, seed)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def write_config(folder: Path, config: Config, metadata: Config) -> None:
    """Write the texts of a bundle."""
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config, indent=2))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=2))


def load_network(folder: Path) -> torch.nn.Module:
    """Return a bundle's network as MONAI's own parser makes it, without weights."""
    from monai.bundle import ConfigParser

    torchvision_parts.load()
    parser = ConfigParser(json.loads((folder / "configs" / "inference.json").read_text()))
    return parser.get_parsed_content("network_def")


def spread(network: torch.nn.Module, seed: int) -> None:
    """Draw weights by which scores differ from place to place, and boxes are about as large as their anchors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                fan = parameter[0].numel()
                parameter.normal_(0, (2 / fan) ** 0.5, generator=generator)
            elif "norm" in name or "bn" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        network.classification_head.cls_logits.weight.mul_(0.6)
        network.classification_head.cls_logits.bias.fill_(-2)
        network.regression_head.bbox_reg.weight.mul_(0.3)


def detector_config(spatial_dims: int, classes: int, window: Sequence[int]) -> Config:
    """Return an inference config in the zoo's words."""
    return {
        "whether_raw_luna16": False,
        "whether_resampled_luna16": "$(not @whether_raw_luna16)",
        "imports": ["$import glob", "$import numpy", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "spatial_dims": spatial_dims,
        "num_classes": classes,
        "force_sliding_window": False,
        "size_divisible": [8] * spatial_dims,
        "infer_patch_size": list(window),
        "anchor_generator": {
            "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
            "feature_map_scales": [1, 2],
            "base_anchor_shapes": [[6, 8, 4][:spatial_dims], [8, 6, 5][:spatial_dims], [10, 10, 6][:spatial_dims]],
        },
        "backbone": {
            "_target_": "ResNet",
            "block": "basic",
            "layers": [1, 1, 1, 1],
            "block_inplanes": [8, 8, 8, 8],
            "spatial_dims": "@spatial_dims",
            "n_input_channels": 1,
            "conv1_t_size": 3,
            "conv1_t_stride": 2,
        },
        "feature_extractor": {
            "_target_": "monai.networks.blocks.backbone_fpn_utils.BackboneWithFPN",
            "backbone": "@backbone",
            "return_layers": {"layer1": "0"},
            "in_channels_list": [8],
            "out_channels": 8,
            "spatial_dims": "@spatial_dims",
        },
        "network_def": {
            "_target_": "RetinaNet",
            "spatial_dims": "@spatial_dims",
            "num_classes": "@num_classes",
            "num_anchors": 3,
            "feature_extractor": "@feature_extractor",
            "size_divisible": "@size_divisible",
            "use_list_output": False,
        },
        "network": "$@network_def.to(@device)",
        "detector": {
            "_target_": "RetinaNetDetector",
            "network": "@network",
            "anchor_generator": "@anchor_generator",
            "debug": False,
            "spatial_dims": "@spatial_dims",
            "num_classes": "@num_classes",
            "size_divisible": "@size_divisible",
        },
        "detector_ops": [
            "$@detector.set_target_keys(box_key='box', label_key='label')",
            "$@detector.set_box_selector_parameters(score_thresh=0.02,topk_candidates_per_level=200,nms_thresh=0.22,"
            "detections_per_img=100)",
            "$@detector.set_sliding_window_inferer(roi_size=@infer_patch_size,overlap=0.25,sw_batch_size=1,"
            "mode='constant',device='cpu')",
        ],
        "preprocessing": {"_target_": "Compose", "transforms": steps(spatial_dims)},
        "inferer": {
            "_target_": "scripts.detection_inferer.RetinaNetInferer",
            "detector": "@detector",
            "force_sliding_window": "@force_sliding_window",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "ClipBoxToImaged", "box_keys": "box", "box_ref_image_keys": "@image_key"},
                {"_target_": "AffineBoxToWorldCoordinated", "box_keys": "box", "box_ref_image_keys": "@image_key"},
                {"_target_": "ConvertBoxModed", "box_keys": "box", "src_mode": "xyzxyz", "dst_mode": "cccwhd"},
            ],
        },
        "evaluator": {"_target_": "scripts.evaluator.DetectionEvaluator", "_requires_": "@detector_ops"},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
        "run": ["$@evaluator.run()"],
    }


def steps(spatial_dims: int) -> list[Config]:
    """Return the preprocessing: as the zoo's, Spacingd is left to the user."""
    loading = [
        {"_target_": "LoadImaged", "keys": "@image_key"},
        {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
    ]
    if spatial_dims == 2:
        return [*loading, {"_target_": "ScaleIntensityd", "keys": "@image_key"}]
    return [
        *loading,
        {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            "keys": "@image_key",
            "pixdim": SPACING,
            "_disabled_": "@whether_resampled_luna16",
        },
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "@image_key",
            "a_min": -1024.0,
            "a_max": 300.0,
            "b_min": 0.0,
            "b_max": 1.0,
            "clip": True,
        },
        {"_target_": "EnsureTyped", "keys": "@image_key"},
    ]


def detector_metadata(classes: Sequence[str], spatial_dims: int) -> Config:
    """Return the metadata, with a threshold."""
    return {
        "name": "Lung nodule CT detection",
        "version": "0.1.0",
        "task": "CT lung nodule detection",
        "score_threshold": 0.3,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "modality": "CT" if spatial_dims == 3 else "CR",
                    "num_channels": 1,
                    "spatial_shape": ["8*n"] * spatial_dims,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {"type": "object", "format": "dict", "channel_def": dict(enumerate(classes))},
            },
        },
    }


RADIUS = 6
"""Millimetres of the ball that the detector of brightness boxes."""
FINE = 0.5
"""Millimetres at which it works: what it tells of places is twice as coarse."""


def write_brightness_detector(folder: Path) -> Path:
    """Write a bundle that boxes what is bright: its weights are set by hand, so that a score is a local mean.

    It works at `FINE`; of its two levels the coarser one has anchors of no size, which no box can come of.
    """
    config = detector_config(3, 1, (96, 96, 96))
    width = 2 * RADIUS / FINE
    config["anchor_generator"] |= {"feature_map_scales": [1, 0.001], "base_anchor_shapes": [[width] * 3]}
    config["network_def"]["num_anchors"] = 1
    config["backbone"] |= {"conv1_t_stride": 1}
    load, first, orientation, spacing, scale, last = config["preprocessing"]["transforms"]
    spacing = {**spacing, "pixdim": [FINE] * 3}
    smooth = {"_target_": "GaussianSmoothd", "keys": "@image_key", "sigma": RADIUS / 2 / FINE}
    config["preprocessing"]["transforms"] = [load, first, orientation, spacing, scale, smooth, last]
    write_config(folder, config, detector_metadata(("ball",), 3))
    network = load_network(folder)
    _see_brightness(network, width)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def _see_brightness(network: Any, width: float) -> None:
    """Let every channel be the image, its local means after each convolution of the head, and boxes their anchors.

    Of the anchors' `width`, boxes are moved by as much as MONAI puts anchors beside the centre of what they see: a
    place of the map stands for every second voxel from the first, its anchors for the one after.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0)
        extractor = network.feature_extractor
        middle = (slice(None), 0, 1, 1, 1)
        extractor.body.conv1.weight[middle] = 1
        extractor.fpn.inner_blocks[0].weight[:, 0] = 1
        extractor.fpn.layer_blocks[0].weight[middle] = 1
        for layer in network.classification_head.conv:
            if isinstance(layer, torch.nn.Conv3d):
                layer.weight[:, 0] = 1 / 27
        network.classification_head.cls_logits.weight[0, 0] = 0.2 / 27
        network.classification_head.cls_logits.bias.fill_(-1)
        network.regression_head.bbox_reg.bias[:3] = -1 / width


def ball(shape: Sequence[int], affine: Any, center: Sequence[float]) -> Any:
    """Return an image (1, I, J, K) of a bright ball at a place in RAS mm, voxels at its edge in part."""
    import numpy as np

    from DeepImagingLib.files import as_image

    parts = 4
    indices = [(np.arange(parts * n) + 0.5) / parts - 0.5 for n in shape]
    fine = np.stack(np.meshgrid(*indices, indexing="ij"), -1)
    away = np.linalg.norm(fine @ affine[:3, :3].T + affine[:3, 3] - center, axis=-1)
    inside = (away < RADIUS).reshape([side for n in shape for side in (n, parts)]).mean((1, 3, 5))
    return as_image((-1000 + 1200 * inside)[None].astype(np.float32), affine)
