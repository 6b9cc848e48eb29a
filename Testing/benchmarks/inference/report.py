"""From records to medians, and to a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]
NUMBERS = ("cold", "first_window", "warm", "cpu", "forward", "peak", "above", "device_peak")


def medians(records: Sequence[Record]) -> dict[str, Any]:
    """Return the median of each number that the runs of one contender told."""
    told = {name: [r[name] for r in records if r.get(name) is not None] for name in NUMBERS}
    stages = {stage: statistics.median(r["stages"][stage] for r in records) for stage in records[0].get("stages", {})}
    return {name: statistics.median(values) for name, values in told.items() if values} | {"stages": stages}


def equal_share(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of voxels that are equal."""
    return float((one == other).mean())


def mean_dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean Dice of all labels that either holds, but the background."""
    one, other = one.ravel().astype(np.uint8), other.ravel().astype(np.uint8)
    both, first, second = (np.bincount(labels, minlength=256) for labels in (one[one == other], one, other))
    held = first + second > 0
    held[0] = False
    return float((2 * both[held] / (first + second)[held]).mean()) if held.any() else 1.0


COLUMNS = (
    "contender", "cold s", "first window s", "warm s", "CPU s", "outside the network s", "peak GB", "above bare GB",
    "as stock", "Dice, full",
)  # fmt: skip


def table(name: str, case: Record) -> str:
    """Return a case as Markdown: a row a contender, then its seconds by stage."""
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    rows += [_row(who, told) for who, told in case["contenders"].items() if "warm" in told]
    lines = [f"### {name}: {case['about']}", "", f"Scan {case['scan']}; bare {_giga(case.get('bare'))} GB.", ""]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"- {who}: {_detail(told)}" for who, told in case["contenders"].items())]
    return "\n".join(lines) + "\n"


def outside(told: Record) -> float | None:
    """Return the warm seconds that were spent neither in the network's calls nor on files."""
    if not told.get("forward"):
        return None
    files = sum(told["stages"].get(stage, 0) for stage in ("Reading", "Writing"))
    return told["warm"] - files - told["forward"]


def _row(who: str, told: Record) -> list[str]:
    left = outside(told)
    share = "–" if left is None else f"{left:.2f} ({left / (left + told['forward']):.0%})"
    seconds = [_seconds(told.get(key)) for key in ("cold", "first_window", "warm", "cpu")]
    shares = ["–" if told.get(key) is None else f"{told[key]:.5f}" for key in ("as_stock", "dice_full")]
    return [who, *seconds, share, *(_giga(told.get(key)) for key in ("peak", "above")), *shares]


def _detail(told: Record) -> str:
    if "skipped" in told:
        return str(told["skipped"])
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in told["stages"].items())
    device = f"; {_giga(told['device_peak'])} GB on the device" if "device_peak" in told else ""
    return f"{stages} s{device}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _giga(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e9:.2f}"
