"""The judge: what may be written in a config, what it means, and that nothing else comes through."""

from __future__ import annotations

import ast
import inspect
import os
import pickle
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepImagingLib.bundles import allowed, load_bundle
from DeepImagingLib.bundles import bundle as bundle_module
from DeepImagingLib.bundles.build import judged_builder, plain_builder
from DeepImagingLib.bundles.expressions import Computer, UnsafeExpression, parse
from DeepImagingLib.bundles.fingerprint import fingerprint
from DeepImagingLib.bundles.judge import judge, judge_imports
from DeepImagingLib.bundles.references import Expander, Refusal, as_reference, references_in
from DeepImagingLib.errors import BundleError, TrustError
from Testing.bundles.make_bundles import change_config, save_weights, unet
from Testing.bundles.payload import Payload

CPU = torch.device("cpu")


def value_of(text: str, **config: Any) -> Any:
    """The value of an expression in a config."""
    return judged_builder({**config, "it": text}, "/bundle", CPU).get("it")


def parameters_of(target: allowed.Target) -> list[str]:
    """The names of what the class takes."""
    return list(inspect.signature(getattr(import_module(target.module), target.name)).parameters)


class TestTheList:
    @pytest.mark.parametrize("target", sorted(set(allowed.TARGETS.values())))
    def test_every_entry_is_a_class_of_the_very_module_that_is_named(self, target: allowed.Target) -> None:
        found = getattr(import_module(target.module), target.name)
        assert inspect.isclass(found) or target in allowed.MAKERS.values()
        assert found.__module__ == target.module

    def test_every_network_that_could_download_is_known_to(self) -> None:
        found = {target.name for target in allowed.TARGETS.values() if "pretrained" in parameters_of(target)}
        assert found == allowed.PRETRAINED

    def test_no_entry_takes_a_path_or_an_address(self) -> None:
        suspicious = re.compile(
            r"(^|_)(path|file|filename|folder|dir|url|ckpt|reader|writer|load\w*)s?$", re.IGNORECASE
        )
        for target in set(allowed.TARGETS.values()):
            assert not [name for name in parameters_of(target) if suspicious.search(name)], target

    def test_every_spelling_is_one_that_stock_monai_resolves_to_the_same_class(self) -> None:
        import monai  # noqa: F401

        for spelling, target in allowed.TARGETS.items():
            if spelling.startswith("monai."):
                module, _, name = spelling.rpartition(".")
                assert getattr(import_module(module), name) is getattr(import_module(target.module), target.name)

    @pytest.mark.parametrize("spelling", ["Spacingd", "SpacingD", "SpacingDict", "monai.transforms.Spacingd"])
    def test_a_transform_may_be_spelled_as_in_monai(self, spelling: str) -> None:
        assert allowed.TARGETS[spelling] == ("monai.transforms.spatial.dictionary", "Spacingd")

    @pytest.mark.parametrize("spelling", ["unet", "UNet ", "monai.UNet", "Lambdad", "torch.load", "", "monai"])
    def test_what_is_not_on_the_list_is_not_found(self, spelling: str) -> None:
        assert spelling not in allowed.TARGETS


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("$@a + '/models/' + @b", "x/models/y"),
            ("$[1.5, 2] if @yes else [3.0]", [1.5, 2]),
            ("$not @yes", False),
            ("$1.0 - float(@n) / float(4)", 0.5),
            ("$len(@names) + 1", 3),
            ("$@map['k'][1]", 6),
            ("$@list#0", 7),
            ("$@list::1 * 2", 16),
            ("$os.path.join(@a, @b)", "x/y"),
            ("$monai.utils.CommonKeys.IMAGE", "image"),
            ("$1 < @n <= 2 and @yes", True),
            ("${@a: (1, -2)}", {"x": (1, -2)}),
            ("$list(range(3))", [0, 1, 2]),
            ("$None", None),
            ("$@preset_transforms ", []),
            ("$torch.float32", torch.float32),
            ("$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')", CPU),
        ],
    )
    def test_the_shapes_that_bundles_need_have_their_value(self, text: str, value: Any) -> None:
        config = {"a": "x", "b": "y", "yes": True, "n": 2, "names": [1, 2], "map": {"k": [5, 6]}, "list": [7, 8]}
        assert value_of(text, **config, preset_transforms=[]) == value

    def test_a_lambda_may_compare_and_reckon(self) -> None:
        select = value_of("$lambda x: (x > 1) & (x * 2 < 7)")
        assert select(torch.tensor([1, 2, 3, 4])).tolist() == [False, True, True, False]

    @pytest.mark.parametrize("text", ["lambda: 1", "lambda x, y: x", "lambda *x: 1", "lambda x: x.y", "lambda x: x[0]"])
    def test_another_lambda_is_refused(self, text: str) -> None:
        with pytest.raises(UnsafeExpression):
            parse(text)

    def test_a_message_shows_the_expression_as_it_was_written(self) -> None:
        with pytest.raises(UnsafeExpression, match=re.escape("`torch.from_numpy(@arch::a['node'])`")):
            parse("torch.from_numpy(@arch#a['node'])")

    def test_one_device_rules_the_run_whatever_the_config_names(self) -> None:
        meta = torch.device("meta")
        builder = judged_builder({"d": "$torch.device('cuda:3')", "c": "$torch.device('cpu')"}, "/b", meta)
        assert builder.get("d") == meta
        assert builder.get("c") == CPU
        assert builder.get("device") == meta

    @given(st.text(max_size=40))
    def test_any_text_is_refused_or_made_of_allowed_nodes(self, text: str) -> None:
        try:
            tree = parse(text).tree
        except UnsafeExpression:
            return
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert isinstance(tree, ast.Lambda) or all(n.startswith("_reference") or _is_listed(n) for n in names)

    @given(
        st.recursive(
            st.sampled_from(["1", "2.5", "True", "@a", "@b#0", "'t'"]),
            lambda inner: st.one_of(
                st.tuples(inner, st.sampled_from(["+", "-", "==", "<", "and", "or"]), inner).map(" ".join),
                inner.map("({})".format),
                inner.map("[{}]".format),
                inner.map("str({})".format),
                st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
            ),
            max_leaves=12,
        )
    )
    def test_what_is_computed_is_what_python_would_say(self, text: str) -> None:
        config: dict[str, Any] = {"a": 3, "b": [4]}
        python = text.replace("@a", "a").replace("@b#0", "b[0]")
        try:
            expected = eval(python, {"__builtins__": {"str": text_of}}, config)
        except TypeError:
            with pytest.raises(ValueError, match="can't be computed"):
                Computer(plain_builder(config, "").get, str).compute(parse(text))
            return
        assert Computer(plain_builder(config, "").get, str).compute(parse(text)) == expected


def text_of(value: object) -> str:
    """`str` as expressions have it: of single values only."""
    if isinstance(value, list):
        raise TypeError
    return str(value)


def _is_listed(name: str) -> bool:
    listed = allowed.NAMES | allowed.CALLS | set(allowed.COMMON_KEYS)
    return any(entry.split(".")[0] == name for entry in listed)


class TestReferences:
    @pytest.mark.parametrize(("text", "ident"), [("@a", "a"), ("@a#b#0", "a::b::0"), ("@a b", None), ("a@b", None)])
    def test_only_a_whole_text_is_a_reference(self, text: str, ident: str | None) -> None:
        assert as_reference(text) == ident

    def test_references_are_found_wherever_they_stand(self) -> None:
        value = {"x": ["@a", {"y": "$@b#c + @d"}], "z": "mail@example"}
        assert list(references_in(value)) == ["a", "b::c", "d"]

    def test_macros_and_relative_ids_are_put_in_place(self) -> None:
        config = {"a": {"n": 1, "m": "@#n", "up": "$@##b + 1"}, "b": 2, "c": "%a"}
        expander = Expander(config)
        assert expander.expand(config["a"], "a") == {"n": 1, "m": "@a::n", "up": "$@b + 1"}
        assert expander.expand(config["c"], "c") == {"n": 1, "m": "@a::n", "up": "$@b + 1"}

    def test_two_references_mean_one_object(self) -> None:
        config = {"one": {"_target_": "Compose", "transforms": []}, "two": "@one", "three": "$@one"}
        builder = judged_builder(config, "/b", CPU)
        assert builder.get("two") is builder.get("three") is builder.get("one")


class TestImports:
    @pytest.mark.parametrize(
        "entry", ["$import glob", "$import numpy as np", "$import os.path", "$import pandas as pd"]
    )
    def test_a_plain_import_is_a_name(self, entry: str) -> None:
        judge_imports({"imports": [entry]})

    @pytest.mark.parametrize("entry", ["$import a, b", "$from a import b", "$a", "import os", 3, "$import a as len"])
    def test_anything_else_is_refused(self, entry: object) -> None:
        with pytest.raises(Refusal):
            judge_imports({"imports": [entry]})


class TestOtherKeys:
    @given(st.from_regex(r"_\w{1,12}_", fullmatch=True).filter(lambda k: k not in ("_target_", "_disabled_", "_desc_")))
    def test_an_unknown_special_key_is_refused(self, key: str) -> None:
        config = {"inferer": {"_target_": "SimpleInferer", key: "$@x.y"}}
        with pytest.raises(Refusal):
            judge(config)

    @given(st.from_regex(r"[a-z_]+(\.[a-zA-Z_]+){0,4}", fullmatch=True).filter(lambda t: t not in allowed.TARGETS))
    def test_an_unknown_target_is_refused(self, target: str) -> None:
        with pytest.raises(Refusal, match=r"_target_|not on the list"):
            judge({"inferer": {"_target_": target}})


class TestTrust:
    def test_a_refusal_names_the_hash_that_lets_this_content_through(self, bundle: Path) -> None:
        scripts = bundle / "scripts"
        scripts.mkdir()
        (scripts / "__init__.py").touch()
        source = "from monai.inferers import SimpleInferer\nclass Mine(SimpleInferer):\n    pass\n"
        (scripts / "mine.py").write_text(source, encoding="utf-8")
        change_config(bundle, {"inferer": {"_target_": "scripts.mine.Mine"}})
        with pytest.raises(TrustError) as refusal:
            load_bundle(bundle)
        named = re.search(r"--trust ([0-9a-f]{64})", str(refusal.value))
        assert named
        trusted = load_bundle(bundle, trust=named[1].upper())
        assert type(trusted.build().inferer).__name__ == "Mine"
        assert load_bundle(bundle, trust=named[1]).sha256 == named[1]
        assert not list(bundle.rglob("__pycache__"))

    def test_a_trusted_class_of_a_known_name_gets_no_argument_it_does_not_take(self, bundle: Path) -> None:
        (bundle / "own.py").write_text(
            "class EfficientNetBN:\n    def __call__(self):\n        pass\n", encoding="utf-8"
        )
        change_config(bundle, {"inferer": {"_target_": "own.EfficientNetBN"}})
        assert type(load_bundle(bundle, trust=fingerprint(bundle)).build().inferer).__name__ == "EfficientNetBN"

    def test_a_wrong_hash_is_refused_and_the_right_one_told(self, spleen: Path) -> None:
        with pytest.raises(TrustError, match=load_bundle(spleen).sha256):
            load_bundle(spleen, trust="0" * 64)

    @pytest.mark.parametrize(
        "name",
        ["configs/inference.json", "models/model.pt", "scripts/net.py", "planted.py", "scripts/__pycache__/net.py"],
    )
    def test_the_hash_changes_with_what_could_run(self, bundle: Path, name: str) -> None:
        before = load_bundle(bundle).sha256
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        with (bundle / name).open("ab") as file:
            file.write(b" ")
        assert load_bundle(bundle).sha256 != before

    def test_the_hash_does_not_change_with_a_read_me(self, bundle: Path) -> None:
        before = load_bundle(bundle).sha256
        (bundle / "README.md").write_text("words", encoding="utf-8")
        assert load_bundle(bundle).sha256 == before

    @pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
    @pytest.mark.parametrize("name", ["lib", "scripts", "docs", "configs/more"])
    @pytest.mark.parametrize("inside", [True, False])
    def test_a_linked_folder_is_refused(self, bundle: Path, tmp_path: Path, name: str, inside: bool) -> None:
        target = (bundle if inside else tmp_path) / "elsewhere"
        target.mkdir()
        (bundle / name).symlink_to(target, target_is_directory=True)
        with pytest.raises(TrustError, match=r"links to a folder|leads out of the bundle"):
            fingerprint(bundle)

    @pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
    @pytest.mark.parametrize("target", ["../outside.txt", "README.md"])
    def test_a_linked_file_that_leads_out_or_in_a_circle_is_refused(self, bundle: Path, target: str) -> None:
        (bundle / "README.md").symlink_to(target)
        with pytest.raises(TrustError, match=r"README\.md (leads out|is a link in a circle)"):
            fingerprint(bundle)

    @pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in folders")
    def test_what_is_no_file_is_named_and_not_waited_for(self, bundle: Path) -> None:
        os.mkfifo(bundle / "configs" / "pipe")
        with pytest.raises(BundleError, match="configs/pipe of the bundle is no file"):
            load_bundle(bundle)

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
    def test_a_name_that_is_no_text_is_hashed(self, bundle: Path) -> None:
        before = fingerprint(bundle)
        with open(os.fsencode(bundle) + b"/scripts-\xff.py", "wb") as file:
            file.write(b"x = 1")
        assert fingerprint(bundle) != before

    def test_the_hash_covers_weights_wherever_they_are(self, bundle: Path) -> None:
        (bundle / "models" / "model.pt").rename(bundle / "model.pt")
        change_config(bundle, {"checkpointloader#load_path": "$@bundle_root + '/model.pt'"})
        before = fingerprint(bundle)
        (bundle / "model.pt").write_bytes(b"others")
        assert fingerprint(bundle) != before

    def test_weights_that_the_hash_does_not_cover_are_refused(self, bundle: Path) -> None:
        (bundle / "models" / "model.pt").rename(bundle / "model.odd")
        change_config(bundle, {"checkpointloader#load_path": "$@bundle_root + '/model.odd'"})
        with pytest.raises(TrustError, match=r"model\.odd is no file that the bundle's SHA-256 covers"):
            load_bundle(bundle).build()

    @pytest.mark.parametrize("name", ["models/model.pt", "configs/inference.json", "scripts/new.py"])
    def test_trusted_content_that_changed_since_it_was_loaded_is_refused(
        self, bundle: Path, canary: Path, name: str
    ) -> None:
        loaded = load_bundle(bundle, trust=fingerprint(bundle))
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_bytes(pickle.dumps(Payload(canary)))
        with pytest.raises(TrustError, match="changed since it was loaded"):
            loaded.build()
        assert not canary.exists()

    def test_a_judged_config_that_changed_since_it_was_loaded_is_refused(self, bundle: Path) -> None:
        loaded = load_bundle(bundle)
        change_config(bundle, {"inferer#overlap": 0.25})
        with pytest.raises(TrustError, match="changed since it was loaded"):
            loaded.build()

    def test_the_hash_after_a_build_names_what_was_built(self, bundle: Path) -> None:
        loaded = load_bundle(bundle)
        before = loaded.sha256
        save_weights(unet(), bundle / "models" / "model.pt", seed=1)
        loaded.build()
        built = fingerprint(bundle)
        (bundle / "models" / "model.pt").write_bytes(b"others")
        assert before != loaded.sha256 == built

    def test_loading_a_judged_bundle_does_not_hash_its_weights(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{bundle_module.__name__}.fingerprint", lambda _: pytest.fail("the weights were hashed"))
        load_bundle(bundle)

    def test_trust_reaches_one_content_only(self, bundle: Path) -> None:
        trust = load_bundle(bundle).sha256
        change_config(bundle, {"network": "$print('changed')"})
        with pytest.raises(TrustError, match="for another content"):
            load_bundle(bundle, trust=trust)


def test_an_unknown_network_is_named(bundle: Path) -> None:
    change_config(bundle, {"network_def#_target_": "NoSuchNet"})
    with pytest.raises(BundleError, match=r"inference.json, line \d+: `network_def#_target_` asks for 'NoSuchNet'"):
        load_bundle(bundle)
