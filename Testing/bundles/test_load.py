"""Reading bundles: what they say of themselves, that they run as MONAI runs them, and how a broken one is named."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from DeepImagingLib.bundles import Bundle, find_bundle, list_bundles, load_bundle
from DeepImagingLib.bundles.borders import Border
from DeepImagingLib.errors import BundleError, TrustError
from Testing.bundles import make_bundles as make
from Testing.bundles.make_bundles import change_config, change_metadata, read_config, write_bundle

KIDNEYS = ["left kidney", "right kidney"]
ROAD_STEPS = ("LoadImaged", "EnsureChannelFirstd", "SaveImaged", "Lambdad")


def image(channels: int = 1) -> MetaTensor:
    """A smooth oblique image (C, I, J, K) with a range of intensities."""
    noise = torch.randn((1, channels, 6, 5, 4), generator=torch.Generator().manual_seed(7)) * 200
    smooth = torch.nn.functional.interpolate(noise, size=(40, 36, 20), mode="trilinear")[0]
    affine = [[-1.7, 0, 0, 10], [0, 1.6, 0.1, 0], [0, 0, 2.5, -5], [0, 0, 0, 1]]
    return MetaTensor(smooth, affine=torch.tensor(affine, dtype=torch.float64))


def walk(preprocessing: Any, network: Any, inferer: Any, postprocessing: Any, given: MetaTensor) -> torch.Tensor:
    """Run the four pieces on one image."""
    with torch.no_grad():
        data = preprocessing({"image": given.clone()})
        data["pred"] = inferer(data["image"][None], network)[0]
        return postprocessing(data)["pred"]


def stock_answer(bundle: Path, given: MetaTensor) -> torch.Tensor:
    """The answer of MONAI's own parser on the bundle's own config, without the steps that touch files."""
    config = read_config(bundle)
    for key in ("preprocessing", "postprocessing"):
        steps = config[key]["transforms"]
        config[key]["transforms"] = [step for step in steps if step["_target_"] not in ROAD_STEPS]
    config["network_def"].pop("img_size", None)
    parser = ConfigParser({**config, "bundle_root": str(bundle), "path": config["checkpointloader"]["load_path"]})
    keys = ("preprocessing", "network", "inferer", "postprocessing", "path")
    preprocessing, network, inferer, postprocessing, path = [parser.get_parsed_content(key) for key in keys]
    network.load_state_dict(torch.load(path, weights_only=True))
    return walk(preprocessing, network.eval(), inferer, postprocessing, given)


KINDS: dict[str, Callable[[Path], Path]] = {
    "spleen": make.write_spleen_like,
    "wholebody": make.write_wholebody_like,
    "wholebody in high resolution": lambda folder: make.write_wholebody_like(folder, highres=True),
    "swin": make.write_swin_like,
    "brats": make.write_brats_like,
    "slice by slice": make.write_slicewise_like,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_of_the_zoo_s_kind_answers_as_stock_monai_does(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind](tmp_path / "bundle")
    if "wholebody" in kind:
        change_config(path, {"inferer#roi_size": [32, 32, 32]})
    bundle = load_bundle(path)
    pipeline = bundle.build("cpu")
    given = image(len(bundle.channels))
    answer = walk(pipeline.preprocessing, pipeline.network, pipeline.inferer, pipeline.postprocessing, given)
    assert answer.shape[1:] == given.shape[1:]
    assert len(answer.unique()) > 1
    assert torch.equal(answer, stock_answer(path, given))


class TestWhatABundleSays:
    def test_of_one_channel(self, spleen: Path) -> None:
        bundle = load_bundle(spleen)
        assert (bundle.name, bundle.version, bundle.task) == ("spleen_like", "0.1.0", "segmentation")
        assert (bundle.channels, bundle.image_keys, bundle.input_key) == (("image",), ("image",), "image")
        assert (bundle.pred_key, dict(bundle.labels)) == ("pred", {0: "background", 1: "spleen"})
        assert (bundle.spatial_dims, bundle.takes_volume) == (3, True)
        assert (bundle.modality, bundle.value_range, bundle.notes) == ("CT", (0.0, 1.0), ())

    def test_of_four_named_channels(self, tmp_path: Path) -> None:
        bundle = load_bundle(make.write_brats_like(tmp_path))
        assert bundle.channels == ("T1c", "T1", "T2", "FLAIR")
        assert list(bundle.labels.values()) == ["Tumor core", "Whole tumor", "Enhancing tumor"]
        assert "Lambdad" in bundle.notes[0]

    def test_of_several_images(self, bundle: Path) -> None:
        steps = read_config(bundle)["preprocessing"]["transforms"]
        steps[0]["keys"] = ["artery", "vein"]
        steps.insert(2, {"_target_": "ConcatItemsd", "keys": ["artery", "vein"], "name": "image"})
        loaded = load_bundle(change_config(bundle, {"preprocessing#transforms": steps}))
        assert (loaded.channels, loaded.image_keys, loaded.input_key) == (("artery", "vein"),) * 2 + ("image",)

    def test_of_a_2d_network_that_goes_through_slices(self, tmp_path: Path) -> None:
        bundle = load_bundle(make.write_slicewise_like(tmp_path))
        assert (bundle.spatial_dims, bundle.takes_volume) == (2, True)

    def test_of_a_switch_that_chooses_the_weights(self, tmp_path: Path) -> None:
        assert load_bundle(make.write_wholebody_like(tmp_path)).weights.name == "model_lowres.pt"
        assert load_bundle(make.write_wholebody_like(tmp_path, highres=True)).weights.name == "model.pt"

    @pytest.mark.parametrize(
        ("output", "text", "task"),
        [
            ({"type": "image", "format": "labels"}, "Segmentation of the prostate", "segmentation"),
            ({"type": "image", "format": "labels"}, "Breast Density Classification", "classification"),
            ({"type": "object", "format": "dict"}, "CT lung nodule detection", "detection"),
            ({"type": "probabilities", "format": "classes"}, "", "classification"),
            ({"type": "tuples", "format": "points"}, "Identify valve insertion points", "landmarks"),
            ({}, "", "unknown"),
        ],
    )
    def test_of_its_task(self, bundle: Path, output: dict[str, str], text: str, task: str) -> None:
        metadata = {"task": text, "network_data_format": {"outputs": {"pred": output}}}
        write_bundle(bundle, read_config(bundle), metadata)
        assert load_bundle(bundle).task == task

    def test_with_metadata_that_is_silent(self, bundle: Path) -> None:
        loaded = load_bundle(write_bundle(bundle, read_config(bundle), {}))
        assert (loaded.channels, dict(loaded.labels), loaded.version, loaded.modality) == (("image",), {}, "", "")

    def test_in_yaml_as_in_json(self, bundle: Path) -> None:
        config = bundle / "configs" / "inference.json"
        (bundle / "configs" / "inference.yaml").write_text(yaml.safe_dump(read_config(bundle)), encoding="utf-8")
        expected = load_bundle(bundle).config
        config.unlink()
        assert load_bundle(bundle).config == expected


def argmax_before_invertd(bundle: Path) -> Path:
    """Change the order of the post-processing, so that labels are inverted, not probabilities."""
    softmax, invert, argmax, save = read_config(bundle)["postprocessing"]["transforms"]
    keep = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]}
    return change_config(bundle, {"postprocessing#transforms": [softmax, argmax, keep, invert, save]})


class TestNames:
    def test_control_characters_are_blanks(self, bundle: Path) -> None:
        labels = {"0": "back\nground\r\n", "1": "\x1b[2J\x00", "2": " \u2028", "3": "", "²": "x", "9" * 5000: "y"}
        inputs = {"image": {"modality": "C\nT", "channel_def": {"0": "a\tb", "1": "\n"}}}
        data_format = {"inputs": inputs, "outputs": {"pred": {"channel_def": labels}}}
        metadata = {"version": "1\n2", "network_data_format": data_format}
        loaded = load_bundle(write_bundle(bundle, read_config(bundle), metadata))
        assert dict(loaded.labels) == {0: "back ground", 1: "[2J", 2: "label 2", 3: "label 3"}
        assert loaded.channels == ("a b", "channel 1")
        assert (loaded.version, loaded.modality) == ("1 2", "C T")

    def test_an_image_key_that_is_no_name_is_an_error(self, bundle: Path) -> None:
        with pytest.raises(BundleError, match="image key"):
            load_bundle(change_config(bundle, {"image_key": "im\nage"}))

    def test_a_value_range_beyond_any_number_is_left_out(self, bundle: Path) -> None:
        metadata = {"network_data_format": {"inputs": {"image": {"value_range": [0, 10**400]}}}}
        assert load_bundle(write_bundle(bundle, read_config(bundle), metadata)).value_range is None


def activations(**settings: Any) -> dict[str, Any]:
    """A step that makes probabilities."""
    return {"_target_": "Activationsd", "keys": "pred", **settings}


def discrete(**settings: Any) -> dict[str, Any]:
    """A step that makes labels."""
    return {"_target_": "AsDiscreted", "keys": "pred", **settings}


@pytest.mark.parametrize(
    ("steps", "exclusive"),
    [
        ([activations(softmax=True), discrete(argmax=True)], True),
        ([activations(softmax=True)], True),
        ([activations(sigmoid=True), discrete(threshold=0.5)], False),
        ([activations(sigmoid=True), discrete(threshold=0)], False),
        ([activations(sigmoid=True)], False),
        ([activations(softmax=True), discrete(threshold="$1 / 2")], False),
        ([activations(sigmoid=True), discrete(argmax="$not @no")], True),
        ([discrete(argmax=True), discrete(to_onehot=3)], True),
        ([discrete(threshold=0.5), discrete(argmax=True)], True),
        ([discrete(keys=["label", "pred"], argmax=[False, True])], True),
        ([discrete(keys=["label", "pred"], argmax=[True, False])], None),
        ([discrete(keys="label", argmax=True)], None),
        ([discrete(argmax=True, _disabled_=True)], None),
        ([], None),
    ],
)
def test_the_post_processing_tells_whether_labels_exclude_each_other(
    bundle: Path, steps: list[Any], exclusive: bool | None
) -> None:
    change_config(bundle, {"postprocessing#transforms": steps, "no": False})
    assert load_bundle(bundle).exclusive is exclusive


class TestBuild:
    def test_an_argument_that_monai_removed_is_dropped_with_a_note(self, tmp_path: Path) -> None:
        bundle = load_bundle(make.write_swin_like(tmp_path, img_size=True))
        assert type(bundle.build().network).__name__ == "SwinUNETR"
        assert "img_size" in bundle.notes[0]

    def test_invertd_refers_to_the_very_preprocessing(self, spleen: Path) -> None:
        pipeline = load_bundle(spleen).build()
        assert pipeline.postprocessing.transforms[1].transform is pipeline.preprocessing

    def test_the_network_is_in_evaluation_mode_with_the_bundle_s_weights(self, spleen: Path) -> None:
        network = load_bundle(spleen).build().network
        state = torch.load(spleen / "models" / "model.pt", weights_only=True)
        assert not network.training
        assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())

    @pytest.mark.parametrize("wrap", [lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}, dict])
    def test_weights_may_stand_under_the_usual_names(self, bundle: Path, wrap: Callable[[Any], Any]) -> None:
        path = bundle / "models" / "model.pt"
        torch.save(wrap(torch.load(path, weights_only=True)), path)
        load_bundle(bundle).build()

    def test_half_precision_weights_go_into_a_full_precision_network(self, bundle: Path) -> None:
        path = bundle / "models" / "model.pt"
        torch.save({k: v.half() for k, v in torch.load(path, weights_only=True).items()}, path)
        assert {p.dtype for p in load_bundle(bundle).build().network.parameters()} == {torch.float32}

    def test_postprocessing_may_be_missing(self, bundle: Path) -> None:
        config = read_config(bundle)
        del config["postprocessing"]
        write_bundle(bundle, {k: v for k, v in config.items() if k != "evaluator"}, {})
        assert load_bundle(bundle).build().postprocessing({"pred": 1}) == {"pred": 1}

    def test_a_network_may_stand_alone(self, bundle: Path) -> None:
        config = read_config(bundle)
        config["network"] = config.pop("network_def")
        write_bundle(bundle, config, {})
        assert type(load_bundle(bundle).build().network).__name__ == "UNet"

    def test_steps_may_stand_elsewhere_and_be_summed(self, bundle: Path) -> None:
        steps = read_config(bundle)["preprocessing"]["transforms"]
        change_config(bundle, {"one": steps[:3], "two": steps[3:], "preprocessing#transforms": "$@one + @two"})
        loaded = load_bundle(bundle)
        names = [type(step).__name__ for step in loaded.build().preprocessing.transforms]
        assert names == ["Orientationd", "Spacingd", "ScaleIntensityRanged", "EnsureTyped"]

    def test_several_labels_are_inverted_by_nearest(self, tmp_path: Path) -> None:
        bundle = argmax_before_invertd(make.write_slicewise_like(tmp_path))
        loaded = load_bundle(bundle)
        assert load_bundle(bundle).build().postprocessing.transforms[-1].nearest_interp == (True,)
        assert "nearest is used, so that the result differs from stock MONAI's" in loaded.notes[0]

    def test_one_label_is_inverted_as_stock_monai_does(self, bundle: Path) -> None:
        argmax_before_invertd(bundle)
        loaded = load_bundle(bundle)
        pipeline = loaded.build()
        answer = walk(pipeline.preprocessing, pipeline.network, pipeline.inferer, pipeline.postprocessing, image())
        assert torch.equal(answer, stock_answer(bundle, image()))
        assert loaded.notes == ()

    @pytest.mark.parametrize(("channels", "repaired"), [(2, False), (3, True)])
    def test_the_network_tells_of_how_many_labels_where_the_metadata_is_silent(
        self, bundle: Path, channels: int, repaired: bool
    ) -> None:
        argmax_before_invertd(bundle)
        change_config(bundle, {"network_def#out_channels": "$@classes", "classes": channels})
        assert bool(load_bundle(write_bundle(bundle, read_config(bundle), {})).notes) is repaired

    def test_other_usual_steps_can_be_made(self, bundle: Path) -> None:
        steps = [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "Resized", "keys": "image", "spatial_size": [32, 32, 32]},
            {
                "_target_": "CropForegroundd",
                "keys": "image",
                "source_key": "image",
                "select_fn": "$lambda x: x > -1e9",
            },
            {"_target_": "CastToTyped", "keys": "image", "dtype": "$torch.float32"},
        ]
        change_config(bundle, {"preprocessing#transforms": steps, "inferer": {"_target_": "SimpleInferer"}})
        last = [{"_target_": "ToTensord", "keys": "pred"}, {"_target_": "DeleteItemsd", "keys": "image"}]
        steps = [*read_config(bundle)["postprocessing"]["transforms"], *last]
        change_config(bundle, {"postprocessing#transforms": steps})
        pipeline = load_bundle(bundle).build()
        answer = walk(pipeline.preprocessing, pipeline.network, pipeline.inferer, pipeline.postprocessing, image())
        assert answer.shape == image().shape


class TestBadBundles:
    @pytest.mark.parametrize("key", ["preprocessing", "inferer"])
    def test_a_missing_key_is_named(self, bundle: Path, key: str) -> None:
        config = read_config(bundle)
        del config[key]
        write_bundle(bundle, config, {})
        with pytest.raises(BundleError, match=f"configs/inference.json has no `{key}`"):
            load_bundle(bundle)

    def test_a_missing_network_is_named(self, bundle: Path) -> None:
        config = read_config(bundle)
        write_bundle(bundle, {k: v for k, v in config.items() if not k.startswith("network")}, {})
        with pytest.raises(BundleError, match="no `network_def`"):
            load_bundle(bundle)

    def test_broken_json_is_named_with_its_line(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").write_text('{\n "a": 1,\n "b" 2}', encoding="utf-8")
        with pytest.raises(BundleError, match=r"configs/inference.json, line 3: this is not valid JSON"):
            load_bundle(bundle)

    def test_broken_yaml_is_named_with_its_line(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").unlink()
        (bundle / "configs" / "inference.yml").write_text("a: 1\nb: [1\nc: 2\n", encoding="utf-8")
        with pytest.raises(BundleError, match=r"configs/inference.yml, line 3: this is not valid YAML"):
            load_bundle(bundle)

    @pytest.mark.parametrize("text", ["[1]", "3", '"x"', "[" * 100000, "\ufeff{}", '{"a": ' + "9" * 5000 + "}"])
    def test_json_that_is_no_config_is_an_error(self, bundle: Path, text: str) -> None:
        (bundle / "configs" / "inference.json").write_text(text, encoding="utf-8")
        with pytest.raises(BundleError, match=r"configs/inference.json"):
            load_bundle(bundle)

    def test_an_empty_folder_is_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"no configs/metadata.json"):
            load_bundle(tmp_path)

    def test_a_bundle_without_a_config_says_so(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").unlink()
        with pytest.raises(BundleError, match=r"none of inference.json"):
            load_bundle(bundle)

    def test_missing_weights_are_named(self, bundle: Path) -> None:
        (bundle / "models" / "model.pt").unlink()
        with pytest.raises(BundleError, match=r"has no weights: models/model.pt is missing"):
            load_bundle(bundle)

    def test_weights_that_are_asked_for_are_not_replaced_by_others(self, tmp_path: Path) -> None:
        path = make.write_wholebody_like(tmp_path)
        (path / "models" / "model_lowres.pt").unlink()
        with pytest.raises(BundleError, match=r"models/model_lowres.pt is missing"):
            load_bundle(path)

    def test_weights_of_another_network_are_an_error(self, bundle: Path) -> None:
        torch.save(torch.nn.Conv3d(1, 2, 3).state_dict(), bundle / "models" / "model.pt")
        with pytest.raises(BundleError, match=r"don't fit the network UNet: \d+ missing .* 2 unexpected"):
            load_bundle(bundle).build()

    def test_weights_of_another_shape_are_an_error(self, bundle: Path) -> None:
        change_config(bundle, {"network_def#out_channels": 3})
        with pytest.raises(BundleError, match="of another shape"):
            load_bundle(bundle).build()

    @pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 broken", b"\x80\x02N."])
    def test_a_damaged_weights_file_is_an_error(self, bundle: Path, content: bytes) -> None:
        (bundle / "models" / "model.pt").write_bytes(content)
        with pytest.raises(BundleError, match=r"models/model.pt"):
            load_bundle(bundle).build()

    def test_a_damaged_weights_file_does_not_lead_to_a_dangerous_advice(self, bundle: Path) -> None:
        (bundle / "models" / "model.pt").write_bytes(b"not weights")
        with pytest.raises(BundleError) as error:
            load_bundle(bundle).build()
        assert "weights_only" not in str(error.value)

    @pytest.mark.parametrize("key", ["preprocessing", "network", "inferer", "postprocessing"])
    def test_a_piece_of_another_kind_is_named(self, bundle: Path, key: str) -> None:
        with pytest.raises(BundleError, match=f"`{key}` of bundle is a list, expected"):
            load_bundle(change_config(bundle, {key: [1]})).build()

    def test_a_truncated_weights_file_is_an_error(self, bundle: Path) -> None:
        path = bundle / "models" / "model.pt"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BundleError, match=r"models/model.pt can't be read as weights"):
            load_bundle(bundle).build()

    def test_a_setting_a_class_does_not_know_is_named(self, bundle: Path) -> None:
        change_config(bundle, {"network_def#no_such": 1})
        with pytest.raises(BundleError, match=r"`network_def` \(UNet\) can't be made with these settings.*no_such"):
            load_bundle(bundle).build()

    def test_a_reference_to_nothing_is_named(self, bundle: Path) -> None:
        change_config(bundle, {"inferer#overlap": "@nowhere"})
        with pytest.raises(BundleError, match="`inferer#overlap` refers to @nowhere"):
            load_bundle(bundle)


class TestMessages:
    @pytest.mark.parametrize("file", sorted(Path(load_bundle.__code__.co_filename).parent.glob("*.py")))
    def test_each_is_one_sentence(self, file: Path) -> None:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith(("Error", "Refusal", "_NotPlain")):
                texts = [p.value for a in node.args for p in ast.walk(a) if isinstance(p, ast.Constant)]
                assert not re.search(r"[.!?] ", "".join(map(str, texts))), ast.unparse(node)

    def test_a_refusal_is_one_sentence_too(self, bundle: Path) -> None:
        change_config(bundle, {"inferer#_target_": "evil"})
        with pytest.raises(TrustError) as refusal:
            load_bundle(bundle)
        assert not re.search(r"[.!?] ", str(refusal.value))


class TestFind:
    def test_by_path_also_with_spaces_and_umlauts(self, tmp_path: Path) -> None:
        path = make.write_spleen_like(tmp_path / ("Ünïcödé mit Leerzeichen " + "x" * 100))
        bundle = load_bundle(path)
        assert bundle.path == path
        bundle.build()

    def test_by_name_in_the_user_s_folder_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path))
        mine = make.write_spleen_like(tmp_path / "mine")
        assert find_bundle("mine") == mine
        assert list_bundles()[0] == mine

    @pytest.mark.parametrize("name", ["no such", "", "x" * 5000, "nul\0", "../.."])
    def test_an_unknown_name_tells_the_known_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("DEEPIMAGING_MODELS", str(tmp_path))
        make.write_spleen_like(tmp_path / "mine")
        with pytest.raises(BundleError, match=r"mine|no MONAI bundle"):
            load_bundle(name)


def test_importing_and_loading_needs_neither_torch_nor_monai(spleen: Path) -> None:
    program = (
        "import sys; from DeepImagingLib.bundles import load_bundle; load_bundle(sys.argv[1]).sha256; "
        "assert not {'torch', 'monai', 'numpy'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(spleen)], check=True, cwd=root)


def test_a_bundle_says_the_same_twice(spleen: Path) -> None:
    def said(bundle: Bundle) -> str:
        return json.dumps([bundle.sha256, bundle.config, bundle.notes, bundle.channels])

    assert said(load_bundle(spleen)) == said(load_bundle(spleen))


class TestFolds:
    """Further weights that the metadata lists."""

    def test_their_outputs_are_averaged(self, tmp_path: Path) -> None:
        bundle = make.write_spleen_like(tmp_path / "bundle")
        make.save_weights(make.unet(), bundle / "models" / "fold1.pt", seed=5)
        image = torch.rand(1, 1, 32, 32, 32)
        alone = [load_bundle(bundle).build("cpu").network(image)]
        (bundle / "models" / "model.pt").rename(bundle / "models" / "fold0.pt")
        (bundle / "models" / "fold1.pt").rename(bundle / "models" / "model.pt")
        alone.append(load_bundle(bundle).build("cpu").network(image))
        change_metadata(bundle, folds=["models/fold0.pt"])
        merged = load_bundle(bundle).build("cpu").network(image)
        torch.testing.assert_close(merged, (alone[0] + alone[1]) / 2)

    def test_one_that_is_missing_is_told(self, tmp_path: Path) -> None:
        bundle = change_metadata(make.write_spleen_like(tmp_path / "bundle"), folds=["models/fold7.pt"])
        with pytest.raises(BundleError, match="fold7"):
            load_bundle(bundle)

    def test_one_outside_of_the_bundle_is_refused(self, tmp_path: Path) -> None:
        bundle = make.write_spleen_like(tmp_path / "bundle")
        make.save_weights(make.unet(), tmp_path / "other.pt", seed=5)
        with pytest.raises(TrustError):
            load_bundle(change_metadata(bundle, folds=["../other.pt"]))


class TestGroups:
    """Unions of labels, and segments that aren't shown, as the metadata lists them."""

    def test_are_read(self, tmp_path: Path) -> None:
        bundle = make.write_swin_like(tmp_path / "bundle")
        loaded = load_bundle(change_metadata(bundle, groups={"kidneys": KIDNEYS}, hidden=["kidneys", "veins"]))
        assert loaded.groups == {"kidneys": tuple(KIDNEYS)}
        assert loaded.hidden == ("kidneys", "veins")

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"groups": {"kidneys": ["left kidny"]}}, "'left kidny'; the model has spleen, right kidney"),
            ({"groups": {"all": ["background", "liver"]}}, "'background'; the model has"),
            ({"groups": {"all": [["liver"]]}}, r"names \"\['liver'\]\""),
            ({"groups": {"Liver": KIDNEYS}}, "named 'Liver'; give it a name that no label has"),
            ({"groups": {"": KIDNEYS}}, "named ''"),
            ({"groups": {"kidneys": []}}, r"'kidneys' in metadata.json is \[\]"),
            ({"groups": {"kidneys": "left kidney"}}, "has to be a list of labels"),
            ({"groups": ["kidneys"]}, "map names to lists"),
            ({"hidden": ["kidneys"]}, "`hidden` in metadata.json names 'kidneys'"),
            ({"hidden": "liver"}, "has to be a list of names"),
        ],
    )
    def test_what_is_wrong_is_told(self, tmp_path: Path, wrong, told) -> None:
        bundle = change_metadata(make.write_swin_like(tmp_path / "bundle"), **wrong)
        with pytest.raises(BundleError, match=told):
            load_bundle(bundle)

    def test_labels_that_may_overlap_have_none(self, tmp_path: Path) -> None:
        bundle = make.write_brats_like(tmp_path / "bundle")
        with pytest.raises(BundleError, match="exclude each other"):
            load_bundle(change_metadata(bundle, groups={"all": ["Tumor core", "Whole tumor"]}))


class TestBorders:
    """Where labels grow into others, as the metadata lists it."""

    RULE: ClassVar = {"labels": KIDNEYS, "into": ["liver"], "above": 100, "within_mm": 4}

    def test_are_read(self, tmp_path: Path) -> None:
        bundle = make.write_swin_like(tmp_path / "bundle")
        loaded = load_bundle(change_metadata(bundle, borders=[self.RULE]))
        numbers = {name: number for number, name in loaded.labels.items()}
        assert loaded.borders == (Border(tuple(numbers[k] for k in KIDNEYS), (numbers["liver"],), 100, True, 4),)

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"labels": ["left kidny"]}, "'left kidny'; the model has background, spleen"),
            ({"into": []}, r"has \[\] for labels"),
            ({"into": KIDNEYS[:1]}, "can't grow into itself"),
            ({"below": 3}, "each has to be"),
            ({"within_mm": 0}, "the distance > 0"),
            ({"within_mm": "4"}, "have to be below"),
            ({"within_mm": True}, "have to be below"),
            ({"above": float("inf")}, "have to be below"),
            ({"above": 10**400}, "have to be below"),
            ({"note": "x"}, "each has to be"),
        ],
    )
    def test_what_is_wrong_is_told(self, tmp_path: Path, wrong, told) -> None:
        bundle = change_metadata(make.write_swin_like(tmp_path / "bundle"), borders=[self.RULE | wrong])
        with pytest.raises(BundleError, match=told):
            load_bundle(bundle)

    def test_a_list_is_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="has to be a list of"):
            load_bundle(change_metadata(make.write_swin_like(tmp_path / "bundle"), borders=self.RULE))

    def test_labels_that_may_overlap_have_none(self, tmp_path: Path) -> None:
        bundle = make.write_brats_like(tmp_path / "bundle")
        rule = {"labels": ["Tumor core"], "into": ["Whole tumor"], "above": 1, "within_mm": 4}
        with pytest.raises(BundleError, match="exclude each other"):
            load_bundle(change_metadata(bundle, borders=[rule]))
