"""How long a training pair takes against its step, with the shipped recipe: data must not be what steps wait for.

    python -m Testing.benchmarks.training_speed [--repeats N]

Prints medians in seconds of a pair (a body in a new pose, painted) and of a step without it, at 8 mm and at 4 mm, and
their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from DeepImagingLib.training import Trainer, load_recipe
from DeepImagingLib.training.precision import autocast, half_pays, laid_out, lay_out

RECIPE = "torso_ct_segmentation"


def main() -> None:
    """Measure both stages and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    recipe = load_recipe(RECIPE)
    recipe = replace(recipe, config={**recipe.config, "body_count": 2})
    with tempfile.TemporaryDirectory() as folder:
        trainer = recipe.trainer("cpu", {"output_dir": folder})
    assert trainer.before is not None and trainer.before.trainer is not None
    for name, stage in (("8 mm", trainer.before.trainer), ("4 mm", trainer)):
        pair, step = seconds(stage, repeats)
        print(f"{name}: pair {pair:.3f} s, step {step:.3f} s, ratio {pair / step:.2f}")


def seconds(trainer: Trainer, repeats: int) -> tuple[float, float]:
    """Return the medians of a pair and of a step."""
    data, network = trainer.data, trainer.network
    item = data[0]
    image, label = (torch.as_tensor(item[key])[None] for key in ("image", "label"))
    half = half_pays(network, trainer.loss, image, label)
    lay_out(network, half, image.dim())

    def step() -> None:
        with autocast(image.device, half):
            logits = network(laid_out(image, half))
        trainer.optimizer.zero_grad()
        trainer.loss(logits.float(), label).backward()
        trainer.optimizer.step()

    return timed(lambda n: data[n], repeats), timed(lambda _: step(), repeats)


def timed(work: Callable[[int], object], repeats: int) -> float:
    """Return the median time of a call, after one that isn't counted."""
    found = []
    for number in range(repeats + 1):
        begun = time.perf_counter()
        work(number)
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
