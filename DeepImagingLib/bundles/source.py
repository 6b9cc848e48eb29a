"""Reading a bundle's files as data: nothing of them is evaluated, and each key knows its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from DeepImagingLib.errors import BundleError, TrustError

MAX_NODES = 200_000
"""A config with more values than this is no config: YAML aliases can make billions out of a few lines."""
MAX_DEPTH = 64
MAX_BYTES = 1 << 20
"""Bytes of a config: the longest published ones have a tenth of it."""
MAX_DIGITS = 64
"""Characters of a number in YAML: its `1:2:3:…` takes time with the square of its length."""
_MERGE = "tag:yaml.org,2002:merge"
_ODD_SCALARS = (ValueError, LookupError, ArithmeticError, AttributeError)
"""What PyYAML lets escape on a scalar whose tag it doesn't fit."""


class _NotOfAConfig(yaml.MarkedYAMLError):
    """The YAML uses what only serves to make a config grow."""


class _Loader(yaml.SafeLoader):
    """Reads YAML without merge keys, which make billions of values out of a few lines, and without endless numbers."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse a merge key before anything is merged."""
        for key, _ in node.value:
            if key.tag == _MERGE:
                raise _NotOfAConfig(
                    problem="merge keys (<<) can't be read; write the values out", problem_mark=key.start_mark
                )

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Make a number, if it isn't too long to be one."""
        if len(node.value) > MAX_DIGITS:
            raise _NotOfAConfig(problem="this number is too long; write a shorter one", problem_mark=node.start_mark)
        whole = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


@dataclass(frozen=True)
class Source:
    """A config file: what it says, as plain values, and where.

    Attributes:
        name: Path within the bundle, as shown in messages ("configs/inference.json").
        text: The file's text.
        config: Its content: dicts, lists, strings, numbers, booleans and None.
    """

    name: str
    text: str
    config: dict[str, Any]

    def line(self, ident: str) -> int:
        """Return the line (from 1) of the key `ident` ("network_def::_target_"), or of the nearest key above it."""
        try:
            # YAML's reader knows the line of each key and reads JSON as well, but for tabs between tokens.
            node = yaml.compose(self.text.replace("\t", " "), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError):
            return self._line_of_word(ident.split("::")[-1])
        line = 1
        for part in ident.split("::"):
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def _line_of_word(self, word: str) -> int:
        hits = [number for number, text in enumerate(self.text.splitlines(), 1) if word in text]
        return hits[0] if hits else 1


def _child(node: Any, part: str) -> tuple[int, Any] | None:
    """Return the line and the value node of a mapping's key or a sequence's item."""
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if getattr(key, "value", None) == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)].start_mark.line + 1, node.value[int(part)]
    return None


def read_source(path: Path, root: Path) -> Source:
    """Read a JSON or YAML config of the bundle at `root`.

    Raises:
        BundleError: The file can't be read, is broken (named with its line), or holds no mapping.
        TrustError: The YAML asks for Python objects.
    """
    name = path.relative_to(root).as_posix()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{name} is larger than {MAX_BYTES} bytes, too much for a config; get the bundle again.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{name} can't be read as text ({type(error).__name__}); get the bundle again.") from error
    content = _parsed_json(text, name) if path.suffix == ".json" else _parsed_yaml(text, name)
    if not isinstance(content, dict):
        raise BundleError(f"{name} holds {type(content).__name__}, expected a mapping of names to values.")
    return Source(name, text, _plain(content, name, iter(range(MAX_NODES))))


def _parsed_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BundleError(f"{name}, line {error.lineno}: this is not valid JSON ({error.msg}).") from error
    except (RecursionError, ValueError) as error:
        raise BundleError(f"{name} is nested too deeply, or holds a number too long, to be a config.") from error


def _parsed_yaml(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        if isinstance(error, _NotOfAConfig):
            raise BundleError(f"{name}, line {line}: {error.problem}.") from error
        if isinstance(error, yaml.constructor.ConstructorError) and "tag" in (error.problem or ""):
            raise TrustError(f"{name}, line {line}: a YAML tag asks for a Python object; nothing was made.") from error
        raise BundleError(f"{name}, line {line}: this is not valid YAML ({error.problem}).") from error
    except (yaml.YAMLError, RecursionError, *_ODD_SCALARS) as error:
        raise BundleError(f"{name} is not valid YAML ({type(error).__name__}).") from error


def _plain(value: Any, name: str, budget: Iterator[int], depth: int = 0) -> Any:
    """Copy `value`, so that YAML aliases share nothing; raises BundleError where it isn't plain or finite."""
    if next(budget, None) is None or depth > MAX_DEPTH:
        raise BundleError(f"{name} holds more than {MAX_NODES} values or {MAX_DEPTH} levels, too much for a config.")
    if isinstance(value, dict):
        if not all(isinstance(key, (str, int)) for key in value):
            raise BundleError(f"{name} has a key that is neither text nor a whole number.")
        return {key: _plain(item, name, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, name, budget, depth + 1) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise BundleError(f"{name} holds a value of type {type(value).__name__}, which is not one of a config.")
