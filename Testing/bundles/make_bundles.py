"""Small bundles in the style of MONAI's zoo, with seeded random weights, for every test that needs one to run.

Networks are narrow and windows small, so that a run takes a second or two; weights are spread widely enough that
the masks are not of one label. Sources are the published configs' habits, not their files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

DEVICE = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
WINDOW = [64, 64, 64]
BODY_LABELS = 105
BTCV_LABELS = ["background", "spleen", "right kidney", "left kidney", "gallbladder", "esophagus", "liver", "stomach"]
BTCV_LABELS += ["aorta", "inferior vena cava", "veins", "pancreas", "right adrenal gland", "left adrenal gland"]

Config = dict[str, Any]


def write_spleen_like(folder: Path, seed: int = 0) -> Path:
    """Write a bundle built like `spleen_ct_segmentation`: a UNet of two channels, Invertd before the argmax."""
    network = {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [8, 16, 32],
        "strides": [2, 2],
        "num_res_units": 1,
        "norm": "batch",
    }
    config = ct_config(network, window=(-57, 164))
    metadata = ct_metadata("Decathlon spleen segmentation", ["background", "spleen"])
    return write_bundle(folder, config, metadata, unet(), seed=seed)


def unet() -> torch.nn.Module:
    """Return the network of the spleen-like bundle."""
    from monai.networks.nets import UNet

    return UNet(3, 1, 2, channels=(8, 16, 32), strides=(2, 2), num_res_units=1, norm="batch")


def write_wholebody_like(folder: Path, seed: int = 0, *, highres: bool = False) -> Path:
    """Write a bundle built like `wholeBody_ct_segmentation`: 105 labels, argmax before Invertd, two sets of weights.

    `highres` chooses the spacing and which weights are loaded, by the config's own expressions.
    """
    from monai.networks.nets import SegResNet

    network = {
        "_target_": "SegResNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": BODY_LABELS,
        "init_filters": 8,
        "blocks_down": [1, 1, 1],
        "blocks_up": [1, 1],
        "dropout_prob": 0.2,
    }
    switch = {"highres": highres, "sw_overlap": 0.25, "sw_batch_size": 1}
    config = {"displayable_configs": switch, **ct_config(network, window=(0, 1))}
    config["pixdim"] = "$[1.5, 1.5, 1.5] if @displayable_configs#highres else [3.0, 3.0, 3.0]"
    config["modelname"] = "$'model.pt' if @displayable_configs#highres else 'model_lowres.pt'"
    config["checkpointloader"]["load_path"] = "$@bundle_root + '/models/' + @modelname"
    config["preprocessing"]["transforms"] = [
        {"_target_": "LoadImaged", "keys": "@image_key"},
        {"_target_": "EnsureTyped", "keys": "@image_key"},
        {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
        {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "@image_key", "pixdim": "@pixdim", "mode": "bilinear"},
        {"_target_": "NormalizeIntensityd", "keys": "@image_key", "nonzero": True},
        {"_target_": "ScaleIntensityd", "keys": "@image_key", "minv": -1.0, "maxv": 1.0},
    ]
    config["inferer"] |= {
        "sw_batch_size": "@displayable_configs#sw_batch_size",
        "overlap": "@displayable_configs#sw_overlap",
        "padding_mode": "replicate",
        "mode": "gaussian",
        "device": DEVICE,
    }
    softmax, invert, argmax, save = config["postprocessing"]["transforms"]
    config["postprocessing"]["transforms"] = [softmax, argmax, invert | {"nearest_interp": True}, save]
    labels = ["background", *(f"structure {number}" for number in range(1, BODY_LABELS))]
    made = SegResNet(3, 8, 1, BODY_LABELS, 0.2, blocks_down=(1, 1, 1), blocks_up=(1, 1))
    written = write_bundle(folder, config, ct_metadata("TotalSegmentator Segmentation", labels), made, seed=seed)
    save_weights(made, written / "models" / "model_lowres.pt", seed + 1)
    return written


def write_swin_like(folder: Path, seed: int = 0, *, img_size: bool = False) -> Path:
    """Write a bundle built like `swin_unetr_btcv_segmentation`, with or without the argument that MONAI removed."""
    from monai.networks.nets import SwinUNETR

    network = {
        "_target_": "SwinUNETR",
        "spatial_dims": 3,
        **({"img_size": 96} if img_size else {}),
        "in_channels": 1,
        "out_channels": len(BTCV_LABELS),
        "feature_size": 12,
        "use_checkpoint": False,
    }
    config = ct_config(network, window=(-175, 250))
    config["checkpoint"] = "$@bundle_root + '/models/model.pt'"
    config["checkpointloader"]["load_path"] = "$@checkpoint"
    config["preprocessing"]["transforms"][0]["reader"] = "ITKReader"
    config["inferer"] |= {"overlap": 0.25}
    made = SwinUNETR(1, len(BTCV_LABELS), feature_size=12)
    return write_bundle(folder, config, ct_metadata("BTCV multi-organ segmentation", BTCV_LABELS), made, seed=seed)


def write_brats_like(folder: Path, seed: int = 0) -> Path:
    """Write a bundle built like `brats_mri_segmentation`: four named channels in, three overlapping labels out."""
    from monai.networks.nets import SegResNet

    network = {
        "_target_": "SegResNet",
        "blocks_down": [1, 1, 1],
        "blocks_up": [1, 1],
        "init_filters": 8,
        "in_channels": 4,
        "out_channels": 3,
        "dropout_prob": 0.2,
    }
    config = ct_config(network, window=(0, 1))
    config["preprocessing"]["transforms"] = [
        {"_target_": "LoadImaged", "keys": "@image_key", "image_only": False},
        {"_target_": "NormalizeIntensityd", "keys": "@image_key", "nonzero": True, "channel_wise": True},
    ]
    save = config["postprocessing"]["transforms"][-1]
    config["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        invertd() | {"meta_keys": "pred_meta_dict"},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
        {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: torch.where(x[[2]] > 0, 4, 0)"},
        save | {"meta_keys": "pred_meta_dict", "resample": False},
    ]
    metadata = ct_metadata("Multimodal Brain Tumor segmentation", ["Tumor core", "Whole tumor", "Enhancing tumor"])
    image = metadata["network_data_format"]["inputs"]["image"]
    image |= {"modality": "MR", "format": "magnitude", "num_channels": 4, "value_range": []}
    image["channel_def"] = {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}
    made = SegResNet(3, 8, 4, 3, 0.2, blocks_down=(1, 1, 1), blocks_up=(1, 1))
    return write_bundle(folder, config, metadata, made, seed=seed)


def write_slicewise_like(folder: Path, seed: int = 0) -> Path:
    """Write a bundle built like `ventricular_short_axis_3label`: a 2-D UNet that goes through a volume by slices."""
    from monai.networks.nets import UNet

    network = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 4}
    config = ct_config(network | {"channels": [8, 16, 32], "strides": [2, 2]}, window=(0, 1))
    config["preprocessing"]["transforms"] = [
        {"_target_": "LoadImaged", "keys": "image", "image_only": False},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "ScaleIntensityd", "keys": "image"},
        {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
    ]
    config["inferer"] = {"_target_": "SliceInferer", "roi_size": [64, 64], "spatial_dim": 2}
    metadata = ct_metadata("Left and right ventricle", ["background", "lv_pool", "myocardium", "rv_pool"])
    metadata["network_data_format"]["inputs"]["image"] |= {"spatial_shape": [64, 64], "modality": "MR"}
    return write_bundle(folder, config, metadata, UNet(2, 1, 4, channels=(8, 16, 32), strides=(2, 2)), seed=seed)


def invertd() -> Config:
    """Return the Invertd step as the zoo's bundles have it."""
    return {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "@image_key",
        "nearest_interp": False,
        "to_tensor": True,
    }


def ct_config(network: Config, *, window: tuple[float, float]) -> Config:
    """Return an inference config in the zoo's usual order, scaling the intensities of `window` to 0..1."""
    return {
        "imports": ["$import glob", "$import numpy", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "output_dtype": "$numpy.float32",
        "dataset_dir": "/workspace/data",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
        "device": DEVICE,
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "@image_key"},
                {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
                {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "@image_key",
                    "a_min": window[0],
                    "a_max": window[1],
                    "b_min": 0,
                    "b_max": 1,
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "@image_key"},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": WINDOW, "sw_batch_size": 2, "overlap": 0.5},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                invertd(),
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_dtype": "@output_dtype",
                },
            ],
        },
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$monai.utils.set_determinism(seed=123)", "$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
    }


def ct_metadata(task: str, labels: list[str]) -> Config:
    """Return a metadata.json for a CT of one channel and the given output channels."""
    image = {"type": "image", "format": "hounsfield", "modality": "CT", "num_channels": 1, "spatial_shape": WINDOW}
    pred = {"type": "image", "format": "segmentation", "num_channels": len(labels), "spatial_shape": WINDOW}
    return {
        "version": "0.1.0",
        "monai_version": "1.6.1",
        "task": task,
        "description": "Random weights, for tests.",
        "network_data_format": {
            "inputs": {"image": image | {"value_range": [0, 1], "channel_def": {"0": "image"}}},
            "outputs": {"pred": pred | {"channel_def": {str(i): name for i, name in enumerate(labels)}}},
        },
    }


def write_bundle(
    folder: Path, config: Config, metadata: Config, network: torch.nn.Module | None = None, *, seed: int = 0
) -> Path:
    """Write `configs/` and, where a network is given, `models/model.pt` with seeded weights; returns `folder`."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config, indent=4), encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4), encoding="utf-8")
    if network is not None:
        save_weights(network, folder / "models" / "model.pt", seed)
    return folder


def save_weights(network: torch.nn.Module, path: Path, seed: int) -> None:
    """Save the network's state dict with seeded weights, wide enough that the labels compete."""
    generator = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, value in state.items():
        if value.is_floating_point() and value.ndim > 1:
            fan_in = value[0].numel()
            state[name] = torch.randn(value.shape, generator=generator) * (2.0 / fan_in) ** 0.5
        elif name.endswith("bias"):
            state[name] = torch.randn(value.shape, generator=generator) * 0.1
    torch.save(state, path)


def read_config(bundle: Path) -> Config:
    """Return the inference config of a written bundle."""
    config: Config = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    return config


def change_config(bundle: Path, changes: Config) -> Path:
    """Set keys ("network_def#_target_") of a written bundle's config to other values; returns `bundle`."""
    config = read_config(bundle)
    for ident, value in changes.items():
        *parents, last = ident.split("#")
        place: Any = config
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[int(last) if isinstance(place, list) else last] = value
    (bundle / "configs" / "inference.json").write_text(json.dumps(config, indent=4), encoding="utf-8")
    return bundle


def change_metadata(bundle: Path, **told: Any) -> Path:
    """Set keys of a written bundle's metadata to other values; returns `bundle`."""
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8")) | told
    path.write_text(json.dumps(metadata, indent=4), encoding="utf-8")
    return bundle
