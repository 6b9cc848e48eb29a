"""How many pictures a second a classifier takes, beside MONAI's own evaluator of the same bundle.

    python Testing/benchmarks/pictures_a_second.py [--model chest_xray_findings_small] [--pictures 48] [--rounds 3]

Pictures are made radiographs of 512 × 512 in PNG files. Both read, prepare and classify one after the other, with the
network built before the clock starts; ours opens each file as a user's, and tells how unlike its training it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere

from DeepImagingLib import Options, run
from DeepImagingLib.bundles import load_bundle
from DeepImagingLib.files.read import read
from DeepImagingLib.hosts.warm import WarmModels
from DeepImagingLib.phantoms import chest_xray, torso_ct

SEED = 1_000_300


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write so many radiographs of one body."""
    body = torso_ct.draw(SEED, chest_xray.BODY_SPACING, chest_xray.BODY_SIZE)
    paths = []
    for number in range(count):
        images, _ = chest_xray.expose(body, SEED + number, photometric="MONOCHROME2")
        grey = images["cxr"].numpy()[0].T / (2 ** images["cxr"].meta["bits"] - 1)
        paths.append(folder / f"{number:03}.png")
        Image.fromarray(np.rint(255 * grey).astype(np.uint8)).save(paths[-1])
    return paths


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="chest_xray_findings_small")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parsed = parser.parse_args()
    bundle = load_bundle(parsed.model)
    root = bundle.path
    models, options = WarmModels(), Options(device="cpu", precision="full")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_pictures(folder, parsed.pictures)
        config = ConfigParser()
        config.read_config(root / "configs" / "inference.json")
        config.update({"bundle_root": str(root), "dataset_dir": str(folder), "output_dir": str(folder / "told")})
        config["device"] = "cpu"
        config.get_parsed_content("initialize")
        evaluator = config.get_parsed_content("evaluator")

        def ours() -> None:
            for path in paths:
                run(bundle, read(path), options, build=models.build)

        rates: dict[str, list[float]] = {"MONAI": [], "ours": []}
        for once in (evaluator.run, ours):
            once()  # builds and warms
        for _ in range(parsed.rounds):
            for who, once in (("MONAI", evaluator.run), ("ours", ours)):
                started = time.perf_counter()
                once()
                rates[who].append(len(paths) / (time.perf_counter() - started))
    threads = torch.get_num_threads()
    told = {who: median(several) for who, several in rates.items()}
    print(f"MONAI {told['MONAI']:.1f}, ours {told['ours']:.1f} pictures a second on {threads} threads")
    print(f"ours / MONAI: {told['ours'] / told['MONAI']:.2f}")


if __name__ == "__main__":
    main()
