"""Materialise augmentations: changed copies of every row as a store of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.augment import OPERATION, augment_parameters
from inrgen.jobs.derive import (
    DerivePlan,
    DeriveSummary,
    ensure_store,
    fill,
    plan_derivation,
    summarise,
)
from inrgen.store.derivation import read_derivation
from inrgen.store.files.protocol import open_files
from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.metadata import plain_json, read_facts
from inrgen.transforms.named import Link, make_chain, parse_links


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Make a store of changed copies of every row; the same command again resumes.

    Copy c of row p is row p * copies + c; every record notes its parent's row and its draw. Rows
    of all splits are changed alike. The result depends on nothing that comes after seed. Of a store
    that was augmented before, rows are changed by draws of their own, under the same seed too.

    Attributes:
        store: the store's folder.
        out: the folder of the new store; made where there is none.
        chain: transforms in order, such as rotation:bound_deg=30,gaussian-noise:scale=0.1; each is
            a name with, after colons, fields of its own and chance=0.5 to have it act on half of
            the rows.
        copies: changed copies of each row.
        seed: names all randomness.
        published: take the published parametrisation and defaults of transforms.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument
    chain: str
    copies: int = 1
    seed: int = 0
    published: bool = False
    how: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = field(default_factory=ExecutorConfig)

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1; got {self.copies}")
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed must fit into 64 bits with its sign; got {self.seed}")


def _plan(config: AugmentConfig, links: Sequence[Link]) -> DerivePlan:
    """What decides the result, the augmentations behind the parent among it.

    A store that was begun when they did not count goes on without them.
    """
    parameters = augment_parameters(links, config.seed)
    plan = plan_derivation(config.store, config.out, OPERATION, config.copies, parameters)
    before = [read_derivation(identity) for identity in plan.parent.identities]
    earlier = sum(done is not None and done.operation == OPERATION for done in before)
    files = open_files(plan.out)
    if files.size_bytes(ROOT_DOCUMENT) is not None:
        begun = read_facts(files, plan.out).identity
        if begun == plain_json("identity", plan.derivation.identity):
            return plan
    parameters = augment_parameters(links, config.seed, earlier)
    return replace(plan, derivation=replace(plan.derivation, parameters=parameters))


def augment(config: AugmentConfig) -> DeriveSummary:
    """Augment a store, or go on with one that an earlier run of the same command began.

    Raises:
        ValueError: the chain does not fit the store, the store is not finished, or out holds
            another one.
        OSError: the new store cannot be written.
    """
    links = parse_links(config.chain, config.published)
    plan = _plan(config, links)
    for spec in plan.parent.specs.values():
        # a transform that has no meaning for these networks says so before anything is written
        make_chain(links).draw(spec, torch.zeros(0, dtype=torch.int64))
    ensure_store(plan, dict)
    return summarise(plan, config.out, fill(plan, config.how), None)
