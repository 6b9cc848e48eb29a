"""The one call, by what it takes and gives, beyond what the command line shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monai.data import MetaTensor
from monai.networks.nets import UNet

import DeepImagingLib
from DeepImagingLib import Options, run
from DeepImagingLib.errors import InputError
from DeepImagingLib.files import as_image
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


def test_the_public_names_are_there() -> None:
    assert set(DeepImagingLib.__all__) <= set(dir(DeepImagingLib)) | {"run", "load_bundle", "Options"}
    assert callable(DeepImagingLib.run)
    assert callable(DeepImagingLib.load_bundle)
