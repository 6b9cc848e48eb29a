"""Which of several images is which input of a model, by their names, where that is obvious."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

SYNONYMS: Mapping[str, frozenset[str]] = {
    name: frozenset({name, *others.split()})
    for name, others in {
        "t1c": "t1ce t1gd t1post t1contrast t1km t1wce t1cewt t1gad",
        "t1": "t1w t1n t1native t1pre",
        "t2": "t2w t2tse",
        "flair": "t2f t2flair t2fl",
        "dwi": "trace b1000",
        "adc": "adcmap",
        "ct": "",
        "pet": "suv",
    }.items()
}
"""What scans are called in practice; each is kept from being taken for another."""
LONGEST = 3
"""Neighbouring words of a name that may make up one: "T1 post"."""


def match(inputs: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Return input name → index into `names`, for those where one name fits and no other.

    Example:
        >>> match(["T1c", "T1", "FLAIR"], ["case7_t1", "case7_t1ce", "T2", "case7_flair"])
        {'T1c': 1, 'T1': 0, 'FLAIR': 3}
    """
    meanings = [_meaning(name, inputs) for name in names]
    return {name: meanings.index(name) for name in inputs if meanings.count(name) == 1}


def _meaning(name: str, inputs: Iterable[str]) -> str:
    """Return the input that a name's longest fitting word stands for; "" where there is none, or several are."""
    words = _words(name)
    fitting: dict[int, set[str]] = {}
    plain = {folded: frozenset({folded}) for folded in map(_folded, inputs)}
    for meaning, forms in {**plain, **SYNONYMS}.items():
        for form in forms & words:
            fitting.setdefault(len(form), set()).add(meaning)
    longest = fitting.get(max(fitting, default=0), set())
    found = [given for given in inputs if _folded(given) in longest]
    return found[0] if len(longest) == 1 and found else ""


def _words(name: str) -> set[str]:
    """Return the words of a name and what up to three neighbours make together, in small letters."""
    single = re.findall(r"[a-z0-9]+", name.lower())
    spans = [(start, start + count) for count in range(1, LONGEST + 1) for start in range(len(single) - count + 1)]
    return {"".join(single[start:stop]) for start, stop in spans}


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
