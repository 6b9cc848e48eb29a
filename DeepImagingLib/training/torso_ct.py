"""Train the shipped torso CT segmentation on phantoms alone, and write it as a MONAI bundle.

    python -m DeepImagingLib.training.torso_ct --output DIR [--steps N] [--seed 0] [--cache DIR] [--start BUNDLE]

What the network is and how an image is prepared for it is read from the shipped bundle's `inference.json`, so
that training and inference can't disagree.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import monai
import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from monai.losses import DiceLoss

from DeepImagingLib.phantoms import torso_ct as phantom
from DeepImagingLib.training.patches import SPACING, Body, draw_patch, scale_intensity

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "torso_ct_segmentation"
"""Where the configs come from that every training of this model shares."""

FIELD_OF_VIEW = (480.0, 360.0, 600.0)
"""Of the bodies to train on, in mm: from the thighs to the neck."""

FIRST_TEST_SEED = 1_000_000
"""Phantoms from here on are never trained on."""

LEARNING_RATE = 3e-3
GRADIENT_CLIP = 3.0
CHECKPOINT_EVERY = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write, as the command line asks."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    config = ConfigParser.load_config_file(str(SHIPPED / "configs" / "inference.json"))
    bodies = load_bodies(range(options.seed, options.seed + options.phantoms), options.cache, options.threads)
    network = ConfigParser({"network_def": config["network_def"]}).get_parsed_content("network_def")
    rounds = _earlier_rounds(options.start)
    if options.start:
        network.load_state_dict(torch.load(options.start / "models" / "model.pt", weights_only=True))
    begun = time.monotonic()
    rng = np.random.default_rng([options.seed, 2, len(rounds)])
    train(network, bodies, intensity_range(config), options, rng)
    minutes = (time.monotonic() - begun) / 60
    test_seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + options.test_phantoms)
    dice = measure(network, config, test_seeds)
    logger.info("Dice on held-out phantoms: %s", dice)
    write_bundle(options.output, network, dice, [*rounds, _round(options, minutes)], options.test_phantoms)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the torso CT segmentation on phantoms.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0, help="of the first phantom, the weights and the patches")
    parser.add_argument("--phantoms", type=int, default=160, help="bodies to train on")
    parser.add_argument("--test-phantoms", type=int, default=8, help="held-out bodies to measure on")
    parser.add_argument("--cache", type=Path, default=Path("checkpoints/torso_ct"), help="bodies and checkpoints")
    parser.add_argument("--start", type=Path, help="bundle of an earlier round to go on from")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--full-precision", action="store_true", help="float32 throughout, for processors without bf16")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.seed < 0 or options.seed + options.phantoms > FIRST_TEST_SEED:
        parser.error(f"seeds to train on lie from 0 to below {FIRST_TEST_SEED}")
    return options


def load_bodies(seeds: Sequence[int], cache: Path, processes: int) -> list[Body]:
    """Return a body for each seed, drawn now or taken from the cache folder."""
    cache.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        paths = list(pool.map(_draw_to_file, seeds, [cache] * len(seeds), chunksize=4))
    logger.info("%d bodies are in the cache", len(paths))
    return [_load(path) for path in paths]


def _draw_to_file(seed: int, cache: Path) -> Path:
    path = cache / f"body_{seed}.npz"
    if not path.exists():
        materials, organs, _ = phantom.draw(seed, SPACING, FIELD_OF_VIEW)
        np.savez_compressed(path, materials=materials, organs=organs)
    return path


def _load(path: Path) -> Body:
    with np.load(path) as file:
        return file["materials"], file["organs"]


def intensity_range(config: Mapping[str, Any]) -> dict[str, float]:
    """Return a_min, a_max, b_min, b_max of the bundle's ScaleIntensityRanged."""
    transforms = config["preprocessing"]["transforms"]
    found = next(t for t in transforms if t["_target_"] == "ScaleIntensityRanged")
    return {key: float(found[key]) for key in ("a_min", "a_max", "b_min", "b_max")}


def train(
    network: torch.nn.Module,
    bodies: Sequence[Body],
    intensities: Mapping[str, float],
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> None:
    """Run AdamW with a cosine schedule on one new patch a step; checkpoints go into the cache folder."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps, eta_min=1e-5)
    overlap = DiceLoss(softmax=True, to_onehot_y=True, include_background=False, reduction="none", batch=False)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch types 2-D formats only
    network.train()
    mean, begun = math.nan, time.monotonic()
    for step in range(1, options.steps + 1):
        image, target = draw_patch(bodies[int(rng.integers(len(bodies)))], intensities, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=not options.full_precision):
            logits = network(image)
        loss = _loss(logits.float(), target, overlap)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # not typed in torch
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
        if torch.isfinite(norm):  # one bad patch must not spoil the weights
            optimizer.step()
        schedule.step()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            logger.info("step %d of %d: loss %.3f, %.0f s", step, options.steps, mean, time.monotonic() - begun)
        if step % CHECKPOINT_EVERY == 0:
            torch.save(network.state_dict(), options.cache / f"step_{step}.pt")


def _loss(logits: torch.Tensor, target: torch.Tensor, overlap: DiceLoss) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the organs that are there."""
    present = torch.bincount(target.flatten(), minlength=logits.shape[1])[1:] > 0
    entropy = torch.nn.functional.cross_entropy(logits, target[:, 0])
    dice = overlap(logits, target).flatten()[present]
    return entropy + dice.mean() if present.any() else entropy


def measure(network: torch.nn.Module, config: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, float]:
    """Return the mean Dice of each organ over phantoms drawn at `SPACING`, by the organ's name, and their mean."""
    inferer = ConfigParser({"inferer": config["inferer"]}).get_parsed_content("inferer")
    network.eval()
    scores = []
    for seed in seeds:
        images, truth = phantom.sample(seed, SPACING)
        image = scale_intensity(images["ct"].numpy(), **intensity_range(config))
        with torch.inference_mode():
            logits = inferer(torch.from_numpy(image)[None], network)
        scores.append(_dice(logits[0].argmax(0).numpy(), truth.layers[0]))
    mean = np.nanmean(scores, axis=0)
    result = {name: round(float(value), 3) for name, value in zip(_names(), mean, strict=True)}
    return result | {"mean": round(float(np.mean(mean)), 3)}


def _names() -> list[str]:
    return [segment.name for segment in phantom.segments()]


def _dice(prediction: npt.NDArray[np.integer[Any]], truth: npt.NDArray[np.integer[Any]]) -> list[float]:
    scores = []
    for segment in phantom.segments():
        a, b = prediction == segment.value, truth == segment.value
        total = int(a.sum() + b.sum())
        scores.append(2 * int((a & b).sum()) / total if total else math.nan)
    return scores


def write_bundle(
    output: Path,
    network: torch.nn.Module,
    dice: Mapping[str, float],
    rounds: Sequence[Mapping[str, Any]],
    test_phantoms: int,
) -> None:
    """Write weights as float16, and what was done and measured into the metadata."""
    if output.resolve() != SHIPPED.resolve():
        shutil.copytree(SHIPPED, output, dirs_exist_ok=True)
    (output / "models").mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    torch.save(weights, output / "models" / "model.pt")
    path = output / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata.update(_provenance(network, rounds, test_phantoms))
    metadata["eval_metrics"] = {f"dice, held-out phantoms: {name}": value for name, value in dice.items()}
    path.write_text(json.dumps(metadata, indent=4) + "\n", encoding="utf-8")
    logger.info("wrote %s", output)


def _earlier_rounds(start: Path | None) -> list[dict[str, Any]]:
    if start is None:
        return []
    metadata = json.loads((start / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return list(metadata["training"])


def _round(options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    return {
        "phantom_seeds": [options.seed, options.seed + options.phantoms - 1],
        "steps": options.steps,
        "batch_size": 1,
        "learning_rate": options.learning_rate,
        "minutes": round(minutes, 1),
        "threads": options.threads,
    }


def _provenance(network: torch.nn.Module, rounds: Sequence[Mapping[str, Any]], test_phantoms: int) -> dict[str, Any]:
    return {
        "training": list(rounds),
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "description": _describe(sum(p.numel() for p in network.parameters()), rounds, test_phantoms),
    }


def _describe(parameters: int, rounds: Sequence[Mapping[str, Any]], test_phantoms: int) -> str:
    steps, minutes = (sum(r[key] for r in rounds) for key in ("steps", "minutes"))
    seeds = [seed for r in rounds for seed in r["phantom_seeds"]]
    return (
        "A small 3D UNet that finds lungs, heart, aorta, liver, spleen, kidneys, urinary bladder and bone in CT at "
        f"4 mm, with {parameters:,} parameters. It was trained on nothing but procedural phantoms (random torsos made "
        f"by rules; seeds {min(seeds)} to {max(seeds)}), for {steps} steps of one patch in {minutes:.0f} minutes on a "
        f"CPU. The phantoms of eval_metrics were held out ({test_phantoms} with seeds from {FIRST_TEST_SEED}, or as "
        "said there); they tell little of patients."
    )


if __name__ == "__main__":
    main()
