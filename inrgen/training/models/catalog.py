"""Network families by name: configs from text or JSON, and networks from configs.

Networks are imported when one is made, so reading a config needs no torch.
"""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from inrgen.core.config_text import check_name, read_config, split_one_name
from inrgen.core.spec import InrSpec
from inrgen.training.models.config import (
    DwsConfig,
    GnnConfig,
    MlpConfig,
    ModelConfig,
    SignedConfig,
    ValuesConfig,
)

if TYPE_CHECKING:
    from inrgen.training.models.base import WeightSpaceNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A network family.

    Attributes:
        config: the class of its configs.
        network: the name of its network class, in the module that has the family's name.
        before: values of fields that configs recorded before the field existed stand for.
    """

    config: type[ModelConfig]
    network: str
    before: Mapping[str, str] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {
    "dws": Family(config=DwsConfig, network="Dws", before={"heads_per": "group"}),
    "gnn": Family(config=GnnConfig, network="Gnn", before={"edges": "joined"}),
    "mlp": Family(config=MlpConfig, network="Mlp"),
    "signed": Family(config=SignedConfig, network="Signed"),
    "values": Family(config=ValuesConfig, network="Values"),
}


def name_of(config: ModelConfig) -> str:
    """The family of a config."""
    return next(name for name, family in FAMILIES.items() if type(config) is family.config)


def make_model(
    config: ModelConfig, spec: InrSpec, num_classes: int, seed: int
) -> "WeightSpaceNetwork":
    """A network for INRs of one spec, on the CPU, whose first weights depend on the seed alone.

    torch's global generators are left as they were.
    """
    import torch

    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2; got {num_classes}")
    name = name_of(config)
    network = getattr(
        importlib.import_module(f"inrgen.training.models.{name}"), FAMILIES[name].network
    )
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of GPUs.
        torch.default_generator.manual_seed(seed)
        return network(config, spec, num_classes)


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """A config as plain JSON values, with its family as "name"; from_dict is the inverse."""
    return {"name": name_of(config), **asdict(config)}


def from_dict(values: dict[str, Any]) -> ModelConfig:
    """Rebuild a config from to_dict's values, those of earlier versions included.

    Raises ValueError for an unknown family or key.
    """
    rest = dict(values)
    family = _family(rest.pop("name", None))
    known = set(family.config.__dataclass_fields__)
    # A config of a later version may have fields that this one would ignore.
    if not set(rest) <= known:
        raise ValueError(f"a {values['name']} config has the keys {sorted(known)}; got {values}")
    return family.config(**{**family.before, **rest})


def parse_model(text: str) -> ModelConfig:
    """Read a model from NAME[,FIELD=VALUE]..., such as mlp or mlp,hidden=256,dropout=0.2.

    Fields are those of the family's config. Raises ValueError for text that is not understood.
    """
    named = split_one_name(text, "model")
    return read_config(named, _family(named.name).config(), "model")


def _family(name: Any) -> Family:
    return FAMILIES[check_name(str(name), FAMILIES, "model")]
