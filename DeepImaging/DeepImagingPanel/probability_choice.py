"""Of which labels a run is to give probability volumes: none, one, or all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib.tasks.segmentation import ALL


class ProbabilityChoice:
    """Keeps a combo box in step with the chosen model's labels.

    Args:
        selector: The combo box.
        chosen: Told what the user chose: "", `ALL` or a label's name.
    """

    def __init__(self, selector: Any, chosen: Callable[[str], None]) -> None:
        self._selector = selector
        self._values: list[str] = []
        selector.connect("activated(int)", lambda index: chosen(self._values[index]))

    def show(self, labels: Sequence[str], value: str) -> None:
        """Offer these labels and show what is chosen; nothing where the model has no such label."""
        values = ["", ALL, *labels]
        if values != self._values:
            self._values = values
            self._selector.clear()
            for text in (_("None"), _("All labels"), *labels):
                self._selector.addItem(text)
        self._selector.currentIndex = values.index(value) if value in values else -1
