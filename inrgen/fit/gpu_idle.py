"""GPU idle time: the share of a build in which a GPU had no fit in progress."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class BusyInterval:
    """An interval in which a GPU had a fit in progress, in seconds on that machine's clock."""

    gpu: str
    begin_s: float
    end_s: float


def gpu_name(device: str) -> str:
    """The name of a GPU, unique in a cluster; "" for a device that is not a GPU."""
    if torch.device(device).type != "cuda":
        return ""
    # The uuid differs even if each worker sees its own GPU as cuda:0.
    return f"{socket.gethostname()}:{torch.cuda.get_device_properties(device).uuid}"


def idle_shares(intervals: Iterable[BusyInterval]) -> dict[str, float]:
    """The idle share of each GPU between its first fit and its last.

    Intervals may overlap where tasks share a GPU. A fit includes the transfer of its data, so the
    true idle share is at least this.
    """
    by_gpu: dict[str, list[BusyInterval]] = {}
    for interval in intervals:
        by_gpu.setdefault(interval.gpu, []).append(interval)
    return {gpu: _idle_share(by_gpu[gpu]) for gpu in sorted(by_gpu)}


def _idle_share(intervals: list[BusyInterval]) -> float:
    ordered = sorted(intervals, key=lambda interval: interval.begin_s)
    idle, reached = 0.0, ordered[0].begin_s
    for interval in ordered:
        # Only a gap after everything that began before counts: intervals may overlap.
        idle += max(0.0, interval.begin_s - reached)
        reached = max(reached, interval.end_s)
    total = reached - ordered[0].begin_s
    return idle / total if total > 0 else 0.0
