"""The device that networks work on."""

import torch
from torch import distributed


def choose_device(name: str) -> torch.device:
    """cpu, cuda or cuda:N; auto is a GPU where there is one, each process of torchrun its own.

    Raises ValueError for a device that is not there.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if there else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N; got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N; got {name!r}")
    if device.type == "cpu":
        return device
    if not there:
        raise ValueError(f"device {name} is not there: torch sees no GPU")
    local = distributed.get_node_local_rank(fallback_rank=0)  # pyright: ignore[reportPrivateImportUsage]
    number = device.index if device.index is not None else local
    if number >= torch.cuda.device_count():
        raise ValueError(f"device must be below cuda:{torch.cuda.device_count()}; got {name!r}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
