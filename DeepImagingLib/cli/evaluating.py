"""What evaluations of detectors and classifiers share: seeds, reading ahead, and how numbers are shown."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeVar, cast

from DeepImagingLib.errors import InputError

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield each item while another thread draws or reads the next one, which takes about as long as a run."""
    from concurrent.futures import ThreadPoolExecutor

    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield cast(T, item)


def shown(value: float | None) -> str:
    """Return a figure in words."""
    return "not known" if value is None else f"{value:.3f}"


def seeds(words: str) -> range:
    """Return the seeds FIRST ≤ seed < LAST that words such as "5:9" name; InputError where they name none."""
    first, _, last = words.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise InputError(f"{words!r} names no seeds; write FIRST:LAST, such as 1000000:1000100.")
    return range(int(first), int(last))
