"""When GPUs had fits under way, and the share of time in which they waited for one."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Busy:
    """A stretch of time with a fit under way; by the clock of the machine that the GPU is in."""

    gpu: str
    begin: float
    end: float


def gpu_name(device: str) -> str:
    """One GPU's own name among all of a cluster; "" for a device that is no GPU."""
    if torch.device(device).type != "cuda":
        return ""
    return f"{socket.gethostname()}:{torch.cuda.get_device_properties(device).uuid}"


def waiting_shares(stretches: Iterable[Busy]) -> dict[str, float]:
    """For each GPU the share of the time from its first fit to its last without one under way.

    Stretches may overlap where tasks share a GPU. Data on its way to the GPU and back count as a
    fit, so a GPU waits at least so long.
    """
    of: dict[str, list[Busy]] = {}
    for stretch in stretches:
        of.setdefault(stretch.gpu, []).append(stretch)
    return {gpu: _waiting_share(of[gpu]) for gpu in sorted(of)}


def _waiting_share(stretches: list[Busy]) -> float:
    ordered = sorted(stretches, key=lambda stretch: stretch.begin)
    waited, reached = 0.0, ordered[0].begin
    for stretch in ordered:
        waited += max(0.0, stretch.begin - reached)
        reached = max(reached, stretch.end)
    whole = reached - ordered[0].begin
    return waited / whole if whole > 0 else 0.0
