"""Classifiers by the road, beside what MONAI's own parser and transforms make of the same bundle and file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from DeepImagingLib.bundles import load_bundle
from DeepImagingLib.errors import BundleError, InputError, MemoryLimitError, TrustError
from DeepImagingLib.files import as_image
from DeepImagingLib.inference.answers import Answers, makes_probabilities, read_answers
from DeepImagingLib.options import Options
from DeepImagingLib.results import Classification
from DeepImagingLib.road import plan, run
from Testing.bundles import make_classifiers as make

CPU = Options(device="cpu")
FLAT = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_png(path: Path, shape: tuple[int, ...] = (80, 61, 3), seed: int = 0) -> Path:
    """Write a picture of smooth blobs, rows first."""
    import SimpleITK as sitk

    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (6, 6, *shape[2:])).astype(np.float32)
    wide = torch.nn.functional.interpolate(
        torch.from_numpy(np.atleast_3d(rough)).permute(2, 0, 1)[None], shape[:2], mode="bilinear"
    )
    pixels = wide[0].permute(1, 2, 0).numpy().astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels.squeeze(), isVector=len(shape) == 3), str(path))
    return path


def by_monai(folder: Path, **images: Path) -> torch.Tensor:
    """Return what MONAI's own steps give: probabilities, or outputs where the bundle has no activation."""
    from monai.bundle import ConfigParser

    config = json.loads((folder / "configs" / "inference.json").read_text())
    config["network_def"].pop("pretrained", None)
    config["postprocessing"]["transforms"] = [
        step
        for step in config["postprocessing"]["transforms"]
        if not step["_target_"].startswith(("AsDiscrete", "Save"))
    ]
    config["device"] = "cpu"
    parser = ConfigParser(config)
    data = parser.get_parsed_content("preprocessing")({key: str(path) for key, path in images.items()})
    network = make.network_of(config["network_def"])
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    with torch.no_grad():
        answer = parser.get_parsed_content("inferer")(data["image"][None].float(), network)
    told = parser.get_parsed_content("postprocessing")({"pred": answer[0].flatten()})
    return torch.as_tensor(told["pred"])


def classified(folder: Path, images: object, options: Options = CPU) -> Classification:
    result = run(folder, images, options)
    assert isinstance(result, Classification)
    return result


class TestBundlesOfTheZoo:
    """What is odd in them is the road's business, and their numbers are MONAI's."""

    def test_one_of_torchvisions_gets_its_own_weights_and_nothing_is_downloaded(self, tmp_path: Path) -> None:
        folder = make.write_breast_density_like(tmp_path / "density")
        picture = write_png(tmp_path / "a.png")
        result = classified(folder, picture)
        assert np.allclose(result.probabilities, by_monai(folder, image=picture), atol=1e-5)
        assert (result.labels, result.exclusive) == (("A", "B", "C", "D"), False)
        assert result.provenance is not None
        assert any("nothing is downloaded" in note for note in result.provenance.notes)

    def test_an_argmax_without_an_activation_is_a_softmax(self, tmp_path: Path) -> None:
        folder = make.write_endoscopy_like(tmp_path / "endoscopy")
        picture = write_png(tmp_path / "a.png")
        result = classified(folder, picture)
        assert np.allclose(result.probabilities, torch.softmax(by_monai(folder, image=picture), 0), atol=1e-5)
        assert result.exclusive
        assert result.found == (result.labels[int(np.argmax(result.probabilities))],)

    def test_a_mask_goes_behind_the_colours(self, tmp_path: Path) -> None:
        folder = make.write_nuclei_like(tmp_path / "nuclei")
        picture, mask = write_png(tmp_path / "a.png"), write_png(tmp_path / "m.png", (80, 61))
        result = classified(folder, {"image": picture, "label": mask})
        assert np.allclose(result.probabilities, by_monai(folder, image=picture, label=mask), atol=1e-5)
        assert sum(result.probabilities) == pytest.approx(1)

    def test_large_pictures_become_a_map_of_their_patches(self, tmp_path: Path) -> None:
        folder = make.write_tumor_like(tmp_path / "tumor")
        picture = write_png(tmp_path / "a.png", (150, 130, 3))
        result = classified(folder, picture)
        (heat,) = result.heatmaps
        assert (heat.label, heat.method, heat.values.shape) == ("metastasis", "patches", (130, 150, 1))
        corner = write_png(tmp_path / "b.png", (64, 64, 3))
        import SimpleITK as sitk

        sitk.WriteImage(sitk.ReadImage(str(picture))[:64, :64], str(corner))
        assert heat.values[0, 0, 0] == pytest.approx(float(by_monai(folder, image=corner)), abs=1e-5)
        assert result.probabilities[0] >= heat.values.max() - 1e-6

    def test_a_volume_is_seen_whole(self, tmp_path: Path) -> None:
        import nibabel

        folder = make.write_volume_classifier(tmp_path / "volume")
        voxels = np.random.default_rng(0).normal(size=(40, 36, 20)).astype(np.float32)
        path = tmp_path / "a.nii.gz"
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.5, -1.0, 2.0, 1.0])), path)
        result = classified(folder, path)
        assert np.allclose(result.probabilities, by_monai(folder, image=path), atol=1e-5)
        assert result.shape == (40, 36, 20)


@pytest.fixture(scope="module")
def endoscopy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write_endoscopy_like(tmp_path_factory.mktemp("made") / "endoscopy")


def picture(channels: int = 3, shape: tuple[int, ...] = (40, 40)) -> object:
    values = np.random.default_rng(0).integers(0, 256, (channels, *shape)).astype(np.float32)
    return as_image(values, FLAT)


def header_only(path: Path, rows: int, columns: int) -> None:
    """Write a DICOM picture without its pixels."""
    from pydicom import Dataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    made.Rows, made.Columns = rows, columns
    made.ensure_file_meta()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)


class TestInputs:
    """What a network takes, and what is told where it gets something else."""

    def test_a_volume_is_seen_slice_by_slice(self, endoscopy: Path) -> None:
        volume = picture(3, (40, 40, 5))
        result = classified(endoscopy, volume)
        assert result.slices is not None and result.slices.shape == (5, 2)
        alone = classified(endoscopy, as_image(volume.numpy()[..., 2], FLAT))
        assert np.allclose(result.slices[2], alone.probabilities, atol=1e-5)
        assert np.allclose(result.probabilities, result.slices.mean(axis=0))
        part = classified(endoscopy, volume, Options(device="cpu", roi=((0, 40), (0, 40), (2, 3))))
        assert part.slices is not None
        assert np.isnan(part.slices[[0, 1, 3, 4]]).all()
        assert np.allclose(part.slices[2], alone.probabilities, atol=1e-5)

    def test_grey_is_repeated_and_said(self, endoscopy: Path) -> None:
        grey = picture(1)
        result = classified(endoscopy, grey)
        assert result.provenance is not None
        assert any("grey" in note for note in result.provenance.notes)
        same = as_image(np.repeat(grey.numpy(), 3, axis=0), FLAT)
        assert classified(endoscopy, same).probabilities == result.probabilities

    @pytest.mark.parametrize(
        ("image", "words"),
        [
            (lambda: picture(2), "has 2 channels, but the model takes 3"),
            (lambda: picture(3, (1, 1)), "1 × 1 pixels, too few"),
            (lambda: as_image(np.full((3, 40, 40), 7.0, np.float32), FLAT), "7 everywhere"),
            (lambda: as_image(np.full((3, 40, 40), np.nan, np.float32), FLAT), "not numbers"),
            (lambda: as_image(np.ones((3, 40, 40), np.float32), np.diag([0.0, 1, 1, 1])), "spacing"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, endoscopy: Path, image: Callable[[], object], words: str) -> None:
        with pytest.raises(InputError, match=words):
            classified(endoscopy, image())

    def test_what_does_not_fit_is_refused_with_numbers(self, endoscopy: Path) -> None:
        huge = as_image(np.broadcast_to(np.arange(3500, dtype=np.float32), (3, 3000, 3500)), FLAT)
        with pytest.raises(MemoryLimitError, match=r"3000 × 3500 voxels needs 0\.4 GB"):
            classified(endoscopy, huge, Options(device="cpu", memory_limit=64 << 20))

    @pytest.mark.parametrize("ending", [".png", ".dcm"])
    def test_a_file_that_does_not_fit_is_refused_by_its_header(
        self, endoscopy: Path, tmp_path: Path, ending: str
    ) -> None:
        path = tmp_path / f"large{ending}"
        if ending == ".png":
            PIL.Image.new("1", (6000, 5000)).save(path)
            path.write_bytes(path.read_bytes()[:1000])  # nothing that could be decoded
        else:
            header_only(path, rows=5000, columns=6000)
        with pytest.raises(MemoryLimitError, match=r"6000 × 5000 voxels needs 1\.1 GB"):
            classified(endoscopy, path, Options(device="cpu", memory_limit=64 << 20))

    def test_a_channel_without_content_is_fine_in_a_coloured_picture(self, endoscopy: Path) -> None:
        values = picture().numpy()
        values[2] = 0
        assert sum(classified(endoscopy, as_image(values, FLAT)).probabilities) == pytest.approx(1)

    @pytest.mark.parametrize(("most", "words"), [(4095, "12 bits"), (65535, "16 bits"), (1, "shares of 1")])
    def test_pictures_of_other_depth_are_brought_to_what_the_model_takes(
        self, tmp_path: Path, most: int, words: str
    ) -> None:
        folder, eight = make.write_tumor_like(tmp_path / "tumor"), picture(3, (64, 64)).numpy()
        values = eight / 255 * most
        result = classified(folder, as_image(values if most == 1 else np.rint(values), FLAT))
        assert result.probabilities == pytest.approx(classified(folder, as_image(eight, FLAT)).probabilities, abs=1e-2)
        assert result.provenance is not None and any(words in note for note in result.provenance.notes)

    def test_a_dark_region_is_as_deep_as_its_picture(self, tmp_path: Path) -> None:
        folder, eight = make.write_tumor_like(tmp_path / "tumor"), picture(3, (64, 128)).numpy()
        eight[:, :, :64] //= 16
        part = Options(device="cpu", roi=((0, 64), (0, 64), (0, 1)))
        deep = classified(folder, as_image(np.rint(eight / 255 * 65535), FLAT), part)
        assert deep.probabilities == pytest.approx(
            classified(folder, as_image(eight, FLAT), part).probabilities, abs=1e-2
        )

    @pytest.mark.parametrize("change", [lambda values: values - 300, lambda values: values * 1.7])
    def test_values_that_no_picture_has_are_refused(self, tmp_path: Path, change: Callable[[object], object]) -> None:
        folder = make.write_tumor_like(tmp_path / "tumor")
        with pytest.raises(InputError, match="but the model takes 0 to 255"):
            classified(folder, as_image(change(picture(3, (64, 64)).numpy()), FLAT))

    def test_what_would_be_cut_off_is_refused(self, tmp_path: Path) -> None:
        folder = make.write_tumor_like(tmp_path / "tumor")
        path = folder / "configs" / "inference.json"
        config = json.loads(path.read_text())
        config["preprocessing"]["transforms"][3] |= {"clip": True, "a_max": 4095}
        path.write_text(json.dumps(config))
        with pytest.raises(InputError, match="but the model takes 0 to 4095"):
            classified(folder, as_image(200 * picture(3, (64, 64)).numpy(), FLAT))

    def test_a_plan_tells_how_much_is_seen(self, endoscopy: Path) -> None:
        assert plan(endoscopy, picture(3, (40, 40, 5)), CPU).sentence == "5 slices on cpu, 5 at once."

    @pytest.mark.parametrize("options", [Options(tta="i"), Options(probabilities=("all",))])
    def test_options_of_other_tasks_are_refused(self, endoscopy: Path, options: Options) -> None:
        with pytest.raises(InputError, match="Classifiers have no"):
            classified(endoscopy, picture(), options)

    def test_an_unknown_label_has_no_heatmap(self, endoscopy: Path) -> None:
        with pytest.raises(InputError, match="no label 'liver'; it has in body, out body"):
            classified(endoscopy, picture(), Options(device="cpu", heatmaps=("liver",)))


class TestLikeness:
    """A bundle may tell by its last label whether an image is like those it was trained on."""

    @staticmethod
    def bundle(folder: Path, **likeness: object) -> Path:
        made = make.write_breast_density_like(folder)
        path = folder / "configs" / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"likeness": likeness}))
        return made

    def test_it_is_no_label_of_the_answer(self, tmp_path: Path) -> None:
        whole = classified(make.write_breast_density_like(tmp_path / "whole"), picture())
        last = whole.probabilities[-1]
        for least, is_unlike in ((last + 0.01, True), (last - 0.01, False)):
            result = classified(self.bundle(tmp_path / str(is_unlike), label="D", least=least), picture())
            assert result.by_label == pytest.approx(dict(zip("ABC", whole.probabilities, strict=False)))
            assert result.unlike == pytest.approx((1 - last) / last * least / (1 - least))
            assert result.is_unlike is is_unlike
        assert whole.unlike is None and not whole.is_unlike

    def test_another_label_cannot_tell_it(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="has to name the last label, 'D'"):
            classified(self.bundle(tmp_path / "a", label="A", least=0.5), picture())


class TestAnswers:
    """How outputs become probabilities where a bundle leaves them as they are."""

    def test_probabilities_stay_and_logits_do_not(self) -> None:
        values = torch.tensor([[0.02, 0.97], [0.3, 0.9995]])
        assert np.allclose(Answers((), "pred", exclusive=False, done=True).probabilities(values), values)
        assert np.allclose(Answers((), "pred", exclusive=False).probabilities(values), torch.sigmoid(values))
        shares = torch.tensor([[0.02, 0.98], [0.3, 0.7]])
        assert np.allclose(Answers((), "pred", exclusive=True).probabilities(shares), shares)

    def test_logits_that_may_be_probabilities_are_told(self) -> None:
        within, beyond = torch.tensor([[0.02, 0.97]]), torch.tensor([[0.02, 1.97]])
        logits, done = (Answers((), "pred", exclusive=False, done=done) for done in (False, True))
        assert "were taken for logits" in logits.doubt(within)
        assert not logits.doubt(beyond) and not done.doubt(within)

    @pytest.mark.parametrize("last", [torch.nn.Sigmoid(), torch.nn.Softmax(1), None])
    def test_a_last_layer_may_make_probabilities(self, last: torch.nn.Module | None) -> None:
        layers = [torch.nn.Linear(2, 2), *([last] if last else [])]
        assert makes_probabilities(torch.nn.Sequential(*layers)) is (last is not None)

    def test_a_threshold_of_outputs_as_they_are_is_one_of_logits(self) -> None:
        from monai.transforms import AsDiscreted, Compose

        decided = Compose([AsDiscreted("pred", threshold=0.5)])
        assert read_answers(decided, "pred", 2, done=False).threshold == pytest.approx(torch.sigmoid(torch.tensor(0.5)))
        assert read_answers(decided, "pred", 2, done=True).threshold == 0.5

    def test_an_activation_that_does_nothing_is_none(self) -> None:
        from monai.transforms import Activationsd

        answers = Answers((Activationsd("pred"),), "pred", exclusive=True)
        assert answers.probabilities(torch.tensor([[2.0, 2.0, -40.0]]))[0] == pytest.approx([0.5, 0.5, 0.0])


class TestBrokenBundles:
    """A sentence says what is wrong in them."""

    def test_labels_that_do_not_fit_the_head(self, endoscopy: Path, tmp_path: Path) -> None:
        folder = make.write_endoscopy_like(tmp_path / "three")
        path = folder / "configs" / "metadata.json"
        told = json.loads(path.read_text())
        told["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] = "other"
        path.write_text(json.dumps(told))
        with pytest.raises(BundleError, match="name 3 labels, but its network answers with 2 numbers"):
            classified(folder, picture())

    def test_two_labels_of_one_name(self, endoscopy: Path, tmp_path: Path) -> None:
        folder = make.write_endoscopy_like(tmp_path / "twice")
        path = folder / "configs" / "metadata.json"
        told = json.loads(path.read_text())
        told["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "body", "1": "body"}
        path.write_text(json.dumps(told))
        with pytest.raises(BundleError, match="call two labels 'body'"):
            classified(folder, picture())

    @pytest.mark.parametrize(
        ("name", "value"), [("model_name", "get_model"), ("progress", True), ("weights_backbone", "DEFAULT")]
    )
    def test_torchvision_is_asked_for_nothing_else(self, tmp_path: Path, name: str, value: object) -> None:
        folder = make.write_breast_density_like(tmp_path / "density")
        path = folder / "configs" / "inference.json"
        config = json.loads(path.read_text())
        config["network_def"][name] = value
        path.write_text(json.dumps(config))
        with pytest.raises(TrustError, match="which is not on the list"):
            load_bundle(folder)

    def test_weights_of_a_backbone_are_never_fetched(self, tmp_path: Path) -> None:
        folder = make.write_breast_density_like(tmp_path / "density")
        path = folder / "configs" / "inference.json"
        config = json.loads(path.read_text())
        config["network_def"]["weights"] = "DEFAULT"
        path.write_text(json.dumps(config))
        assert any("`weights` of TorchVisionFCModel was dropped" in note for note in load_bundle(folder).notes)
        assert len(classified(folder, picture()).labels) == 4


class TestHeatmaps:
    """What the network saw, in the input's own geometry."""

    def test_come_with_the_result_for_each_slice(self, endoscopy: Path) -> None:
        options = Options(device="cpu", heatmaps=("top",))
        result = classified(endoscopy, picture(3, (40, 40, 3)), options)
        (heat,) = result.heatmaps
        assert heat.label == result.found[0]
        assert heat.values.shape == (40, 40, 3)
        assert all(np.ptp(heat.values[..., k]) > 0 for k in range(3))

    def test_stay_within_the_region(self, endoscopy: Path) -> None:
        options = Options(device="cpu", heatmaps=("out body",), method="occlusion", roi=((8, 40), (0, 32), (0, 1)))
        (heat,) = classified(endoscopy, picture(), options).heatmaps
        assert (heat.label, heat.method) == ("out body", "occlusion")
        assert not heat.values[:8].any() and not heat.values[:, 32:].any()
        assert heat.values[8:, :32].any()
