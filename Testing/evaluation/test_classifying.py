"""A classifier's report tells areas, errors and rates a label, and names each image."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.evaluation.classifying import Explained, Judged, summary, write_report
from DeepImagingLib.tasks.calibration import logistic

COUNT = 600


def judged(**changes) -> Judged:
    """Probabilities that hold, and the same before they were calibrated, of two labels and one that is never there."""
    rng = np.random.default_rng(0)
    logits = rng.normal((0, -1, -2), (2, 2, 0.5), (COUNT, 3))
    truth = (rng.random((COUNT, 3)) < logistic(logits)).astype(int) * [1, 1, 0]
    whole = Judged(
        tuple(f"{n}.png" for n in range(COUNT)),
        ("effusion", "nodule", "hernia"),
        truth,
        logistic(logits),
        (0.5, 0.3, 0.5),
        exclusive=False,
        uncalibrated=logistic(3 * logits + 1),
    )
    return replace(whole, **changes)


def test_each_label_is_told_with_area_error_and_rates() -> None:
    told = summary(judged())
    effusion, nodule, hernia = told["labels"].values()
    assert 0.8 < effusion["auroc_interval"][0] < effusion["auroc"] < effusion["auroc_interval"][1] < 1
    assert effusion["ece"] < 0.09 < effusion["ece_uncalibrated"]
    truth, found = judged().truth[:, 1] == 1, judged().probabilities[:, 1] >= 0.3
    assert nodule["threshold"] == 0.3 and nodule["sensitivity"] == pytest.approx(found[truth].mean(), abs=1e-4)
    assert nodule["specificity"] == pytest.approx(1 - found[~truth].mean(), abs=1e-4)
    assert (hernia["images"], hernia["auroc"], hernia["auroc_interval"], hernia["sensitivity"]) == (0, None, None, None)
    assert told["macro_auroc"] == pytest.approx((effusion["auroc"] + nodule["auroc"]) / 2, abs=1e-4)


def test_without_a_calibration_there_is_no_error_before_it() -> None:
    told = summary(judged(uncalibrated=None))
    assert "ece_uncalibrated" not in told and "ece_uncalibrated" not in told["labels"]["effusion"]


def test_of_exclusive_labels_the_likeliest_one_is_found() -> None:
    said = np.array([[0.4, 0.35, 0.25], [0.3, 0.45, 0.25], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    images, truth = tuple("abcd"), np.eye(3, dtype=int)[[0, 1, 1, 2]]
    told = summary(Judged(images, ("A", "B", "C"), truth, said, (0.5,) * 3, exclusive=True))
    assert told["accuracy"] == 0.75 and told["labels"]["B"]["sensitivity"] == 0.5
    assert told["labels"]["A"]["threshold"] is None and told["top_label_ece"] > 0


def test_subjects_are_told_and_drawn() -> None:
    told = summary(judged(subjects=tuple(str(n // 4) for n in range(COUNT))))
    assert told["subjects"] == 150 and "subjects" in told["intervals"]
    assert told["macro_auroc_interval"] != summary(judged())["macro_auroc_interval"]


def test_explanations_are_told_by_method_and_label() -> None:
    explained = [
        Explained("0.png", "effusion", "gradcam", {"pointing game": 1, "insertion": 0.8}),
        Explained("1.png", "nodule", "gradcam", {"pointing game": 0}),
        Explained("0.png", "effusion", "occlusion", {"pointing game": 1}),
    ]
    told = summary(judged(), explained)["explanations"]
    assert told["gradcam"]["pointing game"] == {"mean": 0.5, "mean_interval": [0, 1], "heatmaps": 2}
    assert told["gradcam"]["insertion"]["heatmaps"] == 1
    assert told["gradcam"]["labels"]["nodule"]["pointing game"]["mean"] == 0
    assert told["occlusion"]["pointing game"] == {"mean": 1, "mean_interval": None, "heatmaps": 1}


def test_curves_are_told_beside_the_areas_under_them() -> None:
    explained = [
        Explained(f"{n}.png", "effusion", "gradcam", {"deletion": area, "region": 0.1}, {"deletion": np.array(curve)})
        for n, (area, curve) in enumerate([(0.5, (1, 0.5, 0)), (0.25, (0.5, 0.25, 0))])
    ]
    told = summary(judged(), explained)["explanations"]["gradcam"]
    assert told["deletion"]["curve"] == {"shares": [0, 0.5, 1], "mean": [0.75, 0.375, 0]}
    assert told["labels"]["effusion"]["deletion"]["mean"] == np.mean([0.5, 0.25])
    assert "curve" not in told["region"]


@pytest.mark.parametrize("whole", [judged(), judged(uncalibrated=None)])
def test_files_hold_what_was_measured(tmp_path: Path, whole: Judged) -> None:
    told = summary(whole)
    numbers, table, *pictures = write_report(tmp_path / "new", whole, told, "a model")
    assert json.loads(numbers.read_text(encoding="utf-8")) == told
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == COUNT and rows[1]["image"] == "1.png" and rows[1]["effusion"] == str(whole.truth[1, 0])
    assert float(rows[1]["probability of nodule"]) == pytest.approx(whole.probabilities[1, 1], abs=1e-5)
    assert [picture.name for picture in pictures] == ["roc.png", "reliability.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": (), "truth": np.zeros((0, 3)), "probabilities": np.zeros((0, 3)), "uncalibrated": None},
            "no image",
        ),
        ({"labels": ("effusion",)}, "600 images and 1 labels"),
        ({"thresholds": (0.5,)}, "don't fit"),
        ({"probabilities": np.full((COUNT, 3), np.nan)}, "between 0 and 1"),
        ({"uncalibrated": np.full((COUNT, 3), 1.5)}, "between 0 and 1"),
        ({"truth": np.full((COUNT, 3), 2)}, "0 or 1"),
        ({"exclusive": True}, "one label"),
        ({"subjects": ("somebody",)}, "1 subjects are told of 600"),
    ],
)
def test_what_does_not_fit_is_told(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judged(**changes)
