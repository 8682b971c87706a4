"""The network families by name, and how one is made."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from inrgen.core.config_text import check_name, read_config, split_one_name
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.dws import Dws, DwsConfig
from inrgen.training.models.gnn import Gnn, GnnConfig
from inrgen.training.models.mlp import Mlp, MlpConfig
from inrgen.training.models.signed import Signed, SignedConfig
from inrgen.training.models.values import Values, ValuesConfig

ModelName = Literal["dws", "gnn", "mlp", "signed", "values"]
ModelConfig = DwsConfig | GnnConfig | MlpConfig | SignedConfig | ValuesConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A network family: the class of its configs, and what builds a network from one."""

    config: type[ModelConfig]
    network: Callable[[Any, InrSpec, int], WeightSpaceNetwork]


FAMILIES: dict[str, Family] = {
    "dws": Family(config=DwsConfig, network=Dws),
    "gnn": Family(config=GnnConfig, network=Gnn),
    "mlp": Family(config=MlpConfig, network=Mlp),
    "signed": Family(config=SignedConfig, network=Signed),
    "values": Family(config=ValuesConfig, network=Values),
}


def name_of(config: ModelConfig) -> str:
    """The family that a config belongs to."""
    return next(name for name, family in FAMILIES.items() if type(config) is family.config)


def make_model(
    config: ModelConfig, spec: InrSpec, num_classes: int, seed: int
) -> WeightSpaceNetwork:
    """A network for INRs of one spec, on the CPU, with weights that depend on the seed alone.

    torch's global generators are left as they were.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2; got {num_classes}")
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of GPUs as well.
        torch.default_generator.manual_seed(seed)
        return FAMILIES[name_of(config)].network(config, spec, num_classes)


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """A config as plain JSON values, with its family as "name"; from_dict is its inverse."""
    return {"name": name_of(config), **asdict(config)}


def from_dict(facts: dict[str, Any]) -> ModelConfig:
    """Rebuild a config from to_dict's values. Raises ValueError for an unknown family or key."""
    rest = dict(facts)
    family = _family(rest.pop("name", None))
    known = set(family.config.__dataclass_fields__)
    if not set(rest) <= known:
        raise ValueError(f"a {facts['name']} config has the keys {sorted(known)}; got {facts}")
    return family.config(**rest)


def parse_model(text: str) -> ModelConfig:
    """Read a model from NAME[,FIELD=VALUE]..., such as mlp or mlp,hidden=256,dropout=0.2.

    Fields are those of the family's config. Raises ValueError for text that is not understood.
    """
    named = split_one_name(text, "model")
    return read_config(named, _family(named.name).config(), "model")


def _family(name: Any) -> Family:
    return FAMILIES[check_name(str(name), FAMILIES, "model")]
