"""Several processes that train one network together, as torchrun starts them.

Every process computes its share of a batch, but the loss is taken of the whole batch, and the
gradients are summed. So training is that of one process for every loss and every batch size.
DistributedDataParallel would average the losses of the shares instead, which is something else
where shares differ in size, or where a term is no mean over scenes: the angle of bright spectra,
the volume in units of the brightness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch

# torch.optim would import it later, and it keeps the connection that it finds open then for ever;
# at the end of the process that now and then aborts
import torch.distributed.nn
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from hsisr.errors import OutputError
from hsisr_models.contract import Outcome

_PATIENCE = timedelta(days=1)
"""How long the others wait while the first process validates; one that dies is noticed at once."""


@dataclass(frozen=True)
class World:
    """The processes of a training, and which of them this one is."""

    rank: int = 0
    size: int = 1
    store: Store | None = None
    """What they can reach when one of them has failed."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates, writes and talks."""
        return self.rank == 0

    def share(self, part: Tensor) -> Tensor:
        """This process's rows of a batch; where there are fewer rows than processes, any one."""
        own = part.tensor_split(self.size)[self.rank]
        return own if len(own) else part[:1]

    def whole(self, outcome: Outcome, rows: int) -> Outcome:
        """The outcome of a batch of `rows`, of which `outcome` is that of this process's share.

        A loss of it has the same value in every process; its gradients reach only what this
        process computed and sum, over the processes, to those of one that computed everything.
        """
        if self.size == 1:
            return outcome
        endmembers = outcome.endmembers
        if endmembers is not None:
            # every process has all of them, so each answers for its part of their gradient
            fixed = endmembers.detach()
            endmembers = fixed + (endmembers - fixed) / self.size
        return replace(
            outcome,
            truth=self._gathered(outcome.truth, rows),
            estimate=self._gathered(outcome.estimate, rows),
            endmembers=endmembers,
            abundances=self._gathered_if_any(outcome.abundances, rows),
            expected=self._gathered_if_any(outcome.expected, rows),
            auxiliary=self._gathered_if_any(outcome.auxiliary, rows),
            auxiliary_truth=self._gathered_if_any(outcome.auxiliary_truth, rows),
        )

    def _gathered_if_any(self, own: Tensor | None, rows: int) -> Tensor | None:
        return None if own is None else self._gathered(own, rows)

    def _gathered(self, own: Tensor, rows: int) -> Tensor:
        parts = list(own.new_empty((rows, *own.shape[1:])).tensor_split(self.size))
        own = own[: len(parts[self.rank])]
        parts[self.rank].copy_(own.detach())
        with self._connected():
            for rank, part in enumerate(parts):
                distributed.broadcast(part, rank)
        parts[self.rank] = own
        return torch.cat(parts)

    @torch.no_grad()
    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, the same bits in all of them."""
        if self.size == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._connected():
            distributed.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view_as(tensor))

    @torch.no_grad()
    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by that of the first process."""
        tensors = list(tensors)
        if not self.leads:
            for tensor in tensors:
                tensor.zero_()
        self.add_up(tensors)

    def largest(self, *numbers: int) -> list[int]:
        """Each number's maximum over the processes, which wait for one another."""
        if self.size == 1:
            return list(numbers)
        # on the processor, where gloo answers without disturbing the GPU's queue
        most = torch.tensor(numbers)
        with self._connected():
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return [int(number) for number in most]

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.largest(0)

    def first_to_fail(self) -> bool:
        """Whether this process is the first to ask, so that one error is printed once."""
        try:
            return self.store is None or self.store.add("failed", 1) == 1
        except RuntimeError:  # whoever keeps the store has gone too
            return self.leads

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise OutputError(
                f"another of the {self.size} processes ended",
                hint="the same command continues from the last validation",
            ) from error


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that torchrun started, and leave them in order if all went well.

    Tensors on the processor travel by gloo, those on GPUs by NCCL.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, size = next(iter(rendezvous("env://", timeout=_PATIENCE)))
    distributed.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE
    )
    try:
        yield World(rank, size, store)
    except BaseException:
        # NCCL might wait for a process that has failed
        if backend == "gloo":
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()
