"""One run in a process of its own: `python -m Testing.benchmarks.inference.worker TASK`, where TASK is JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from Testing.benchmarks.inference.clock import Clock, peak_bytes
from Testing.benchmarks.inference.contenders import RUNS, Task

MEMORY_SHARE = 0.9


def measure(task: Task) -> dict[str, Any]:
    """Do the task cold, then warm."""
    clock = Clock()
    once = _ready(task, clock)
    mask = once()
    cold, peak = time.time() - task.started, peak_bytes()
    if task.contender == "bare":
        return {"peak": peak}
    clock.restart()
    started, processed = time.perf_counter(), time.process_time()
    once()
    warm = {"warm": time.perf_counter() - started, "cpu": time.process_time() - processed}
    warm |= {"stages": dict(clock.seconds), "load": os.getloadavg()[0]}
    if task.contender == "floor":
        return warm
    record = {"mask": str(mask), "cold": cold, "peak": peak, **warm}
    if clock.first_window:
        record |= {"first_window": clock.first_window - task.started, "forward": clock.forward}
    if clock.base:
        record |= {"cold": None, "above": peak - clock.base}  # much of cold is the making of the logits
    if task.device != "cpu":  # calls return before a GPU has done them
        record |= {"forward": None, "device_peak": _device_peak(task.device)}
    return record


def _ready(task: Task, clock: Clock) -> Any:
    if task.case == "upsample":
        from Testing.benchmarks.inference.upsample import ready

        return ready(task, clock)
    return RUNS[task.contender](task, clock)


def _device_peak(device: str) -> int:
    import torch

    return torch.cuda.max_memory_allocated(device)


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    if task.device == "cpu":  # a run that doesn't fit shall fail, not take the machine down
        limit = int(psutil.virtual_memory().available * MEMORY_SHARE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    (Path(task.output) / "record.json").write_text(json.dumps(measure(task)))


if __name__ == "__main__":
    main()
