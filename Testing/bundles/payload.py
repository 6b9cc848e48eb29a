"""What a hostile file holds: code that leaves a trace when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "w"))
