"""Network families by name: configs from text or JSON, and networks from configs.

Networks are imported when one is made, so reading a config needs no torch.
"""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from inrgen.core.config_text import check_name, read_config, split_one_name
from inrgen.core.own_code import code_version, import_own, is_own_name, read_arguments
from inrgen.core.spec import InrSpec
from inrgen.training.models.config import (
    DwsConfig,
    GnnConfig,
    MlpConfig,
    ModelConfig,
    OwnConfig,
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
    """The family of a config, or MODULE:CLASS."""
    if isinstance(config, OwnConfig):
        return config.name
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
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of GPUs.
        torch.default_generator.manual_seed(seed)
        if isinstance(config, OwnConfig):
            from inrgen.training.models.own import make_own

            return make_own(config, spec, num_classes)
        name = name_of(config)
        module = importlib.import_module(f"inrgen.training.models.{name}")
        return getattr(module, FAMILIES[name].network)(config, spec, num_classes)


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """A config as plain JSON values, with its family as "name"; from_dict is the inverse."""
    if isinstance(config, OwnConfig):
        return {**asdict(config), "fields": dict(config.fields)}
    return {"name": name_of(config), **asdict(config)}


def from_dict(values: dict[str, Any]) -> ModelConfig:
    """Rebuild a config from to_dict's values, those of earlier versions included.

    Raises ValueError for an unknown family or key.
    """
    rest = dict(values)
    if is_own_name(str(values.get("name"))):
        return OwnConfig(**{**rest, "fields": tuple(sorted(values.get("fields", {}).items()))})
    family = _family(rest.pop("name", None))
    known = set(family.config.__dataclass_fields__)
    # A config of a later version may have fields that this one would ignore.
    if not set(rest) <= known:
        raise ValueError(f"a {values['name']} config has the keys {sorted(known)}; got {values}")
    return family.config(**{**family.before, **rest})


def parse_model(text: str) -> ModelConfig:
    """Read a model from NAME[,FIELD=VALUE]..., such as mlp or mlp,hidden=256,dropout=0.2.

    Fields are those of the family's config. MODULE:CLASS imports a network of the user's own.

    Raises ValueError for text that is not understood.
    """
    named = split_one_name(text, "model", FAMILIES)
    if is_own_name(named.name):
        target = import_own(named.name, "model")
        settled = ("self", "spec", "num_classes")
        values = read_arguments(target, named.fields, f"model {named.name}", settled)
        return OwnConfig(
            name=named.name,
            fields=tuple(sorted(values.items())),
            version=code_version(target),
        )
    # OwnConfig is no family, so every config here has defaults for all its fields.
    default: Any = _family(named.name).config
    return read_config(named, default(), "model")


def _family(name: Any) -> Family:
    return FAMILIES[check_name(str(name), FAMILIES, "model")]
