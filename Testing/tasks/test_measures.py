"""Volume, mean and SD of each segment, against brute force and against ITK."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from DeepImagingLib.errors import InputError
from DeepImagingLib.files import as_image
from DeepImagingLib.results import Segment, Segmentation
from DeepImagingLib.tasks.measures import as_csv, measure
from Testing.grids import affine

SHAPE = (11, 9, 7)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).normal(40, 300, (1, *SHAPE)).astype(np.float32)


@pytest.fixture
def result() -> Segmentation:
    """Two overlapping layers of two segments each, in an anisotropic grid."""
    layers = np.random.default_rng(2).integers(0, 4, (2, *SHAPE)).astype(np.uint8)
    names = [("liver", 0, 1), ("spleen", 0, 3), ("Größe, „1“", 1, 2), ("nothing", 1, 9)]
    segments = tuple(Segment(f"s{i}", name, layer, value, (1.0, 0, 0)) for i, (name, layer, value) in enumerate(names))
    return Segmentation(layers, affine("LPS", (0.7, 1.1, 3.0)), segments, exclusive=False)


class TestMeasure:
    def test_agrees_with_brute_force(self, result, image) -> None:
        for found in measure(result, image)[:3]:
            values = image[0][result.mask(found.id)].astype(np.float64)
            assert found.voxels == len(values)
            assert found.milliliters == pytest.approx(result.millilitres()[found.id])
            assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std(ddof=1)))

    def test_agrees_with_itk(self, result, image) -> None:
        statistics = sitk.LabelStatisticsImageFilter()
        statistics.Execute(sitk.GetImageFromArray(image[0]), sitk.GetImageFromArray(result.layers[0]))
        for found, label in zip(measure(result, image), (1, 3)):
            expected = statistics.GetCount(label), statistics.GetMean(label), statistics.GetSigma(label)
            assert (found.voxels, found.mean, found.sd) == pytest.approx(expected)

    def test_memory_order_does_not_matter(self, result, image) -> None:
        other = replace(result, layers=np.asfortranarray(result.layers))
        for found, same in zip(measure(result, image), measure(other, np.asfortranarray(image))):
            assert (found.mean, found.sd, found.voxels) == pytest.approx((same.mean, same.sd, same.voxels), nan_ok=True)

    def test_takes_what_the_run_took(self, result, image) -> None:
        assert measure(result, as_image(image, result.affine)) == measure(result, image)

    def test_large_values_keep_their_spread(self, result, image) -> None:
        plain, shifted = measure(result, image), measure(result, image.astype(np.float64) + 1e9)
        assert [m.sd for m in shifted[:3]] == pytest.approx([m.sd for m in plain[:3]], rel=1e-5)

    def test_values_that_are_no_numbers_count_as_voxels_only(self, result, image) -> None:
        image[0, ::2, 3] = np.nan
        image[0, 1, 1] = np.inf
        for found in measure(result, image)[:3]:
            values = image[0][result.mask(found.id)].astype(np.float64)
            values = values[np.isfinite(values)]
            assert found.voxels == result.mask(found.id).sum() > len(values)
            assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std(ddof=1)))

    def test_an_empty_segment_has_no_mean_and_a_single_voxel_no_spread(self, result, image) -> None:
        result.layers[1][0, 0, 0] = 9
        result.layers[1][1:][result.layers[1][1:] == 2] = 0
        result.layers[1][0] = np.where(result.layers[1][0] == 2, 0, result.layers[1][0])
        *_, empty, single = measure(result, image)
        assert (empty.voxels, empty.mean, empty.sd) == (0, None, None)
        assert (single.voxels, single.mean, single.sd) == (1, pytest.approx(image[0, 0, 0, 0]), None)

    def test_only_ct_is_in_hounsfield_units(self, result, image) -> None:
        assert {m.unit for m in measure(result, image, "CT")} == {"HU"}
        assert {m.unit for m in measure(result, image, "MR")} == {""}

    def test_the_first_of_several_channels_is_measured(self, result, image) -> None:
        assert measure(result, np.concatenate([image, image + 5])) == measure(result, image)

    def test_a_picture_is_measured(self, result, image) -> None:
        flat = replace(result, layers=result.layers[..., :1])
        assert measure(flat, image[..., 0]) == measure(flat, image[..., :1])

    def test_an_image_of_another_size_is_refused(self, result, image) -> None:
        with pytest.raises(InputError, match=r"\(10, 9, 7\).*give the image of the run"):
            measure(result, image[:, :10])


class TestCsv:
    def test_comes_back_from_a_reader(self, result, image) -> None:
        measures = measure(result, image, "CT")
        rows = list(csv.DictReader(io.StringIO(as_csv(measures))))
        assert [r["name"] for r in rows] == [s.name for s in result.segments]
        assert float(rows[0]["mean"]) == pytest.approx(measures[0].mean, rel=1e-5)
        assert float(rows[1]["milliliters"]) == pytest.approx(measures[1].milliliters, abs=1e-3)
        assert (rows[3]["voxels"], rows[3]["mean"], rows[3]["sd"], rows[3]["unit"]) == ("0", "", "", "HU")
