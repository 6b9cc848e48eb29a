"""The judge: says before anything is evaluated whether a config asks only for what may run.

It walks over the values themselves, whatever they refer to being walked as well, and stops at the first thing
that isn't on the lists of `allowed` or isn't one of the shapes of `expressions`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from DeepImagingLib.bundles import allowed
from DeepImagingLib.bundles.expressions import UnsafeExpression, parse
from DeepImagingLib.bundles.references import SEPARATOR, Refusal, join
from DeepImagingLib.bundles.repairs import DISABLED, TARGET, is_off

IMPORT_KEYS = ("imports", "import")
_SPECIAL = re.compile(r"_.*_")
_KNOWN_SPECIAL = (TARGET, DISABLED, "_requires_", "_desc_", "_mode_")
_ODD_KEY = re.compile(r"[#@$%]|::|^\+")


def judge(config: Mapping[str, Any]) -> None:
    """Judge all of `config`, the part of a bundle's config that the road evaluates.

    Raises:
        Refusal: Something in it may not run without being trusted.
    """
    for key, value in config.items():
        _judge_key(key, str(key))
        judge_value(value, str(key))


def judge_imports(config: Mapping[str, Any]) -> None:
    """Allow plain `$import NAME` in a bundle's imports: they are names, and no import is ever carried out.

    Raises:
        Refusal: There is anything else in them.
    """
    for key in IMPORT_KEYS:
        entries = config.get(key) or []
        if not isinstance(entries, list):
            raise Refusal(key, f"holds {entries!r}, expected a list of plain imports")
        for index, entry in enumerate(entries):
            if not _is_plain_import(entry):
                raise Refusal(join(key, index), f"asks for {entry!r}, which is more than a plain import")


def _is_plain_import(entry: object) -> bool:
    if not isinstance(entry, str) or not entry.startswith("$"):
        return False
    try:
        body = ast.parse(entry[1:].strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if len(body) != 1 or not isinstance(body[0], ast.Import) or len(body[0].names) != 1:
        return False
    name, alias = body[0].names[0].name, body[0].names[0].asname
    taken = alias in ("np", "numpy", "torch", "monai", "os") or alias in allowed.FUNCTIONS
    return not taken or (name, alias) == ("numpy", "np")


def judge_value(value: Any, ident: str) -> None:
    """Judge one value, which stands at `ident`, and all within it; raises Refusal."""
    if isinstance(value, str):
        _judge_text(value, ident)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            judge_value(item, join(ident, index))
    elif isinstance(value, dict):
        if TARGET in value:
            _judge_component(value, ident)
            if is_off(value):
                return
        for key, item in value.items():
            _judge_key(key, join(ident, key))
            if TARGET in value and not str(key).isidentifier():
                raise Refusal(ident, f"has the argument {key!r}, which is no name")
            if key != TARGET:
                judge_value(item, join(ident, key))


def _judge_text(text: str, ident: str) -> None:
    if not text.startswith("$"):
        return
    try:
        parse(text[1:])
    except UnsafeExpression as error:
        raise Refusal(ident, f"asks for {error}") from error


def _judge_key(key: object, ident: str) -> None:
    if isinstance(key, str) and _SPECIAL.fullmatch(key) and key not in _KNOWN_SPECIAL:
        raise Refusal(ident, f"uses the special key {key!r}, which is not one of the bundle specification")
    if isinstance(key, str) and _ODD_KEY.search(key):
        raise Refusal(ident, f"has {SEPARATOR}, #, @, $ or % in a name, which would mean something else")


def _judge_component(component: dict[str, Any], ident: str) -> None:
    target = component[TARGET]
    place = join(ident, TARGET)
    if is_off(component) and isinstance(target, str):
        return
    if not isinstance(target, str) or target[:1] in ("$", "@", "%"):
        raise Refusal(place, f"asks for {target!r}, expected the plain name of a class")
    if target not in allowed.TARGETS:
        raise Refusal(place, allowed.NOT_LISTED.format(target))
    _judge_arguments(component, ident, target.rpartition(".")[2])
    if component.get("_mode_", "default") != "default":
        raise Refusal(join(ident, "_mode_"), f"asks for the mode {component['_mode_']!r}, expected 'default'")


def _judge_arguments(component: dict[str, Any], ident: str, name: str) -> None:
    """Judge the arguments of a class that passes what it doesn't know on to others."""
    known = allowed.ARGUMENTS.get(name)
    if known is None:
        return
    if unknown := sorted(key for key in component if key not in known and key not in _KNOWN_SPECIAL):
        raise Refusal(join(ident, unknown[0]), f"gives {name} the argument {unknown[0]!r}, which is not on the list")
    model = component.get("model_name", "resnet18")
    if not isinstance(model, str) or model not in allowed.TORCHVISION_MODELS:
        raise Refusal(join(ident, "model_name"), f"asks for torchvision's {model!r}, which is not on the list")
