"""The processes that train one network together: one, or those that torchrun started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import nn

from tdctl.errors import ConfigError, DataError, RunError, TdctlError
from tdctl.files import first_line
from tdctl.torchrun import place
from tdctl.training.device import pick_device

__all__ = ["World", "lost_processes_as_errors"]

Value = TypeVar("Value")
LOST = (
    "the connection between the processes is lost: one has ended (see its message) or the network "
    "has failed; mend that and go on with --resume"
)


class World:
    """The processes of a run and their communication; with one process, all calls are local.

    Attributes:
        rank: this process's number, from 0.
        size: number of processes.
        device: the device that this process computes on.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, torch.device(device)

    @classmethod
    @contextmanager
    def joined(cls, device: str) -> Iterator[World]:
        """The processes that torchrun's variables describe; without these, this process only.

        Args:
            device: as in the settings; ``auto`` and ``cuda`` give each process of a machine its
                own GPU.

        Raises:
            ConfigError: the device is unknown or does not exist, or variables of torchrun are
                set although torchrun did not start this process.
            RunError: a process did not connect within ``TDCTL_START_SECONDS`` (600 by default),
                or the connection to it was lost.
        """
        here = place()
        size = here.size
        if size == 1:
            yield cls(device=pick_device(device))
            return
        from torch import distributed

        from tdctl.training.meeting import meet

        picked = pick_device(device)
        if picked.type == "cuda":
            if picked.index is not None:
                raise ConfigError(
                    f"device: '{device}' would put all {size} processes on one GPU; use cuda"
                )
            picked = pick_device(f"cuda:{here.local_rank}")
            torch.cuda.set_device(picked)
        with lost_processes_as_errors():
            meet(here, picked)
            yield cls(distributed.get_rank(), size, picked)
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and the messages."""
        return self.rank == 0

    def first(self, act: Callable[[], Value]) -> Value | None:
        """Runs ``act`` in the first process only; its error is raised in all processes.

        Returns the result of ``act`` in the first process, None in the others.
        """
        if self.size == 1:
            return act()
        value, error = _attempt(act) if self.is_first else (None, None)
        self._raise_shared([self.shared(error)])
        return value

    def told(self, act: Callable[[], Value]) -> Value:
        """Runs ``act`` in the first process only and returns its result in all processes."""
        return cast(Value, self.shared(self.first(act)))

    def together(self, act: Callable[[], Value]) -> Value:
        """Runs ``act`` in every process; an error in any of them is raised in all."""
        if self.size == 1:
            return act()
        value, error = _attempt(act)
        self._raise_shared(self._objects(error))
        return cast(Value, value)

    def shared(self, value: Value) -> Value:
        """The first process's value, in all processes."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def check_same(self, what: str, value: str) -> None:
        """Refuses processes that work on different data.

        Raises:
            DataError: a process has another value than the first.
        """
        if self.size == 1:
            return
        values = self._objects(value)
        if len(set(values)) > 1:
            other = next(rank for rank, found in enumerate(values) if found != values[0])
            error = DataError(
                f"{what}: process {other} reads other data than process 0; give every machine "
                "the same files"
            )
            self._raise_shared([error])

    def part(self, start: int, stop: int) -> slice:
        """This process's share of the rows from start to stop; shares differ by at most one row."""
        total = stop - start
        return slice(
            start + total * self.rank // self.size, start + total * (self.rank + 1) // self.size
        )

    def gather(self, tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]] | None:
        """The tensors of all processes, by rank, in the first process; None in the others.

        The tensors may differ in length. Their names and types are the same in all processes.
        """
        return self._gathered(tensors, to_all=False)

    def gather_to_all(self, tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """The tensors of all processes, by rank, in all processes."""
        return self._gathered(tensors, to_all=True) or []

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in all processes; changes the tensor in place."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def average_buffers(self, net: nn.Module) -> None:
        """Gives all processes the mean of their running statistics."""
        for buffer in net.buffers():
            if buffer.is_floating_point():
                self.sum(buffer).div_(self.size)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes; with one process, unchanged."""
        if self.size == 1:
            return net
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            net, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    def _objects(self, value: Value) -> list[Value]:
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def _raise_shared(self, errors: Sequence[TdctlError | None]) -> None:
        for error in errors:
            if error is not None:
                error.told_elsewhere = not self.is_first
                raise error

    def _gathered(
        self, tensors: dict[str, torch.Tensor], to_all: bool
    ) -> list[dict[str, torch.Tensor]] | None:
        if self.size == 1:
            return [tensors]
        from torch import distributed

        # Sent as bytes, because gloo has no 16-bit integers and one message is cheaper than many.
        flat = torch.cat([t.contiguous().reshape(-1).view(torch.uint8) for t in tensors.values()])
        shapes = self._objects({name: tuple(t.shape) for name, t in tensors.items()})
        sizes = [
            sum(tensors[name].element_size() * _count(shape) for name, shape in by_name.items())
            for by_name in shapes
        ]
        padded = flat.new_zeros(max(sizes))
        padded[: len(flat)] = flat
        parts = [torch.empty_like(padded) for _ in sizes] if to_all or self.is_first else None
        if to_all and parts is not None:
            distributed.all_gather(parts, padded)
        else:
            distributed.gather(padded, parts, dst=0)
        if parts is None:
            return None
        return [
            _unpacked(part, by_name, tensors) for part, by_name in zip(parts, shapes, strict=True)
        ]


def _attempt(act: Callable[[], Value]) -> tuple[Value | None, TdctlError | None]:
    try:
        return act(), None
    except TdctlError as error:
        return None, error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, RunError(f"{where}{error.strerror or error}")


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _unpacked(
    flat: torch.Tensor, shapes: dict[str, tuple[int, ...]], like: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    found, start = {}, 0
    for name, shape in shapes.items():
        size = like[name].element_size() * _count(shape)
        # A copy is aligned for its type; a slice of bytes may not be.
        part = flat[start : start + size].clone()
        found[name] = part.view(like[name].dtype).reshape(shape)
        start += size
    return found


@contextmanager
def lost_processes_as_errors() -> Iterator[None]:
    """Turns torch's errors about a lost process into a one-line error for the user."""
    try:
        yield
    except RuntimeError as error:
        lost = type(error).__name__.startswith("Dist")  # errors of torch.distributed
        if lost or any(word in str(error) for word in ("gloo", "NCCL", "Connection")):
            raise RunError(f"{LOST} ({first_line(error)})") from None
        raise
