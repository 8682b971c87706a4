"""Configs of the network families. This module imports no torch, so command lines stay quick."""

from dataclasses import dataclass
from typing import Any, Literal

HeadsPer = Literal["block", "group"]
Edges = Literal["all", "joined"]


def _check_positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be positive; got {getattr(config, name)}")


def _check_dropout(config: Any) -> None:
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout must be in [0, 1); got {config.dropout}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DwsConfig:
    """A DWSNet with max pooling and attention over the units of each hidden layer.

    The defaults are those of the augmentation study, 77 thousand parameters for 2-32-32-1. DWSNets'
    own runs used 32 channels, 4 layers and batch norm, 553 thousand.

    Attributes:
        channels: features of each weight and bias; a multiple of heads.
        layers: equivariant layers after the first.
        heads: attention heads of every set function, except one in the last layer.
        batch_norm: normalise features between layers.
        dropout: share of features dropped in training.
        heads_per: how heads divide a set function of several coordinates or values: over all of its
            channels, as published (block), or anew for each coordinate (group, as in runs of
            earlier versions).
    """

    channels: int = 16
    layers: int = 2
    heads: int = 8
    batch_norm: bool = False
    dropout: float = 0.0
    heads_per: HeadsPer = "block"

    def __post_init__(self) -> None:
        _check_positive(self, "channels", "layers", "heads")
        if self.channels % self.heads:
            raise ValueError(
                f"channels must be a multiple of heads={self.heads}; got {self.channels}"
            )
        _check_dropout(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class GnnConfig:
    """A relational transformer; by default the augmentation study's, 377 thousand parameters.

    Attributes:
        edges: all, as published: every unit attends to every unit, and pairs without a weight
            start from zero. joined: units attend along weights alone, which halves the pairs of
            2-32-32-1, but a weight is then seen only after a round for each layer above it.
        layers: rounds of attention. The edges are updated after each round but the last. Joined
            edges need two more than an INR has hidden layers to see every weight; 0 takes as many.
        heads: attention heads.
        node: features of a unit.
        edge: features of an edge.
        attention: width of queries, keys and values, all heads together.
        node_hidden: hidden width of the network that updates units.
        edge_hidden: hidden width of the networks that update edges.
        features: width of the hidden layer that the logits are read from.
        frequencies: random Fourier frequencies that encode weights and biases.
        dropout: share of updates dropped in training.
        recompute: compute each round again when gradients are taken, instead of keeping its
            tensors over pairs: a third of the memory, and up to a third more time.
    """

    edges: Edges = "all"
    layers: int = 4
    heads: int = 8
    node: int = 64
    edge: int = 32
    attention: int = 128
    node_hidden: int = 128
    edge_hidden: int = 64
    features: int = 128
    frequencies: int = 128
    dropout: float = 0.2
    recompute: bool = True

    def __post_init__(self) -> None:
        _check_positive(self, "heads", "node", "edge", "attention", "node_hidden")
        _check_positive(self, "edge_hidden", "features", "frequencies")
        if self.attention % self.heads:
            raise ValueError(
                f"attention must be a multiple of heads={self.heads}; got {self.attention}"
            )
        # One round of all pairs shows the values nothing but zero edges and biases.
        fewest = 2 if self.edges == "all" else 0
        if self.layers < fewest:
            raise ValueError(
                f"layers must be at least {fewest} where edges={self.edges}; got {self.layers}"
            )
        _check_dropout(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class MlpConfig:
    """A plain MLP with GELU on flat weights.

    Attributes:
        hidden: width of its hidden layers.
        layers: number of hidden layers.
        dropout: share of hidden units dropped in training.
    """

    hidden: int = 512
    layers: int = 2
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _check_positive(self, "hidden", "layers")
        _check_dropout(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedConfig:
    """A network that sees neither order nor signs of hidden units.

    With points it also evaluates each INR there. No symmetry changes these values, so the network
    then reads the function as well as the weights. The points are learned, as in ProbeGen (arXiv
    2410.10811).

    Attributes:
        channels: features of each hidden unit.
        products: combinations of features whose pairwise products are read from each layer.
        features: width of the hidden layer that the logits are read from.
        dropout: share of the readings dropped in training.
        points: number of points at which each INR is evaluated; 0 reads weights alone.
    """

    channels: int = 64
    products: int = 16
    features: int = 128
    dropout: float = 0.2
    points: int = 0

    def __post_init__(self) -> None:
        _check_positive(self, "channels", "products", "features")
        if self.points < 0:
            raise ValueError(f"points must not be negative; got {self.points}")
        _check_dropout(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ValuesConfig:
    """A hidden layer on an INR's values at learned points (compare arXiv 2410.10811).

    Attributes:
        points: number of points at which each INR is evaluated.
        features: width of the hidden layer that the logits are read from.
        dropout: share of values and of the hidden layer dropped in training.
    """

    points: int = 256
    features: int = 128
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _check_positive(self, "points", "features")
        _check_dropout(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnConfig:
    """A network of a user's own.

    Attributes:
        name: MODULE:CLASS, called with spec, num_classes and fields.
        fields: keyword arguments besides these two.
        version: version of its package, or a digest of its code.
    """

    name: str
    fields: tuple[tuple[str, Any], ...] = ()
    version: str = ""


ModelConfig = DwsConfig | GnnConfig | MlpConfig | SignedConfig | ValuesConfig | OwnConfig
