"""Learned starts and their files: initial weights and step sizes from which few steps suffice.

A START file is safetensors with one JSON text of metadata, so reading it executes nothing. Its
tensors `params` and `step_sizes` are (k, P) float32, with rows laid out as in the store.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from inrgen.core.atomic import write_whole
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

VERSION = 1
SUFFIX = ".safetensors"
MAX_VIEWS, MAX_INNER_STEPS = 1000, 1000
_METADATA = "inrgen_start"
_TENSORS = ("params", "step_sizes")
# Ten starts of the largest recipe's network take 63 MB.
_MAX_BYTES = 2**28
_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedStart:
    """Initial weights and step sizes for gradient steps; view v of every item uses entry v.

    An update subtracts step_sizes times the gradient of the mean squared error (Meta-SGD, arXiv
    1707.09835, equation 4), and momentum times the update before it.

    Attributes:
        spec: the networks and the conventions of their signals.
        params: k starts, float32: weights[l] is (k, out_l, in_l).
        step_sizes: the step size of every parameter, in the same shapes; positive.
        inner_steps: number of updates that the start was learned for.
        facts: the start's origin as plain JSON: "source" (the source's identity), "items_sha256"
            and "num_items" of the training items, "seed", "settings" of the outer loop, "guide"
            (none or labels), "psnr_db" on held-out training items after inner_steps, "version"
            and "inrgen_version".
    """

    spec: InrSpec
    params: Params
    step_sizes: Params
    inner_steps: int
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        if not 1 <= self.inner_steps <= MAX_INNER_STEPS:
            raise ValueError(
                f"inner_steps must be from 1 to {MAX_INNER_STEPS}; got {self.inner_steps}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); got {self.momentum}")
        for name in _TENSORS:
            _check_params(name, self.spec, getattr(self, name))
        if len(self.step_sizes) != len(self.params):
            raise ValueError(
                f"step_sizes needs {len(self.params)} starts, as many as params; "
                f"got {len(self.step_sizes)}"
            )
        if not all(bool((step > 0).all()) for step in _tensors(self.step_sizes)):
            raise ValueError("step_sizes must be positive")

    @property
    def num_views(self) -> int:
        """Number k of starts."""
        return len(self.params)

    @property
    def momentum(self) -> float:
        """Share of each update that the next one repeats."""
        return self.facts.get("settings", {}).get("momentum", 0.0)

    @property
    def sha256(self) -> str:
        """Digest of spec, inner_steps, facts and all numbers; the layout of the file is left out.

        Raises ValueError if facts holds anything but plain JSON.
        """
        document = {
            "spec": self.spec.to_dict(),
            "inner_steps": self.inner_steps,
            "facts": self.facts,
        }
        # sorted keys, because JSON files and dictionaries may order them in any way
        text = json.dumps(document, sort_keys=True, allow_nan=False)
        digest = hashlib.sha256(text.encode())
        for part in (self.params, self.step_sizes):
            digest.update(part.flat().cpu().contiguous().numpy().astype("<f4").tobytes())
        return digest.hexdigest()


def _tensors(params: Params) -> Iterable[Tensor]:
    return (*params.weights, *params.biases)


def _check_params(name: str, spec: InrSpec, params: Params) -> None:
    """Raise ValueError unless params holds 1 to MAX_VIEWS finite float32 networks of spec."""
    num = len(params)
    if not 1 <= num <= MAX_VIEWS:
        raise ValueError(f"{name} needs 1 to {MAX_VIEWS} starts; got {num}")
    wanted = [(num, *slot.shape) for slot in spec.layers]
    layers = zip(params.weights, params.biases, strict=True)
    found = [tuple(tensor.shape) for pair in layers for tensor in pair]
    if found != wanted:
        raise ValueError(f"{name} needs the shapes {wanted} for {spec.architecture}; got {found}")
    for tensor in _tensors(params):
        if tensor.dtype != torch.float32:
            raise ValueError(f"{name} must be float32; got {tensor.dtype}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} must be finite")


def save_start(path: str | Path, start: LearnedStart) -> None:
    """Write a start to a file, whole or not at all.

    Raises:
        ValueError: the facts are not plain JSON.
        OSError: the file cannot be written.
    """
    document = {
        "version": VERSION,
        "spec": start.spec.to_dict(),
        "inner_steps": start.inner_steps,
        "facts": start.facts,
        "sha256": start.sha256,
    }
    tensors = {name: getattr(start, name).flat().cpu().contiguous() for name in _TENSORS}
    content = save(tensors, metadata={_METADATA: json.dumps(document, allow_nan=False)})
    write_whole(Path(path), lambda staged: staged.write_bytes(content))


def load_start(path: str | Path) -> LearnedStart:
    """Read a start, and check all that the file states.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no START file, is damaged, or is of another version.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no START file {path}")
    try:
        return _read(path)
    # safetensors, JSON and InrSpec raise many kinds for damaged or hostile content.
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{path} is not a valid START file: {reason}") from error


def _read(path: Path) -> LearnedStart:
    # A FIFO or a device would block, or never end.
    if not path.is_file():
        raise ValueError("it is not a regular file")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes, where at most {_MAX_BYTES:,} are read")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if _METADATA not in metadata:
            raise ValueError("`inrgen learn-start` did not write it")
        document = json.loads(metadata[_METADATA])
        _check_document(document)
        if sorted(file.keys()) != sorted(_TENSORS):
            raise ValueError(f"it needs the tensors {_TENSORS}; got {sorted(file.keys())[:5]}")
        spec = _parse_spec(document["spec"])
        # The file stays mapped into memory only until it is closed.
        params, step_sizes = (_cut(spec, name, file.get_tensor(name).clone()) for name in _TENSORS)
    start = LearnedStart(
        spec=spec,
        params=params,
        step_sizes=step_sizes,
        inner_steps=document["inner_steps"],
        facts=document["facts"],
    )
    if start.sha256 != document["sha256"]:
        raise ValueError("its content does not match its digest")
    return start


def _check_document(document: Any) -> None:
    """Raise ValueError unless the metadata has the keys and types of this version."""
    if not isinstance(document, dict) or document.get("version") != VERSION:
        found = document.get("version") if isinstance(document, dict) else document
        raise ValueError(f"its version must be {VERSION}; got {found!r}")
    wanted = {"version": int, "spec": dict, "inner_steps": int, "facts": dict, "sha256": str}
    # type(), because a bool is an int for isinstance
    found = {key: type(value) for key, value in document.items()}
    if found != wanted:
        names = {key: kind.__name__ for key, kind in wanted.items()}
        raise ValueError(f"its metadata needs exactly {names}")


def _parse_spec(facts: dict[str, Any]) -> InrSpec:
    """Rebuild the spec of a file. InrSpec trusts its callers with types; a file is not trusted."""
    spec = InrSpec.from_dict(facts)
    if not all(type(width) is int for width in spec.widths):
        raise ValueError(f"widths must be integers; got {spec.widths}")
    numbers = (*spec.omega, spec.output_offset, *spec.coord_range)
    numbers += (*spec.coord_center, *spec.value_range)
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"its spec needs finite numbers; got {numbers}")
    return spec


def _cut(spec: InrSpec, name: str, flat: Tensor) -> Params:
    if flat.ndim != 2 or flat.dtype != torch.float32:
        raise ValueError(f"{name} must be a float32 matrix; got {flat.dtype} {tuple(flat.shape)}")
    return Params.from_flat(spec, flat)


def shipped_starts(source_name: str, architecture: str) -> list[Path]:
    """Paths of the starts that inrgen ships for a source and an architecture, few views first.

    Args:
        source_name: such as digits. Files are SOURCE.safetensors or SOURCE-VIEWS.safetensors.
        architecture: the widths as text, such as 2-32-32-1.
    """
    # Compare names, so that no source name can lead out of the folder.
    named = re.compile(rf"{re.escape(source_name)}(-[0-9]+)?")
    paths = [path for path in sorted(_SHIPPED.glob(f"*{SUFFIX}")) if named.fullmatch(path.stem)]
    starts = [(load_start(path), path) for path in paths]
    fitting = [(s.num_views, path) for s, path in starts if s.spec.architecture == architecture]
    return [path for _, path in sorted(fitting)]


def find_shipped_start(source_name: str, architecture: str, views: int = 1) -> Path | None:
    """The shipped start with the fewest views that suffice, or with the most; None without any."""
    paths = shipped_starts(source_name, architecture)
    enough = [path for path in paths if load_start(path).num_views >= views]
    return next(iter([*enough, *reversed(paths)]), None)
