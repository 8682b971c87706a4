"""A run's folder: what it is held to, how far it has come, and what it found."""

import json
from pathlib import Path
from typing import Any

from inrgen.training.checkpoint import CHECKPOINT, RESULT, RUN, read_json, write_json
from inrgen.training.result import TrainResult

_FORMAT = 1


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder that of a run, or go on in it.

    Raises ValueError where it holds something else, or a run of another config, data or start.
    """
    path = folder / RUN
    facts = {"inrgen_run": _FORMAT, **json.loads(json.dumps(identity))}
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith("_"))
        if strangers:
            raise ValueError(f"out {folder} is not empty and holds no run, but {strangers[0]}")
        write_json(path, facts)
        return
    there = read_json(path)
    differing = [
        f"{name} (there {there.get(name)!r}, here {facts.get(name)!r})"
        for name in dict.fromkeys([*there, *facts])
        if there.get(name) != facts.get(name)
    ]
    if differing:
        raise ValueError(f"out {folder} holds another run, which differs in {', '.join(differing)}")


def finished(folder: Path) -> TrainResult | None:
    """The result of a run that came to its end; None where it has not."""
    path = folder / RESULT
    return TrainResult.from_dict(read_json(path)) if path.exists() else None


def finish(folder: Path, result: TrainResult) -> None:
    """Note the result, after which the run is over and its checkpoint is not needed."""
    write_json(folder / RESULT, result.to_dict())
    (folder / CHECKPOINT).unlink(missing_ok=True)
