"""A report tells the figures by diameter, and names each box and each lesion that was missed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from DeepImagingLib.evaluation import Hit, Scan, judge, summary, write_report

SCANS = [
    Scan(
        name,
        np.array([[0, 0, 0, 5, 5, 5], [90, 0, 0, 5, 5, 5]], float),
        np.array([score, 0.4]),
        np.array([[0, 0, 0, 5, 5, 5], [50, 0, 0, 12, 12, 12]], float),
    )
    for name, score in (("one", 0.9), ("two", 0.3))
]
OUTCOMES = [judge(scan) for scan in SCANS]


def test_figures_are_told_by_diameter_and_at_the_default_threshold() -> None:
    told = summary(SCANS, OUTCOMES, Hit.CENTRE, 0.35)
    assert told["by_diameter"]["below 6 mm"]["sensitivity_at_default_threshold"] == 0.5
    assert told["by_diameter"]["10–20 mm"]["cpm"] == 0 and told["by_diameter"]["20 mm and more"]["cpm"] is None
    assert told["at_default_threshold"] == {
        "threshold": 0.35,
        "sensitivity": 0.25,
        "false_positives": 1.0,
        "most_false_positives": 1,
    }
    low, high = told["cpm_interval"]
    assert low <= told["cpm"] <= high and len(told["sensitivities"]) == 7


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    told = summary(SCANS, OUTCOMES, Hit.CENTRE, 0.35)
    numbers, table, picture = write_report(tmp_path / "new", SCANS, OUTCOMES, told, "a model")
    assert json.loads(numbers.read_text(encoding="utf-8"))["cpm"] == told["cpm"]
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["result"] for row in rows[:3]] == ["hit", "false positive", "missed"]
    assert (rows[2]["lesion"], rows[2]["diameter_mm"]) == ("2", "12.00")
    assert picture.read_bytes().startswith(b"\x89PNG")
