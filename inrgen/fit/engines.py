"""Engines by name: the choice for a build, and their construction."""

from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import Engine
from inrgen.kernels import has_numba


def resolve_engine(name: str, spec: InrSpec, config: FitConfig, weighted: bool = False) -> str:
    """Choose the engine of a build, once, when it is planned.

    "auto" is the fused CPU engine wherever it can fit the spec: in `python -m pipelines.bench fit`
    it was the fastest at every width from 32 to 256, with all points and with mini-batches. "gpu"
    is never automatic, because only a worker can tell whether it has a GPU.

    Args:
        weighted: whether signals have weights, which engine torch alone knows.

    Raises:
        ValueError: the name is unknown, or the engine cannot fit this spec here.
    """
    alone = "signals with weights" if weighted else "curvature" if config.curvature else ""
    if alone and name in ("cpu", "gpu"):
        raise ValueError(f"engine must be torch for {alone}; got {name!r}")
    can_fuse = spec.is_siren and has_numba() and not alone
    if name == "auto":
        return "cpu" if can_fuse else "torch"
    if name not in ("torch", "cpu", "gpu"):
        raise ValueError(f"engine must be auto, torch, cpu or gpu; got {name!r}")
    if name == "cpu" and not spec.is_siren:
        raise ValueError(f"engine cpu fits SIRENs alone, not {spec.kind}; give engine torch")
    if name == "cpu" and not can_fuse:
        raise ValueError("engine cpu needs numba, which is not installed; give engine torch")
    return name


def make_engine(name: str, threads: int | None = None) -> Engine:
    """Make the engine of a resolved name. Each engine imports only what it needs.

    Args:
        threads: threads of the cpu engine; None leaves the number to the engine. The torch engine
            always takes one, because its results depend on the number.

    Raises:
        ValueError: no engine has this name.
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
