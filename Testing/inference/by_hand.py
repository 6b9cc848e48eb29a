"""Bundles made by hand around small networks, run by the engine and, to compare with, by MONAI's calls alone."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Activationsd, AsDiscreted, Compose, Invertd

from DeepImagingLib.bundles import Bundle, Pipeline
from DeepImagingLib.inference.predict import Prediction, predict
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.inference.stock import located, on_grid
from DeepImagingLib.options import Options

CPU = torch.device("cpu")
FULL = Options(device="cpu", precision="full")
HALF = Options(device="cpu", precision="half")
SOFTMAX = Activationsd("pred", softmax=True)
SIGMOID = Activationsd("pred", sigmoid=True)
ARGMAX = AsDiscreted("pred", argmax=True)
THRESHOLD = AsDiscreted("pred", threshold=0.5)


def context_network(channels: int, *, rank: int = 3, seed: int = 0) -> torch.nn.Module:
    """Two convolutions, so that an answer depends on what lies around, with weights that let the labels compete."""
    conv = torch.nn.Conv3d if rank == 3 else torch.nn.Conv2d
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(conv(1, 4, 3, padding=1), torch.nn.ReLU(), conv(4, channels, 3, padding=1))
    with torch.no_grad():
        for weights in network.parameters():
            weights *= 3
    return network.eval()


def bundle_of(labels: int, *, background: bool = True) -> Bundle:
    """Return a bundle of that many labels, the first of them the background."""
    names = {number: f"structure {number}" for number in range(labels)}
    return Bundle(
        path=Path("made_by_hand"),
        name="made_by_hand",
        version="1",
        metadata={},
        task="segmentation",
        channels=("image",),
        image_keys=("image",),
        input_key="image",
        pred_key="pred",
        labels=names | ({0: "background"} if background else {}),
        spatial_dims=3,
        takes_volume=True,
        modality="",
        value_range=None,
        weights=Path("none"),
    )


def inversion(preprocessing: Compose, *, nearest: bool = False) -> Invertd:
    return Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=nearest)


def pipeline_of(
    network: torch.nn.Module,
    inferer: Callable[..., Any],
    before: Sequence[Any] = (),
    after: Sequence[Any] | None = None,
) -> Pipeline:
    """Return a pipeline; after the network comes the zoo's usual chain unless told."""
    preprocessing = Compose(list(before))
    usual = (SOFTMAX, inversion(preprocessing), ARGMAX) if after is None else after
    return Pipeline(preprocessing, network, inferer, Compose(list(usual)))


def picture(shape: Sequence[int], grid: np.ndarray | None = None, seed: int = 0) -> MetaTensor:
    """Return uneven values (1, *shape) of 0..1."""
    values = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed))
    return MetaTensor(values, affine=torch.as_tensor(np.eye(4) if grid is None else grid))


def predicted(
    pipeline: Pipeline,
    image: MetaTensor,
    labels: int,
    options: Options = FULL,
    *,
    monitor: Monitor | None = None,
    channels: Sequence[int] = (),
    device: torch.device = CPU,
    background: bool = True,
) -> Prediction:
    """Run the engine on an image."""
    bundle = bundle_of(labels, background=background)
    return predict(bundle, pipeline, {"image": image.clone()}, device, monitor or Monitor(), options, channels)


def labels_of(prediction: Prediction) -> torch.Tensor:
    """Return the labels (I, J, K) of an answer that holds one channel."""
    (labels,) = prediction.answer
    return torch.as_tensor(labels.astype(np.int64))


def network_output(pipeline: Pipeline, image: MetaTensor) -> dict[str, Any]:
    """Return MONAI's data before any post-processing: the prepared image, and the network's output as "pred"."""
    with torch.inference_mode():
        data = dict(pipeline.preprocessing({"image": image.clone()}))
        prepared = data["image"]
        output = pipeline.inferer(prepared.as_tensor()[None], pipeline.network)[0]
    return {**data, "pred": MetaTensor(output, affine=prepared.affine)}


def placed(data: dict[str, Any], image: MetaTensor) -> torch.Tensor:
    """Return the prediction (C, I, J, K) on the voxels of the scan, as SaveImaged would."""
    prediction, _ = on_grid(located(data["pred"], (image, data["image"])), image)
    return prediction.as_tensor()


def stock(pipeline: Pipeline, image: MetaTensor) -> torch.Tensor:
    """Return what MONAI makes of an image, on its voxels."""
    return placed(pipeline.postprocessing(network_output(pipeline, image)), image)


class Watched(torch.nn.Module):
    """Notes at each call how many bytes are held by tensors that came into being since it was watched."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.peak = inner, 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in new_tensors()}
        self.peak = max(self.peak, sum(storages.values()))
        return self.inner(batch)


@contextmanager
def watched(network: torch.nn.Module) -> Iterator[Watched]:
    """Give the network, watched."""
    with only_new():
        yield Watched(network)


@contextmanager
def only_new() -> Iterator[None]:
    """Set aside what is there already, so that garbage and `new_tensors` are of what comes within, and soon found."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def new_tensors() -> list[torch.Tensor]:
    """Return the tensors alive that came into being since `only_new`."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
