"""Files of a trained classifier: safetensors and JSON, never a pickle that could run code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from inrgen.core.atomic import write_whole
from inrgen.core.spec import InrSpec
from inrgen.training.classifier import Classifier
from inrgen.training.models.catalog import from_dict, make_model

MODEL, WEIGHTS = "model.json", "model.safetensors"
_FORMAT = 1

State = dict[str, Tensor]


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write plain values as JSON, whole or not at all."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda staged: staged.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a document. Raises ValueError naming the file where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def save_model(
    folder: Path,
    model: dict[str, Any],
    spec: InrSpec,
    classes: tuple[str, ...],
    alignments: tuple[str, ...],
    state: State,
) -> None:
    """Save a classifier so that load_model can read it.

    Args:
        model: the network's config, as catalog.to_dict gives it.
        alignments: alignment_sha256 of each training store.
    """
    # safetensors refuses tensors that share memory.
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_whole(folder / WEIGHTS, lambda staged: staged.write_bytes(save(whole)))
    values = {"model": model, "spec": spec.to_dict(), "classes": list(classes)}
    values["alignments"] = sorted(set(alignments))
    write_json(folder / MODEL, {"inrgen_model": _FORMAT, **values})


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """The classifier of a finished run.

    Attributes:
        model: the network's config as plain values.
        classes: names of the classes; () after contrastive training.
        alignments: alignment_sha256 of the training stores; None if an older run lacks them.
    """

    classifier: Classifier
    model: dict[str, Any]
    spec: InrSpec
    classes: tuple[str, ...]
    alignments: tuple[str, ...] | None


def load_model(folder: str | Path, device: torch.device | str = "cpu") -> TrainedModel:
    """Load the network of a finished run.

    Raises:
        FileNotFoundError: the folder holds no finished run.
        ValueError: its files are damaged, or of a later version.
    """
    folder = Path(folder)
    if not (folder / MODEL).exists():
        raise FileNotFoundError(f"{folder} holds no trained network; inrgen train makes one")
    values = read_json(folder / MODEL)
    if values.get("inrgen_model") != _FORMAT:
        raise ValueError(f"{folder / MODEL} describes no network, or is of a later version")
    spec, classes = InrSpec.from_dict(values["spec"]), tuple(values["classes"])
    # Contrastive runs have no classes, but a head of two rows.
    network = make_model(from_dict(values["model"]), spec, max(len(classes), 2), seed=0)
    try:
        state = load_file(folder / WEIGHTS)
        if state["mean"].shape != (1, spec.num_params):
            raise ValueError(f"its statistics have the shape {tuple(state['mean'].shape)}")
        classifier = Classifier.blank(network, spec)
        classifier.load_state_dict(state)
    except Exception as error:  # safetensors and torch raise many kinds
        raise ValueError(f"{folder / WEIGHTS} is damaged or of another network: {error}") from error
    classifier.to(device).eval()
    recorded = values.get("alignments")
    return TrainedModel(
        classifier=classifier,
        model=values["model"],
        spec=spec,
        classes=classes,
        alignments=None if recorded is None else tuple(recorded),
    )
