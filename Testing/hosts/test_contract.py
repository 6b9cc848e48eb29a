"""What both hosts promise."""

from __future__ import annotations

import numpy as np
import pytest

from DeepImagingLib.errors import CancelledError, InputError, MemoryLimitError, WorkerError
from DeepImagingLib.hosts import State
from DeepImagingLib.hosts.parcel import Parcel
from DeepImagingLib.results import Segmentation
from Testing.hosts.jobs import Echo, Fails, Leaves, Steps


def test_a_job_gives_back_its_value(host):
    handle = host.submit(Echo({"number": 7, "text": "é"}))
    assert handle.state is State.QUEUED
    assert handle.result() == {"number": 7, "text": "é"}
    assert handle.state is State.DONE and handle.done


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 3, 2, 1), (2, 0, 3, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64])
def test_arrays_come_back_as_they_went_also_in_memory(host, order, kind):
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(kind).transpose(order)
    given = host.submit(Echo(array)).result()
    assert np.array_equal(given, array) and given.dtype == array.dtype and given.strides == array.strides
    given[...] = 1  # and are one's own
    assert given.min() == 1


def test_arrays_of_all_sorts_travel(host):
    arrays = [
        np.zeros((0, 3)),
        np.array(3.5),
        np.arange(10)[::-1],
        np.arange(30.0).reshape(5, 6)[::2, 1::2],
        np.ones(7),
    ]
    assert host.submit(Echo(arrays[0])).result().shape == (0, 3)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, host.submit(Echo(arrays)).result(), strict=True))


def test_probability_volumes_come_with_their_labels_and_beside_the_pickle(host):
    values = np.random.default_rng(0).random((40, 50, 60), np.float32)
    volumes = {"liver": np.asfortranarray(values), "Ödem": 1 - values}
    result = Segmentation(np.zeros((1, 40, 50, 60), np.uint8), np.eye(4), (), probability=volumes)
    given = host.submit(Echo(result)).result()
    assert list(given.probability) == ["liver", "Ödem"]
    for name, volume in given.probability.items():
        assert volume.dtype == np.float32 and volume.strides == volumes[name].strides
        assert np.array_equal(volume, volumes[name])
    parcel = Parcel(result)
    assert len(parcel.text) < 2000 and sum(parcel.sizes) > 2 * values.nbytes


def test_progress_is_told_in_order(host):
    seen = []
    host.submit(Steps(5, 0.06), listener=lambda h: h.progress and seen.append(h.progress)).result()
    walked = [p.fraction for p in seen if p.stage == "Walking"]
    assert walked and walked == sorted(walked)


@pytest.mark.parametrize("error", [InputError("The input is 7; give 8."), MemoryLimitError("Too much; take less.")])
def test_an_error_of_ours_comes_as_it_was_raised(host, error):
    handle = host.submit(Fails(error))
    with pytest.raises(type(error), match=str(error)):
        handle.result()
    assert handle.state is State.FAILED


def test_any_other_error_becomes_one_sentence(host):
    with pytest.raises(WorkerError, match=r"\(ValueError: first line second line\)"):
        host.submit(Fails(ValueError("first line\nsecond line"))).result()
    with pytest.raises(MemoryLimitError, match="needs more memory"):
        host.submit(Fails(MemoryError())).result()


def test_code_that_leaves_does_not_take_the_host_along(host):
    with pytest.raises(WorkerError, match="SystemExit"):
        host.submit(Leaves()).result()
    assert host.submit(Echo(1)).result() == 1


def test_what_cannot_be_run_says_so_and_the_next_runs(host):
    def deleted():
        raise InputError("The volume was deleted; choose another.")

    with pytest.raises(InputError, match="was deleted"):
        host.submit(deleted).result()
    assert host.submit(lambda: Echo(2)).result() == 2


def test_a_waiting_job_is_made_when_its_turn_comes(host):
    made = []
    first = host.submit(lambda: made.append("first") or Echo(1))
    second = host.submit(lambda: made.append("second") or Echo(2))
    assert not made
    assert first.result() == 1
    assert second.result() == 2 and made == ["first", "second"]


class TestCancel:
    def test_of_a_running_job_from_its_listener(self, host):
        states = []

        def stop(handle):
            states.append(handle.state)
            if handle.progress and handle.progress.stage == "Walking":
                handle.cancel()

        handle = host.submit(Steps(200), listener=stop)
        with pytest.raises(CancelledError):
            handle.result()
        assert handle.state is State.CANCELLED and State.CANCELLING in states
        assert host.submit(Echo(3)).result() == 3

    def test_by_a_wish_that_is_asked_for(self, host):
        asked = iter([False] * 3 + [True] * 1000)
        with pytest.raises(CancelledError):
            host.submit(Steps(500), cancel=lambda: next(asked)).result()

    def test_of_a_waiting_job_at_once(self, host):
        first, second = host.submit(Steps(2)), host.submit(Steps(2))
        second.cancel()
        assert second.state is State.CANCELLED and host.handles == (first,)
        assert first.result() == 2

    def test_of_one_that_has_ended_changes_nothing(self, host):
        handle = host.submit(Echo(4))
        handle.result()
        handle.cancel()
        assert handle.state is State.DONE and handle.result() == 4

    def test_of_all(self, host):
        handles = [host.submit(Steps(100)) for _ in range(3)]
        host.cancel_all()
        assert host.handles == () and all(h.state is State.CANCELLED for h in handles)


class TestQueue:
    def test_runs_in_order(self, host):
        ended = []
        handles = [host.submit(Echo(n), listener=lambda h: h.done and ended.append(h.name), name=str(n)) for n in "abc"]
        handles[-1].result()
        assert ended == ["a", "b", "c"]

    def test_can_be_reordered(self, host):
        ended = []
        handles = [host.submit(Echo(n), listener=lambda h: h.done and ended.append(h.name), name=n) for n in "abc"]
        host.move(handles[2], 0)
        assert [h.name for h in host.handles] == ["c", "a", "b"]
        handles[1].result()
        assert ended == ["c", "a", "b"]

    def test_goes_on_after_a_failure(self, host):
        bad, good = host.submit(Fails(InputError("no"))), host.submit(Echo(1))
        assert good.result() == 1 and bad.state is State.FAILED


def test_waiting_has_an_end(host):
    handle = host.submit(Steps(3, 0.05))
    if type(host).__name__ == "WorkerHost":  # in this process there is nobody who could stop waiting
        with pytest.raises(TimeoutError, match="goes on"):
            handle.result(timeout=0.01)
    assert handle.result() == 3


def test_a_closed_host_can_be_used_again(host):
    waiting = host.submit(Steps(5))
    host.close()
    assert waiting.state is State.CANCELLED
    assert host.submit(Echo(5)).result() == 5


def test_what_a_listener_raises_is_no_fault_of_the_run(host, caplog):
    def fails(handle):
        raise ValueError("a panel's")

    assert host.submit(Steps(2), listener=fails).result() == 2
    assert "a listener failed" in caplog.text


def test_what_cannot_be_sent_says_so(worker):
    with pytest.raises(WorkerError, match=r"can't be sent|pickle"):
        worker.submit(Echo(np.array([object()]))).result()
    with pytest.raises(WorkerError, match="pickle"):
        worker.submit(Echo(lambda: 1)).result()
    assert worker.submit(Echo(np.float32(2.5))).result() == 2.5


def test_ctrl_c_in_a_script_ends_the_job_and_not_the_host(in_process):
    handle = in_process.submit(Fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        handle.result()
    assert handle.state is State.CANCELLED
    assert in_process.submit(Echo(1)).result() == 1


def test_a_listener_that_waits_for_its_own_host_is_told_so(host):
    raised = []

    def wait(handle):
        if handle.state is State.RUNNING and not raised:
            try:
                host.wait()
            except RuntimeError as error:
                raised.append(str(error))

    host.submit(Steps(2), listener=wait).result()
    assert raised == ["a listener can't wait for its own host"]
