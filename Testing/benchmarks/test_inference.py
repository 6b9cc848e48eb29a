"""The inference benchmark runs, and tells what it says it tells; how fast anything is, is not tested."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from Testing.benchmarks.inference import report
from Testing.benchmarks.inference.__main__ import main
from Testing.benchmarks.inference.cases import CASES, stock_bytes
from Testing.benchmarks.inference.clock import Clock
from Testing.bundles import make_bundles as make


@pytest.mark.slow
def test_a_small_case_runs_by_every_contender(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--case", "tiny", "--repeats", "1", "--output", str(tmp_path / "told.json")])
    told = json.loads((tmp_path / "told.json").read_text())["cases"]["tiny"]["contenders"]
    assert list(told) == ["full", "auto", "half", "stock", "buffered", "floor"]
    assert told["full"]["as_stock"] == told["buffered"]["as_stock"] == 1
    assert all(who["warm"] > 0 and who["stages"]["Network"] > 0 for who in told.values())
    assert all(
        0 < told[who]["first_window"] < told[who]["cold"] for who in ("full", "auto", "half", "stock", "buffered")
    )
    assert "| stock |" in capsys.readouterr().out


def test_an_unknown_case_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--case", "torso,leg"])
    assert "leg" in capsys.readouterr().err


def test_stock_needs_all_channels_only_where_they_are_inverted(tmp_path: Path) -> None:
    bundle, scan = CASES["tiny"].make(tmp_path)
    assert stock_bytes(bundle, scan) == 2 * 52 * 40 * 52 * 8
    assert stock_bytes(make.write_wholebody_like(tmp_path / "labels"), scan) == 0


def test_a_stage_does_not_count_the_stages_inside_it() -> None:
    clock, started = Clock(), time.perf_counter()
    with clock.stage("outer"), clock.stage("inner"):
        time.sleep(0.05)
    assert clock.seconds["inner"] >= 0.05
    assert 0 < sum(clock.seconds.values()) <= time.perf_counter() - started


def test_calls_of_one_object_are_timed_and_stay_what_they_are() -> None:
    clock, watched, other = Clock(), torch.nn.Identity(), torch.nn.Identity()
    clock.time_calls(watched, "watched")
    other(torch.ones(1))
    assert not clock.seconds
    assert watched(torch.ones(1)) == 1 and isinstance(watched, torch.nn.Identity)
    assert set(clock.seconds) == {"watched"}


def test_dice_is_the_mean_over_labels_that_are_there() -> None:
    one, other = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 3])
    assert report.mean_dice(one, other) == pytest.approx((4 / 5 + 0 + 0) / 3)
    assert report.equal_share(one, other) == 0.5


def test_the_table_tells_medians_and_why_something_is_missing() -> None:
    runs = [{"warm": warm, "cpu": 1.0, "forward": 2.0, "stages": {"Reading": 0.5}} for warm in (9.0, 3.0, 4.0)]
    contenders = {"full": report.medians(runs), "stock": {"skipped": "not run: too large"}}
    text = report.table("torso", {"about": "a case", "scan": "1×1×1", "contenders": contenders})
    assert "| 4.00 | 1.00 | 1.50 (43%) |" in text
    assert "- stock: not run: too large" in text
