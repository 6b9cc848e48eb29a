"""The identifiers of a config: `@a::b` references, `%a::b` macros, relative ids, as the bundle specification has them.

Source: https://docs.monai.io/en/stable/config_syntax.html. `#` is the older spelling of `::`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from DeepImagingLib.bundles.source import MAX_DEPTH, MAX_NODES
from DeepImagingLib.errors import BundleError

SEPARATOR = "::"
REFERENCE = re.compile(r"@\w*(?:::\w*)*")
LONG_TEXT = 64
"""A text of so many characters more counts as another value, since a macro may copy it."""
_RELATIVE = re.compile(r"([@%])((?:::)+)")
_OTHER_FILE = re.compile(r"\.(json|ya?ml)(::|$)", re.IGNORECASE)


class Refusal(Exception):
    """Something of a config may not run; `ident` says where it stands, the text what it asks for."""

    def __init__(self, ident: str, reason: str) -> None:
        super().__init__(reason)
        self.ident = ident


def top(ident: str) -> str:
    """Return the first part of an identifier ("a" of "a::b::0")."""
    return ident.split(SEPARATOR, 1)[0]


def join(ident: str, part: object) -> str:
    """Return the identifier of `part` within `ident`."""
    return f"{ident}{SEPARATOR}{part}" if ident else str(part)


def shown(ident: str) -> str:
    """Return an identifier as messages show it, in the spelling most bundles use ("network_def#_target_")."""
    return ident.replace(SEPARATOR, "#")


def as_reference(text: str) -> str | None:
    """Return "a::b" where the whole of `text` is the reference "@a::b", else None."""
    normal = text.replace("#", SEPARATOR)
    return normal[1:] if len(normal) > 1 and REFERENCE.fullmatch(normal) else None


def references_in(value: Any) -> Iterator[str]:
    """Yield the identifiers that `value`, or anything within it, refers to."""
    if isinstance(value, dict):
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from references_in(item)
    elif isinstance(value, str) and value.startswith("$"):
        yield from (match[1:] for match in REFERENCE.findall(value.replace("#", SEPARATOR)) if len(match) > 1)
    elif isinstance(value, str) and (ident := as_reference(value)) is not None:
        yield ident


def look_up(config: Any, ident: str) -> Any:
    """Return the raw value at `ident`.

    Raises:
        KeyError: Nothing is there.
    """
    for part in ident.split(SEPARATOR):
        try:
            config = config[int(part)] if isinstance(config, list) else config[_key(config, part)]
        except (ValueError, IndexError, TypeError, KeyError):
            raise KeyError(ident) from None
    return config


def _key(config: Mapping[Any, Any], part: str) -> Any:
    """Return the mapping's own key for `part`: YAML may have read it as a number."""
    return part if part in config or not part.isdigit() else int(part)


class Expander:
    """Puts macros in place and makes relative ids absolute, in a copy, within a budget.

    Args:
        config: The config as it was read.
        lenient: Leave a macro that names another file, or nothing, as it is: for a trusted bundle.
    """

    def __init__(self, config: Mapping[str, Any], *, lenient: bool = False) -> None:
        self._config = config
        self._lenient = lenient
        self._budget = MAX_NODES

    def expand(self, value: Any, ident: str, depth: int = 0) -> Any:
        """Return `value`, which stands at `ident`, with no macro and no relative id left.

        Raises:
            Refusal: A macro names another file, or one that isn't there.
            BundleError: The macros grow beyond any sensible config.
        """
        self._budget -= 1 + (len(value) // LONG_TEXT if isinstance(value, str) else 0)
        if self._budget < 0 or depth > MAX_DEPTH:
            raise BundleError(f"The macros (%) at `{shown(ident)}` repeat without end; the config can't be read.")
        if isinstance(value, dict):
            return {key: self.expand(item, join(ident, key), depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, join(ident, index), depth + 1) for index, item in enumerate(value)]
        if isinstance(value, str) and value[:1] in ("$", "@", "%"):
            return self._expand_text(value, ident, depth)
        return value

    def _expand_text(self, text: str, ident: str, depth: int) -> Any:
        absolute = _absolute(text.replace("#", SEPARATOR), ident)
        if not absolute.startswith("%"):
            return absolute
        if _OTHER_FILE.search(absolute):
            if self._lenient:
                return text
            raise Refusal(ident, f"takes its value from another file ({text!r})")
        try:
            raw = look_up(self._config, absolute[1:])
        except KeyError:
            raise Refusal(ident, f"takes its value from {text!r}, which is not in the config") from None
        return self.expand(raw, absolute[1:], depth + 1)


def _absolute(text: str, ident: str) -> str:
    """Replace "@::a" (same level), "@::::a" (one up) … in `text`, which stands at `ident`."""
    parts = ident.split(SEPARATOR)

    def replace(match: re.Match[str]) -> str:
        up = len(match[2]) // len(SEPARATOR)
        if up > len(parts):
            raise Refusal(ident, f"refers above the top of the config ({text!r})")
        above = SEPARATOR.join(parts[: len(parts) - up])
        return match[1] + (above + SEPARATOR if above else "")

    return _RELATIVE.sub(replace, text)
