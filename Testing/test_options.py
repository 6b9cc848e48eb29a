"""What a run can be asked for is checked at the door, whoever asks."""

from __future__ import annotations

import json

import pytest

from DeepImagingLib import Options
from DeepImagingLib.errors import InputError
from DeepImagingLib.options import parse_memory


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4_000_000_000), ("500 MB", 500_000_000), ("1.5GiB", 3 << 29), (" 2gib ", 2 << 30), ("1TiB", 1 << 40)],
)
def test_memory_is_read_with_its_unit(text, expected) -> None:
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "4", "4 giga", "GB", "-4GB", "4,5GB", "4GBs", "1e3MB"])
def test_memory_without_a_number_or_a_unit_is_refused(text) -> None:
    with pytest.raises(InputError, match="number with a unit"):
        parse_memory(text)


@pytest.mark.parametrize("limit", [0, -1, 4, (64 << 20) - 1, 4e9, "4GB", True])
def test_a_limit_no_run_fits_in_is_refused(limit) -> None:
    with pytest.raises(InputError, match="Memory limit"):
        Options(memory_limit=limit)
    assert Options(memory_limit=64 << 20).memory_limit == 64 << 20


def test_axes_to_mirror_mean_the_same_in_any_order() -> None:
    assert Options(tta="kij") == Options(tta="ijk")


@pytest.mark.parametrize("axes", ["x", "ii", "ij,k", "IJ", None, ("i",)])
def test_axes_that_are_none_are_refused(axes) -> None:
    with pytest.raises(InputError, match="Axes to mirror"):
        Options(tta=axes)


@pytest.mark.parametrize("names", ["liver", ("",), ("liver", " "), (3,), None])
def test_probabilities_of_no_label_are_refused(names) -> None:
    with pytest.raises(InputError, match="names of labels"):
        Options(probabilities=names)


def test_names_given_twice_are_one() -> None:
    assert Options(probabilities=["liver", "spleen", "liver"]).probabilities == ("liver", "spleen")


def test_plain_values_are_the_same_after_json() -> None:
    options = Options(roi=((1, 2), (3, 4), (5, 6)), memory_limit=1 << 30, probabilities=("liver",), tta="ik")
    plain = options.as_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert Options(**plain) == options
