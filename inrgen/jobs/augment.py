"""Augment a store: derive a store of changed copies of every row."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.derive import DerivePlan, DeriveSummary, ensure_store, fill, plan_derivation
from inrgen.jobs.operations import AUGMENT, augment_parameters
from inrgen.store.derivation import read_derivation
from inrgen.store.files.location import Location
from inrgen.store.files.opening import open_files
from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.metadata import plain_json, read_facts
from inrgen.transforms.named import Link, make_chain, parse_links


def augment_store(
    store: Location,
    out: Location,
    augment: str | Sequence[Link],
    *,
    copies: int = 1,
    seed: int = 0,
    published: bool = False,
    executor: ExecutorConfig | None = None,
) -> DeriveSummary:
    """Augment a store into a new one, or resume an earlier run of the same augmentation.

    Args:
        augment: transforms as text, such as rotation:bound_deg=30,noise:scale=0.1, or links.
        copies: changed copies of each row; copy c of row p is row p * copies + c.
        seed: names all randomness.
        published: take the parametrisation and defaults of the published code.
        executor: settings for running blocks; the result never depends on them.

    Raises:
        ValueError: a transform does not fit the networks, the store is not finished, or out holds
            another store.
        OSError: the new store cannot be written.
    """
    links = parse_links(augment, published) if isinstance(augment, str) else tuple(augment)
    own = tuple(link.name for link in links if link.version)
    plan = replace(_plan(store, out, links, copies, seed), own_code=own)
    for spec in plan.parent.specs.values():
        # A transform without meaning for these networks is refused before anything is written.
        make_chain(links).draw(spec, torch.zeros(0, dtype=torch.int64))
    ensure_store(plan, dict)
    return replace(fill(plan, executor or ExecutorConfig()), store=str(out))


def _plan(
    store: Location, out: Location, links: Sequence[Link], copies: int, seed: int
) -> DerivePlan:
    """Plan the store, with the number of earlier augmentations among its parameters.

    A store that an earlier version began without that number resumes without it.
    """
    plan = plan_derivation(store, out, AUGMENT, copies, augment_parameters(links, seed))
    # Alignments in between draw nothing, so they do not count.
    before = [read_derivation(identity) for identity in plan.parent.identities]
    earlier = sum(done is not None and done.operation == AUGMENT for done in before)
    files = open_files(plan.out)
    if files.size_bytes(ROOT_DOCUMENT) is not None:
        begun = read_facts(files).identity
        if begun == plain_json("identity", plan.derivation.identity):
            return plan
    parameters = augment_parameters(links, seed, earlier)
    return replace(plan, derivation=replace(plan.derivation, parameters=parameters))
