"""What is run: bundles, and the scans that they are run on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.phantoms.torso import Material
from Testing.bundles import make_bundles as make

ROOT = Path(__file__).parents[3]
TORSO = ROOT / "Resources" / "Bundles" / "torso_ct_segmentation"
SEED = 1_000_000
CONTENDERS = ("full", "auto", "half", "stock", "buffered", "floor")
CLASSES = make.BODY_LABELS
SLAB_MM = 50
BACKGROUND = (Material.AIR, Material.FAT, Material.SKIN, Material.TABLE)
HU_PER_LABEL = 20  # far enough apart that an interpolated voxel seldom looks like a third label


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        about: One line for the report.
        make: From an empty folder to a bundle and a scan.
        contenders: Who can run it.
    """

    about: str
    make: Callable[[Path], tuple[Path, Path]]
    contenders: tuple[str, ...] = CONTENDERS


def shipped(folder: Path) -> Path:
    """The shipped model without its borders, which stock MONAI passes over."""
    return make.change_metadata(Path(shutil.copytree(TORSO, folder / "bundle")), borders=[])


def torso(folder: Path) -> tuple[Path, Path]:
    return shipped(folder), real_scan(folder)


def cold(folder: Path) -> tuple[Path, Path]:
    return shipped(folder), made_scan(folder, 4.0)


def tiny(folder: Path) -> tuple[Path, Path]:
    bundle = make.write_spleen_like(folder / "bundle")
    return make.change_config(bundle, {"preprocessing#transforms#3#pixdim": [6, 6, 6]}), made_scan(folder, 8.0)


def unet(folder: Path) -> tuple[Path, Path]:
    """As wide as the zoo's spleen model, at 1.5 mm."""
    bundle = make.write_spleen_like(folder / "bundle")
    wide = {"channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2}
    changes = {f"network_def#{key}": value for key, value in wide.items()}
    sampled = {"preprocessing#transforms#3#pixdim": [1.5, 1.5, 1.5], "inferer#roi_size": [96, 96, 96]}
    return _weighted(bundle, {**changes, **sampled, "inferer#overlap": 0.25}), real_scan(folder)


def segresnet(folder: Path) -> tuple[Path, Path]:
    return _wide_segresnet(folder, 3.0), real_scan(folder)


def fine_segresnet(folder: Path) -> tuple[Path, Path]:
    return _wide_segresnet(folder, 1.5), large_scan(folder, slices=400)


def _wide_segresnet(folder: Path, spacing: float) -> Path:
    """As wide as the zoo's whole-body model; it takes the argmax in its own grid, as that one does."""
    bundle = make.write_wholebody_like(folder / "bundle")
    wide = {"init_filters": 32, "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1]}
    changes = {f"network_def#{key}": value for key, value in wide.items()}
    sampled = {"pixdim": [spacing] * 3, "inferer#roi_size": [96, 96, 96], "modelname": "model.pt"}
    return _weighted(bundle, {**changes, **sampled})


def stub(folder: Path) -> tuple[Path, Path]:
    """A head of one 1×1×1 layer, whose answer is the label that `large_scan` drew: all cost is outside the network."""
    import torch

    network = {
        "_target_": "AutoEncoder",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": CLASSES,
        "channels": [1],
        "strides": [1],
        "kernel_size": 1,
        "up_kernel_size": 1,
        "act": None,
        "norm": None,
    }
    config = make.ct_config(network, window=(0, 1))
    config["preprocessing"]["transforms"][3]["pixdim"] = [3.0, 3.0, 3.0]
    config["preprocessing"]["transforms"][4] |= {"a_min": 0, "a_max": HU_PER_LABEL, "clip": False}
    config["inferer"] |= {"roi_size": [96, 96, 96], "overlap": 0.25, "sw_batch_size": 1, "mode": "gaussian"}
    names = ["background", *(f"structure {number}" for number in range(1, CLASSES))]
    bundle = make.write_bundle(folder / "bundle", config, make.ct_metadata("Stub", names), _network(network))
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    label = torch.arange(float(CLASSES))
    encode_weight, encode_bias, decode_weight, decode_bias = weights.values()
    encode_weight.fill_(1), encode_bias.fill_(0)
    decode_weight.copy_(2 * label.reshape(decode_weight.shape))
    decode_bias.copy_(-(label**2))  # with it 2kx - k²: largest for the label k nearest to x
    torch.save(weights, bundle / "models" / "model.pt")
    return bundle, large_scan(folder)


def upsample(folder: Path) -> tuple[Path, Path]:
    """Only labels: both contenders make the same logits of them."""
    labels, affine = labelled_torso((3.0, 3.0, 3.0), (366.0, 303.0, 336.0))
    return folder, _write(folder / "labels.nii.gz", labels, affine)


CASES = {
    "torso": Case("the shipped model (UNet, 24 classes at 4 mm, without its borders)", torso),
    "unet": Case("UNet, 2 classes at 1.5 mm, random weights", unet),
    "segresnet": Case("SegResNet, 105 classes at 3 mm, random weights", segresnet),
    "stub": Case("a 1×1×1 head, 105 classes at 3 mm, Invertd before the argmax", stub),
    "upsample": Case("argmax of 105 classes, 122×101×112 to 244×202×224, no network", upsample, ("full", "stock")),
    "cold": Case("the shipped model on a small scan: cold start to first window", cold, ("full", "stock")),
    "fine": Case("SegResNet, 105 classes at 1.5 mm, random weights (for a GPU)", fine_segresnet),
    "tiny": Case("a narrow UNet at 8 mm, to try this command", tiny),
}
ON_DEMAND = ("fine", "tiny")


def real_scan(folder: Path) -> Path:
    """A real chest CT of 256×256×99 voxels, 2×2×3 mm; a made torso at 2 mm where that isn't here."""
    data = Path(os.environ.get("DEEPIMAGING_TEST_DATA") or ROOT.parent / "shared" / "data")
    real = data / "ct_chest_4dlung.nii.gz"
    return real if real.is_file() else made_scan(folder, 2.0)


def made_scan(folder: Path, spacing: float) -> Path:
    image = torso_ct.sample(SEED, (spacing,) * 3)[0]["ct"]
    return _write(folder / "ct.nii.gz", image.numpy()[0].round().astype(np.int16), np.asarray(image.affine))


def large_scan(folder: Path, slices: int = 600) -> Path:
    """512×512 voxels a slice, 0.8×0.8×1 mm: a torso of 104 parts, each of one intensity, so that borders are smooth."""
    labels, affine = labelled_torso((1.6, 1.6, 2.0), (409.6, 409.6, 600.0))
    scan = (labels[:, :, : slices // 2].astype(np.int16) * HU_PER_LABEL).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return _write(folder / "ct.nii.gz", scan, affine @ np.diag([0.5, 0.5, 0.5, 1]))


def labelled_torso(spacing: torso_ct.Triple, field_of_view: torso_ct.Triple) -> tuple[np.ndarray, np.ndarray]:
    """Return (I, J, K) uint8 labels and their affine: organs and tissues, cut into two sides and slabs; 0 is the rest.

    They are as many and as contiguous as those of a whole-body model.
    """
    materials, organs, affine = torso_ct.draw(SEED, spacing, field_of_view)
    i, _, k = np.ogrid[tuple(map(slice, materials.shape))]
    tissues = np.where(organs > 0, len(Material) + organs, materials).astype(np.int32)
    parts = (tissues * 100 + (k * spacing[2] // SLAB_MM).astype(np.int32)) * 2 + (i > len(materials) // 2)
    parts[np.isin(tissues, BACKGROUND)] = 0
    found, place, counts = np.unique(parts, return_inverse=True, return_counts=True)
    counts[found == 0] = 0
    label = np.zeros(len(found), np.uint8)
    label[np.sort(np.argsort(-counts)[: CLASSES - 1])] = np.arange(1, CLASSES)
    return label[place.reshape(parts.shape)], affine


def _write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def _network(definition: make.Config) -> Any:
    from monai.networks import nets

    return getattr(nets, definition["_target_"])(**{k: v for k, v in definition.items() if k != "_target_"})


def _weighted(bundle: Path, changes: make.Config) -> Path:
    """Change a bundle's config, and write weights for the network that it has now."""
    make.change_config(bundle, changes)
    make.save_weights(_network(make.read_config(bundle)["network_def"]), bundle / "models" / "model.pt", seed=0)
    return bundle


def stock_bytes(bundle: Path, scan: Path) -> int:
    """Return what stock needs for the probabilities that it inverts: one 32-bit copy before Invertd's, one after."""
    config, metadata = (json.loads((bundle / "configs" / f"{n}.json").read_text()) for n in ("inference", "metadata"))
    steps = [step["_target_"] for step in config["postprocessing"]["transforms"]]
    if steps.index("AsDiscreted") < steps.index("Invertd"):
        return 0
    channels = metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    return channels * int(np.prod(nibabel.load(scan).shape)) * 8
