"""Processes and devices of a training run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True, kw_only=True, slots=True)
class DistributedContext:
    """The device of this process, and its number among all processes."""

    device: torch.device
    rank: int = 0
    world_size: int = 1


def this_process(device: torch.device | str) -> DistributedContext:
    """This process among those of torch.distributed, or alone where it is not initialised."""
    if not distributed.is_initialized():
        return DistributedContext(device=torch.device(device))
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    return DistributedContext(device=torch.device(device), rank=rank, world_size=world_size)


@contextmanager
def join_torchrun(device: str) -> Iterator[None]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    Args:
        device: as choose_device takes it; GPUs talk over NCCL and CPUs over Gloo.
    """
    if not distributed.is_torchelastic_launched() or distributed.is_initialized():
        yield
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Tell whether this process writes the files of a run."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def choose_device(name: str) -> torch.device:
    """Resolve cpu, cuda, cuda:N or auto, which is a GPU if there is one.

    Each process of torchrun takes its own GPU. Raises ValueError for a device that is missing.
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if has_gpu else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N; got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N; got {name!r}")
    if device.type == "cpu":
        return device
    if not has_gpu:
        raise ValueError(f"device {name} needs a GPU that torch can use; torch finds none")
    # On several nodes the rank within the node chooses the GPU.
    local = distributed.get_node_local_rank(fallback_rank=0)  # pyright: ignore[reportPrivateImportUsage]
    number = device.index if device.index is not None else local
    if number >= torch.cuda.device_count():
        raise ValueError(f"device must be below cuda:{torch.cuda.device_count()}; got {name!r}")
    # NCCL uses the current device.
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
