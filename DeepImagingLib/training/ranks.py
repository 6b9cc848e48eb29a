"""Several processes that train one network, each on a share of the batch, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist


class Ranks:
    """The processes of one training: one alone, unless `torchrun` started several.

    Their gradients are averaged, as `torch.nn.parallel.DistributedDataParallel` does, but after the last of the batches
    of a step, so that the network stays the one that checkpoints and bundles hold.

    Attributes:
        count: How many there are.
        rank: Which one this is; 0 leads: it alone measures, tells and writes.
    """

    def __init__(self) -> None:
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def join(self) -> None:
        """Meet the others; on GPUs, each takes one of its own. Does nothing where they have met."""
        if self.count == 1 or dist.is_initialized():
            return
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    def wait(self) -> None:
        """Wait until all are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Have the leader do something before the others do it: they find what it left."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def average_gradients(self, network: torch.nn.Module) -> None:
        """Give all the mean of their gradients."""
        if self.count == 1:
            return
        for weight in network.parameters():
            if weight.grad is not None:
                dist.all_reduce(weight.grad)
                weight.grad /= self.count

    def agreed(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """Return the leader's numbers."""
        if self.count == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64, device=device if device.type == "cuda" else "cpu")
        dist.broadcast(told, 0)
        return [float(number) for number in told]
