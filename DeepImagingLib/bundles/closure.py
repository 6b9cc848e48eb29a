"""What of a config the road evaluates: its roots, and all they refer to; the rest is never looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from DeepImagingLib.bundles.references import Expander, Refusal, join, references_in, top
from DeepImagingLib.bundles.repairs import TARGET, adapt

ROOTS = ("preprocessing", "network", "network_def", "inferer", "postprocessing")
DETECTOR_ROOTS = ("preprocessing", "network", "network_def")
"""Those of a bundle that finds boxes, beside its detector and the settings of that."""
OWN = ("device", "bundle_root")
"""Ids whose value the road decides, whatever the config says."""


@dataclass
class Closure:
    """The part of a config that the road evaluates, expanded and adapted.

    Attributes:
        config: Top-level key to value, for the roots and every key they refer to.
        notes: Sentences about what was adapted.
    """

    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Remember a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def close(
    config: Mapping[str, Any],
    extra: Iterable[tuple[str, Any]] = (),
    *,
    roots: Iterable[str] = ROOTS,
    lenient: bool = False,
) -> Closure:
    """Return the part of `config` the road evaluates; `extra` are further values, by id, whose references count.

    Args:
        roots: Keys that are evaluated, where they are there.
        lenient: Let macros and references to nothing be: for a trusted bundle.

    Raises:
        Refusal: A macro or relative id leads where it may not, or a reference to nothing.
    """
    closure = Closure()
    expander = Expander(config, lenient=lenient)
    waiting = [("", key) for key in roots if key in config]
    waiting += [(asked, top(ident)) for place, value in extra for asked, ident in _asked(value, place)]
    while waiting:
        asked_by, key = waiting.pop()
        if key in closure.config or key in OWN or (lenient and key not in config):
            continue
        if key not in config:
            raise Refusal(asked_by, f"refers to @{key}, which is not in the config")
        value = expander.expand(config[key], key)
        adapt(value, closure.note)
        closure.config[key] = value
        waiting += [(asked, top(ident)) for asked, ident in _asked(value, key)]
    return closure


def _asked(value: Any, ident: str) -> Iterable[tuple[str, str]]:
    """Yield each reference within `value`, with the id of the text that has it."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _asked(item, join(ident, key))
    else:
        yield from ((ident, reference) for reference in references_in(value))


def checkpoint_loaders(value: Any, ident: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield every CheckpointLoader in a config with its id, read as data: the road loads the weights itself."""
    if isinstance(value, dict):
        if str(value.get(TARGET, "")).rpartition(".")[2] == "CheckpointLoader" and "load_path" in value:
            yield ident, value
        for key, item in value.items():
            yield from checkpoint_loaders(item, join(ident, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from checkpoint_loaders(item, join(ident, index))
