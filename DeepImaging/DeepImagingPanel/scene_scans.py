"""Scans of the scene on their way to files to train on, one after the other, beside a window that never freezes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.hosts import Handle
from DeepImagingLib.hosts.training import WriteScan
from DeepImagingPanel.runner import Runner


class SceneScans:
    """Writes volumes and what was drawn on them: segmentations here, in a moment each, voxels in the worker.

    Args:
        pairs: Volume and segmentation nodes.
        folder: For the files and the list of them.
        runner: Whose worker writes.
        told: Called with the handle of the present one whenever something changed.

    Attributes:
        done: Whether it has ended, well or not.
        problem: Why it failed, "" where it didn't or was cancelled.
    """

    def __init__(
        self, pairs: Sequence[tuple[Any, Any]], folder: Path, runner: Runner, told: Callable[[Handle], None]
    ) -> None:
        self.done, self.problem = False, ""
        self._pairs, self._folder, self._runner, self._told = list(pairs), folder, runner, told
        self._stamps: list[Any] = []
        self._number = 0
        self.handle = self._next()

    @property
    def text(self) -> str:
        """How far it is, in words."""
        return _("Writing scan {number} of {count} …").format(number=max(1, self._number), count=len(self._pairs))

    @property
    def fraction(self) -> float:
        """How far it is, as a share."""
        return max(0, self._number - 1) / len(self._pairs)

    @property
    def changed(self) -> bool:
        """Whether the scene holds something else than was written."""
        return [scene.stamp(*pair) for pair in self._pairs] != self._stamps

    def _next(self) -> Handle:
        return self._runner.do(self._begin, self._onWritten)

    def _begin(self) -> WriteScan:
        """Write the outline and return the job that writes the scan."""
        self._number += 1
        volume, segmentation = self._pairs[self._number - 1]
        if volume.GetScene() is None or segmentation.GetScene() is None:
            raise InputError(_("It was removed from the scene; check again."))
        image, label = scene.case_files(self._folder, self._number)
        voxels = scene.voxels(volume)
        scene.export_segmentation(segmentation, label)
        self._stamps.append(scene.stamp(volume, segmentation))  # now: Slicer puts segments together when it writes them
        return WriteScan(voxels, image)

    def _onWritten(self, handle: Handle) -> None:
        if handle.done and handle.error is None and self._number < len(self._pairs):
            self.handle = self._next()
        elif handle.done:
            self._end(handle)
        self._told(self.handle)

    def _end(self, handle: Handle) -> None:
        self.done = True
        try:
            handle.result()
            scene.write_list([volume for volume, _segmentation in self._pairs], self._folder)
        except CancelledError:
            self.problem = ""
        except DeepImagingError as error:
            volume, _segmentation = self._pairs[self._number - 1]
            self.problem = f"{volume.GetName()}: {error}"
