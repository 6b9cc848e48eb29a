"""Names that fit into a file's."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence


def unique_ids(names: Sequence[str]) -> list[str]:
    """Return an ASCII id for each name, fit for file names, each once also where file names ignore case."""
    ids: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "segment"
        taken = {id_.lower() for id_ in ids}
        candidates = (slug if count == 1 else f"{slug}_{count}" for count in itertools.count(1))
        ids.append(next(candidate for candidate in candidates if candidate.lower() not in taken))
    return ids
