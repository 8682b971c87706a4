"""Engines by name: which one a build takes, and how to make it."""

from importlib.util import find_spec
from typing import Literal

from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import Engine

EngineChoice = Literal["auto", "torch", "cpu", "gpu"]


def resolve_engine(name: str, spec: InrSpec, config: FitConfig) -> str:
    """The engine that a build will use, decided once, when it is planned.

    "auto" is the fused CPU engine wherever it can fit the spec: in `bench fit` it was the fastest
    at every width from 32 to 256, with all points and with mini-batches. "gpu" is taken when it is
    asked for: whether a worker has a GPU shows only where it runs.

    Raises:
        ValueError: the name is unknown, or the engine cannot fit this spec here.
    """
    can_fuse = spec.activation == "sine" and find_spec("numba") is not None
    if name == "auto":
        return "cpu" if can_fuse else "torch"
    if name not in ("torch", "cpu", "gpu"):
        raise ValueError(f"engine must be auto, torch, cpu or gpu; got {name!r}")
    if name == "cpu" and not can_fuse:
        raise ValueError(
            f"engine cpu needs numba and sine activations; got {spec.activation!r} "
            f"{'with' if find_spec('numba') else 'without'} numba"
        )
    return name


def make_engine(name: str, threads: int | None = None) -> Engine:
    """The engine of a resolved name; each imports only what it needs itself.

    Args:
        threads: how many the cpu engine uses; None leaves it to the engine. The torch engine always
            takes one, or its results would depend on it.

    Raises:
        ValueError: the name is no engine's.
    """
    if name == "torch":
        from inrgen.fit.torch_engine import TorchEngine

        return TorchEngine()
    if name == "cpu":
        from inrgen.fit.cpu_engine import CpuEngine

        return CpuEngine(threads=threads)
    if name == "gpu":
        from inrgen.fit.gpu_engine import GpuEngine

        return GpuEngine()
    raise ValueError(f"engine must be torch, cpu or gpu; got {name!r}")
