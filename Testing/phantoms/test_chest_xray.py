"""The radiograph phantom: the same for a seed, shown as readers expect it, and true about what is found where."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from DeepImagingLib.errors import InputError
from DeepImagingLib.files.read import read
from DeepImagingLib.phantoms import chest_xray, torso_ct
from DeepImagingLib.phantoms.radiograph import Beam, Volume, linear
from DeepImagingLib.phantoms.torso import Material, Organ
from DeepImagingLib.phantoms.xray_findings import stands_out
from DeepImagingLib.results import Segmentation

SPACING, SIZE = (1.6, 1.6), (400.0, 400.0)
NAMES = ("cardiomegaly", "effusion", "pneumothorax", "nodule", "consolidation")
SEEDS = range(1_000_000, 1_000_003)

Picture = npt.NDArray[np.float32]


@cache
def body(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    return torso_ct.draw(seed, (6, 6, 6), (540, 400, 800))


@cache
def shot(seed: int, findings: tuple[str, ...], view: chest_xray.View = "PA") -> tuple[Picture, Segmentation]:
    """Return a radiograph (I, J), scaled to 0..1 with air dark, and its truth."""
    images, truth = chest_xray.expose(
        body(seed), seed, SPACING, SIZE, findings=findings, view=view, photometric="MONOCHROME2"
    )
    image = images["cxr"]
    return image.numpy()[0] / (2 ** image.meta["bits"] - 1), truth


def region(truth: Segmentation, name: str) -> npt.NDArray[np.bool_]:
    return truth.mask(name)[..., 0]


def lung_beside(truth: Segmentation, name: str) -> npt.NDArray[np.bool_]:
    """Return the lung that most of a finding lies in."""
    sides = [region(truth, f"{side} lung") for side in ("right", "left")]
    return max(sides, key=lambda lung: int((lung & region(truth, name)).sum()))


class TestDeterminism:
    def test_the_same_seed_gives_the_same_radiograph(self) -> None:
        first, second = (chest_xray.expose(body(SEEDS[0]), 5, SPACING, SIZE) for _ in range(2))
        np.testing.assert_array_equal(first[0]["cxr"].numpy(), second[0]["cxr"].numpy())
        np.testing.assert_array_equal(first[1].layers, second[1].layers)

    def test_one_body_can_be_shot_in_many_ways(self) -> None:
        first, second = (chest_xray.expose(body(SEEDS[0]), seed, SPACING, SIZE) for seed in (5, 6))
        assert not np.array_equal(first[0]["cxr"].numpy(), second[0]["cxr"].numpy())

    def test_a_sample_is_its_seed_s_body_exposed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chest_xray, "BODY_SPACING", (8, 8, 8))  # fast
        images, truth = chest_xray.sample(SEEDS[0], (8, 8), SIZE)
        drawn = torso_ct.draw(SEEDS[0], chest_xray.BODY_SPACING, chest_xray.BODY_SIZE)
        again, truth_again = chest_xray.expose(drawn, SEEDS[0], (8, 8), SIZE)
        np.testing.assert_array_equal(images["cxr"].numpy(), again["cxr"].numpy())
        np.testing.assert_array_equal(truth.layers, truth_again.layers)


class TestGeometry:
    def test_image_and_truth_cover_the_field_of_view(self) -> None:
        images, truth = chest_xray.expose(body(SEEDS[0]), 1, (2, 2), (400, 300))
        assert images["cxr"].shape == (1, 200, 150)
        assert truth.layers.shape == (8, 200, 150, 1)
        np.testing.assert_allclose(images["cxr"].affine.numpy(), truth.affine)

    def test_axes_run_as_those_of_a_picture_that_is_read(self, tmp_path: Path) -> None:
        import SimpleITK as sitk

        file = sitk.GetImageFromArray(np.zeros((4, 5), np.uint8))
        file.SetSpacing(SPACING)
        sitk.WriteImage(file, str(tmp_path / "picture.nrrd"))
        _, truth = shot(SEEDS[0], ())
        np.testing.assert_allclose(truth.affine[:3, :3], read(tmp_path / "picture.nrrd").affine[:3, :3])

    @pytest.mark.parametrize("view", ["PA", "AP"])
    def test_the_patient_faces_the_reader(self, view: chest_xray.View) -> None:
        _, truth = shot(SEEDS[0], (), view)
        right, left, heart = (np.argwhere(region(truth, n)).mean(axis=0) for n in ("right lung", "left lung", "heart"))
        assert right[0] < left[0], "the patient's right is at the image's left"
        assert heart[0] > (right[0] + left[0]) / 2, "the heart lies on the patient's left"
        assert heart[1] > (right[1] + left[1]) / 2, "rows run downwards"

    def test_what_is_farther_from_the_detector_is_larger(self) -> None:
        axis = np.arange(-100.0, 101, 5)
        cube = np.zeros((41, 41, 41), bool)
        cube[15:26, 20, 15:26] = True
        widths = []
        for plate in (20.0, 300.0):
            beam = Beam(np.arange(-150.0, 150), np.arange(-150.0, 150), (0, 0), 1000, plate)
            widths.append(np.count_nonzero(beam.project(cube, Volume((axis, axis, axis)))[:, 150] > 2.5))
        assert widths[1] / widths[0] == pytest.approx((1000 - 20) / (1000 - 300), rel=0.05)


class TestProjection:
    def test_a_ball_s_shadow_is_as_thick_as_the_ball(self) -> None:
        axis = np.arange(-60.0, 61, 3)
        x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
        ball = x**2 + y**2 + z**2 < 40**2
        beam = Beam(np.arange(-80.0, 80), np.arange(-80.0, 80), (0, 0), 1800, 80)
        volume = Volume((axis, axis, axis))
        rough = beam.project(ball, volume)
        fine = beam.integrate(ball.astype(np.float32), [ball], volume)
        assert rough[80, 80] == pytest.approx(80, rel=0.05)
        assert fine[80, 80] == pytest.approx(80, rel=0.05)
        assert fine.sum() == pytest.approx(rough.sum(), rel=0.05)

    def test_points_are_placed_where_voxels_are_drawn(self) -> None:
        axis = np.arange(-60.0, 61, 3)
        spot = np.zeros((41, 41, 41), bool)
        spot[30, 10, 35] = True
        volume = Volume((axis, axis, axis))
        beam = Beam(np.arange(80.0, -80, -1), np.arange(80.0, -80, -1), (4, -3), 1000, 100, 0.1, -0.05, 0.2)
        drawn = beam.project(spot, volume)
        columns, rows = np.nonzero(drawn)
        seen = np.average(np.stack([beam.u[columns], beam.v[rows]]), axis=1, weights=drawn[columns, rows])
        np.testing.assert_allclose(seen, np.ravel(beam.place(volume.points(spot))), atol=0.3)

    def test_small_pieces_keep_their_volume(self) -> None:
        beam = Beam(np.arange(-40, 40, 0.5), np.arange(-40, 40, 0.5), (0, 0), 1000, 0)
        points = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 10.0]])
        thickness = beam.splat(points, np.array([30.0, 12.0]), np.array([1.0, 3.0]))
        assert thickness.sum() * 0.5**2 == pytest.approx(42, rel=0.02)

    def test_what_the_patient_lies_on_casts_no_shadow(self) -> None:
        materials, organs, affine = body(SEEDS[0])
        around = materials.copy()
        around[(organs == Organ.BACKGROUND) & (np.arange(materials.shape[1])[:, None] < 12)] = Material.FOAM
        assert (around != materials).any()
        bodies = ((volume, organs, affine) for volume in (materials, around))
        bare, on_foam = (chest_xray.expose(one, 5, SPACING, SIZE, findings=())[0]["cxr"].numpy() for one in bodies)
        assert np.array_equal(bare, on_foam)

    def test_attenuation_falls_with_energy_and_rises_with_density(self) -> None:
        assert linear("soft", 1, 60) == pytest.approx(0.02048)
        assert linear("bone", 1.92, 70) > linear("soft", 1.05, 70) > linear("fat", 0.95, 70)
        assert linear("bone", 1, 60) > linear("bone", 1, 80)


class TestDisplay:
    def test_monochrome1_is_the_exact_negative(self) -> None:
        dark_air, bright_air = (
            chest_xray.expose(body(SEEDS[0]), 3, SPACING, SIZE, photometric=p)[0]["cxr"]
            for p in ("MONOCHROME2", "MONOCHROME1")
        )
        assert (dark_air.meta["photometric"], bright_air.meta["photometric"]) == ("MONOCHROME2", "MONOCHROME1")
        most = 2 ** dark_air.meta["bits"] - 1
        np.testing.assert_array_equal(dark_air.numpy() + bright_air.numpy(), most)

    def test_values_are_whole_numbers_of_the_bits_they_name(self) -> None:
        image = chest_xray.expose(body(SEEDS[0]), 4, SPACING, SIZE)[0]["cxr"]
        values = image.numpy()
        np.testing.assert_array_equal(values, np.rint(values))
        assert 0 <= values.min() < values.max() <= 2 ** image.meta["bits"] - 1

    @pytest.mark.parametrize("seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])])
    def test_lungs_are_darker_than_the_heart(self, seed: int) -> None:
        image, truth = shot(seed, ())
        lungs = (region(truth, "right lung") | region(truth, "left lung")) & ~region(truth, "heart")
        assert np.median(image[lungs]) < np.median(image[region(truth, "heart")])

    def test_view_and_position_are_told(self) -> None:
        for view in ("PA", "AP"):
            meta = chest_xray.expose(body(SEEDS[0]), 4, SPACING, SIZE, view=view)[0]["cxr"].meta
            assert meta["view"] == view
            assert meta["position"] in (("erect",) if view == "PA" else ("erect", "supine"))


@pytest.mark.parametrize("seed", SEEDS)
class TestFindings:
    def test_none_are_there_where_none_are_wanted(self, seed: int) -> None:
        assert chest_xray.present(shot(seed, ())[1]) == ()

    @pytest.mark.parametrize("name", NAMES)
    def test_a_wanted_one_is_there_alone(self, seed: int, name: str) -> None:
        assert chest_xray.present(shot(seed, (name,))[1]) == (name,)

    def test_several_can_be_there_at_once(self, seed: int) -> None:
        assert set(chest_xray.present(shot(seed, ("effusion", "nodule"))[1])) == {"effusion", "nodule"}

    @pytest.mark.parametrize("findings", [(), ("cardiomegaly",)])
    def test_a_heart_is_large_where_it_takes_half_of_the_thorax(self, seed: int, findings: tuple[str, ...]) -> None:
        _, truth = shot(seed, findings)
        heart = np.flatnonzero(region(truth, "heart").any(axis=1))
        lungs = np.flatnonzero((region(truth, "right lung") | region(truth, "left lung")).any(axis=1))
        ratio = (heart[-1] - heart[0] + 1) / (lungs[-1] - lungs[0] + 1)
        assert chest_xray.cardiothoracic_ratio(truth) == pytest.approx(ratio)
        assert (ratio > 0.5) == ("cardiomegaly" in findings)

    @pytest.mark.parametrize("name", ["effusion", "pneumothorax", "consolidation"])
    def test_regions_lie_in_the_lungs(self, seed: int, name: str) -> None:
        _, truth = shot(seed, (name,))
        lungs = region(truth, "right lung") | region(truth, "left lung")
        assert (region(truth, name) & lungs).sum() > 0.97 * region(truth, name).sum()

    def test_fluid_fills_the_angle_of_rib_and_diaphragm(self, seed: int) -> None:
        _, truth = shot(seed, ("effusion",))
        lung = lung_beside(truth, "effusion")
        is_right = np.array_equal(lung, region(truth, "right lung"))
        columns, rows = np.nonzero(lung)
        outer = columns < np.quantile(columns, 0.3) if is_right else columns > np.quantile(columns, 0.7)
        angle = outer & (rows > np.quantile(rows[outer], 0.9))
        assert region(truth, "effusion")[columns[angle], rows[angle]].mean() > 0.6

    def test_air_around_a_lung_attenuates_less_than_the_lung_did(self, seed: int) -> None:
        with_air, truth = shot(seed, ("pneumothorax",))
        without, _ = shot(seed, ())
        air = region(truth, "pneumothorax")
        assert np.median(with_air[air] - without[air]) < 0

    @pytest.mark.parametrize("name", ["effusion", "nodule", "consolidation"])
    def test_what_is_denser_than_lung_is_brighter_than_it_was(self, seed: int, name: str) -> None:
        filled, truth = shot(seed, (name,))
        without, _ = shot(seed, ())
        where = region(truth, name)
        assert np.median(filled[where] - without[where]) > 0


class TestVisibility:
    @pytest.fixture
    def ground(self) -> np.ndarray:
        """Lung on the left and abdomen on the right of a patient, with air around."""
        ground = np.zeros((120, 120), np.float32)
        ground[10:110, 10:110], ground[60:110, 10:110] = 2.0, 5.0
        return ground

    @staticmethod
    def disc(i: int) -> np.ndarray:
        return np.where(np.hypot(*(np.indices((120, 120)) - [[[i]], [[60]]])) < 6, np.float32(0.3), np.float32(0))

    def test_a_nodule_over_lung_is_seen_and_one_over_the_abdomen_is_not(self, ground: np.ndarray) -> None:
        assert stands_out(self.disc(35), ground) and not stands_out(self.disc(85), ground)

    def test_one_among_as_much_else_is_not_seen(self, ground: np.ndarray) -> None:
        noise = np.random.default_rng(0).normal(0, 0.5, ground.shape).astype(np.float32)
        assert not stands_out(self.disc(35), ground + noise)

    def test_what_brightens_evenly_hides_none(self, ground: np.ndarray) -> None:
        slope = np.linspace(0, 1, 120, dtype=np.float32)[None]
        assert stands_out(self.disc(35), ground + slope)

    def test_none_is_not_seen(self, ground: np.ndarray) -> None:
        assert not stands_out(np.zeros_like(ground), ground)

    def test_consolidation_begins_beside_heart_and_diaphragm(self) -> None:
        for seed in SEEDS:
            _, truth = shot(seed, ("consolidation",))
            lungs = region(truth, "right lung") | region(truth, "left lung")
            assert (region(truth, "consolidation") & lungs & ~region(truth, "heart")).any()


class TestErrors:
    def test_an_unknown_finding_is_named(self) -> None:
        with pytest.raises(InputError, match="no finding 'fracture'"):
            chest_xray.expose(body(SEEDS[0]), 0, SPACING, SIZE, findings=["fracture"])

    @pytest.mark.parametrize("spacing", [(0, 0), (1, 2), (1,), (float("nan"), float("nan"))])
    def test_a_bad_spacing_is_named(self, spacing: tuple[float, float]) -> None:
        with pytest.raises(InputError, match="two equal numbers"):
            chest_xray.sample(0, spacing)

    def test_a_bad_field_of_view_is_named(self) -> None:
        with pytest.raises(InputError, match="field of view must be two numbers"):
            chest_xray.sample(0, (1, 1), (400, 4000))

    def test_a_negative_seed_is_named(self) -> None:
        with pytest.raises(InputError, match="seed must not be negative"):
            chest_xray.sample(-1)

    def test_a_body_without_lungs_is_refused(self) -> None:
        materials, organs, affine = body(SEEDS[0])
        with pytest.raises(InputError, match="no lungs"):
            chest_xray.expose((materials, np.zeros_like(organs), affine), 0, SPACING, SIZE)
