"""Figures as JSON and tables hold them."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> float | None:
    """Return a number as JSON may hold it; what isn't known is null."""
    return None if np.isnan(value) else round(float(value), 4)


def plains(values: Any) -> list[float | None]:
    """Return numbers as JSON may hold them."""
    return [plain(value) for value in values]
