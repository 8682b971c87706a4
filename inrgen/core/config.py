"""Names and choices that every room shares, importable without torch.

Config dataclasses of verbs are built from these, and a command line must show its help at once.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

# The parts of a data set.
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

FirstLayer = Literal["small", "siren"]
HiddenBias = Literal["zero", "torch"]
LastLayer = Literal["torch", "siren", "small"]
LayerRule = Literal["siren", "glorot", "torch"]
FirstBias = Literal["hidden"]

# The part of the symmetry group that a search may use; each contains the one before.
Kind = Literal["permutation", "signed", "phase"]
Opening = Literal["identity", "ends", "both"]


def hash_name(name: str) -> int:
    """64 bits of BLAKE2b of a text, as a signed integer."""
    # BLAKE2b, not hash(): Python salts hash() in every process.
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") - (
        1 << 63
    )


def digest_items(items: Iterable[tuple[str, Split, int]]) -> str:
    """sha256 over ids, splits and labels in order, as a name for a list of items."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item).encode() + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class InitConfig:
    """Initial weights of an INR. Every draw is uniform in [-bound, bound).

    Attributes:
        first_layer: "small" draws it like a hidden layer (the DWSNets family). "siren" has the
            bound 1 / fan_in (arXiv 2006.09661, section 3.2). A number multiplies the bound of
            "siren".
        hidden_bias: biases of the hidden layers: "zero", "torch" with bound 1 / sqrt(fan_in), or a
            number as the bound.
        last_layer: "torch" draws weight and bias with bound 1 / sqrt(fan_in), torch's default for
            linear layers. "siren" draws the weight like a hidden layer's and the bias like
            "torch". "small" draws that weight and sets the bias to zero.
        shared: every item starts a view from the same weights, so that views differ and items
            do not.
        hidden_layer: bound of hidden weights. "siren" is sqrt(6 / fan_in) / omega, which is He's
            for relu (arXiv 1502.01852) with the usual omega of 1. "glorot" is
            sqrt(6 / (fan_in + fan_out)) / omega (Glorot and Bengio, AISTATS 2010, eq. 16). "torch"
            is 1 / sqrt(fan_in).
        first_bias: biases of the first layer: "hidden" for hidden_bias, or a number as the bound,
            the k by which FINER spreads its frequencies (arXiv 2312.02434, section 3.2).
    """

    first_layer: FirstLayer | float = "small"
    hidden_bias: HiddenBias | float = "zero"
    last_layer: LastLayer = "torch"
    shared: bool = False
    hidden_layer: LayerRule = "siren"
    first_bias: FirstBias | float = "hidden"

    def __post_init__(self) -> None:
        choices = (
            ("first_layer", FirstLayer),
            ("hidden_bias", HiddenBias),
            ("first_bias", FirstBias),
        )
        for name, words in choices:
            value, known = getattr(self, name), get_args(words)
            # The comparison also refuses NaN.
            if not (value in known if isinstance(value, str) else 0 < value < math.inf):
                raise ValueError(
                    f"{name} must be {', '.join(known)} or a positive number; got {value!r}"
                )
        for name, words in (("last_layer", LastLayer), ("hidden_layer", LayerRule)):
            if getattr(self, name) not in get_args(words):
                raise ValueError(
                    f"{name} must be one of {get_args(words)}; got {getattr(self, name)!r}"
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; InitConfig(**facts) is the inverse."""
        facts = asdict(self)
        # Stores of SIRENs from before these fields record none, and must keep their bytes.
        for name, default in (("hidden_layer", "siren"), ("first_bias", "hidden")):
            if facts[name] == default:
                del facts[name]
        return facts


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchConfig:
    """Search space and effort of weight matching.

    Attributes:
        kind: "permutation" as published; "signed" adds the sign of each unit; "phase" adds half
            periods, too.
        order: order of the hidden layers, one tuple a sweep, repeated from the first tuple; ()
            takes layers from the first to the last.
        max_sweeps: sweeps over the layers; the descent ends sooner if a sweep changes nothing.
        restarts: number of further descents, of which the nearest result counts. They start from
            random permutations or, if ends open the search, from ends disturbed at random.
        seed: names the randomness of restarts.
        opening: "identity" starts there, as published. "ends" first matches the hidden layers from
            the last to the first, each by its connections to outputs, coordinates and layers
            already matched; it may end farther away than the identity. "both" takes the nearer.
    """

    kind: Kind = "signed"
    order: tuple[tuple[int, ...], ...] = ()
    max_sweeps: int = 100
    restarts: int = 0
    seed: int = 0
    opening: Opening = "identity"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {get_args(Kind)}; got {self.kind!r}")
        if self.max_sweeps < 1 or self.restarts < 0:
            raise ValueError(
                "max_sweeps must be positive and restarts not negative; "
                f"got {self.max_sweeps} and {self.restarts}"
            )
        if self.opening not in get_args(Opening):
            raise ValueError(f"opening must be one of {get_args(Opening)}; got {self.opening!r}")


def thorough(kind: Kind) -> MatchConfig:
    """The search for work that is done once: both openings and three restarts.

    It takes five times as long as a single descent. It never ends farther away than it began, nor
    than the published descent through the layers in their order. With layers in another order that
    descent may end nearer on some pairs: inrgen/core/matching.py has the figures.
    """
    return MatchConfig(kind=kind, restarts=3, opening="both")
