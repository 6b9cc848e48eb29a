"""Whatever happens to a worker: one clear sentence, nothing left behind, and the next run works."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from DeepImagingLib.errors import CancelledError, MemoryLimitError, WorkerError
from DeepImagingLib.hosts import WorkerHost, block, process
from Testing.hosts.conftest import go_on_until_stage, open_blocks, workers
from Testing.hosts.jobs import Echo, Forks, Hangs, Kills, Number, Pretends, Prints, Sized, Sneaks, Steps
from Testing.waiting import until

TOP = Path(__file__).parents[2]


def works(host: WorkerHost) -> bool:
    return host.submit(Echo("fine")).result() == "fine"


def test_the_worker_stays_for_the_next_job(worker):
    assert worker.submit(Number()).result() == worker.submit(Number()).result() == worker.pid != os.getpid()


def test_killed_in_the_middle_says_so_and_a_new_one_takes_over(worker):
    with pytest.raises(WorkerError, match=r"ended in the middle of the run .*signal 9.*memory ran out"):
        worker.submit(Kills()).result()
    assert works(worker)


@pytest.mark.parametrize("stage", ["Walking"])
def test_killed_from_outside(worker, stage):
    handle = worker.submit(Steps(1000))
    go_on_until_stage(handle, worker, stage)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="signal 9"):
        handle.result(timeout=5)
    assert works(worker)


def test_killed_while_idle_is_nobodys_concern(worker):
    assert works(worker)
    os.kill(worker.pid, signal.SIGKILL)
    assert works(worker)


def test_killed_while_images_are_handed_over(worker):
    assert works(worker)
    handle = worker.submit(Echo(np.zeros(64 << 20, np.uint8)))
    go_on_until_stage(handle, worker, "Sending the images")
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="signal 9"):
        handle.result(timeout=5)
    assert works(worker)


def test_killed_while_the_result_is_sent(worker):
    with pytest.raises(WorkerError, match="signal 9"):
        worker.submit(Sized(8, dies=True)).result(timeout=10)
    assert works(worker)


def test_killed_between_the_answer_and_its_arrays(worker, monkeypatch):
    def dies_first(connection, size):
        os.kill(worker.pid, signal.SIGKILL)
        raise EOFError

    assert works(worker)
    with monkeypatch.context() as patch:
        patch.setattr(block.Block, "receive", dies_first)
        with pytest.raises(WorkerError, match="signal 9"):
            worker.submit(Sized(1)).result(timeout=5)
    assert works(worker)


def test_rubbish_on_its_output_does_no_harm(worker):
    assert worker.submit(Prints()).result() == "heard"


def test_an_answer_that_would_run_code_here_is_refused(worker, tmp_path):
    with pytest.raises(WorkerError, match="no result"):
        worker.submit(Sneaks(tmp_path / "made")).result()
    assert not (tmp_path / "made").exists()
    assert works(worker)


@pytest.mark.parametrize("keeps_lock", [False, True])
def test_one_that_hangs_is_ended_two_seconds_after_cancel(worker, keeps_lock):
    handle = worker.submit(Hangs(keeps_lock))
    go_on_until_stage(handle, worker, "Hanging")
    started = time.perf_counter()
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result(timeout=10)
    assert 1.5 < time.perf_counter() - started < 4
    assert works(worker)


@pytest.mark.parametrize("what", ["process", "pointers"])
def test_an_answer_that_would_do_something_here_is_refused(worker, what):
    assert works(worker)
    before = len(workers())
    with pytest.raises(WorkerError, match="no result"):
        worker.submit(Pretends(what)).result()
    assert len(workers()) < before
    assert works(worker)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("dies", [True, False])
def test_what_a_job_started_ends_with_it(worker, tmp_path, dies):
    handle = worker.submit(Forks(tmp_path / "child", dies))
    assert until(lambda: worker.poll() or (tmp_path / "child").exists(), 10)
    if not dies:
        go_on_until_stage(handle, worker, "Hanging")
        handle.cancel()
    with pytest.raises(CancelledError if not dies else WorkerError):
        handle.result(timeout=10)
    assert until(lambda: not _runs(int((tmp_path / "child").read_text())), 5)
    assert works(worker)


def test_closed_while_it_starts_is_cancelled(worker):
    worker.close()
    handle = worker.submit(Echo(1))
    worker.poll(0)
    worker.close()
    with pytest.raises(CancelledError):
        handle.result(timeout=1)
    assert works(worker)


def test_a_worker_started_by_a_thread_outlives_it(worker):
    worker.close()
    numbers: list[int] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: numbers.append(worker.submit(Number()).result()))
        thread.start()
        thread.join()
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    "variables", [{"PYTHONSAFEPATH": "1"}, {"PYTHONPATH": "/nowhere"}, {"TMPDIR": "/" + "é" * 100}]
)
def test_odd_environments_do_no_harm(worker, monkeypatch, variables):
    worker.close()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert works(worker)


def test_no_temporary_folder_says_so(worker, monkeypatch):
    worker.close()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/nowhere")
        with pytest.raises(WorkerError, match="temporary folder"):
            worker.submit(Echo(1)).result()
    assert works(worker)


def test_one_that_was_asked_to_end_is_not_said_to_lack_memory(worker):
    handle = worker.submit(Steps(1000))
    go_on_until_stage(handle, worker, "Walking")
    os.kill(worker.pid, signal.SIGTERM)
    with pytest.raises(WorkerError, match=r"signal 15\); it was asked to end"):
        handle.result(timeout=5)


def test_cancel_while_it_starts(worker):
    worker.close()
    handle = worker.submit(Echo(1))
    worker.poll(0)
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result(timeout=5)
    assert works(worker)


def test_no_interpreter_says_so(worker, monkeypatch):
    worker.close()
    with monkeypatch.context() as patch:
        patch.setattr(process, "interpreter", lambda: "/nowhere/python")
        with pytest.raises(WorkerError, match="can't be started"):
            worker.submit(Echo(1)).result()
    assert works(worker)


def test_an_interpreter_that_fails_says_so(worker, monkeypatch):
    worker.close()
    with monkeypatch.context() as patch:
        patch.setattr(process, "SERVE", "DeepImagingLib.nowhere")
        with pytest.raises(WorkerError, match="exit code 1"):
            worker.submit(Echo(1)).result()
    assert works(worker)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system can't reserve memory")
class TestShortOfMemory:
    """`posix_fallocate` is what tells that memory is short: as in a container whose shared memory has 64 MB."""

    def short(self, times):
        left = iter([True] * times)
        true = os.posix_fallocate

        def fallocate(descriptor, start, size):
            if next(left, False):
                raise OSError(errno.ENOSPC, "No space left on device")
            true(descriptor, start, size)

        return fallocate

    def test_a_temporary_file_takes_its_place(self, worker, monkeypatch):
        monkeypatch.setattr(os, "posix_fallocate", self.short(1))
        array = np.arange(1000)
        assert np.array_equal(worker.submit(Echo(array)).result(), array)

    def test_where_that_is_full_too_one_sentence_says_so(self, worker, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", self.short(2))
            with pytest.raises(MemoryLimitError, match=r"can't be had.*No space left on device"):
                worker.submit(Echo(np.zeros(1000))).result()
        assert works(worker)

    def test_nothing_of_it_stays_open_where_it_cannot_be_mapped(self, worker, monkeypatch):
        def fails(*_):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        with monkeypatch.context() as patch:
            patch.setattr(block.mmap, "mmap", fails)
            with pytest.raises(MemoryLimitError, match="Cannot allocate memory"):
                worker.submit(Echo(np.zeros(1000))).result()
        assert not open_blocks()
        assert works(worker)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has anonymous files")
    def test_the_size_of_dev_shm_does_not_matter(self, worker):
        handle = worker.submit(Echo(np.ones(80 << 20, np.uint8)))
        go_on_until_stage(handle, worker, "Sending the images")
        assert open_blocks()  # memory of the kernel's own, which lies in no folder that may be small
        assert handle.result().sum() == 80 << 20
        del handle  # with the result, whose array lies in shared memory
        assert not open_blocks()


def test_two_applications_at_once(worker):
    other = WorkerHost(threads=1)
    try:
        first, second = worker.submit(Number()), other.submit(Number())
        assert first.result() != second.result()
        worker.close()
        assert works(other)
    finally:
        other.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
@pytest.mark.parametrize("job", ["Steps(100000)", "Hangs()", "Hangs(True)", "None"])
def test_no_worker_outlives_an_application_that_is_killed(job):
    if "True" in job and sys.platform != "linux":
        pytest.skip("only Linux ends a process whose code keeps Python's lock")
    script = f"""
import os, sys
sys.path.insert(0, {str(TOP)!r})
from DeepImagingLib.hosts import WorkerHost
from Testing.hosts.jobs import Echo, Hangs, Steps
host = WorkerHost(threads=1)
host.submit(Echo(1)).result()
print(host.pid, flush=True)
handle = host.submit({job} or Echo(2))
while True:
    host.wait()
"""
    application = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    number = int(application.stdout.readline())
    assert [p.pid for p in workers(application.pid)] == [number]
    time.sleep(0.3)
    application.kill()
    application.communicate()
    assert until(lambda: not _runs(number), 5)


def _runs(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_worker_leaves_a_core_to_the_gui_and_goes_first_when_memory_runs_out(worker):
    assert works(worker)
    running = psutil.Process(worker.pid)
    if sys.platform == "linux":
        assert running.nice() > psutil.Process().nice()
        assert int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text()) > 0
    assert process.spare_threads() == max(len(psutil.Process().cpu_affinity() or [0]) - 1, 1)
