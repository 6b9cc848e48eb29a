"""What every answer of a bundle tells beside what was found: how it was computed."""

from __future__ import annotations

from dataclasses import dataclass

from DeepImagingLib.inference.ladder import AS_PLANNED


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an answer was computed.

    Attributes:
        device: Where, in the end.
        precision: "full", or the name of the arithmetic.
        memory_step: What gave when memory ran out.
        plan: How it was meant to be computed, in a sentence.
        notes: What is to be told.
    """

    device: str = "cpu"
    precision: str = "full"
    memory_step: str = AS_PLANNED
    plan: str = ""
    notes: tuple[str, ...] = ()
