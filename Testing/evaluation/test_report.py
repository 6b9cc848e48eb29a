"""A report tells the figures by diameter, and names each box and each lesion that was missed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

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


def test_places_are_told_in_ras_whichever_way_the_voxels_run(tmp_path: Path) -> None:
    turned = np.array([[0, -1, 0], [0, 0, 1], [1, 0, 0]], float)  # i up, j to the left, k to the front
    boxes, lesions = np.array([[1, 2, 3, 5, 6, 7]], float), np.array([[50, 0, 0, 4, 4, 4]], float)
    scan = Scan("one", boxes, np.array([0.5]), lesions, axes=turned)
    outcomes = [judge(scan)]
    _, table, _ = write_report(tmp_path, [scan], outcomes, summary([scan], outcomes, Hit.CENTRE, 0.5), "a model")
    row, missed = csv.DictReader(table.open(encoding="utf-8"))
    assert [row[name] for name in ("r_mm", "a_mm", "s_mm")] == ["-2.00", "3.00", "1.00"]
    assert [row[name] for name in ("i_mm", "j_mm", "k_mm")] == ["5.00", "6.00", "7.00"]
    assert missed["s_mm"] == "50.00"


def test_scans_without_any_lesion_are_reported(tmp_path: Path) -> None:
    scans = [Scan(name, np.array([[0, 0, 0, 5, 5, 5]], float), np.array([0.5]), np.empty((0, 6))) for name in "ab"]
    outcomes = [judge(scan) for scan in scans]
    told = summary(scans, outcomes, Hit.CENTRE, 0.4)
    assert write_report(tmp_path, scans, outcomes, told, "a model")[2].is_file()
    assert (told["cpm"], told["at_default_threshold"]["false_positives"]) == (None, 1)


def test_a_lesion_that_shares_its_box_with_a_nearer_one_has_a_row(tmp_path: Path) -> None:
    lesions = np.array([[-4, 0, 0, 10, 10, 10], [3, 0, 0, 10, 10, 10]], float)
    scan = Scan("one", np.array([[0, 0, 0, 16, 10, 10]], float), np.array([0.5]), lesions)
    outcomes = [judge(scan, Hit.IOU)]
    told = summary([scan], outcomes, Hit.IOU, 0.5)
    _, table, _ = write_report(tmp_path, [scan], outcomes, told, "a model")
    rows = [(row["result"], row["lesion"]) for row in csv.DictReader(table.open(encoding="utf-8"))]
    assert rows == [("hit", "2"), ("hit by another's box", "1")]


def test_labels_are_told_apart_where_they_count() -> None:
    place = np.array([[0, 0, 0, 5, 5, 5], [50, 0, 0, 5, 5, 5]], float)
    scan = Scan("one", place, np.array([0.9, 0.8]), place, ("cyst", "cyst"), ("cyst", "stone"))
    told = summary([scan], [judge(scan)], Hit.CENTRE, 0.5)
    assert {name: one["cpm"] for name, one in told["by_label"].items()} == {"cyst": 1, "stone": 0}
    assert told["mAP"] == pytest.approx(0.5) == told["mAR"]
    ignored = Scan("one", place, np.array([0.9, 0.8]), place)
    assert summary([ignored], [judge(ignored)], Hit.CENTRE, 0.5)["mAP"] == 1
