"""How long a GUI stands still while a volume is segmented: by the worker, beside the same run in the GUI's process.

    python Testing/benchmarks/gui_gaps.py [--shape 512,512,300] [--skip-in-process]

A real Qt event loop (offscreen) ticks every 10 ms; the longest time between two ticks is what a user feels. The volume
is a node of a real MRML scene, and the result becomes a segmentation node in it. Needs PySide6 and slicer-core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6 import QtCore, QtWidgets

from DeepImagingLib import scene
from DeepImagingLib.files import as_image
from DeepImagingLib.hosts import Handle, Host, InProcessHost, RunJob, WorkerHost
from DeepImagingLib.hosts.parcel import Parcel

MODEL = "torso_ct_segmentation"
TICK_MS = 10
SEED = 1_000_000
BUSY = """
import os, numpy
os.nice(5)
while True:
    numpy.ones((300, 512, 512), numpy.float32).copy()
"""


@dataclass
class Ticker:
    """Notes when the event loop let it tick, by the stage that the run was in."""

    stage: str = "idle"
    last: float = field(default_factory=time.perf_counter)
    longest: dict[str, float] = field(default_factory=dict)

    def tick(self) -> None:
        now = time.perf_counter()
        self.longest[self.stage] = max(self.longest.get(self.stage, 0.0), now - self.last)
        self.last = now

    def enter(self, stage: str) -> None:
        """Begin a stage; the time since the last tick belongs to the one before."""
        if stage != self.stage:
            self.tick()
            self.stage = stage


class Loop:
    """A GUI that polls a host."""

    def __init__(self) -> None:
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        self.ticker = Ticker()
        self._tick = QtCore.QTimer()
        self._tick.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._tick.timeout.connect(self.ticker.tick)
        self._tick.start(TICK_MS)

    def until(self, done: Callable[[], bool], host: Host | None = None) -> None:
        """Let events happen until something holds."""
        poll = QtCore.QTimer()
        if host is not None:
            poll.timeout.connect(lambda: poll.setInterval(0 if host.poll() else TICK_MS))
            poll.start(0)
        while not done():
            self.application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        poll.stop()

    def idle(self, seconds: float) -> None:
        """Let events happen for so long."""
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="512,512,300", help="I,J,K (default: 512,512,300)")
    parser.add_argument("--skip-in-process", action="store_true", help="leave out the baseline")
    given = parser.parse_args()
    volume = make_volume(tuple(int(n) for n in given.shape.split(",")))
    loop, worker = Loop(), WorkerHost()
    loop.idle(2.0)
    voxels = scene.voxels(volume)
    print(
        f"{given.shape} voxels, {voxels.array.dtype}, {os.cpu_count()} cores; the worker has {worker.threads} threads"
    )
    print(f"bytes copied into the worker: {sum(Parcel(voxels).sizes):,} (the volume has {voxels.array.nbytes:,})")
    print(f"idle, before any run: {loop.ticker.longest['idle'] * 1000:.0f} ms")
    print_beside_busy(loop)
    print_start("cold", loop, worker, volume)
    print_start("warm", loop, worker, volume)
    print_cancel(loop, worker, volume)
    measure("worker", loop, worker, volume)
    worker.close()
    if not given.skip_in_process:
        measure("in process", loop, InProcessHost(), volume)


def make_volume(shape: tuple[int, ...]) -> object:
    """Return a volume node with a made torso, repeated from a coarse one to that many voxels."""
    from DeepImagingLib.phantoms import torso_ct

    host = scene.host()
    images, _ = torso_ct.sample(SEED, (4.0, 4.0, 4.0))
    coarse = images["ct"]
    affine, steps = np.asarray(coarse.affine).copy(), np.array(coarse.shape[1:]) / shape
    index = np.ix_(*((np.arange(n) * step).astype(int) for n, step in zip(shape, steps, strict=True)))
    affine[:3, :3] *= steps
    fine = as_image(np.asarray(coarse)[0][index][None].round(), affine)  # whole numbers, as a scanner gives
    return scene.add_volume(host.mrmlScene(), fine, "torso")


def print_beside_busy(loop: Loop) -> None:
    """Print what the system's scheduler adds: a window that does nothing, beside a process of no concern to it."""
    loop.ticker.longest.clear()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        loop.idle(20.0)
        busy.kill()
    print(f"idle, beside any busy process: {max(loop.ticker.longest.values()) * 1000:.0f} ms")


def submit(host: Host, volume: object, ticker: Ticker) -> Handle:
    """Run the shipped model on the volume; the ticker follows the stages."""
    ticker.enter("click")
    return host.submit(
        lambda: RunJob(MODEL, scene.voxels(volume)),
        listener=lambda handle: ticker.enter(handle.progress.stage if handle.progress else "click"),
    )


def print_start(which: str, loop: Loop, host: Host, volume: object) -> None:
    """Print how long it takes from the click to the first work on the image, then cancel."""
    loop.ticker.longest.clear()
    started, handle = time.perf_counter(), submit(host, volume, loop.ticker)
    loop.until(lambda: loop.ticker.stage == "Taking the images" or handle.done, host)
    seconds, gap = time.perf_counter() - started, max(loop.ticker.longest.values())
    print(f"{which} start: {seconds:.2f} s from the click to computing, longest gap {gap * 1000:.0f} ms")
    if which == "warm":
        handle.cancel()
    loop.until(lambda: handle.done, host)
    if handle.error:
        print(f"  ({handle.error})")


def print_cancel(loop: Loop, host: Host, volume: object) -> None:
    """Print how long it takes from cancelling in the network to the end."""
    handle = submit(host, volume, loop.ticker)
    loop.until(lambda: loop.ticker.stage == "Network" or handle.done, host)
    started = time.perf_counter()
    handle.cancel()
    shown = time.perf_counter() - started
    loop.until(lambda: handle.done, host)
    print(f"cancel: shown after {shown * 1000:.1f} ms, ended after {time.perf_counter() - started:.2f} s")


def measure(name: str, loop: Loop, host: Host, volume: object) -> None:
    """Run once and print the longest gap of each stage, the making of nodes among them."""
    loop.ticker.longest.clear()
    started, handle = time.perf_counter(), submit(host, volume, loop.ticker)
    loop.until(lambda: handle.done, host)
    outcome = handle.result()
    loop.ticker.enter("nodes")
    node = scene.show(outcome.result, volume, surface=False)
    loop.ticker.enter("after")
    loop.idle(0.5)
    longest = {stage: gap for stage, gap in loop.ticker.longest.items() if stage != "idle"}
    running = max(gap for stage, gap in longest.items() if stage != "nodes")
    print(f"\n{name}: {time.perf_counter() - started:.1f} s; longest gap while running {running * 1000:.0f} ms")
    for stage, gap in longest.items():
        print(f"  {stage:<22} {gap * 1000:8.0f} ms")
    scene.remove(node)


if __name__ == "__main__":
    main()
