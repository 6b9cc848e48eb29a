"""A run on volumes of the scene: from the click to the nodes, or to one sentence about why there are none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from slicer.i18n import tr as _

from DeepImagingLib import scene
from DeepImagingLib.errors import CancelledError, DeepImagingError, InputError
from DeepImagingLib.hosts import Handle, Host, State
from DeepImagingLib.hosts.host import in_one_sentence
from DeepImagingLib.inference.progress import Progress

log = logging.getLogger(__name__)


class SceneRun:
    """What one gets for a run: how far it is, what became of it, and the way to stop it.

    The volumes are read when its turn comes. Nodes are made at the end, in one go, or not at all.

    Args:
        name: What lists show.
        volumes: Input names to volume nodes; the first is the reference of the result.
        makeJob: Gives the job, called when its turn comes.
        show: Makes the node of what the job returned; the reference is its second argument.
        owner: Name of the module.

    Attributes:
        state: Where it stands.
        error: Why it failed or ended; None where it didn't.
        node: What was made.
        handle: Of the host; None once it has ended.
    """

    def __init__(
        self,
        name: str,
        volumes: Mapping[str, Any],
        makeJob: Callable[[], Any],
        show: Callable[[Any, Any], Any],
        owner: str = "",
    ) -> None:
        self.name = name
        self.owner = owner
        self.volumes = dict(volumes)
        self.state = State.QUEUED
        self.error: DeepImagingError | None = None
        self.node: Any = None
        self.handle: Handle | None = None
        self._makeJob = makeJob
        self._show = show
        self._states: dict[str, scene.VolumeState] = {}
        self._cancelled: DeepImagingError | None = None
        self._tell: Callable[[], None] = lambda: None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def progress(self) -> Progress | None:
        """The newest; None before the first, and after the end."""
        return self.handle.progress if self.handle is not None else None

    def submit(self, host: Host, tell: Callable[[], None]) -> None:
        """Line up at a host; `tell` is called whenever something changed."""
        self._host, self._tell = host, tell
        self.handle = host.submit(self._begin, name=self.name, listener=self._hear)

    def cancel(self, reason: DeepImagingError | None = None) -> None:
        """Stop it; what comes later is ignored, and the scene stays as it is."""
        if not self.done and self._cancelled is None:
            self._cancelled = reason or CancelledError(_("The run was cancelled; the scene is as it was."))
            self.handle.cancel()

    def result(self) -> Any:
        """Wait until it has ended and return the node; raises the DeepImagingError that ended it."""
        while not self.done:
            self.checkVolumes()
            self._host.wait()
        if self.error is not None:
            raise self.error
        return self.node

    def checkVolumes(self) -> None:
        """Stop a run whose volumes are no longer there: nothing could be done with its answer."""
        if not self.done and any(volume.GetScene() is None for volume in self.volumes.values()):
            self.cancel(InputError(_("The input volume was removed from the scene, so the run was stopped.")))

    def _begin(self) -> Any:
        if any(volume.GetScene() is None for volume in self.volumes.values()):
            raise InputError(_("The input volume was removed from the scene before its turn came."))
        self._states = {name: scene.state_of(volume) for name, volume in self.volumes.items()}
        return self._makeJob()

    def _hear(self, handle: Handle) -> None:
        """Take what the host tells; must not raise."""
        try:
            if handle.done:
                self._end(handle)
            else:
                self.state = handle.state
        except DeepImagingError as error:
            self._fail(error)
        except Exception as error:
            log.exception("the result could not be shown")
            self._fail(in_one_sentence(error))
        if self.done:  # it stays in lists, and must not keep voxels there
            self.volumes, self._states, self.handle = {}, {}, None
            self._makeJob = self._show = _nothing
        self._tell()

    def _end(self, handle: Handle) -> None:
        if self._cancelled is not None:  # what came in spite of that is late
            raise self._cancelled
        for name, state in self._states.items():  # first: what half an image gave, be it an error, says nothing
            if problem := scene.changed_since(state, self.volumes[name]):
                raise InputError(problem)
        self.node = self._show(handle.result(), next(iter(self.volumes.values())))
        self.state = State.DONE

    def _fail(self, error: DeepImagingError) -> None:
        error.__traceback__ = error.__context__ = error.__cause__ = None  # their frames hold voxels
        self.error = error
        self.state = State.CANCELLED if isinstance(error, CancelledError) else State.FAILED


def _nothing(*_arguments: object) -> None:
    raise RuntimeError("this run has ended")
