"""Cost of an update of a network: time, memory, and launched operations."""

import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Work that a run hands to a device.

    Attributes:
        launches: operations that compute something, about one kernel each. Views are not counted.
        peak_bytes: peak memory of their results.
    """

    launches: int
    peak_bytes: int


class _Meter(TorchDispatchMode):
    """Counts operations where torch dispatches them, so the counts depend on no device."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.held = self.peak = 0
        self.live: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.launches += 1
            # An operation that writes into its argument allocates nothing.
            for leaf in () if func._schema.is_mutable else tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self._hold(leaf.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        # An in-place or view result has a storage that is counted already.
        if storage._cdata in self.live:
            return
        self.live.add(storage._cdata)
        self.held += storage.nbytes()
        self.peak = max(self.peak, self.held)
        # A freed address may be used again, so it is forgotten with its storage.
        weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def _free(self, address: int, num_bytes: int) -> None:
        self.live.discard(address)
        self.held -= num_bytes


def measure_work(run: Callable[[], object]) -> Work:
    """Count the operations and memory of a run, its backward pass included.

    Memory that an operation frees before it ends is not seen.
    """
    with _Meter() as meter:
        run()
    return Work(launches=meter.launches, peak_bytes=meter.peak)


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """Median wall time, and median processor time of all threads, over several runs."""

    wall_ms: float
    cpu_ms: float


def measure_time(run: Callable[[], object], device: torch.device, repeats: int) -> Time:
    """Time a run, after one untimed."""
    run()
    wall, cpu = [], []
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter(), time.process_time()
        run()
        _wait(device)
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return Time(wall_ms=1e3 * statistics.median(wall), cpu_ms=1e3 * statistics.median(cpu))


def _wait(device: torch.device) -> None:
    """Wait for a GPU, which works on while Python goes ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
