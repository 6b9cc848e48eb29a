"""Run a case: a process for each run, contenders in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import psutil

from Testing.benchmarks.inference import report
from Testing.benchmarks.inference.cases import CASES, ROOT, Case, stock_bytes
from Testing.benchmarks.inference.contenders import Task


def measured(name: str, contenders: Sequence[str], device: str, repeats: int, folder: Path) -> dict[str, Any]:
    """Run a case and return what is to be told of it."""
    case = CASES[name]
    bundle, scan = case.make(folder)
    records: dict[str, list[report.Record]] = defaultdict(list)
    skipped = _too_large(case, bundle, scan, name)

    def take_turn(who: str) -> None:
        output = folder / f"{who}{len(records[who])}"
        output.mkdir()
        print(f"{name}: {who}, run {len(records[who]) + 1}", file=sys.stderr, flush=True)
        task = Task(name, who, device, str(bundle), str(scan), str(output), time.time())
        try:
            records[who].append(run_task(task))
        except RuntimeError as error:
            skipped[who] = f"failed: {error}"

    if name != "upsample":
        take_turn("bare")
    for _ in range(repeats):
        for who in contenders:
            if who in case.contenders and who not in skipped:
                take_turn(who)
    bare = next((record["peak"] for record in records.pop("bare", [])), None)
    told = {who: report.medians(runs) for who, runs in records.items() if runs}
    for numbers in told.values():
        if bare and "peak" in numbers:
            numbers["above"] = numbers["peak"] - bare
    _compare(told, {who: runs[0]["mask"] for who, runs in records.items() if runs and "mask" in runs[0]})
    for who in skipped.keys() & set(contenders):
        told.setdefault(who, {})["skipped"] = skipped[who]
    told = {who: told[who] for who in contenders if who in told}
    shape = "×".join(map(str, nibabel.load(scan).shape))
    return {"about": case.about, "scan": shape, "bare": bare, "contenders": told, "runs": records}


def run_task(task: Task) -> report.Record:
    """Run a task in a process of its own; raises RuntimeError with the last line that it wrote, where it fails."""
    command = [sys.executable, "-m", "Testing.benchmarks.inference.worker", json.dumps(asdict(task))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"exit code {done.returncode}: {last[:300]}")
    return json.loads((Path(task.output) / "record.json").read_text())


def _too_large(case: Case, bundle: Path, scan: Path, name: str) -> dict[str, str]:
    """Return why stock can't run, where its probabilities alone are more than is free."""
    if name == "upsample":
        return {}
    needed, free = stock_bytes(bundle, scan), psutil.virtual_memory().available
    if needed <= free:
        return {}
    reason = f"not run: its probabilities alone need {needed / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free"
    return {who: reason for who in ("stock", "buffered") if who in case.contenders}


def _compare(told: dict[str, dict[str, Any]], masks: dict[str, str]) -> None:
    """Add how much each mask agrees with stock's, and with the one at full precision."""
    kinds = (("stock", "as_stock", report.equal_share), ("full", "dice_full", report.mean_dice))
    for reference, key, compare in kinds:
        if reference not in masks:
            continue
        expected = _voxels(masks[reference])
        for who, mask in masks.items():
            if who != reference:
                told[who][key] = compare(_voxels(mask), expected)


def _voxels(path: str) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj).astype(np.uint8)
