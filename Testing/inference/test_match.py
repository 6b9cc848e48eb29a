"""Volumes find the input they are for by their names, and no other."""

from __future__ import annotations

import pytest

from DeepImagingLib.inference.match import match

BRATS = ("T1c", "T1", "T2", "FLAIR")


def test_every_scan_of_a_study_finds_its_input() -> None:
    assert match(BRATS, ["p_flair", "p_t1", "p_t1ce", "p_t2"]) == {"T1c": 2, "T1": 1, "T2": 3, "FLAIR": 0}


@pytest.mark.parametrize("name", ["T1 post", "t1_gd", "Case T1CE", "T1w-ce", "t1-contrast", "T1C"])
def test_a_scan_with_contrast_is_never_taken_for_one_without(name: str) -> None:
    assert "T1" not in match(("T1c", "T1"), [name])


@pytest.mark.parametrize("name", ["T2 FLAIR", "t2flair", "FLAIR", "t2f"])
def test_flair_is_never_taken_for_t2(name: str) -> None:
    assert match(BRATS, [name]) == {"FLAIR": 0}


def test_two_that_fit_are_no_obvious_choice() -> None:
    assert match(("T1",), ["a_t1", "b_t1"]) == {}


def test_a_word_inside_of_another_is_none() -> None:
    assert match(("CT", "PET"), ["ACTion", "petersen"]) == {}


def test_names_of_a_models_own_count_as_they_are() -> None:
    assert match(("portal venous", "arterial"), ["Portal-Venous 5mm", "arterial"]) == {
        "portal venous": 0,
        "arterial": 1,
    }
