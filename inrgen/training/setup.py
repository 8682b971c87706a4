"""Parts of a run before its first update: the classifier, the trained module, the optimiser."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inrgen.core.params import Params
from inrgen.loaders.stream import StreamLoader
from inrgen.store.statistics import read_statistics
from inrgen.training.classifier import Classifier, Projected, measure_moments
from inrgen.training.config import TrainConfig
from inrgen.training.data import OpenData
from inrgen.training.distributed import DistributedContext
from inrgen.training.feed import train_loader
from inrgen.training.model_file import WEIGHTS, load_model
from inrgen.training.models.catalog import make_model, to_dict
from inrgen.training.models.own import has_features


def make_classifier(
    config: TrainConfig, data: OpenData, device: torch.device, init: Path | None
) -> Classifier:
    """The classifier on its device, as it is before the first update.

    Args:
        init: folder of a finished run whose features and normalisation to start from.
    """
    num_classes = max(len(data.classes), 2)
    network = make_model(config.model_config, data.spec, num_classes, config.seed)
    if (config.freeze or config.objective == "contrastive" or init) and not has_features(network):
        raise ValueError(
            f"freeze, contrastive and init need a network with features; {config.model} must be a "
            "subclass of inrgen.training.WeightSpaceNetwork"
        )
    if init is None:
        classifier = Classifier(network, data.spec, _read_moments(config, data, device))
    else:
        classifier = Classifier.blank(network, data.spec)
        _load_features(classifier, config, data, init)
    if config.freeze:
        classifier.requires_grad_(False)
        network.head.requires_grad_(True)
    if config.objective == "contrastive":
        network.head.requires_grad_(False)
    return classifier.to(device)


def _read_moments(
    config: TrainConfig, data: OpenData, device: torch.device
) -> tuple[Params, Params]:
    if config.statistics == "store":
        if len(data.train) != 1:
            raise ValueError("statistics store needs a single training store; take rows instead")
        return read_statistics(data.train[0], "train", data.spec.spec_id)
    # Every process measures all rows, so that all normalise alike.
    alone = DistributedContext(device=device)
    return measure_moments(train_loader(config, data, alone, views="all", seed=config.seed))


def _load_features(classifier: Classifier, config: TrainConfig, data: OpenData, init: Path) -> None:
    """Take another run's features and normalisation; the last layer keeps its first weights."""
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
    # The classes may differ from those of the other run.
    own = {k: v for k, v in classifier.state_dict().items() if k.startswith("network.head.")}
    classifier.load_state_dict(state | own)


def make_module(config: TrainConfig, classifier: Classifier, device: torch.device) -> nn.Module:
    """The module to train: the classifier itself, or a projector on its features."""
    if config.objective == "classify":
        return classifier
    with torch.random.fork_rng(devices=[]):
        # The projector's weights depend on the seed alone, as the network's do.
        torch.default_generator.manual_seed(config.seed)
        return Projected(classifier, config.projection).to(device)


def make_optimiser(config: TrainConfig, module: nn.Module) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over the trainable weights, fused into one kernel."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay, fused=True)


def make_identity(
    config: TrainConfig, loaders: dict[str, StreamLoader], init: Path | None
) -> dict[str, Any]:
    """Config, rows and start of a run as plain values, which a resumed run must match."""
    rows = {f"{name} rows": loader.state_dict()["rows"] for name, loader in loaders.items()}
    start = None if init is None else hashlib.sha256((init / WEIGHTS).read_bytes()).hexdigest()
    return {**config.to_dict(), **rows, "init": start}
