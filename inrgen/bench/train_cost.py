"""What an update of a network costs: time, memory, and how many operations are launched."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity
from torch.utils._python_dispatch import TorchDispatchMode


class _Launches(TorchDispatchMode):
    """Counts operations that compute something: views only say anew how memory is read."""

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num += not func.is_view
        return func(*args, **(kwargs or {}))


def count_launches(run: Callable[[], object]) -> int:
    """How many operations run hands to a device, its backward pass included: about one kernel each.

    Counted where torch dispatches them, so it is the same on every device and machine.
    """
    with _Launches() as launches:
        run()
    return launches.num


def peak_memory_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most memory that run holds at any moment beyond what was held before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    # torch's own summary adds memory up by operation; its events say when it was held.
    found: Any = profile.profiler
    events: list[Any] = [e for e in found.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def median_ms(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median time of a run, in ms, after one that is not counted."""
    run()
    took = []
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        took.append(time.perf_counter() - began)
    return 1e3 * statistics.median(took)


def _wait(device: torch.device) -> None:
    """A GPU works on while Python goes ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
