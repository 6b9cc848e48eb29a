"""Logits become probabilities by the calibration that a bundle keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepImagingLib.errors import BundleError
from DeepImagingLib.tasks.calibration import Calibration

LABELS = ("cardiomegaly", "effusion")
PLATT = Calibration(labels={"cardiomegaly": (0.5, -1.0), "effusion": (2.0, 0.25)})
LOGITS = st.lists(st.lists(st.floats(-15, 15), min_size=2, max_size=2), min_size=1, max_size=5).map(np.array)


@given(logits=LOGITS, temperature=st.floats(0.1, 10))
def test_a_temperature_divides_logits_and_keeps_the_choice(logits: np.ndarray, temperature: float) -> None:
    told = Calibration(temperature).apply(logits)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    np.testing.assert_allclose(
        np.log(told[:, 0] / told[:, 1]), (logits[:, 0] - logits[:, 1]) / temperature, rtol=1e-6, atol=1e-9
    )


def test_each_label_has_its_slope_and_offset() -> None:
    told = PLATT.apply([[0.0, 1.0], [2.0, -1.0]])
    np.testing.assert_allclose(told, 1 / (1 + np.exp(-np.array([[-1.0, 2.25], [0.0, -1.75]]))))


@given(logits=LOGITS)
def test_probabilities_do_as_well_as_logits(logits: np.ndarray) -> None:
    independent = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(PLATT.apply_to_probabilities(independent), PLATT.apply(logits), atol=1e-6)
    exclusive = Calibration(1.0).apply(logits)
    np.testing.assert_allclose(
        Calibration(2.5).apply_to_probabilities(exclusive), Calibration(2.5).apply(logits), atol=1e-4
    )


def test_certainty_and_huge_logits_stay_probabilities() -> None:
    for calibration in (PLATT, Calibration(0.5)):
        with np.errstate(all="raise", under="ignore"):
            told = [calibration.apply_to_probabilities([0.0, 1.0]), calibration.apply([-1e4, 1e4])]
        assert np.isfinite(told).all() and np.min(told) >= 0 and np.max(told) <= 1


@pytest.mark.parametrize("calibration", [PLATT, Calibration(1.7)])
def test_json_brings_it_back_in_the_order_of_the_network(calibration: Calibration) -> None:
    values = json.loads(json.dumps(calibration.plain(), sort_keys=True))
    assert Calibration.from_plain(values, LABELS) == calibration
    if calibration is PLATT:
        turned = Calibration.from_plain(values, LABELS[::-1])
        np.testing.assert_allclose(turned.apply([3.0, 1.0]), calibration.apply([1.0, 3.0])[::-1])


def test_it_may_tell_of_a_label_that_is_not_shown() -> None:
    values = PLATT.plain()
    values["labels"]["chest X-ray"] = [1.0, 0.0]
    assert Calibration.from_plain(values, LABELS) == PLATT


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"method": "isotonic"},
        {"method": "temperature", "temperature": 0},
        {"method": "temperature", "temperature": "NaN"},
        {"method": "temperature", "temperature": -2},
        {"method": "platt", "labels": {"effusion": [1, 0]}},
        {"method": "platt", "labels": {"effusion": [1, 0], "cardiomegaly": [1]}},
        {"method": "platt", "labels": {"effusion": [1, 0], "cardiomegaly": [1, float("inf")]}},
    ],
)
def test_what_is_no_calibration_of_these_labels_is_told(values: object) -> None:
    with pytest.raises(BundleError, match=r"calibration.*cardiomegaly, effusion; give"):
        Calibration.from_plain(values, LABELS)
