"""The exact classes, names and functions a bundle's config may use without being trusted.

Every entry is one class in the module that defines it; no package is allowed as a whole, since
`monai.bundle.run` starts whatever a file says and lives in MONAI just as `UNet` does. What takes a path, an
address or a file name, loads code, prints or sleeps is not listed.
"""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A class, by the module that defines it."""

    module: str
    name: str


_NETWORKS: dict[str, tuple[str, ...]] = {
    "ahnet": ("AHNet",),
    "attentionunet": ("AttentionUnet",),
    "autoencoder": ("AutoEncoder",),
    "basic_unet": ("BasicUNet",),
    "basic_unetplusplus": ("BasicUNetPlusPlus",),
    "densenet": ("DenseNet", "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264"),
    "dints": ("DiNTS", "TopologyInstance"),
    "dynunet": ("DynUNet",),
    "efficientnet": ("EfficientNetBN",),
    "flexible_unet": ("FlexibleUNet",),
    "highresnet": ("HighResNet",),
    "quicknat": ("Quicknat",),
    "regunet": ("RegUNet",),
    "resnet": ("ResNet",),
    "segresnet": ("SegResNet", "SegResNetVAE"),
    "segresnet_ds": ("SegResNetDS", "SegResNetDS2"),
    "senet": ("SENet", "SENet154", "SEResNet50", "SEResNet101", "SEResNet152", "SEResNext50", "SEResNext101"),
    "swin_unetr": ("SwinUNETR",),
    "unet": ("UNet",),
    "unetr": ("UNETR",),
    "torchvision_fc": ("TorchVisionFCModel",),
    "vit": ("ViT",),
    "vnet": ("VNet",),
}

_RESNETS = tuple(f"resnet{depth}" for depth in (10, 18, 34, 50, 101, 152, 200))

PRETRAINED = frozenset(
    ("AHNet", "DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264", "EfficientNetBN", "FlexibleUNet", "SENet154")
    + ("SEResNet50", "SEResNet101", "SEResNet152", "SEResNext50", "SEResNext101", "TorchVisionFCModel", *_RESNETS)
)
"""The networks that would download weights by their argument `pretrained`, some of them without being asked."""

_TRANSFORMS: dict[str, tuple[str, ...]] = {
    "croppad": (
        "BorderPad",
        "CenterSpatialCrop",
        "CropForeground",
        "DivisiblePad",
        "ResizeWithPadOrCrop",
        "SpatialCrop",
        "SpatialPad",
    ),
    "intensity": (
        "AdjustContrast",
        "ClipIntensityPercentiles",
        "GaussianSmooth",
        "HistogramNormalize",
        "MedianSmooth",
        "NormalizeIntensity",
        "ScaleIntensity",
        "ScaleIntensityRange",
        "ScaleIntensityRangePercentiles",
        "ShiftIntensity",
        "StdShiftIntensity",
        "ThresholdIntensity",
    ),
    "post": (
        "Activations",
        "AsDiscrete",
        "FillHoles",
        "Invert",
        "KeepLargestConnectedComponent",
        "LabelFilter",
        "MeanEnsemble",
        "RemoveSmallObjects",
        "VoteEnsemble",
    ),
    "spatial": ("Flip", "Orientation", "ResampleToMatch", "Resize", "Rotate", "Rotate90", "Spacing", "Zoom"),
    "utility": (
        "CastToType",
        "ConcatItems",
        "CopyItems",
        "DeleteItems",
        "EnsureType",
        "Identity",
        "RepeatChannel",
        "SelectItems",
        "SqueezeDim",
        "ToDevice",
        "ToNumpy",
        "ToTensor",
        "Transpose",
    ),
}

_INFERERS = ("SimpleInferer", "SliceInferer", "SlidingWindowInferer", "SlidingWindowInfererAdapt")

EXTRACTORS = ("resnet_fpn_feature_extractor",)

DETECTION: dict[str, tuple[str, ...]] = {
    "monai.apps.detection.networks.retinanet_detector": ("RetinaNetDetector",),
    "monai.apps.detection.networks.retinanet_network": ("RetinaNet", *EXTRACTORS),
    "monai.apps.detection.utils.anchor_utils": ("AnchorGenerator", "AnchorGeneratorWithAnchorShape"),
    "monai.networks.blocks.backbone_fpn_utils": ("BackboneWithFPN",),
}
"""What detectors are made of, by module; these need parts of torchvision."""

GUIDANCE = "AddLabelAsGuidanced"
"""Puts a mask behind the channels of a picture, for networks that are told which nucleus is meant."""
TORCHVISION_MODELS = frozenset(
    [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
    + ["resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2", "inception_v3"]
    + ["vit_b_16", "vit_b_32", "swin_t", "swin_s", "swin_b"]
)
"""Those whose last layer MONAI's adapter replaces; other names in torchvision.models may do anything."""
ARGUMENTS = {
    "TorchVisionFCModel": frozenset(
        ["model_name", "num_classes", "dim", "in_channels", "use_conv", "pool", "bias", "pretrained"]
        + ["fc_name", "node_name"]
    )
}
"""The only arguments that may be given to classes which pass others on."""
_NETWORK_ALIASES = {
    "Ahnet": "AHNet",
    "AHnet": "AHNet",
    "BasicUnet": "BasicUNet",
    "Basicunet": "BasicUNet",
    "BasicUnetPlusPlus": "BasicUNetPlusPlus",
    "DynUnet": "DynUNet",
    "Dynunet": "DynUNet",
    "Unet": "UNet",
}

# The road loads, orders channels and saves by itself; statistics are only printed. None of these is ever made.
ROAD_STEPS = ("LoadImage", "EnsureChannelFirst", "SaveImage", "SaveClassification", "DataStats")


def _dictionary_names(name: str) -> tuple[str, str, str]:
    """Return the three spellings MONAI gives to the dictionary version of a transform."""
    return f"{name}d", f"{name}D", f"{name}Dict"


def _network_table() -> dict[str, Target]:
    table = {}
    for module, names in _NETWORKS.items():
        for name in names:
            target = Target(f"monai.networks.nets.{module}", name)
            spellings = [name, *(alias for alias, real in _NETWORK_ALIASES.items() if real == name)]
            for spelling in spellings:
                table[spelling] = table[f"monai.networks.nets.{spelling}"] = target
                table[f"monai.networks.nets.{module}.{spelling}"] = target
    return table


def _transform_table() -> dict[str, Target]:
    compose = Target("monai.transforms.compose", "Compose")
    table = dict.fromkeys(("Compose", "monai.transforms.Compose", "monai.transforms.compose.Compose"), compose)
    for family, names in _TRANSFORMS.items():
        for name in names:
            target = Target(f"monai.transforms.{family}.dictionary", f"{name}d")
            for spelling in _dictionary_names(name):
                table[spelling] = table[f"monai.transforms.{spelling}"] = target
                table[f"monai.transforms.{family}.dictionary.{spelling}"] = target
    return table


def _inferer_table() -> dict[str, Target]:
    table = {}
    for name in _INFERERS:
        target = Target("monai.inferers.inferer", name)
        table[name] = table[f"monai.inferers.{name}"] = table[f"monai.inferers.inferer.{name}"] = target
    return table


def _detection_table() -> dict[str, Target]:
    table = {}
    for module, names in DETECTION.items():
        for name in names:
            target = Target(module, name)
            table[name] = table[f"{target.module}.{name}"] = target
    return table


def _guidance_table() -> dict[str, Target]:
    target = Target("monai.apps.nuclick.transforms", GUIDANCE)
    return {GUIDANCE: target, f"{target.module}.{GUIDANCE}": target}


def _resnet_table() -> dict[str, Target]:
    table = {}
    for name in _RESNETS:
        target = Target("monai.networks.nets.resnet", name)
        table[name] = table[f"monai.networks.nets.{name}"] = table[f"{target.module}.{name}"] = target
    return table


NETWORKS = {**_network_table(), **_resnet_table()}
TARGETS: dict[str, Target] = {
    **NETWORKS,
    **_transform_table(),
    **_inferer_table(),
    **_detection_table(),
    **_guidance_table(),
}
"""Every accepted spelling of `_target_`, to the class it means."""


def step_name(target: object) -> str:
    """Return the plain name of one of MONAI's transforms ("LoadImage" for "monai.transforms.LoadImaged").

    Array and dictionary versions have the same plain name; what isn't spelled as MONAI's own comes back as it is.
    """
    if not isinstance(target, str):
        return ""
    name = target.rpartition(".")[2] if target.startswith("monai.transforms.") else target
    for known in (*ROAD_STEPS, "Lambda", *(n for names in _TRANSFORMS.values() for n in names)):
        if name == known or name in _dictionary_names(known):
            return known
    return name


_TORCH_TYPES = "float16 float32 float64 half float double bfloat16 uint8 int8 int16 int32 int64 short int long bool"
_NUMPY_NAMES = "float16 float32 float64 uint8 uint16 uint32 int8 int16 int32 int64 bool_ pi inf nan"

NAMES = frozenset(
    [f"torch.{name}" for name in _TORCH_TYPES.split()]
    + [f"{module}.{name}" for module in ("numpy", "np") for name in _NUMPY_NAMES.split()]
)
"""Dotted names an expression may read from torch and numpy."""

COMMON_KEYS = {
    f"{prefix}.{name}": name.lower()
    for prefix in ("monai.utils.CommonKeys", "monai.utils.enums.CommonKeys")
    for name in ("IMAGE", "LABEL", "PRED")
}
"""MONAI's names of the usual keys, with what they stand for."""

FUNCTIONS = frozenset(["abs", "bool", "float", "int", "len", "list", "max", "min", "range", "str", "tuple"])
"""Built-in functions an expression may call."""

CALLS = FUNCTIONS | {"torch.device", "torch.cuda.is_available", "os.path.join"}
"""Every function an expression may call by name."""

MAKERS = {
    spelling: target
    for spelling, target in TARGETS.items()
    if "." in spelling and target.name in (*_RESNETS, *EXTRACTORS)
}
"""Functions that make networks, which an expression may call by their full name, with arguments by name too."""

NOT_LISTED = "asks for {!r}, which is not on the list of networks, transforms and inferers"
"""How a refusal of a target reads."""

METHODS = frozenset(("to", "eval"))
"""Methods an expression may call, on a reference to a network."""
