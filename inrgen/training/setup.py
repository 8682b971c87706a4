"""What a run begins with: the network, what it starts from, and what is trained of it."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inrgen.core.params import Params
from inrgen.loaders.stream import StreamLoader
from inrgen.store.statistics import read_statistics
from inrgen.training.checkpoint import WEIGHTS, load_model
from inrgen.training.classifier import Classifier, Projected, measure_moments
from inrgen.training.config import TrainConfig
from inrgen.training.data import OpenData, Place, train_loader
from inrgen.training.models.catalog import make_model, to_dict


def _moments(config: TrainConfig, data: OpenData, place: Place) -> tuple[Params, Params]:
    if config.statistics == "store":
        if len(data.train) != 1:
            raise ValueError("statistics store needs a single training store; take rows instead")
        return read_statistics(data.train[0], "train", data.spec.spec_id)
    alone = Place(device=place.device)
    loader: StreamLoader = train_loader(config, data, alone, views="all", seed=config.seed)
    return measure_moments(loader)


def _take_features(classifier: Classifier, config: TrainConfig, data: OpenData, init: Path) -> None:
    """Start from another run's features and normalisation; the last layer stays as it was made."""
    other = load_model(init)
    if other.spec != data.spec:
        raise ValueError(
            f"init {init} reads networks {other.spec.spec_id}; the stores hold {data.spec.spec_id}"
        )
    if other.model != to_dict(config.model_config):
        raise ValueError(
            f"init {init} is a network {other.model}; model asks for {to_dict(config.model_config)}"
        )
    state = other.classifier.state_dict()
    own = {k: v for k, v in classifier.state_dict().items() if k.startswith("network.head.")}
    classifier.load_state_dict(state | own)


def make_classifier(
    config: TrainConfig, data: OpenData, place: Place, init: Path | None
) -> Classifier:
    """The network on its device, as it is before the first update."""
    num_classes = max(len(data.classes), 2)
    network = make_model(config.model_config, data.spec, num_classes, config.seed)
    if init is None:
        classifier = Classifier(network, data.spec, _moments(config, data, place))
    else:
        classifier = Classifier.blank(network, data.spec)
        _take_features(classifier, config, data, init)
    if config.freeze:
        classifier.requires_grad_(False)
        network.head.requires_grad_(True)
    if config.objective == "contrastive":
        network.head.requires_grad_(False)
    return classifier.to(place.device)


def make_module(config: TrainConfig, classifier: Classifier, place: Place) -> nn.Module:
    """What is trained: the classifier itself, or a projector on its features."""
    if config.objective == "classify":
        return classifier
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return Projected(classifier, config.projection).to(place.device)


def make_optimiser(config: TrainConfig, module: nn.Module) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over what is trained, fused into one kernel."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay, fused=True)


def identity(
    config: TrainConfig, loaders: dict[str, StreamLoader], init: Path | None
) -> dict[str, Any]:
    """What a run that resumes is held to, as plain values: its config, rows and start."""
    facts = {f"{name} rows": loader.state_dict()["rows"] for name, loader in loaders.items()}
    start = None if init is None else hashlib.sha256((init / WEIGHTS).read_bytes()).hexdigest()
    return {**config.to_dict(), **facts, "init": start}
