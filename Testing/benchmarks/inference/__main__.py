"""How fast a run is and how much memory it takes, beside stock MONAI and beside the network alone.

    python -m Testing.benchmarks.inference [--case NAME,...] [--contender NAME,...] [--repeats N] [--output FILE.json]

Each run is a process of its own that runs twice, cold and warm; contenders take turns, and medians are told.

- full, auto, half: this library at each precision.
- stock: MONAI's own workflow for the same bundle and file. buffered: the same with `buffer_steps`.
- floor: the network alone, on as many windows of the same shape.

"CPU s" is the warm run's time on all cores, which other programs disturb less than the time on the wall. "Outside the
network" is what a warm run takes but for its files and the network's own calls. "Bare" is the peak memory of imports
and one window; "above" is what a run takes above that, or `upsample` above its logits. All of it needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from Testing.benchmarks.inference import report
from Testing.benchmarks.inference.cases import CASES, CONTENDERS, ON_DEMAND
from Testing.benchmarks.inference.measure import measured


def main(words: Sequence[str] | None = None) -> None:
    parsed = _parsed(words)
    told: dict[str, Any] = {"machine": _machine(), "repeats": parsed.repeats, "cases": {}}
    for name in parsed.case:
        with tempfile.TemporaryDirectory() as folder:
            told["cases"][name] = measured(name, parsed.contender, parsed.device, parsed.repeats, Path(folder))
        print(report.table(name, told["cases"][name]), flush=True)
        if parsed.output:
            parsed.output.write_text(json.dumps(told, indent=2) + "\n")


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ",".join(name for name in CASES if name not in ON_DEMAND)
    parser.add_argument("--case", default=usual, help=f"of {', '.join(CASES)}; all but {', '.join(ON_DEMAND)}")
    parser.add_argument("--contender", default=",".join(CONTENDERS), help=f"of {', '.join(CONTENDERS)}; all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path)
    parsed = parser.parse_args(words)
    for key, known in (("case", CASES), ("contender", CONTENDERS)):
        chosen = getattr(parsed, key).split(",")
        if not set(chosen) <= set(known):
            parser.error(f"--{key} {','.join(chosen)}: choose of {', '.join(known)}")
        setattr(parsed, key, chosen)
    return parsed


def _machine() -> dict[str, Any]:
    versions = {name: metadata.version(name) for name in ("torch", "monai", "numpy")}
    return {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg(), "versions": versions}


if __name__ == "__main__":
    main()
