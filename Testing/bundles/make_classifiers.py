"""Small classification bundles built like those of MONAI's zoo, with seeded random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from DeepImagingLib.bundles import torchvision_parts
from Testing.bundles.make_bundles import DEVICE
from Testing.bundles.make_detectors import write_config

Config = dict[str, Any]
DENSE = {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}


def write_classifier(
    folder: Path,
    network: Config,
    preprocessing: Sequence[Config],
    postprocessing: Sequence[Config],
    labels: Sequence[str],
    *,
    channels: Sequence[str] = ("image",),
    shape: Sequence[int] = (64, 64),
    seed: int = 0,
    **metadata: Any,
) -> Path:
    """Write a bundle with random weights; `preprocessing` are the steps behind LoadImaged and EnsureChannelFirstd."""
    keys = [key for step in preprocessing if step["_target_"] == "AddLabelAsGuidanced" for key in ("image", "label")]
    keys = keys or ["image"]
    loading = [{"_target_": "LoadImaged", "keys": keys}, {"_target_": "EnsureChannelFirstd", "keys": keys}]
    config = {
        "imports": ["$import os"],
        "bundle_root": ".",
        "device": DEVICE,
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*loading, *preprocessing]},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": list(postprocessing)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
            }
        ],
    }
    inputs = {
        "type": "magnitude",
        "format": "magnitude",
        "num_channels": max(len(channels), metadata.pop("num_channels", 1)),
        "spatial_shape": list(shape),
        "is_patch_data": metadata.pop("is_patch_data", False),
        "channel_def": {str(n): name for n, name in enumerate(channels)},
    }
    outputs = {"format": "classes", "channel_def": {str(n): name for n, name in enumerate(labels)}}
    told = {
        "version": "0.1.0",
        "name": folder.name,
        "task": "classification",
        "network_data_format": {"inputs": {"image": inputs}, "outputs": {"pred": outputs}},
        **metadata,
    }
    write_config(folder, config, told)
    torch.manual_seed(seed)
    made = network_of(network)
    (folder / "models").mkdir(exist_ok=True)
    torch.save(made.state_dict(), folder / "models" / "model.pt")
    return folder


def network_of(config: Config) -> torch.nn.Module:
    """Return the network of a config, by MONAI's name for it, with nothing downloaded."""
    from monai.networks import nets

    torchvision_parts.load_for(config)
    arguments = {key: value for key, value in config.items() if key not in ("_target_", "pretrained", "weights")}
    made: torch.nn.Module = getattr(nets, config["_target_"])(**arguments)
    return made.eval()


def write_breast_density_like(folder: Path) -> Path:
    """Write a bundle of torchvision's that asks for downloaded weights, whose four labels don't exclude each other."""
    network = {
        "_target_": "TorchVisionFCModel",
        "model_name": "resnet18",
        "num_classes": 4,
        "pool": None,
        "use_conv": False,
        "bias": True,
        "pretrained": True,
    }
    steps = [
        {"_target_": "ScaleIntensityd", "keys": "image", "minv": 0.0, "maxv": 1.0},
        {"_target_": "Resized", "keys": "image", "spatial_size": [64, 64]},
    ]
    post = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]
    return write_classifier(folder, network, steps, post, "ABCD", num_channels=3)


def write_endoscopy_like(folder: Path) -> Path:
    """Write a bundle for coloured frames that has no activation, but an argmax, and a saver among its steps."""
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 3, "out_channels": 2, **DENSE}
    steps = [
        {"_target_": "Resized", "keys": "image", "spatial_size": [48, 48], "mode": "bilinear"},
        {"_target_": "CastToTyped", "keys": "image", "dtype": "$torch.float32"},
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
        {"_target_": "EnsureTyped", "keys": "image"},
    ]
    post = [
        {"_target_": "AsDiscreted", "keys": ["pred"], "argmax": True, "to_onehot": 2},
        {"_target_": "SaveClassificationd", "keys": "pred", "output_dir": "@bundle_root", "filename": "out.csv"},
    ]
    return write_classifier(folder, network, steps, post, ["in body", "out body"], channels="RGB")


def write_nuclei_like(folder: Path) -> Path:
    """Write a bundle that takes a patch and the mask of the nucleus that is meant."""
    network = {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 4, "out_channels": 4, **DENSE}
    steps = [
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": -1.0, "b_max": 1.0},
        {"_target_": "AddLabelAsGuidanced", "keys": "image", "source": "label"},
    ]
    post = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@bundle_root", "output_ext": ".json"},
    ]
    labels = ["Other", "Inflammatory", "Epithelial", "Spindle-Shaped"]
    return write_classifier(folder, network, steps, post, labels, channels=["R", "G", "B", "Mask"])


def write_tumor_like(folder: Path) -> Path:
    """Write a bundle that sees large pictures patch by patch, by a convolution in place of its last layer."""
    network = {
        "_target_": "TorchVisionFCModel",
        "model_name": "resnet18",
        "num_classes": 1,
        "use_conv": True,
        "pool": ["avg", {"kernel_size": 2, "stride": 1}],
        "pretrained": True,
    }
    steps = [
        {"_target_": "CastToTyped", "keys": "image", "dtype": "float32"},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": -1.0, "b_max": 1.0},
        {"_target_": "ToTensord", "keys": "image"},
    ]
    post = [
        {"_target_": "EnsureTyped", "keys": "pred"},
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "ToNumpyd", "keys": "pred"},
    ]
    return write_classifier(folder, network, steps, post, ["metastasis"], channels="RGB", is_patch_data=True)


def write_volume_classifier(folder: Path) -> Path:
    """Write a bundle that sees a whole volume."""
    network = {"_target_": "DenseNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3, **DENSE}
    steps = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "ScaleIntensityd", "keys": "image"},
        {"_target_": "Resized", "keys": "image", "spatial_size": [32, 32, 32]},
    ]
    post = [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]
    return write_classifier(folder, network, steps, post, ["none", "mild", "severe"], shape=(32, 32, 32))
