"""Makes the surfaces of a segmentation from a timer, one segment at a time, so that the window stays alive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import qt
from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import DeepImagingError

SETTLE_MS = 150  # a slider that is dragged starts one making, not fifty


class SurfaceMaker:
    """One making at a time; a new one takes the place of the one before.

    Args:
        onProgress: Called with the fraction, 0…1, after each segment.
        onEnd: Called once with "" when the node has its surfaces, or with a sentence where that failed.
    """

    def __init__(self, onProgress: Callable[[float], None], onEnd: Callable[[str], None]) -> None:
        self._onProgress = onProgress
        self._onEnd = onEnd
        self._steps: Iterator[float] | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._step)

    @property
    def running(self) -> bool:
        """Tell whether surfaces are being made."""
        return self._steps is not None

    def start(self, node: Any, smoothing: float) -> None:
        """Begin, soon; the node gets its surfaces when all are made."""
        self._steps = scene.surfaces(node, smoothing)
        self._timer.start(SETTLE_MS)

    def stop(self) -> None:
        """Drop what was made so far; the node stays as it was."""
        self._steps = None
        self._timer.stop()

    def _step(self) -> None:
        try:
            fraction = next(self._steps)
        except StopIteration:
            self._end("")
        except DeepImagingError as error:
            self._end(str(error))
        except Exception:  # whatever it is: the check box must not stay "making" for ever
            logging.getLogger(__name__).exception("Surfaces could not be made.")
            self._end(_("The surfaces could not be made; the application's log tells why."))
        else:
            self._onProgress(fraction)
            self._timer.start(0)

    def _end(self, trouble: str) -> None:
        self._steps = None
        self._onEnd(trouble)
