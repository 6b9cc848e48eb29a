"""What a detection bundle may ask for, where its settings come from, and torchvision beside another build of torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from DeepImagingLib import load_bundle
from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.errors import BundleError, TrustError
from Testing.bundles.make_detectors import detector_config, detector_metadata, write_config, write_detector

ZOO_BACKBONE = (
    "$monai.networks.nets.resnet.resnet50("
    "spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1],conv1_t_size=[7,7,7])"
)
ZOO_EXTRACTOR = (
    "$monai.apps.detection.networks.retinanet_network.resnet_fpn_feature_extractor(@backbone,3,False,[1,2],None)"
)


def load(folder: Path, **changes: Any) -> Any:
    """Return a bundle with a changed config, whose weights are a file of nothing: it is judged, not built."""
    write_config(folder, detector_config(3, 1, (32, 32, 32)) | changes, detector_metadata(("nodule",), 3))
    (folder / "models" / "model.pt").write_bytes(b"none")
    return load_bundle(folder)


class TestTheJudge:
    def test_what_the_zoo_asks_for_may_run(self, tmp_path: Path) -> None:
        bundle = load(tmp_path, backbone=ZOO_BACKBONE, feature_extractor=ZOO_EXTRACTOR)
        assert bundle.task == "detection" and bundle.score_threshold == 0.3

    def test_its_scripts_and_its_own_inferer_are_never_looked_at(self, tmp_path: Path) -> None:
        load(tmp_path, handlers=[{"_target_": "scripts.evil"}], initialize=["$__import__('os').system('true')"])

    @pytest.mark.parametrize(
        "backbone",
        [
            "$monai.networks.nets.resnet.resnet50(pretrained=True)",
            "$monai.networks.nets.resnet.resnet50(True)",
            "$monai.networks.nets.resnet.resnet50(**{'pretrained': True})",
            "$monai.networks.nets.resnet.get_pretrained_resnet_medicalnet(50)",
            "$monai.bundle.scripts.run(config_file='x')",
            {"_target_": "monai.networks.nets.resnet.get_pretrained_resnet_medicalnet"},
        ],
    )
    def test_downloads_and_other_calls_are_refused(self, tmp_path: Path, backbone: Any) -> None:
        with pytest.raises(TrustError, match="backbone"):
            load(tmp_path, backbone=backbone)

    def test_a_setting_that_would_run_something_is_refused(self, tmp_path: Path) -> None:
        ops = ["$@detector.set_box_selector_parameters(score_thresh=__import__('os').getpid())"]
        with pytest.raises(TrustError, match="__import__"):
            load(tmp_path, detector_ops=ops)

    def test_a_detector_of_another_kind_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(TrustError, match=r"scripts\.RetinaNetDetector"):
            load(tmp_path, detector={"_target_": "scripts.RetinaNetDetector"})


class TestSettings:
    @pytest.mark.parametrize("place", ["detector_ops", "initialize", "evaluator"])
    def test_are_read_wherever_they_stand_by_place_and_by_name(self, tmp_path: Path, place: str) -> None:
        ops: Any = [
            "$@detector.set_box_selector_parameters(0.1, 50, nms_thresh=@threshold)",
            "$@detector.set_sliding_window_inferer(@infer_patch_size, overlap=0.5, device='cuda', progress=True)",
        ]
        ops = {"_target_": "scripts.Evaluator", "_requires_": ops} if place == "evaluator" else ops
        settings = {"detector_ops": [], "threshold": 0.15, place: ops, "force_sliding_window": True}
        built = load_bundle(write_detector(tmp_path / "bundle", settings=settings)).build()
        parts = built.detector.parts
        selector = parts.box_selector
        assert (selector.score_thresh, selector.topk_candidates_per_level, selector.nms_thresh) == (0.1, 50, 0.15)
        assert parts.inferer.roi_size == [32, 32, 32] and parts.inferer.overlap == 0.5 and not parts.inferer.progress
        assert built.detector.in_windows and parts.network is built.network

    def test_a_value_that_does_not_fit_is_told(self, tmp_path: Path) -> None:
        ops = ["$@detector.set_box_coder_weights((1, 2))"]
        bundle = load_bundle(write_detector(tmp_path / "bundle", settings={"detector_ops": ops}))
        with pytest.raises(BundleError, match="set_box_coder_weights"):
            bundle.build()

    def test_steps_of_its_own_after_the_boxes_are_noted(self, tmp_path: Path) -> None:
        post = {"_target_": "Compose", "transforms": [{"_target_": "scripts.Merge", "keys": "box"}]}
        assert any("scripts.Merge" in note for note in load(tmp_path, postprocessing=post).notes)

    def test_folds_are_refused(self, tmp_path: Path) -> None:
        folder = write_detector(tmp_path / "bundle")
        metadata = json.loads((folder / "configs" / "metadata.json").read_text()) | {"folds": ["models/model.pt"]}
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        with pytest.raises(BundleError, match="folds"):
            load_bundle(folder)


class TestTorchvision:
    """In processes of their own, with a torchvision made up on the spot in front of the real one."""

    def load_with(self, tmp_path: Path, code: str, then: str) -> subprocess.CompletedProcess[str]:
        for name, text in {"__init__": code, "models": "", "extension": ""}.items():
            (tmp_path / "torchvision").mkdir(exist_ok=True)
            (tmp_path / "torchvision" / f"{name}.py").write_text(text)
        words = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport torch\n"
        words += f"from DeepImagingLib.bundles import torchvision_parts\n{then}"
        return subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)

    def test_operators_are_declared_where_the_import_fails_for_them(self, tmp_path: Path) -> None:
        code = "import torch\n@torch.library.register_fake('torchvision::nms')\ndef f(*_): ...\n"
        code += "from torchvision import models"
        then = (
            "torchvision_parts.load(); torchvision_parts.load(); import torchvision; print(torch.ops.torchvision.nms)"
        )
        outcome = self.load_with(tmp_path, code, then)
        assert "torchvision.nms" in outcome.stdout, outcome.stderr

    def test_nothing_is_declared_beside_a_build_that_fits(self, tmp_path: Path) -> None:
        then = "torchvision_parts.load(); print(hasattr(torch.ops.torchvision, 'nms'))"
        assert self.load_with(tmp_path, "from torchvision import models", then).stdout == "False\n"

    @pytest.mark.parametrize("code", ["raise ImportError('no such thing')", "raise RuntimeError('CUDA is broken')"])
    def test_another_fault_is_told(self, tmp_path: Path, code: str) -> None:
        outcome = self.load_with(tmp_path, code, "torchvision_parts.load()")
        assert "BundleError: The model needs torchvision, which can't be imported" in outcome.stderr


def test_a_detector_that_needs_no_part_of_torchvision_runs_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    shipped = Path(__file__).parents[2] / "Resources" / "Bundles" / "lung_nodule_ct_detection_small"
    folder = shutil.copytree(shipped, tmp_path / "detector")
    config = json.loads((folder / "configs" / "inference.json").read_text(encoding="utf-8"))
    network = TrustedBuilder({"network_def": config["network_def"]}, str(folder), "cpu").get("network_def")
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    assert load_bundle(folder).build("cpu").detector is not None


def test_stock_monai_loads_the_weights_of_the_shipped_detector_as_we_do(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "Resources" / "Bundles" / "lung_nodule_ct_detection_small"
    parser = ConfigParser(ConfigParser.load_config_file(shipped / "configs" / "inference.json"))
    parser["bundle_root"], parser["output_dir"], parser["device"] = str(shipped), str(tmp_path), "cpu"
    parser.get_parsed_content("initialize")
    torch.set_grad_enabled(True)  # which the bundle switches off
    ours = load_bundle(shipped).build("cpu").network.state_dict()
    for name, value in parser.get_parsed_content("network").state_dict().items():
        assert torch.equal(value, ours[name]), name


@pytest.mark.parametrize(
    "generator",
    [
        {"_target_": "AnchorGeneratorWithAnchorShape", "feature_map_scales": [1], "base_anchor_shapes": []},
        {"_target_": "AnchorGeneratorWithAnchorShape", "feature_map_scales": [1], "base_anchor_shapes": "@none"},
        {"_target_": "AnchorGenerator", "sizes": [[], []], "aspect_ratios": [[[1, 1]], [[1, 1]]]},
    ],
)
@pytest.mark.parametrize("inline", [False, True])
def test_a_detector_without_anchors_is_told(tmp_path: Path, generator: Any, inline: bool) -> None:
    settings: dict[str, Any] = {"none": [], "anchor_generator": generator}
    if inline:
        settings["detector"] = detector_config(3, 1, (32, 32, 32))["detector"] | {"anchor_generator": generator}
    bundle = load_bundle(write_detector(tmp_path / "bundle", settings=settings))
    with pytest.raises(BundleError, match=r"^The detector at `detector` has no anchors; give its generator a shape"):
        bundle.build("cpu")
