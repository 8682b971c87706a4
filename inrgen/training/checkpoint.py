"""Files of a run's folder: all or nothing, and never a pickle that could run code."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from inrgen.core.spec import InrSpec
from inrgen.training.classifier import Classifier
from inrgen.training.models.catalog import from_dict, make_model

MODEL, WEIGHTS, CHECKPOINT, RUN, RESULT = (
    "model.json",
    "model.safetensors",
    "checkpoint.pt",
    "run.json",
    "result.json",
)
_FORMAT = 1

State = dict[str, Tensor]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have write make a file beside path, then put it in place all at once.

    So whenever the process is killed there is the old file or the new one.
    """
    staged = path.with_name(f"_{path.name}.{os.getpid()}")
    try:
        write(staged)
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """A document of plain values, all at once."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda staged: staged.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """A document. Raises ValueError naming the file where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A run after some whole epochs: all that the epochs to come depend on.

    module, optimiser: their state; best: the classifier's at the best epoch so far, {} before.
    history: an epoch's log each, as plain values.
    """

    module: State
    optimiser: dict[str, Any]
    best: State
    best_epoch: int
    history: list[dict[str, Any]]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Keep it in the run's folder, in the place of an older one."""
    facts = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    write_whole(folder / CHECKPOINT, lambda staged: torch.save(facts, staged))


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint | None:
    """The run's checkpoint; None where it has none yet. Raises ValueError for a damaged one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        facts = torch.load(path, map_location=device, weights_only=True)
        return Checkpoint(**facts)
    except Exception as error:  # whatever torch says of a file that is cut off or altered
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}); remove it to train from the start"
        ) from error


def epochs_done(folder: Path) -> int:
    """After how many epochs a run that was cut off would go on."""
    found = load_checkpoint(folder, torch.device("cpu"))
    return 0 if found is None else len(found.history)


def save_model(
    folder: Path, model: dict[str, Any], spec: InrSpec, classes: tuple[str, ...], state: State
) -> None:
    """Keep a classifier, as safetensors and JSON: all that load_model needs."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_whole(folder / WEIGHTS, lambda staged: staged.write_bytes(save(whole)))
    facts = {"model": model, "spec": spec.to_dict(), "classes": list(classes)}
    write_json(folder / MODEL, {"inrgen_model": _FORMAT, **facts})


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A classifier as a run left it. classes: their names; () after contrastive training."""

    classifier: Classifier
    model: dict[str, Any]
    spec: InrSpec
    classes: tuple[str, ...]


def load_model(folder: str | Path, device: torch.device | str = "cpu") -> TrainedModel:
    """The network of a finished run.

    Raises:
        FileNotFoundError: there is no finished run.
        ValueError: its files are damaged, or of a later version.
    """
    folder = Path(folder)
    if not (folder / MODEL).exists():
        raise FileNotFoundError(f"{folder} holds no trained network; inrgen train makes one")
    facts = read_json(folder / MODEL)
    if facts.get("inrgen_model") != _FORMAT:
        raise ValueError(f"{folder / MODEL} is not of a network, or of a later version")
    spec, classes = InrSpec.from_dict(facts["spec"]), tuple(facts["classes"])
    network = make_model(from_dict(facts["model"]), spec, max(len(classes), 2), seed=0)
    try:
        state = load_file(folder / WEIGHTS)
        flat = state["mean"].shape
        assert flat == (1, spec.num_params), f"statistics of {flat}"
        classifier = Classifier.blank(network, spec)
        classifier.load_state_dict(state)
    except Exception as error:  # whatever safetensors and torch say of a file that does not fit
        raise ValueError(f"{folder / WEIGHTS} is damaged or of another network: {error}") from error
    classifier.to(device).eval()
    return TrainedModel(classifier=classifier, model=facts["model"], spec=spec, classes=classes)
