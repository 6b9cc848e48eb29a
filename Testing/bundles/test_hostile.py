"""Bundles that ask for code: each is refused with its key and line, and none of it runs.

Every payload would create the canary file; that it isn't there afterwards is what these tests are about.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from DeepImagingLib.bundles import allowed, load_bundle
from DeepImagingLib.bundles.build import judged_builder
from DeepImagingLib.bundles.closure import close
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.errors import BundleError, TrustError
from Testing.bundles.make_bundles import change_config, read_config
from Testing.bundles.payload import Payload

STEPS = "preprocessing#transforms"


def write_to(canary: Path) -> str:
    """Python that creates the canary."""
    return f"open({str(canary)!r}, 'w')"


def command(canary: Path) -> str:
    """A shell command that creates the canary."""
    return f'{sys.executable} -c "{write_to(canary)}"'


def step(target: str, **arguments: Any) -> dict[str, Any]:
    """A transform that stands among the others and asks for something else."""
    return {"_target_": target, **arguments}


# Name of the case: the key it changes, the value it puts there, and the key the refusal has to name.
Case = tuple[str, Callable[[Path], Any], str]
CASES: dict[str, Case] = {
    "a shell command as a target": (
        "network_def",
        lambda c: step("os.system", command=command(c)),
        "network_def#_target_",
    ),
    "eval as a target": ("network_def", lambda c: step("builtins.eval", source=write_to(c)), "network_def#_target_"),
    "a process as a target": (
        "inferer",
        lambda c: step("subprocess.run", args=command(c), shell=True),
        "inferer#_target_",
    ),
    "MONAI's own runner as a target": (
        "network_def",
        lambda c: step("monai.bundle.scripts.run_cmd", cmd=command(c)),
        "network_def#_target_",
    ),
    "MONAI's bundle run as a target": (
        "inferer",
        lambda c: step("monai.bundle.run", config_file="configs/inference.json"),
        "inferer#_target_",
    ),
    "MONAI's import helper as a target": (
        f"{STEPS}#2",
        lambda c: step("monai.utils.optional_import", module="antigravity"),
        f"{STEPS}#2#_target_",
    ),
    "a package in place of a class": ("network_def", lambda c: step("monai.networks.nets"), "network_def#_target_"),
    "a class through another module": (
        "network_def",
        lambda c: step("monai.networks.nets.unet.warnings.warn", message="x"),
        "network_def#_target_",
    ),
    "a network that downloads code's weights": (
        "network_def",
        lambda c: step("monai.networks.nets.HoVerNet", pretrained_url="http://localhost/x"),
        "network_def#_target_",
    ),
    "torch.load with a pickle": (
        "network_def",
        lambda c: step("torch.load", f="models/payload.pt", weights_only=False),
        "network_def#_target_",
    ),
    "torch.load in an expression": (
        "network",
        lambda c: "$torch.load(@bundle_root + '/models/payload.pt', weights_only=False)",
        "network",
    ),
    "torch.hub.load": (
        "network_def",
        lambda c: step("torch.hub.load", repo_or_dir="a/b", model="c"),
        "network_def#_target_",
    ),
    "a class of the bundle's scripts": ("network_def", lambda c: step("scripts.net.Net"), "network_def#_target_"),
    "a target that is a reference": ("network_def#_target_", lambda c: "@image_key", "network_def#_target_"),
    "a target that is an expression": (
        "network_def#_target_",
        lambda c: f"$__import__('os').system({command(c)!r})",
        "network_def#_target_",
    ),
    "a target that is a macro": ("network_def#_target_", lambda c: "%dataset_dir", "network_def#_target_"),
    "a target that is no text": ("network_def#_target_", lambda c: ["os.system"], "network_def#_target_"),
    "the debugger as a mode": ("network_def#_mode_", lambda c: "debug", "network_def#_mode_"),
    "the callable mode": ("network_def#_mode_", lambda c: "callable", "network_def#_mode_"),
    "the debugging switch": ("network_def#_debug_", lambda c: True, "network_def#_debug_"),
    "an import inside an expression": ("network", lambda c: f"$__import__('os').system({command(c)!r})", "network"),
    "an import statement that the road would reach": ("network", lambda c: "$import antigravity", "network"),
    "an import from a module": ("network", lambda c: "$from os import system", "network"),
    "several statements": ("network", lambda c: f"$1; {write_to(c)}", "network"),
    "a call of open": ("inferer#overlap", lambda c: f"${write_to(c)}", "inferer#overlap"),
    "an argument of an allowed call": ("network", lambda c: f"$@network_def.to({write_to(c)})", "network"),
    "another method of the network": ("network", lambda c: f"$@network_def.apply({write_to(c)})", "network"),
    "a keyword argument": ("network", lambda c: "$@network_def.to(device=@device)", "network"),
    "a comprehension": ("inferer#roi_size", lambda c: f"$[{write_to(c)} for _ in [1]]", "inferer#roi_size"),
    "an assignment within": ("inferer#overlap", lambda c: f"$(x := {write_to(c)})", "inferer#overlap"),
    "a starred call": ("inferer#roi_size", lambda c: f"$[*{write_to(c)}]", "inferer#roi_size"),
    "the walk to all classes": (
        "inferer#overlap",
        lambda c: "$().__class__.__base__.__subclasses__()",
        "inferer#overlap",
    ),
    "the walk to globals": (
        "inferer#overlap",
        lambda c: f"$torch.nn.Module.__init__.__globals__['__builtins__']['open']({str(c)!r}, 'w')",
        "inferer#overlap",
    ),
    "a chain of getattr": (
        "inferer#overlap",
        lambda c: f"$getattr(getattr(torch, 'os'), 'system')({command(c)!r})",
        "inferer#overlap",
    ),
    "a module within a module": ("inferer#overlap", lambda c: f"$torch.os.system({command(c)!r})", "inferer#overlap"),
    "an f-string": ("inferer#overlap", lambda c: "$f'{" + write_to(c).replace("'", '"') + "}'", "inferer#overlap"),
    "a format string": ("inferer#mode", lambda c: "$'{0.__class__}'.format(@network_def)", "inferer#mode"),
    "a lambda that calls": (
        f"{STEPS}#2",
        lambda c: step("CropForegroundd", keys="image", source_key="image", select_fn=f"$lambda x: {write_to(c)}"),
        f"{STEPS}#2#select_fn",
    ),
    "a lambda's default": (
        f"{STEPS}#2",
        lambda c: step("CropForegroundd", keys="image", source_key="image", select_fn=f"$lambda x={write_to(c)}: x"),
        f"{STEPS}#2#select_fn",
    ),
    "a lambda's attribute": (
        f"{STEPS}#2",
        lambda c: step("CropForegroundd", keys="image", source_key="image", select_fn="$lambda x: x.__class__ > 0"),
        f"{STEPS}#2#select_fn",
    ),
    "a Lambdad": (
        f"{STEPS}#2",
        lambda c: step("Lambdad", keys="image", func=f"$lambda x: {write_to(c)}"),
        f"{STEPS}#2#_target_",
    ),
    "a Lambdad by its full name": (
        f"{STEPS}#2",
        lambda c: step("monai.transforms.utility.dictionary.Lambdad", keys="image", func="$lambda x: x > 0"),
        f"{STEPS}#2#_target_",
    ),
    "a transform that writes files": (
        "postprocessing#transforms#2",
        lambda c: step("monai.apps.SaveImaged", keys="pred", output_dir=str(c.parent)),
        "postprocessing#transforms#2#_target_",
    ),
    "a transform that writes a mapping": (
        "postprocessing#transforms#2",
        lambda c: step("monai.transforms.WriteFileMappingd", keys="pred", mapping_file_path=str(c)),
        "postprocessing#transforms#2#_target_",
    ),
    "a target deep in lists": (
        f"{STEPS}#2",
        lambda c: step("Identityd", keys=[[["image", step("os.system", command=command(c))]]]),
        f"{STEPS}#2#keys#0#0#1#_target_",
    ),
    "a target deep in a mapping": (
        "network_def#act",
        lambda c: ["prelu", {"init": {"deep": step("os.system", command=command(c))}}],
        "network_def#act#1#init#deep#_target_",
    ),
    "an expression behind a reference": (
        "displayable_configs",
        lambda c: {"overlap": f"${write_to(c)}"},
        "displayable_configs#overlap",
    ),
    "a requirement": ("network_def#_requires_", lambda c: [f"${write_to(c)}"], "network_def#_requires_#0"),
    "a condition to be off": ("network_def#_disabled_", lambda c: f"${write_to(c)}", "network_def#_disabled_"),
    "a description that is an expression": ("network_def#_desc_", lambda c: f"${write_to(c)}", "network_def#_desc_"),
    "a macro of another file": ("network_def", lambda c: "%other.json#network_def", "network_def"),
    "a macro of a file elsewhere": ("network_def", lambda c: "%/etc/x.yaml", "network_def"),
    "a relative id above the top": ("network_def#act", lambda c: "@##########device", "network_def#act"),
    "a name with code in it": (
        "network_def#x'] + open('y') + ['",
        lambda c: "@device",
        "network_def",
    ),
    "a name with a separator": ("network_def#a::b", lambda c: 1, "network_def"),
    "a reference with quotes after it": (
        "inferer#overlap",
        lambda c: f"$@image_key'] + [{write_to(c)}] + ['",
        "inferer#overlap",
    ),
    "a reference inside a text": ("inferer#mode", lambda c: "$'a @image_key b'", "inferer#mode"),
    "an empty reference": ("inferer#mode", lambda c: "$@ + 1", "inferer#mode"),
    "weights outside of the bundle": (
        "checkpointloader#load_path",
        lambda c: "$@bundle_root + '/../../x.pt'",
        "checkpointloader#load_path",
    ),
    "weights by an absolute path": (
        "checkpointloader#load_path",
        lambda c: os.path.abspath(os.sep + "x.pt"),
        "checkpointloader#load_path",
    ),
    "a call for the weights' path": (
        "checkpointloader#load_path",
        lambda c: f"$str({write_to(c)})",
        "checkpointloader#load_path",
    ),
    "statements among the imports": (
        "imports#0",
        lambda c: f"$import os; os.system({command(c)!r})",
        "imports#0",
    ),
    "a from-import": ("imports#0", lambda c: "$from scripts import net", "imports#0"),
    "an import under a known name": ("imports#0", lambda c: "$import scripts.net as torch", "imports#0"),
    "a call among the imports": ("imports#0", lambda c: f"${write_to(c)}", "imports#0"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_config_that_asks_for_code_is_refused_with_key_and_line(bundle: Path, canary: Path, name: str) -> None:
    key, value, named = CASES[name]
    plant_module(bundle, canary)
    plant_pickle(bundle / "models" / "payload.pt", canary)
    if key == "displayable_configs":
        change_config(bundle, {"inferer#overlap": "@displayable_configs#overlap"})
    change_config(bundle, {key: value(canary)})
    with pytest.raises(TrustError) as refusal:
        load_bundle(bundle).build()
    message = str(refusal.value)
    assert f"`{named}" in message
    assert message.startswith(f"configs/inference.json, line {line_of(bundle, named)}: ")
    assert not canary.exists()


def plant_module(bundle: Path, canary: Path) -> None:
    """Put modules into the bundle that create the canary when imported."""
    (bundle / "scripts").mkdir(exist_ok=True)
    for name in ("scripts/__init__.py", "scripts/net.py", "antigravity.py", "planted.py"):
        (bundle / name).write_text(write_to(canary), encoding="utf-8")


def plant_pickle(path: Path, canary: Path) -> None:
    """Write a checkpoint that creates the canary when it is unpickled."""
    torch.save({"state_dict": Payload(canary)}, path)


def line_of(bundle: Path, key: str) -> int:
    """The line of the deepest part of `key` that the file has, found by counting what json.dumps has written."""
    text = (bundle / "configs" / "inference.json").read_text(encoding="utf-8")
    marker = "\0HERE\0"
    parts = key.split("#")
    while True:
        config: Any = json.loads(text)
        try:
            place: Any = config
            for part in parts[:-1]:
                place = place[int(part)] if isinstance(place, list) else place[part]
            last: Any = int(parts[-1]) if isinstance(place, list) else parts[-1]
            place[last] = marker if last in (place if isinstance(place, dict) else range(len(place))) else 1 / 0
        except (KeyError, IndexError, ZeroDivisionError):
            parts.pop()
            continue
        written = json.dumps(config, indent=4).splitlines()
        return next(number for number, line in enumerate(written, 1) if json.dumps(marker) in line)


def test_a_refusal_stays_short_and_printable(bundle: Path) -> None:
    change_config(bundle, {"inferer#_target_": "evil\x1b[2J" + "x" * 100_000})
    with pytest.raises(TrustError) as refusal:
        load_bundle(bundle)
    assert len(str(refusal.value)) < 1000
    assert str(refusal.value).isprintable()


class TestWhatIsNeverEvaluated:
    @pytest.mark.parametrize(
        "key",
        [
            "datalist",
            "dataset#data",
            "handlers",
            "evaluator",
            "initialize",
            "run",
            "device",
            "output_dir",
            "bundle_root",
        ],
    )
    def test_parts_the_road_does_not_use_may_say_anything_and_do_not_run(
        self, bundle: Path, canary: Path, key: str
    ) -> None:
        change_config(bundle, {key: [f"${write_to(canary)}", step("os.system", command=command(canary))]})
        load_bundle(bundle).build()
        assert not canary.exists()

    def test_the_steps_that_load_and_save_do_not_run(self, bundle: Path, canary: Path) -> None:
        evil = f"${write_to(canary)}"
        change_config(
            bundle,
            {
                f"{STEPS}#0": step("LoadImaged", keys=evil, reader=step("os.system", command=command(canary))),
                "postprocessing#transforms#3": step("SaveImaged", keys="pred", output_name_formatter=evil),
            },
        )
        load_bundle(bundle).build()
        assert not canary.exists()

    def test_a_lambda_before_the_saver_is_skipped_with_a_note(self, bundle: Path, canary: Path) -> None:
        steps = read_config(bundle)["postprocessing"]["transforms"]
        steps.insert(3, step("Lambdad", keys="pred", func=f"$lambda x: {write_to(canary)}"))
        change_config(bundle, {"postprocessing#transforms": steps})
        loaded = load_bundle(bundle)
        loaded.build()
        assert not canary.exists()
        assert "Lambdad" in loaded.notes[0]

    def test_a_plain_import_of_a_planted_module_is_read_as_a_name(
        self, bundle: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plant_module(bundle, canary)
        monkeypatch.syspath_prepend(str(bundle))
        change_config(bundle, {"imports": ["$import planted", "$import numpy as np", "$import scripts"]})
        load_bundle(bundle).build()
        assert not canary.exists()
        assert "planted" not in sys.modules

    def test_a_step_switched_off_by_a_plain_value_does_not_run(self, bundle: Path, canary: Path) -> None:
        change_config(bundle, {f"{STEPS}#2": step("os.system", _disabled_=True, command=f"${write_to(canary)}")})
        assert len(load_bundle(bundle).build().preprocessing.transforms) == 3
        assert not canary.exists()

    def test_nothing_is_downloaded_for_pretrained_weights(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a download was started")
        )
        network = step("DenseNet121", spatial_dims=2, in_channels=3, out_channels=2, pretrained="$1 < 2")
        loaded = load_bundle(change_config(bundle, {"network_def": network}))
        with pytest.raises(BundleError, match="don't fit the network DenseNet121"):
            loaded.build()
        assert "nothing is downloaded" in loaded.notes[0]

    @pytest.mark.parametrize("name", sorted(allowed.PRETRAINED))
    def test_no_network_downloads_weights_unasked(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for way in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, way, lambda *_: pytest.fail("a connection was made"))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("an address was looked up"))
        config = close({"network_def": step(name, **NETWORK_SETTINGS.get(name, PLAIN_SETTINGS))}).config
        with torch.device("meta"):
            network = judged_builder(config, "", torch.device("cpu")).get("network_def")
        assert isinstance(network, torch.nn.Module)


PLAIN_SETTINGS: dict[str, Any] = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2}
SENET_SETTINGS: dict[str, Any] = {"spatial_dims": 2, "in_channels": 3, "num_classes": 2}
NETWORK_SETTINGS: dict[str, dict[str, Any]] = {
    **{name: SENET_SETTINGS for name in allowed.PRETRAINED if name.startswith("SE")},
    **{
        name: {"spatial_dims": 2, "n_input_channels": 3, "num_classes": 2}
        for name in allowed.PRETRAINED
        if name.startswith("resnet") and name[6:].isdigit()
    },
    "EfficientNetBN": {"model_name": "efficientnet-b0", "spatial_dims": 2},
    "FlexibleUNet": {"in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0", "spatial_dims": 2},
    "AHNet": {"spatial_dims": 2, "upsample_mode": "bilinear"},
    "TorchVisionFCModel": {"model_name": "resnet18", "num_classes": 2, "pool": None},
}


class TestWhatTheJudgePassesOver:
    @pytest.mark.parametrize("evil", ["expression", "target"])
    def test_a_reference_into_a_switched_off_step_is_refused_with_its_key(
        self, bundle: Path, canary: Path, evil: str
    ) -> None:
        code = {"expression": f"${write_to(canary)}", "target": step("os.system", command=command(canary))}[evil]
        off = step("Identityd", _disabled_=True, keys=code)
        change_config(bundle, {f"{STEPS}#2": off, "inferer#overlap": f"@{STEPS}#2#keys"})
        with pytest.raises(TrustError) as refusal:
            load_bundle(bundle).build()
        named = f"{STEPS}#2#keys" + ("#_target_" if evil == "target" else "")
        assert f"line {line_of(bundle, named)}: `{named}` asks for" in str(refusal.value)
        assert "--trust " in str(refusal.value)
        assert not canary.exists()


class TestHostileFiles:
    def test_a_pickle_in_place_of_weights_is_not_unpickled(self, bundle: Path, canary: Path) -> None:
        plant_pickle(bundle / "models" / "model.pt", canary)
        with pytest.raises(TrustError, match=r"models/model.pt holds more than weights"):
            load_bundle(bundle).build()
        assert not canary.exists()

    def test_an_old_style_pickle_is_not_unpickled(self, bundle: Path, canary: Path) -> None:
        (bundle / "models" / "model.pt").write_bytes(pickle.dumps(Payload(canary)))
        with pytest.raises(BundleError, match=r"models/model.pt"):
            load_bundle(bundle).build()
        assert not canary.exists()

    @pytest.mark.parametrize("trusted", [False, True])
    def test_a_torchscript_program_is_not_run(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
    ) -> None:
        torch.jit.save(torch.jit.trace(torch.nn.Conv1d(1, 1, 1), torch.zeros(1, 1, 4)), bundle / "models" / "model.pt")
        for owner, name in ((torch.jit, "load"), (torch._C, "import_ir_module"), (torch, "load")):
            monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("the program was read"))
        with pytest.raises(TrustError, match="TorchScript"):
            load_bundle(bundle, trust=fingerprint(bundle) if trusted else None).build()

    @pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
    def test_weights_that_link_out_of_the_bundle_are_refused(self, bundle: Path, tmp_path: Path) -> None:
        weights = bundle / "models" / "model.pt"
        weights.rename(tmp_path / "outside.pt")
        weights.symlink_to(tmp_path / "outside.pt")
        with pytest.raises(TrustError, match=r"checkpointloader#load_path.*leads out of the bundle"):
            load_bundle(bundle)

    @pytest.mark.parametrize(
        "tag", ["!!python/object/apply:builtins.open", "!!python/name:os.system", "!!python/object/new:os.system"]
    )
    def test_yaml_tags_make_nothing(self, bundle: Path, canary: Path, tag: str) -> None:
        config = read_config(bundle)
        (bundle / "configs" / "inference.json").unlink()
        text = f"evil: {tag} [{json.dumps(str(canary))}, w]\n{json.dumps(config)[1:-1]}"
        (bundle / "configs" / "inference.yaml").write_text("{" + text.replace("\n", ",\n") + "}", encoding="utf-8")
        with pytest.raises(TrustError, match=r"configs/inference.yaml, line 1: a YAML tag"):
            load_bundle(bundle)
        assert not canary.exists()

    def test_a_yaml_bomb_ends_quickly(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").unlink()
        levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
        (bundle / "configs" / "inference.yaml").write_text(f"a0: &a0 [x]\n{levels}", encoding="utf-8")
        with pytest.raises(BundleError, match="too much for a config"):
            load_bundle(bundle)

    def test_merge_keys_end_quickly_and_are_named_with_their_line(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").unlink()
        levels = "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
        (bundle / "configs" / "inference.yaml").write_text(f"a0: &a0 {{x: 1}}\n{levels}", encoding="utf-8")
        with pytest.raises(BundleError, match=r"configs/inference.yaml, line 3: merge keys \(<<\) can't be read"):
            load_bundle(bundle)

    @pytest.mark.parametrize(
        "value",
        ["1:" * 200_000 + "1", "1" * 70, "1:" * 200 + "1.5", "!!int ''", "!!bool maybe", "!!timestamp x", "!!float x"],
    )
    def test_a_yaml_value_that_is_none_ends_quickly(self, bundle: Path, value: str) -> None:
        (bundle / "configs" / "inference.json").unlink()
        (bundle / "configs" / "inference.yaml").write_text(f"a: {value}\n", encoding="utf-8")
        with pytest.raises(BundleError, match=r"configs/inference.yaml(, line 1: this number is too long)?"):
            load_bundle(bundle)

    @pytest.mark.parametrize("name", ["inference.json", "metadata.json"])
    def test_a_config_of_megabytes_is_not_read(self, bundle: Path, name: str) -> None:
        with (bundle / "configs" / name).open("a", encoding="utf-8") as file:
            file.write(" " * 2_000_000)
        with pytest.raises(BundleError, match="too much for a config"):
            load_bundle(bundle)

    def test_a_yaml_that_holds_itself_ends_quickly(self, bundle: Path) -> None:
        (bundle / "configs" / "inference.json").unlink()
        (bundle / "configs" / "inference.yaml").write_text("a: &a [*a]\n", encoding="utf-8")
        with pytest.raises(BundleError, match="levels"):
            load_bundle(bundle)


class TestBombs:
    @pytest.mark.parametrize(
        "expression",
        ["$'a' * 1000000000", "$[0] * 1000000000", "$list(range(1000000000))", "$'%999999999d' % 1", "$1 // 0"],
    )
    def test_an_expression_that_grows_without_end_is_an_error(self, bundle: Path, expression: str) -> None:
        with pytest.raises(BundleError, match="inferer#overlap"):
            load_bundle(change_config(bundle, {"inferer#overlap": expression})).build()

    @pytest.mark.parametrize(
        "expression", ["$9 ** 9 ** 9", "$1 << 99999999", "$99999999999999999999", "$" + "(" * 3000]
    )
    def test_an_expression_that_is_a_bomb_is_refused(self, bundle: Path, expression: str) -> None:
        with pytest.raises(TrustError, match="inferer#overlap"):
            load_bundle(change_config(bundle, {"inferer#overlap": expression}))

    def test_macros_that_multiply_end_quickly(self, bundle: Path) -> None:
        macros: dict[str, Any] = {f"m{n}": [f"%m{n + 1}"] * 10 for n in range(12)}
        change_config(bundle, {**macros, "m12": 1, "inferer#roi_size": "%m0"})
        with pytest.raises(BundleError, match="repeat without end"):
            load_bundle(bundle)

    @pytest.mark.parametrize(
        ("step_of_chain", "last"),
        [
            ("$[@{0}, @{0}]", "$str(@{0})"),
            ("$[@{0}, @{0}]", "$@{0} == @other"),
            ("$(@{0}, @{0})", "${{@{0}: 1}}"),
            (["@{0}", "@{0}"], "@{0}"),
            ({"a": "@{0}", "b": "@{0}"}, "@{0}"),
            ("$list(@{0}) + list(@{0})", "@{0}"),
            ("$@{0} + @{0}", "@{0}"),
        ],
    )
    def test_lists_that_double_end_quickly(self, bundle: Path, step_of_chain: Any, last: str) -> None:
        def at(number: int) -> Any:
            return json.loads(json.dumps(step_of_chain).replace("{0}", f"c{number}"))

        chain = {f"c{n}": at(n - 1) for n in range(1, 60)}
        change_config(bundle, {"c0": [0], **chain, "other": at(59), "inferer#overlap": last.format("c59")})
        with pytest.raises(BundleError, match=r"grows beyond|can't be computed"):
            load_bundle(bundle).build()

    def test_many_long_lists_end_quickly(self, bundle: Path) -> None:
        many = {f"d{n}": "$@c0 + @c0" for n in range(1000)}
        change_config(bundle, {"c0": [0] * 5000, **many, "inferer#overlap": [f"@{name}" for name in many]})
        with pytest.raises(BundleError, match="grows beyond"):
            load_bundle(bundle).build()

    def test_long_texts_that_macros_copy_end_quickly(self, bundle: Path) -> None:
        macros: dict[str, Any] = {f"m{n}": [f"%m{n + 1}"] * 10 for n in range(5)}
        change_config(bundle, {**macros, "m5": "$" + "#" * 500_000, "inferer#roi_size": "%m0"})
        with pytest.raises(BundleError, match="repeat without end"):
            load_bundle(bundle)

    def test_text_of_a_list_is_an_error(self, bundle: Path) -> None:
        with pytest.raises(BundleError, match="`str` is for texts and numbers"):
            load_bundle(change_config(bundle, {"inferer#overlap": "$str([1])"})).build()

    def test_references_in_a_circle_are_an_error(self, bundle: Path) -> None:
        change_config(bundle, {"a": "@b", "b": "$@a + 1", "inferer#overlap": "@a"})
        with pytest.raises(BundleError, match="circle"):
            load_bundle(bundle).build()

    def test_a_long_chain_of_references_is_an_error(self, bundle: Path) -> None:
        chain = {f"c{n}": f"@c{n + 1}" for n in range(5000)}
        change_config(bundle, {**chain, "c5000": 0.5, "inferer#overlap": "@c0"})
        with pytest.raises(BundleError, match="chain"):
            load_bundle(bundle).build()


def test_stock_monai_would_run_the_payload(bundle: Path, canary: Path) -> None:
    """The canary works: what the judge refuses does create it where nobody judges."""
    change_config(bundle, {"network": f"${write_to(canary)}"})
    program = (
        "import sys; from monai.bundle import ConfigParser; p = ConfigParser(); p.read_config(sys.argv[1]); "
        "p.get_parsed_content('network')"
    )
    config = bundle / "configs" / "inference.json"
    subprocess.run([sys.executable, "-c", program, str(config)], check=True, capture_output=True)
    assert canary.exists()
