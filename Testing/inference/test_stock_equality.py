"""At full precision a run gives the mask that MONAI's own workflow gives for the same bundle and file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from DeepImagingLib import Options, run
from DeepImagingLib.results import Segmentation
from Testing.bundles import make_bundles as make
from Testing.grids import AXIS_CODES, affine
from Testing.inference.stock import run_stock

FULL = Options(device="cpu", precision="full")
TIE = 1e-4


def write_image(path: Path, *, code: str = "LAS", seed: int = 0, shape: tuple[int, int, int] = (52, 46, 40)) -> Path:
    """Write smooth made-up Hounsfield units in an anisotropic, oblique grid."""
    rng = np.random.default_rng(seed)
    array = ndimage.gaussian_filter(rng.normal(size=shape), 2) * 1500 + 50
    grid = affine(code, (1.7, 1.5, 2.5), (30.0, -20.0, 100.0), rotation=(4, -3, 8))
    nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), grid), path)
    return path


def write_resized(folder: Path) -> Path:
    """A bundle that resizes the whole image and sees it at once."""
    bundle = make.write_spleen_like(folder)
    size = {"_target_": "Resized", "keys": "image", "spatial_size": [48, 48, 48], "mode": "trilinear"}
    inferer = {"_target_": "SimpleInferer"}
    return make.change_config(bundle, {"preprocessing#transforms#3": size, "inferer": inferer})


def write_cropped(folder: Path) -> Path:
    """A bundle that crops to the foreground and keeps the largest component after mapping back."""
    bundle = make.write_spleen_like(folder)
    config = make.read_config(bundle)
    crop = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 2}
    normalize = {"_target_": "NormalizeIntensityd", "keys": "image"}
    largest = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]}
    steps = config["preprocessing"]["transforms"]
    saved = config["postprocessing"]["transforms"]
    return make.change_config(
        bundle,
        {
            "preprocessing#transforms": [*steps[:-1], crop, normalize, steps[-1]],
            "postprocessing#transforms": [*saved[:-1], largest, saved[-1]],
        },
    )


def write_labels_inverted(folder: Path) -> Path:
    """A bundle that takes the argmax and the largest component in the network's grid, and maps labels back."""
    bundle = make.write_spleen_like(folder)
    softmax, invert, argmax, save = make.read_config(bundle)["postprocessing"]["transforms"]
    largest = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]}
    steps = [softmax, argmax, largest, invert | {"nearest_interp": True}, save]
    return make.change_config(bundle, {"postprocessing#transforms": steps})


def write_one_hot(folder: Path) -> Path:
    """A bundle whose argmax leaves one channel a class."""
    bundle = make.write_spleen_like(folder)
    argmax = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True, "to_onehot": 2}
    return make.change_config(bundle, {"postprocessing#transforms#2": argmax})


def write_gaussian(folder: Path) -> Path:
    """A bundle whose windows are weighted and padded with replicated margins, at uneven overlap."""
    window = {"mode": "gaussian", "padding_mode": "replicate", "overlap": 0.625, "roi_size": [32, 48, 32]}
    bundle = make.write_spleen_like(folder)
    return make.change_config(bundle, {f"inferer#{key}": value for key, value in window.items()})


KINDS: dict[str, Callable[[Path], Path]] = {
    "spleen": make.write_spleen_like,
    "whole body": make.write_wholebody_like,
    "swin": make.write_swin_like,
    "slice by slice": make.write_slicewise_like,
    "resized": write_resized,
    "cropped": write_cropped,
    "labels inverted": write_labels_inverted,
    "gaussian": write_gaussian,
}


# Stock needs the itk package for the reader that this bundle names; the road reads files its own way.
STOCK_OVERRIDES = {"swin": {"preprocessing#transforms#0#reader": "NibabelReader"}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_that_of_stock_monai(tmp_path: Path, kind: str) -> None:
    bundle = KINDS[kind](tmp_path / "bundle")
    image = write_image(tmp_path / "scan.nii.gz")
    result = run(bundle, image, FULL)
    stock = run_stock(bundle, [image], tmp_path / "stock", **STOCK_OVERRIDES.get(kind, {}))
    assert len(np.unique(stock)) > 1, "the bundle must find something, or the test tells nothing"
    assert_same_but_for_ties(result, stock, bundle, image)


def assert_same_but_for_ties(result: Segmentation, stock: np.ndarray, bundle: Path, image: Path) -> None:
    """Labels may differ only where the two best of the values that stock compares are closer than TIE."""
    differing = result.layers[0] != stock
    if differing.any():
        steps = [step["_target_"] for step in make.read_config(bundle)["postprocessing"]["transforms"]]
        after = range(steps.index("Invertd") + 1, len(steps) - 1)
        undecided = {f"postprocessing#transforms#{index}#_disabled_": True for index in after}
        output = image.parent / "values"
        best = np.sort(run_stock(bundle, [image], output, **undecided), axis=-1)
        assert (best[..., -1] - best[..., -2])[differing].max() <= TIE


SOME_CODES = ("RAS", "LPS", "PIR", "SRA", "AIL")


@pytest.mark.parametrize(
    "code", [code if code in SOME_CODES else pytest.param(code, marks=pytest.mark.slow) for code in AXIS_CODES]
)
def test_the_mask_is_that_of_stock_monai_in_every_orientation(tmp_path: Path, code: str) -> None:
    bundle = make.write_spleen_like(tmp_path / "bundle")
    image = write_image(tmp_path / "scan.nii.gz", code=code, seed=3)
    stock = run_stock(bundle, [image], tmp_path / "stock")
    assert_same_but_for_ties(run(bundle, image, FULL), stock, bundle, image)


def test_one_channel_a_class_is_read_as_exclusive_labels(tmp_path: Path) -> None:
    bundle = write_one_hot(tmp_path / "bundle")
    image = write_image(tmp_path / "scan.nii.gz")
    result = run(bundle, image, FULL)
    assert result.exclusive
    assert_same_but_for_ties(result, run_stock(bundle, [image], tmp_path / "stock")[..., 1], bundle, image)


def test_four_named_channels_give_the_three_overlapping_labels_of_stock_monai(tmp_path: Path) -> None:
    bundle = make.write_brats_like(tmp_path / "bundle")
    channels = ["T1c", "T1", "T2", "FLAIR"]
    images = {name: write_image(tmp_path / f"{name}.nii.gz", seed=seed) for seed, name in enumerate(channels)}
    shuffled = {name: images[name] for name in ("FLAIR", "T1", "T1c", "T2")}
    result = run(bundle, shuffled, FULL)
    # The Lambdad merges the three labels into one map for the file; without it stock saves them as they are.
    stock = run_stock(
        bundle, list(images.values()), tmp_path / "stock", **{"postprocessing#transforms#3#_disabled_": True}
    )
    assert not result.exclusive
    assert [segment.name for segment in result.segments] == ["Tumor core", "Whole tumor", "Enhancing tumor"]
    for channel, segment in enumerate(result.segments):
        np.testing.assert_array_equal(result.mask(segment), stock[..., channel] > 0)
    both = result.mask("Tumor core") & result.mask("Whole tumor")
    assert both.any(), "random masks overlap; if they did not, the test would not show that overlap is kept"
