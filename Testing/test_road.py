"""The one call, by what it takes and gives, beyond what the command line shows."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from monai.data import MetaTensor
from monai.networks.nets import UNet

from DeepImagingLib import Options, run
from DeepImagingLib.bundles.borders import Border
from DeepImagingLib.errors import BundleError, InputError
from DeepImagingLib.files import as_image
from DeepImagingLib.phantoms import torso_ct
from DeepImagingLib.tasks.borders import follow_borders
from Testing.bundles import make_bundles as make
from Testing.grids import affine

GRID = affine("LPS", (2.0, 2.0, 2.5), (40, 30, 20))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_spleen_like(tmp_path_factory.mktemp("models") / "spleen_like")


@pytest.fixture
def image() -> MetaTensor:
    rng = np.random.default_rng(0)
    return as_image(rng.normal(0, 100, (1, 36, 32, 28)), GRID)


def write_picture_bundle(folder: Path) -> Path:
    """Write a bundle that segments 2-D pictures: resize, see at once, map back."""
    network = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    network |= {"channels": [8, 16, 32], "strides": [2, 2]}
    config = make.ct_config(network, window=(0, 255))
    load, first, *_, scale, typed = config["preprocessing"]["transforms"]
    resize = {"_target_": "Resized", "keys": "image", "spatial_size": [48, 48]}
    config["preprocessing"]["transforms"] = [load, first, resize, scale, typed]
    config["inferer"] = {"_target_": "SimpleInferer"}
    metadata = make.ct_metadata("Tool segmentation", ["background", "tool"])
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = [48, 48]
    return make.write_bundle(folder, config, metadata, UNet(2, 1, 2, channels=(8, 16, 32), strides=(2, 2)))


class TestInputs:
    def test_the_result_has_the_geometry_of_the_input(self, bundle, image) -> None:
        result = run(bundle, image)
        assert result.layers.shape == (1, 36, 32, 28)
        np.testing.assert_allclose(result.affine, GRID)

    def test_a_name_and_no_name_are_the_same(self, bundle, image) -> None:
        np.testing.assert_array_equal(run(bundle, {"image": image}).layers, run(bundle, image).layers)

    def test_any_number_type_gives_the_same(self, bundle, image) -> None:
        whole = MetaTensor(image.as_tensor().round(), affine=image.affine)
        integers = MetaTensor(image.as_tensor().round().short(), affine=image.affine)
        np.testing.assert_array_equal(run(bundle, integers).layers, run(bundle, whole).layers)

    def test_the_input_is_left_as_it_was_by_transforms_that_work_in_place(self, tmp_path: Path, image) -> None:
        bundle = make.write_spleen_like(tmp_path / "in_place")
        normalize = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}
        make.change_config(bundle, {"preprocessing#transforms#2": normalize, "preprocessing#transforms#3": normalize})
        before = image.clone()
        run(bundle, image)
        assert bool((image == before).all())

    def test_a_tensor_that_gradients_flow_through_is_taken(self, bundle, image) -> None:
        learning = image.clone().requires_grad_()
        np.testing.assert_array_equal(run(bundle, learning).layers, run(bundle, image).layers)

    def test_an_array_without_geometry_is_refused(self, bundle, image) -> None:
        with pytest.raises(InputError, match=r"ndarray; give a path or a MetaTensor"):
            run(bundle, image.numpy())

    def test_one_slice_is_no_volume(self, bundle, image) -> None:
        with pytest.raises(InputError, match="two-dimensional"):
            run(bundle, as_image(image.numpy()[..., :1], GRID))


class TestPictures:
    def test_a_picture_and_a_volume_of_one_slice_are_the_same(self, tmp_path: Path) -> None:
        bundle = write_picture_bundle(tmp_path / "picture")
        array = np.random.default_rng(0).integers(0, 255, (1, 60, 40))
        flat = run(bundle, as_image(array, GRID))
        slab = run(bundle, as_image(array[..., None], GRID))
        assert flat.layers.shape == (1, 60, 40, 1)
        assert flat.layers.any()
        np.testing.assert_array_equal(flat.layers, slab.layers)

    def test_a_region_of_a_picture_may_name_the_third_axis_or_not(self, tmp_path: Path) -> None:
        bundle = write_picture_bundle(tmp_path / "picture")
        array = np.random.default_rng(0).integers(0, 255, (1, 60, 40))
        flat = run(bundle, as_image(array, GRID), Options(roi=((5, 50), (3, 35))))
        slab = run(bundle, as_image(array[..., None], GRID), Options(roi=((5, 50), (3, 35), (0, 1))))
        np.testing.assert_array_equal(flat.layers, slab.layers)
        assert flat.layers[0, 5:50, 3:35].any()
        assert not flat.layers[0, 50:].any()

    def test_a_picture_is_drawn_and_saved_as_a_scene(self, tmp_path: Path) -> None:
        pytest.importorskip("slicer", reason="slicer-core is not installed")
        from DeepImagingLib.scene import ResultExport

        bundle = write_picture_bundle(tmp_path / "picture")
        image = as_image(np.random.default_rng(0).integers(0, 255, (1, 60, 40)), GRID)
        export = ResultExport(run(bundle, image), {"scan": image})
        export.write_mrb(tmp_path / "o.mrb")
        export.write_png(tmp_path / "o.png")
        assert (tmp_path / "o.mrb").stat().st_size > 0

    def test_a_volume_is_refused_by_a_model_of_pictures(self, tmp_path: Path, image) -> None:
        bundle = write_picture_bundle(tmp_path / "picture")
        with pytest.raises(InputError, match="works on pictures"):
            run(bundle, image)


class TestProgress:
    def test_stages_come_in_order_and_reach_one(self, bundle, image) -> None:
        seen = []
        run(bundle, image, progress=seen.append)
        stages = list(dict.fromkeys(p.stage for p in seen))
        assert stages[:3] == ["Checking the input", "Loading the model", "Preprocessing"]
        assert stages[3:] == ["Network", "Post-processing", "Collecting"]
        network = [p.fraction for p in seen if p.stage == "Network"]
        assert network == sorted(network)
        assert network[-1] == 1.0
        assert len(network) > 2

    def test_the_windows_counted_are_those_that_run(self, bundle, image) -> None:
        from DeepImagingLib.bundles import load_bundle
        from DeepImagingLib.inference.windows import count_windows

        pipeline = load_bundle(bundle).build("cpu")
        for shape in ((64, 64, 64), (65, 64, 64), (150, 97, 64), (10, 200, 129)):
            ran = []
            prepared = MetaTensor(np.zeros((1, 1, *shape), np.float32))
            pipeline.inferer(prepared, lambda x, ran=ran: ran.append(len(x)) or x)
            assert sum(ran) == count_windows(shape, pipeline.inferer)


class TestPlaceOfTheAnswer:
    """Steps that drop the affine, or a channel axis, must not move the mask."""

    @pytest.mark.parametrize(
        "step",
        [
            {"_target_": "ToNumpyd", "keys": "pred"},
            {"_target_": "EnsureTyped", "keys": "pred", "track_meta": False},
            {"_target_": "SqueezeDimd", "keys": "pred", "dim": 0},
        ],
    )
    def test_it_stays_where_it_was(self, bundle, image, tmp_path: Path, step) -> None:
        changed = make.write_spleen_like(tmp_path / "changed")
        steps = make.read_config(changed)["postprocessing"]["transforms"]
        make.change_config(changed, {"postprocessing#transforms": [*steps[:-1], step, steps[-1]]})
        result = run(changed, image)
        np.testing.assert_array_equal(result.layers, run(bundle, image).layers)

    def test_weights_that_give_no_numbers_are_refused(self, image, tmp_path: Path) -> None:
        import torch

        broken = make.write_spleen_like(tmp_path / "broken")
        weights = torch.load(broken / "models" / "model.pt", weights_only=True)
        torch.save(
            {k: v * float("nan") if v.is_floating_point() else v for k, v in weights.items()},
            broken / "models" / "model.pt",
        )
        with pytest.raises(BundleError, match="not numbers"):
            run(broken, image)

    def test_channels_in_another_axis_order_are_refused(self, tmp_path: Path) -> None:
        brats = make.write_brats_like(tmp_path / "brats")
        array = np.random.default_rng(0).normal(size=(1, 16, 16, 16))
        names = ["T1c", "T1", "T2", "FLAIR"]
        images = {name: as_image(array, affine("RAS")) for name in names}
        images["T2"] = as_image(array, affine("ARS"))
        with pytest.raises(InputError, match=r"'T2' lie 15 mm apart"):
            run(brats, images)


class TestBorders:
    """Labels that grow into others where the image shows it, if the bundle tells so."""

    RULE: ClassVar = {"labels": ["spleen"], "into": ["background"], "above": 50, "within_mm": 5}

    @pytest.mark.parametrize("roi", [None, ((4, 30), (0, 32), (6, 28))])
    def test_they_follow_the_image_within_the_region(self, bundle, image, tmp_path: Path, roi) -> None:
        told = make.change_metadata(make.write_spleen_like(tmp_path / "told"), borders=[self.RULE])
        options = Options(roi=roi)
        plain, grown = (run(model, image, options).layers[0] for model in (bundle, told))
        region = tuple(slice(*span) for span in roi or ((None, None),) * 3)
        border = Border((1,), (0,), 50, above=True, within_mm=5)
        expected = plain.copy()
        expected[region] = follow_borders(plain[region], image[0].numpy()[region], (border,), (2, 2, 2.5), lambda: None)
        assert 0 < (expected != plain).sum() < plain.size / 2
        np.testing.assert_array_equal(grown, expected)


class TestProvenance:
    def test_tells_how_to_make_the_result_again(self, bundle, image) -> None:
        told = run(bundle, image, Options(device="cpu", precision="full")).provenance
        again = run(bundle, image, Options(device="cpu", precision="full")).provenance
        assert told is not None
        assert again is not None
        assert (told.bundle, told.device, told.precision) == ("spleen_like", "cpu", "full")
        assert told.sha256 == again.sha256
        assert told.input_sha256 == again.input_sha256
        assert told.versions["monai"] == "1.6.1"

    def test_another_input_has_another_hash(self, bundle, image) -> None:
        moved = as_image(image.numpy(), affine("LPS", (2.0, 2.0, 2.5), (41, 30, 20)))
        first, second = (run(bundle, i).provenance for i in (image, moved))
        assert first is not None
        assert second is not None
        assert first.input_sha256 != second.input_sha256


def test_the_public_names_stay_what_they_are_after_their_modules_were_imported() -> None:
    import DeepImagingLib.road

    assert DeepImagingLib.run is DeepImagingLib.road.run
    assert DeepImagingLib.Options is Options
    assert callable(DeepImagingLib.load_bundle)


class TestSides:
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_a_mirrored_header_is_told_in_the_provenance(self, mirrored) -> None:
        ct = torso_ct.sample(1_000_000, (5, 5, 5))[0]["ct"]  # a body whose right lung is clearly the larger one
        grid = np.diag([-1.0 if mirrored else 1.0, 1, 1, 1]) @ np.asarray(ct.affine)
        notes = run("torso_ct_segmentation", as_image(ct.numpy(), grid)).provenance.notes
        assert any("the header, or the anatomy" in note for note in notes) is mirrored
