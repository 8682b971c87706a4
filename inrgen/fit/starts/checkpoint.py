"""Checkpoint of an unfinished START file: safetensors and JSON, so reading it executes nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from inrgen.core.atomic import write_whole
from inrgen.fit.starts.meta_sgd import MetaState
from inrgen.fit.starts.start import load_start

_METADATA = "inrgen_start_checkpoint"


def check_identity(path: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise ValueError, naming what differs, unless a file belongs to these settings."""

    def leaves(facts: dict[str, Any]) -> dict[str, Any]:
        nested = {k: v for k, v in facts.items() if isinstance(v, dict)}
        flat = {k: v for k, v in facts.items() if k not in nested}
        return flat | {f"{k} {name}": x for k, v in nested.items() for name, x in v.items()}

    old, new = leaves(there), leaves(wanted)
    differing = [
        f"{name} (there {old.get(name)!r}, here {new.get(name)!r})"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path} is of another learn-start, which differs in {', '.join(differing)}"
        )


def checkpoint_path(out: Path) -> Path:
    """The checkpoint of an unfinished START file, beside it."""
    return out.with_name(f"{out.stem}.checkpoint.safetensors")


def save_checkpoint(path: Path, identity: dict[str, Any], step: int, state: MetaState) -> None:
    """Save the state after a number of outer steps, over the last checkpoint."""
    metadata = {_METADATA: json.dumps({"identity": identity, "step": step})}
    content = save(state.tensors(), metadata=metadata)
    write_whole(path, lambda staged: staged.write_bytes(content))


def _read(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """The number of steps, the identity and the tensors of a checkpoint, or ValueError."""
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads(file.metadata()[_METADATA])
            step, there = int(document["step"]), dict(document["identity"])
            return step, there, {name: file.get_tensor(name).clone() for name in file.keys()}
    except Exception as error:  # safetensors and JSON raise many kinds
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}); remove it to learn from the beginning"
        ) from error


def recorded_source(out: Path) -> dict[str, Any] | None:
    """The source that a START, or its checkpoint, was begun with; None where there is neither."""
    if out.exists():
        return load_start(out).facts.get("source")
    checkpoint = checkpoint_path(out)
    return _read(checkpoint)[1]["source"] if checkpoint.exists() else None


def load_checkpoint(
    path: Path, identity: dict[str, Any], blank: MetaState
) -> tuple[int, MetaState]:
    """The number of steps done, and the state after them.

    Raises ValueError for a damaged checkpoint, and for one of other settings.
    """
    step, there, found = _read(path)
    check_identity(path, there, json.loads(json.dumps(identity)))
    wanted = {name: (t.shape, t.dtype) for name, t in blank.tensors().items()}
    if {name: (t.shape, t.dtype) for name, t in found.items()} != wanted:
        raise ValueError(f"{path} is damaged; remove it to learn from the beginning")
    device = blank.start.device
    return step, replace(blank, **{name: tensor.to(device) for name, tensor in found.items()})
