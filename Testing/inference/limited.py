"""Run a bundle in a process of its own that may take so much memory and no more: `python -m Testing.inference.limited`.

What counts is taken once all libraries are there and a small run has warmed them: the numbers are those of the run.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from DeepImagingLib import Options, road
from Testing.bundles import make_bundles as make
from Testing.inference.stock import run_stock

OURS, STOCK = "ours", "stock"
STATUS = Path("/proc/self/status")


def status(field: str) -> int:
    """Return a number of /proc/self/status in bytes: VmData, VmRSS, VmHWM."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def write_stub(folder: Path, classes: int) -> Path:
    """Write a bundle of many classes whose network costs nothing, which inverts before its argmax, as most do."""
    from monai.networks.nets import AutoEncoder

    network = {"spatial_dims": 3, "in_channels": 1, "out_channels": classes, "channels": [1], "strides": [1]}
    network |= {"kernel_size": 1, "up_kernel_size": 1, "act": None, "norm": None}
    config = make.ct_config({"_target_": "AutoEncoder", **network}, window=(-300, 300))
    config["preprocessing"]["transforms"][3]["pixdim"] = [2.0, 2.0, 2.0]
    config["inferer"] |= {"roi_size": [32, 32, 32], "overlap": 0.25, "sw_batch_size": 1, "mode": "gaussian"}
    names = ["background", *(f"structure {number}" for number in range(1, classes))]
    return make.write_bundle(folder, config, make.ct_metadata("Stub", names), AutoEncoder(**network))


def run(who: str, bundle: Path, image: Path, output: Path) -> str:
    """Run one of both, keep its labels as output/labels.npy, and return what it planned."""
    output.mkdir(parents=True)
    if who == STOCK:
        labels, planned = run_stock(bundle, [image], output), ""
    else:
        result = road.run(bundle, image, Options(device="cpu", precision="full"))
        labels, planned = result.layers[0], result.provenance.plan
    np.save(output / "labels.npy", labels)
    return planned


def cause(error: BaseException) -> BaseException:
    """Return the error that others were raised from: MONAI wraps what a transform raised."""
    return error if error.__cause__ is None else cause(error.__cause__)


def main(who: str, folder: str, *rooms: str) -> None:
    """Warm up on folder/small.nii.gz, then run on folder/large.nii.gz with so many bytes more, once for each number.

    Prints a line of JSON for each: the bytes it took at most, what was planned, and the error it ended with.
    """
    torch.set_num_threads(1)
    place, output = Path(folder), Path(folder) / who
    run(who, place / "bundle", place / "small.nii.gz", output / "small")
    before, data = status("VmRSS"), status("VmData")
    for room in rooms:
        resource.setrlimit(resource.RLIMIT_DATA, (data + int(room), resource.RLIM_INFINITY))
        planned = error = ""
        try:
            planned = run(who, place / "bundle", place / "large.nii.gz", output / room)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised if who == OURS else cause(raised)}"
        told = {"peak": status("VmHWM") - before, "planned": planned, "error": error}
        sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
