"""The recipe after CheXNet runs whole on data in ChestX-ray14's form, and takes weights in torchvision's names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from monai.bundle import ConfigParser

from DeepImagingLib import run
from DeepImagingLib.bundles import load_bundle, torchvision_parts
from DeepImagingLib.bundles.densenet import convert, read_torchvision
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.cli import main
from DeepImagingLib.errors import BundleError, InputError, TrustError
from DeepImagingLib.files import read
from DeepImagingLib.files.labels import CHESTX_RAY14
from DeepImagingLib.inference.progress import Monitor
from DeepImagingLib.inference.threads import one_thread
from DeepImagingLib.training import LabelledPictures, TorchvisionWeights

SHIPPED = Path(__file__).parents[2] / "Resources" / "Bundles" / "chexnet_xray_classification"
NARROW = {"init_features": 8, "growth_rate": 4, "block_config": [2, 1]}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TABLE = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
FINDINGS = ("Cardiomegaly", "No Finding", "Effusion|Mass")


def config(name: str) -> Any:
    """Return what a file of the shipped bundle says."""
    return json.loads((SHIPPED / "configs" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of six patients, the last two of whom are the test's."""
    root = tmp_path_factory.mktemp("chestx") / "CXR8"
    rng = np.random.default_rng(0)
    names, rows = [f"{n // 2 + 1:08}_{n % 2:03}.png" for n in range(12)], []
    for number, name in enumerate(names):
        place = root / f"images_{number % 2 + 1:03}" / "images"
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(place / name)
        rows.append(f"{name},{FINDINGS[number % 3]},0,{number // 2 + 1},58,M,PA,2682,2749,0.143,0.143,\n")
    (root / "Data_Entry_2017.csv").write_text(TABLE + "".join(rows), encoding="utf-8")
    (root / "train_val_list.txt").write_text("\n".join(names[:8]), encoding="utf-8")
    (root / "test_list.txt").write_text("\n".join(names[8:]) + "\n", encoding="utf-8")
    box = f"Image Index,Finding Label,Bbox [x,y,w,h],,,\n{names[9]},Cardiomegaly,10.5,20.5,30,20,,,\n"
    (root / "BBox_List_2017.csv").write_text(box, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle with a narrow network, trained for two steps."""
    root = tmp_path_factory.mktemp("recipes") / "narrow"
    (root / "configs").mkdir(parents=True)
    files = {name: config(name) for name in ("train.json", "inference.json", "metadata.json")}
    for name in ("train.json", "inference.json"):
        files[name]["network_def"] |= NARROW
    train = files["train.json"]
    train |= {"steps": 2, "batch_size": 2, "workers": 0}
    train["trainer"] |= {"validate_every": 2, "precision": "full"}
    for part in (train["pictures"], train["validation"]["pictures"]):
        part["held_out"] = 0.25
    for name, content in files.items():
        (root / "configs" / name).write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def trained(recipe: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that the command line makes of it."""
    output = tmp_path_factory.mktemp("trained") / "bundle"
    words = ["train", recipe, "--data", folder, "--output", output, "--device", "cpu", "--trust", fingerprint(recipe)]
    with one_thread():
        assert main(list(map(str, words))) == 0
    return output


def narrow(seed: int = 0, outputs: int = 14) -> torch.nn.Module:
    """Return the narrow network with weights at random, in evaluation."""
    torch.manual_seed(seed)
    network: torch.nn.Module = ConfigParser(
        config("inference.json")["network_def"] | NARROW | {"out_channels": outputs}
    ).get_parsed_content()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def as_torchvision(network: torch.nn.Module, before: str = "", old: bool = False, head: str = "classifier") -> Any:
    """Return a network's weights by the names that torchvision's has, or had."""
    state = {}
    for name, value in network.state_dict().items():
        name = name.replace(".layers.", ".").replace("class_layers.out", head)
        name = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name) if old else name
        if not (old and name.endswith("num_batches_tracked")):
            state[before + name] = value
    return state


class TestTheWholeRecipe:
    def test_the_metadata_tell_each_label_s_area_of_the_held_out_patients(self, trained: Path) -> None:
        metadata = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert {"AUROC, pictures: mean", "pictures: binary cross-entropy"} <= metadata["eval_metrics"].keys()
        assert tuple(load_bundle(trained).labels.values()) == CHESTX_RAY14

    def test_it_is_measured_on_the_list_beside_what_was_published(
        self, trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["evaluate", trained, "--data", folder, "--list", "test_list.txt", "--output", tmp_path / "told"]
        assert main([*map(str, words), "--device", "cpu", "--explanations"]) == 0
        told = json.loads((tmp_path / "told" / "evaluation.json").read_text(encoding="utf-8"))
        assert (told["images"], told["subjects"]) == (4, 2)
        assert tuple(told["labels"]) == tuple(told["published"]["auroc"]) == CHESTX_RAY14
        assert told["labels"]["Cardiomegaly"]["images"] == 1 and told["labels"]["Mass"]["images"] == 2
        assert told["labels"]["Hernia"]["auroc"] is None
        assert told["explanations"]["gradcam"]["labels"]["Cardiomegaly"]["pointing game"]["heatmaps"] == 1
        deletion = told["explanations"]["gradcam"]["deletion"]
        assert len(deletion["curve"]["shares"]) == 21
        heights = np.array(deletion["curve"]["mean"])
        assert (heights[1:] + heights[:-1]).mean() / 2 == pytest.approx(deletion["mean"], abs=1e-3)
        printed = capsys.readouterr().out
        told_of = [line.split()[0] for line in printed.splitlines() if " AUROC " in line and "published" in line]
        assert tuple(told_of) == CHESTX_RAY14
        assert re.search(r"Emphysema +AUROC not known, published 0\.9371, 0 images", printed)
        assert "another split" in printed

    def test_training_and_inference_see_a_picture_alike(self, folder: Path) -> None:
        chains = ConfigParser(
            {"inference": config("inference.json")["preprocessing"], "training": config("train.json")["case_transform"]}
        )
        pictures = LabelledPictures(str(folder), size=224)
        ours = chains.get_parsed_content("training")(pictures[3])["image"]
        theirs = chains.get_parsed_content("inference")({"image": next(folder.rglob("00000002_001.png"))})["image"]
        assert ours.shape == (3, 224, 224)
        assert torch.allclose(theirs, ours, atol=0.51 / 255 / min(DEVIATION))  # kept as bytes

    def test_a_pixel_keeps_its_place_in_the_world(self, tmp_path: Path) -> None:
        pixels = np.zeros((56, 112), np.uint8)
        pixels[10, 90] = 255
        PIL.Image.fromarray(pixels).save(tmp_path / "one.png")
        picture = read(tmp_path / "one.png")
        steps = config("inference.json")["preprocessing"]
        steps["transforms"] = steps["transforms"][2:]
        seen = ConfigParser(steps).get_parsed_content()({"image": picture})["image"]
        brightest = (seen.as_tensor()[0] == seen.as_tensor()[0].max()).nonzero().double().mean(dim=0)
        place = np.asarray(seen.affine)[:2, :2] @ brightest.numpy() + np.asarray(seen.affine)[:2, -1]
        world = np.asarray(picture.affine) @ (90, 10, 0, 1)
        assert np.allclose(place, world[:2], atol=0.01)

    def test_monai_runs_it_as_it_is(self, trained: Path, folder: Path, tmp_path: Path) -> None:
        parser = ConfigParser()
        parser.read_config(trained / "configs" / "inference.json")
        parser.update({"bundle_root": str(trained), "dataset_dir": str(folder), "output_dir": str(tmp_path)})
        parser.get_parsed_content("initialize")
        parser.get_parsed_content("run")
        rows = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
        picture = next(folder.rglob("00000005_001.png"))
        (told,) = [row.split(",")[1:] for row in rows if picture.name in row]
        assert len(rows) == 12
        ours = run(load_bundle(str(trained)), read(picture)).probabilities
        assert np.allclose([float(value) for value in told], ours, atol=1e-4)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["train", "chexnet_xray_classification"], "name their folder with --data"),
            (["train", "chexnet_xray_classification", "--data", "nowhere"], "Data_Entry_2017.csv can't be read"),
            (["evaluate", "x", "--phantoms", "1:2", "--list", "test_list.txt"], "--list"),
            (["models", "convert", "chexnet_xray_classification", "--weights", "nowhere"], "no weights in 'nowhere'"),
        ],
    )
    def test_what_is_missing_is_told_in_a_sentence(
        self, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = main([*words, "--output", str(tmp_path / "bundle")])
        told = capsys.readouterr().err
        assert code > 0 and told.count("\n") == 1 and said in told
        assert not (tmp_path / "bundle").exists()

    def test_the_shipped_one_says_that_it_has_no_weights_yet(self) -> None:
        with pytest.raises(BundleError, match="make some by its recipe"):
            load_bundle(str(SHIPPED)).build()


class TestPictures:
    def test_patients_are_either_for_training_or_for_validation(self, folder: Path) -> None:
        way: dict[str, Any] = {"listed": "train_val_list.txt", "size": 8, "held_out": 0.5}
        train, held = (LabelledPictures(str(folder), part=part, **way) for part in ("train", "validation"))
        assert (len(train), len(held)) == (4, 4)
        assert not set(train.subjects) & set(held.subjects)
        others = {LabelledPictures(str(folder), part="validation", seed=n, **way).subjects for n in range(8)}
        assert len(others) > 1

    def test_pixels_and_labels_are_those_of_the_files(self, folder: Path, tmp_path: Path) -> None:
        drawn, kept = (LabelledPictures(str(folder), size=32, cache=str(tmp_path)) for _ in range(2))
        pixels = np.asarray(PIL.Image.open(next(folder.rglob("00000002_000.png")))).T.astype(float)
        means = pixels.reshape(32, 2, 32, 2).mean(axis=(1, 3)) / 255
        for pictures in (drawn, kept):
            assert np.abs(pictures[2]["image"][0].numpy() - means).max() < 0.003
            assert [n for n, on in zip(CHESTX_RAY14, pictures[2]["label"]) if on] == ["Effusion", "Mass"]
            assert not pictures[1]["label"].any()

    def test_the_table_may_have_the_name_that_its_makers_gave_it_later(self, folder: Path, tmp_path: Path) -> None:
        root = tmp_path / "CXR8"
        shutil.copytree(folder, root)
        (root / "Data_Entry_2017.csv").rename(root / "Data_Entry_2017_v2020.csv")
        assert len(LabelledPictures(str(root), size=8)) == 12
        shutil.copy(root / "Data_Entry_2017_v2020.csv", root / "Data_Entry_2017_mine.csv")
        with pytest.raises(InputError, match=r"Data_Entry_2017\.csv can't be read"):
            LabelledPictures(str(root), size=8)

    def test_what_is_missing_or_no_such_picture_is_told(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="--data"):
            LabelledPictures(None)
        with pytest.raises(InputError, match="no picture left for validation"):
            LabelledPictures(str(folder), part="validation", held_out=0)
        (tmp_path / "labels.csv").write_text("file,labels\na.png,wet\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"1 of 1 pictures .*'a\.png'"):
            LabelledPictures(str(tmp_path), table="labels.csv")
        PIL.Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="no grey picture of 8 bits"):
            LabelledPictures(str(tmp_path), table="labels.csv").prepare()


class TestTorchvisionsWeights:
    @pytest.mark.parametrize(
        "way",
        [
            {},
            {"before": "module.", "old": True},
            {"before": "module.densenet121.", "old": True, "head": "classifier.0"},
            {"before": "densenet121.", "head": "classifier.0"},
        ],
    )
    def test_a_network_answers_as_before(self, way: dict[str, Any], tmp_path: Path) -> None:
        torch.save({"epoch": 3, "state_dict": as_torchvision(narrow(), **way)}, tmp_path / "model.pth.tar")
        other, image = narrow(seed=1), torch.rand(2, 3, 48, 40)
        assert not torch.allclose(other(image), narrow()(image))
        other.load_state_dict(read_torchvision(tmp_path / "model.pth.tar"))
        assert torch.equal(other(image), narrow()(image))

    def test_torchvision_s_own_network_answers_alike(self, tmp_path: Path) -> None:
        torchvision_parts.load()
        import torchvision

        torch.manual_seed(2)
        theirs = torchvision.models.DenseNet(4, (2, 1), num_init_features=8, num_classes=14).eval()
        torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
        ours, image = narrow(), torch.rand(2, 3, 48, 40)
        ours.load_state_dict(read_torchvision(tmp_path / "theirs.pt"))
        assert torch.allclose(ours(image), theirs(image), atol=1e-6)

    def test_a_bundle_of_them_sees_pictures_as_torchvision_does(self, recipe: Path, tmp_path: Path) -> None:
        torch.save(as_torchvision(narrow(), "module.", head="classifier.0"), tmp_path / "weights.pt")
        words = ["models", "convert", recipe, "--weights", tmp_path / "weights.pt", "--output", tmp_path / "made"]
        assert main(list(map(str, words))) == 0
        pixels = np.random.default_rng(1).integers(0, 256, (224, 224), np.uint8)
        pixels[:40] //= 4  # another picture if rows and columns change places
        PIL.Image.fromarray(pixels).save(tmp_path / "one.png")
        seen = [(torch.from_numpy(pixels / 255) - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION)]
        with torch.no_grad():
            expected = narrow()(torch.stack(seen)[None].float())[0].sigmoid()
        result = run(load_bundle(str(tmp_path / "made")), read(tmp_path / "one.png"))
        assert np.allclose(result.probabilities, expected, atol=1e-5)
        metadata = json.loads((tmp_path / "made" / "configs" / "metadata.json").read_text(encoding="utf-8"))
        assert metadata["converted_from"]["file"] == "weights.pt"

    def test_what_holds_more_than_weights_is_unpickled_only_where_that_very_file_is_trusted(
        self, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        weights = tmp_path / "model.pth.tar"
        torch.save({"state_dict": as_torchvision(narrow()), "best": np.float64(0.8)}, weights)
        words = ["models", "convert", recipe, "--weights", weights, "--output", tmp_path / "made"]
        assert main(list(map(str, words))) == 2
        told = capsys.readouterr().err
        (asked,) = re.findall(r"--trust ([0-9a-f]{64})", told)
        assert "nothing of it was run" in told and told.count("\n") == 1
        assert main([*map(str, words), "--trust", "0" * 64]) == 2
        assert f"--trust {asked}" in capsys.readouterr().err and not (tmp_path / "made").exists()
        assert main([*map(str, words), "--trust", asked]) == 0
        load_bundle(str(tmp_path / "made")).build()

    def test_weights_of_other_labels_begin_a_training_without_their_head(self, tmp_path: Path) -> None:
        torch.save(as_torchvision(narrow(outputs=5), old=True), tmp_path / "imagenet.pth")
        network = narrow(seed=1)
        told = TorchvisionWeights(str(tmp_path / "imagenet.pth")).run(network, None, False, Monitor())
        assert told["began_with"]["new"] == ["class_layers.out.weight", "class_layers.out.bias"]
        image = torch.rand(1, 3, 48, 40)
        assert torch.equal(network.features(image), narrow(outputs=5).features(image))
        wide = ConfigParser(config("inference.json")["network_def"] | NARROW | {"growth_rate": 8}).get_parsed_content()
        with pytest.raises(InputError, match="don't fit"):
            TorchvisionWeights(str(tmp_path / "imagenet.pth")).run(wide, None, False, Monitor())

    def test_what_does_not_fit_leaves_nothing_behind(self, recipe: Path, tmp_path: Path) -> None:
        torch.save(as_torchvision(narrow(outputs=5)), tmp_path / "five.pt")
        torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pt")
        torch.save({"state_dict": as_torchvision(narrow()), "code": Path}, tmp_path / "code.pt")
        for name, error in (("five", BundleError), ("other", BundleError), ("none", BundleError), ("code", TrustError)):
            with pytest.raises(error):
                convert(str(recipe), tmp_path / f"{name}.pt", tmp_path / "made" / "bundle")
        assert not any((tmp_path / "made").glob("*"))
