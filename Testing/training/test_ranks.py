"""Several processes train one network as one process with a batch as large does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.training.draws import From
from Testing.training import tiny

ROOT = Path(__file__).parents[2]
RANKS = 2


def train(recipe: Path, output: Path, *launcher: str) -> str:
    """Train in processes of their own, and return what they print."""
    words = (*launcher, "-m", "DeepImagingLib", "train", str(recipe), "--trust", fingerprint(recipe))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words, "--output", str(output), "--device", "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_they_end_with_the_weights_of_one_that_takes_as_many_items_a_step(tmp_path: Path) -> None:
    alone, shared = tiny.write(tmp_path / "alone", accumulate=RANKS), tiny.write(tmp_path / "shared")
    for recipe in (alone, shared):  # each process draws its own dropout, which one alone can't repeat
        path = recipe / "configs" / "train.json"
        config = json.loads(path.read_text())
        config["network_def"]["dropout"] = 0.0
        path.write_text(json.dumps(config))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS))
    train(alone, tmp_path / "a")
    told = train(shared, tmp_path / "b", *torchrun)
    assert told.count("Wrote") == 1, "one of them tells"
    first, second = (torch.load(tmp_path / name / "training" / "last.pt", weights_only=True) for name in "ab")
    assert first["course"]["step"] == second["course"]["step"] == 12
    for name, weights in first["network"].items():
        torch.testing.assert_close(second["network"][name], weights, rtol=1e-4, atol=1e-5)
    metadata = json.loads((tmp_path / "b" / "configs" / "metadata.json").read_text())
    assert metadata["training"]["batch_size"] == RANKS


@pytest.mark.parametrize("batch", [1, 3])
def test_they_share_the_items_among_them(batch: int) -> None:
    numbers = [iter(From(6, batch, (rank, RANKS))) for rank in range(RANKS)]
    taken = [[next(one) for _ in range(2 * batch)] for one in numbers]
    assert sorted(taken[0] + taken[1]) == list(range(6, 6 + 4 * batch))
    assert taken[1][:batch] == list(range(6 + batch, 6 + 2 * batch))
