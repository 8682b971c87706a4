"""`inrgen augment`: make a store of changed copies of every row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.executors.config import ExecutorConfig

if TYPE_CHECKING:
    from inrgen.jobs.derive import DeriveSummary
    from inrgen.transforms.named import Link


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Make a store of changed copies of every row.

    The same command again resumes. Copy c of row p is row p * copies + c, and every record holds
    its parent's row and its draw. Rows of all splits are changed alike. The result depends on no
    option after seed except published. Augmenting a store again draws fresh randomness, even with
    the same seed.

    Attributes:
        store: the store's folder.
        out: the folder of the new store; made if it does not exist.
        augment: transforms in order, such as rotation:bound_deg=30,noise:scale=0.1. Each name may
            be followed by fields of the transform, and by chance=0.5 to change half of the rows.
            MODULE:NAME:FIELD=VALUE imports a transform of your own, whose code is then run.
        copies: changed copies of each row.
        seed: names all randomness.
        published: take the parametrisation and defaults of the published code.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument
    augment: str
    copies: int = 1
    seed: int = 0
    published: bool = False
    how: Annotated[tyro.conf.OmitArgPrefixes[ExecutorConfig], tyro.conf.arg(name="executor")] = (
        field(default_factory=ExecutorConfig)
    )

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1; got {self.copies}")
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed must fit into 64 bits with its sign; got {self.seed}")


def augment(config: AugmentConfig, links: "Sequence[Link] | None" = None) -> "DeriveSummary":
    """Augment a store, or resume an earlier run; raises what jobs.augment_store raises.

    Args:
        links: the transforms themselves, in place of config.augment.
    """
    from inrgen.jobs.augment import augment_store

    return augment_store(
        config.store,
        config.out,
        links or config.augment,
        copies=config.copies,
        seed=config.seed,
        published=config.published,
        executor=config.how,
    )
