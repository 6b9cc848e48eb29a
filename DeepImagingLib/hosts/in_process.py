"""The host that does its jobs right here, where it is waited for: for scripts, and where there is no GUI to freeze."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from DeepImagingLib.hosts.host import Course, Host
from DeepImagingLib.hosts.job import Context
from DeepImagingLib.hosts.warm import WarmModels

if TYPE_CHECKING:
    from DeepImagingLib.hosts.handle import Handle
    from DeepImagingLib.hosts.job import Job

MOMENT = 0.01


class InProcessHost(Host):
    """Does a whole job in one step: `poll` returns when it has ended.

    Example:
        >>> host = InProcessHost()
        >>> outcome = host.submit(RunJob("torso_ct_segmentation", Path("ct.nii.gz"))).result()  # doctest: +SKIP
    """

    def __init__(self) -> None:
        super().__init__()
        self._models = WarmModels()

    def close(self) -> None:
        """Cancel what waits and let go of the models."""
        self.cancel_all()
        self._models.clear()

    def _way(self, job: Job, handle: Handle) -> Course:
        context = Context(self._models, handle.report, lambda: handle.cancel_asked)
        handle.finish(job.perform(context))
        yield True

    def _rest(self) -> None:
        time.sleep(MOMENT)
