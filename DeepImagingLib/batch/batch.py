"""Runs the studies of a batch on warm workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from DeepImagingLib.batch.entry import Entry
from DeepImagingLib.batch.results import Identity, Results
from DeepImagingLib.batch.studies import Study
from DeepImagingLib.bundles import Bundle
from DeepImagingLib.errors import (
    BundleError,
    CancelledError,
    DeepImagingError,
    InputError,
    MemoryLimitError,
    OutputError,
    WorkerError,
)
from DeepImagingLib.files import failed_writing
from DeepImagingLib.hosts import Handle, WorkerHost
from DeepImagingLib.hosts.process import cores
from DeepImagingLib.inference.progress import Progress
from DeepImagingLib.options import Options
from DeepImagingLib.study import ENDINGS, REPORT, StudyJob, check_outputs, checked_output

FORMATS = tuple(ending for ending in ENDINGS if ending != REPORT)
MOMENT = 0.02
MODEL_STAGES = ("Reading the model", "Loading the model")
"""Stages of a run in which nothing depends on the study."""


def _ignore(_: object) -> None: ...


@dataclass(frozen=True)
class Batch:
    """Studies to be run by one bundle into one folder.

    For each study, its files and a report `NAME.json` appear together; `summary.csv` lists all that have ended. Called
    again, only those are run that aren't there yet; those that failed are left unless `retry_failed`.

    Args:
        bundle: What to run.
        studies: On what; names are unique.
        output: The folder of the results.
        options: How to run.
        formats: What to write for each study, of `FORMATS`; by default masks, or a table of boxes.
        workers: How many processes share the cores, one study each.
        timeout: Seconds after which a study is given up.
        replace: Edited results, those of another model, of other options or images, and other files may be replaced.
        retry_failed: Run those again that failed in an earlier call.

    Raises:
        InputError: A value can't be used.

    Example:
        >>> bundle = load_bundle("torso_ct_segmentation")  # doctest: +SKIP
        >>> entries = Batch(bundle, find_studies("scans", bundle), Path("results")).run()  # doctest: +SKIP
    """

    bundle: Bundle
    studies: Sequence[Study]
    output: Path
    options: Options = field(default_factory=Options)
    formats: Sequence[str] = ()
    workers: int = 1
    timeout: float | None = None
    replace: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        """Check every value once."""
        object.__setattr__(self, "output", self.output.expanduser().absolute())
        object.__setattr__(self, "formats", tuple(self.formats) or default_formats(self.bundle))
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            raise InputError(f"The format {''.join(unknown[:1])!r} is unknown; use one of {', '.join(FORMATS)}.")
        if self.workers < 1:
            raise InputError(f"The number of workers is {self.workers}; give 1 or more.")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"The time limit is {self.timeout:g} s; give a number above 0.")
        check_outputs([Path(f"study{ending}") for ending in self.formats], self.bundle)
        for study in self.studies:
            for ending in self.formats:
                checked_output(self.output / (study.name + ending), list(study.inputs.values()))

    def run(
        self,
        progress: Callable[[Progress], None] = _ignore,
        ended: Callable[[Entry], None] = _ignore,
        cancel: Callable[[], bool] = lambda: False,
    ) -> list[Entry]:
        """Run what isn't done yet.

        Args:
            progress: Told how far the batch is, and how many seconds are left.
            ended: Told of each study that ends.
            cancel: Asked again and again; True stops the batch.

        Returns:
            What became of every study, in their order; one that failed says why.

        Raises:
            InputError: The folder can't be used.
            CancelledError: `cancel` answered True; what was done until then is kept.
            OutputError: The results can't be written; what couldn't be is run by the next call.
            BundleError, WorkerError: The model can't be loaded, or no worker be started.
        """
        try:
            with Results(self.output, replace=self.replace) as results:
                return _Walk(self, results, progress, ended, cancel).walk()
        except OSError as error:
            raise failed_writing(error) from error

    def identity(self, study: Study) -> Identity:
        """Return what makes a result of this study the same as another."""
        plain = self.options.as_plain()
        # Device and memory are the machine's and not the study's. What was left as it is counts as not given, so that
        # results stay what they are when further options come.
        more = {name: plain[name] for name in ("probabilities", "tta", "heatmaps") if plain[name]}
        if self.options.heatmaps:
            more |= {"method": plain["method"], "layer": plain["layer"]}
        return {
            "model": self.bundle.sha256,
            "options": {"precision": plain["precision"], "roi": plain["roi"], **more},
            "image": study.fingerprint(),
        }


def default_formats(bundle: Bundle) -> tuple[str, ...]:
    """Return what is written of a study unless something else is asked for."""
    return (".csv",) if bundle.detector or bundle.classifies else (".seg.nrrd",)


class _Slot:
    """A worker, and the study it is at."""

    def __init__(self, threads: int) -> None:
        self.host = WorkerHost(threads)
        self.study: Study | None = None
        self.failed_starts = 0
        """How often in a row its process didn't live to begin a study."""

    def begin(self, batch: Batch, study: Study, stage: Path, listener: Callable[[Handle], None]) -> None:
        """Give it a study."""
        outputs = tuple(stage / (study.name + ending) for ending in batch.formats)
        trust = batch.bundle.sha256 if batch.bundle.trusted else None
        job = StudyJob(batch.bundle.path, study.inputs, outputs, batch.options, series=study.series, trust=trust)
        self.study, self.stage, self.started = study, stage, time.perf_counter()
        self.handle = self.host.submit(job, listener=listener)

    @property
    def seconds(self) -> float:
        """How long it has been at its study."""
        return time.perf_counter() - self.started

    @property
    def process_died(self) -> bool:
        """Whether the study ended because the process did."""
        return isinstance(self.handle.error, WorkerError) and self.host.pid is None

    @property
    def concerns_all(self) -> bool:
        """Whether it failed for a reason that every other study would fail for: the model doesn't load."""
        return isinstance(self.handle.error, BundleError | InputError) and self._stage in MODEL_STAGES

    def began(self) -> bool:
        """Return whether its study was begun; raises WorkerError where the process failed to start twice in a row."""
        failed = self.process_died and self._stage == "Starting"
        self.failed_starts = self.failed_starts + 1 if failed else 0
        if self.failed_starts > 1:
            self.handle.result()
        return not failed

    @property
    def _stage(self) -> str:
        return self.handle.progress.stage if self.handle.progress else ""


class _Walk:
    """One call of a batch."""

    def __init__(
        self,
        batch: Batch,
        results: Results,
        progress: Callable[[Progress], None],
        ended: Callable[[Entry], None],
        cancel: Callable[[], bool],
    ) -> None:
        self._batch, self._results = batch, results
        self._progress, self._ended, self._cancel = progress, ended, cancel
        self._identities = {study.name: batch.identity(study) for study in batch.studies}
        self._entries: dict[str, Entry] = {}
        self._began = time.perf_counter()
        self._before = 0

    def walk(self) -> list[Entry]:
        waiting = list(self._waiting())
        self._before = len(self._entries)
        names = {study.name: self._identities[study.name] for study in waiting}
        self._results.check_free(names, self._batch.formats)
        self._results.write_summary(self._in_order())
        workers = min(self._batch.workers, max(len(waiting), 1))
        slots = [_Slot(max(cores() // workers, 1)) for _ in range(workers)]
        try:
            died = self._go(slots, waiting)
            for slot in slots[1:]:
                slot.host.close()  # what is tried again has the memory to itself
            self._go(slots[:1], died, again=True)
        finally:
            for slot in slots:
                slot.host.close()
        self._results.write_summary(self._in_order())
        return self._in_order()

    def _waiting(self) -> Iterable[Study]:
        """Yield what has to be run; the rest is noted as it ended earlier."""
        for study in self._batch.studies:
            known = self._results.known(study, self._identities[study.name], self._batch.formats)
            if known is None or (known.error and self._batch.retry_failed):
                yield study
            else:
                self._entries[study.name] = known

    def _go(self, slots: Sequence[_Slot], studies: Sequence[Study], *, again: bool = False) -> list[Study]:
        """Run studies, as many at a time as there are workers; returns those that deserve another try."""
        waiting, died = deque(studies), list[Study]()
        while waiting or any(slot.study for slot in slots):
            self._stop_if_asked()
            more = [self._step(slot, waiting, None if again else died) for slot in slots]
            if not any(more):
                time.sleep(MOMENT)
        return died

    def _step(self, slot: _Slot, waiting: deque[Study], died: list[Study] | None) -> bool:
        """Let one worker go on; returns whether there is more to do at once."""
        study, timeout = slot.study, self._batch.timeout
        if study is None:
            if waiting:
                self._begin(slot, waiting.popleft())
            return bool(waiting)
        more = slot.host.poll()
        if slot.handle.done:
            slot.study = None
            if slot.began():
                self._conclude(slot, study, died)
            else:
                waiting.appendleft(study)
            self._results.drop(slot.stage)
            return True
        if timeout is not None and slot.seconds > timeout:
            slot.handle.cancel()
        return more

    def _begin(self, slot: _Slot, study: Study) -> None:
        if study.problem:
            self._fail(study, 0.0, study.problem)
        else:
            slot.begin(self._batch, study, self._results.stage(), self._tell)

    def _conclude(self, slot: _Slot, study: Study, died: list[Study] | None) -> None:
        """Keep what came of a study or say why nothing did; where another try may help, put it into `died` instead."""
        if slot.concerns_all:
            slot.handle.result()  # raises
        crowded = isinstance(slot.handle.error, MemoryLimitError) and self._batch.workers > 1
        if died is not None and (slot.process_died or crowded):
            died.append(study)
            return
        try:
            report = slot.handle.result().report
            entry = Entry(study, slot.seconds, report)
            identity = {**self._identities[study.name], "model": report["provenance"]["sha256"]}
            self._results.keep(slot.stage, entry, identity, self._batch.formats)
        except CancelledError:
            self._fail(study, slot.seconds, f"It took longer than {self._batch.timeout:g} s and was ended.")
        except OutputError:  # a full disk is no fault of the study
            raise
        except DeepImagingError as error:
            self._fail(study, slot.seconds, " ".join(str(error).split()))
        else:
            self._note(entry)

    def _fail(self, study: Study, seconds: float, error: str) -> None:
        entry = Entry(study, seconds, error=error)
        self._results.note_failure(entry, self._identities[study.name])
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        self._entries[entry.study.name] = entry
        with suppress(PermissionError):  # a spreadsheet keeps it open; the next study writes it again
            self._results.write_summary(self._in_order())
        self._ended(entry)

    def _in_order(self) -> list[Entry]:
        return [self._entries[study.name] for study in self._batch.studies if study.name in self._entries]

    def _stop_if_asked(self) -> None:
        if self._cancel():
            raise CancelledError(
                f"The batch was stopped; {len(self._entries)} of {len(self._batch.studies)} studies have ended, the "
                "same call goes on with the rest."
            )

    def _tell(self, handle: Handle) -> None:
        ended, total = len(self._entries), len(self._batch.studies)
        fresh = ended - self._before
        left = (time.perf_counter() - self._began) / fresh * (total - ended) if fresh else None
        stage = handle.progress.stage if handle.progress else "Starting"
        self._progress(Progress(f"{ended} of {total} studies ({stage})", ended / total, left))
