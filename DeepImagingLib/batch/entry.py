"""What became of one study of a batch, and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from DeepImagingLib.batch.studies import Study


@dataclass(frozen=True)
class Entry:
    """What became of a study.

    Attributes:
        study: Which.
        seconds: How long it took.
        report: As `files.report` gives it; None where it failed.
        error: Why it failed, "" where it didn't.
        earlier: True where it ended in an earlier call.
    """

    study: Study
    seconds: float
    report: Mapping[str, Any] | None = field(default=None, repr=False)
    error: str = ""
    earlier: bool = False

    @property
    def segments(self) -> Sequence[Mapping[str, Any]]:
        """The segments of its report; none of a detector's."""
        return self.report.get("segments", ()) if self.report is not None else ()

    @property
    def findings(self) -> Sequence[Mapping[str, Any]] | None:
        """The findings of its report, the highest score first; None where it isn't a detector's."""
        return self.report.get("findings") if self.report is not None else None

    @property
    def notes(self) -> Sequence[str]:
        """What its provenance notes: a scan that is no CT, sides that the header denies."""
        return self.report["provenance"]["notes"] if self.report is not None else ()

    def as_plain(self) -> dict[str, Any]:
        """Return what the table tells, as plain values."""
        return {
            "study": self.study.name,
            "input": "; ".join(map(str, self.study.inputs.values())),
            "milliliters": {segment["id"]: segment["milliliters"] for segment in self.segments},
            **({} if self.findings is None else {"findings": len(self.findings), "highest score": self._highest}),
            "seconds": round(self.seconds, 2),
            "error": self.error,
            "notes": list(self.notes),
        }

    @property
    def _highest(self) -> float | None:
        scores = [box["score"] for name in ("findings", "below_threshold") for box in (self.report or {}).get(name, ())]
        return max(scores, default=None)


def table(entries: Sequence[Entry]) -> str:
    """Return the entries as CSV: a row for each study, a column in mL for each segment, or two of findings."""
    names = {segment["id"]: f"{segment['name']} (mL)" for entry in entries for segment in entry.segments}
    counts = ["findings", "highest score"] if any(entry.findings is not None for entry in entries) else []
    with io.StringIO(newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["study", "input", *names.values(), *counts, "seconds", "error", "notes"])
        for row in (entry.as_plain() for entry in entries):
            volumes = [row["milliliters"].get(key, "") for key in names] + [row.get(key, "") for key in counts]
            writer.writerow(
                [row["study"], row["input"], *volumes, row["seconds"], row["error"], " ".join(row["notes"])]
            )
        return text.getvalue()
