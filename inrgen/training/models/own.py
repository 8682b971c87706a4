"""Networks of a user's own, from MODULE:CLASS: built from spec and number of classes."""

import inspect
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.own_code import import_recorded
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.config import OwnConfig


class OwnNetwork(WeightSpaceNetwork):
    """A network whose logits are all that is known of it.

    Its weights are trained as a whole: without features and a head there is no linear read-out.
    normalisation is the inner network's, and "element" where it has none.
    """

    def __init__(self, inner: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.inner, self.head = inner, nn.Identity()  # pyright: ignore
        self.normalisation = getattr(inner, "normalisation", "element")  # pyright: ignore
        self.num_features = num_classes

    def encode(self, params: Params) -> Float[Tensor, "b c"]:
        """The logits."""
        return self.inner(params)


def has_features(network: nn.Module) -> bool:
    """Tell whether a network has features and a head, as read-outs and projectors need them."""
    return isinstance(network, WeightSpaceNetwork) and not isinstance(network, OwnNetwork)


def make_own(config: OwnConfig, spec: InrSpec, num_classes: int) -> WeightSpaceNetwork:
    """Build the network that config names.

    Raises ValueError for code that the user did not name, and for what is no network.
    """
    target: Any = import_recorded(config.name, "model")
    try:
        network = target(spec, num_classes, **dict(config.fields))
    except TypeError as error:
        raise ValueError(
            f"model {config.name} must be a class or function of (spec, num_classes, **fields): "
            f"{error}"
        ) from error
    if not isinstance(network, nn.Module):
        kind = type(network).__name__ if not inspect.isclass(network) else network.__name__
        raise ValueError(f"model {config.name} must make an nn.Module; got {kind}")
    if isinstance(network, WeightSpaceNetwork):
        return network
    return OwnNetwork(network, num_classes)
