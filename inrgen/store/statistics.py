"""Elementwise mean and deviation of a split's weights, kept beside them as a sealed document."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inrgen.core.params import Params
from inrgen.store.content import content_sha256
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files, open_files
from inrgen.store.findings import Finding
from inrgen.store.layout import STATISTICS
from inrgen.store.metadata import StoreFacts
from inrgen.store.reader import Store
from inrgen.store.seal import BLANK_SEAL, read_seal, seal

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Mean and unbiased standard deviation of every parameter over the rows that hold weights.

    split: train, val, test or all.
    count: how many rows they are over.
    mean, std: P numbers each, in the order of a flat row.
    store_seal, content_sha256: of the store that they are of.
    """

    spec_id: str
    split: str
    count: int
    mean: list[float]
    std: list[float]
    store_seal: str
    content_sha256: str


def statistics_key(spec_id: str, split: str) -> str:
    """Where a store keeps them."""
    return f"{STATISTICS}/{spec_id}.{split}.json"


def encode_statistics(found: Statistics) -> bytes:
    """The sealed document."""
    facts = {"inrgen_statistics": _FORMAT, **asdict(found), "seal": BLANK_SEAL}
    return seal(json.dumps(facts, indent=None, allow_nan=False).encode() + b"\n")


def decode_statistics(data: bytes) -> Statistics:
    """The inverse. Raises ValueError for a document that is damaged, or another one."""
    if read_seal(data) is None:
        raise ValueError("it does not match its own digest")
    facts: dict[str, Any] = json.loads(data)
    if facts.pop("inrgen_statistics", None) != _FORMAT:
        raise ValueError("it is not of statistics, or of a later version of the format")
    del facts["seal"]
    return Statistics(**facts)


def write_statistics(path: str | Path, found: Statistics) -> str:
    """Keep statistics in their store, in the place of older ones; the key of the document."""
    files, document = open_files(path), encode_statistics(found)
    key = statistics_key(found.spec_id, found.split)
    if not files.create(key, document) and files.read(key) != document:
        files.remove(key)
        files.create(key, document)
    return key


def read_statistics(store: Store, split: str, spec_id: str | None = None) -> tuple[Params, Params]:
    """Mean and standard deviation that a store keeps of a split, each as one float32 INR.

    Raises:
        FileNotFoundError: there are none; `inrgen stats` makes them.
        DamagedStore: they were altered, or are of another store.
    """
    spec_id = store.spec.spec_id if spec_id is None else spec_id
    key = statistics_key(spec_id, split)
    try:
        found = decode_statistics(open_files(store.path).read(key))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{store.path} keeps no statistics of split {split}: "
            f"`inrgen stats {store.path} --split {split}` makes them"
        ) from error
    except ValueError as error:
        raise DamagedStore(f"{store.path} is damaged: {key}: {error}", key=key) from error
    if found.store_seal != store.seal:
        raise DamagedStore(f"{store.path} is damaged: {key} is of another store", key=key)
    numbers = torch.tensor([found.mean, found.std], dtype=torch.float32)
    both = Params.from_flat(store.specs[spec_id], numbers)
    return both[0:1], both[1:2]


def check_statistics(files: Files, facts: StoreFacts, path: str | Path) -> Iterator[Finding]:
    """Every document of statistics that is altered or not of the store as it is."""
    names = files.names(STATISTICS)
    if not names:
        return
    try:
        content = content_sha256(path)
    except ValueError:
        # what is missing or damaged has findings of its own
        content = None
    for name in names:
        key = f"{STATISTICS}/{name}"
        try:
            found = decode_statistics(files.read(key))
        except ValueError as error:
            yield Finding(kind="statistics", key=key, message=str(error))
            continue
        same = found.content_sha256 == content or content is None
        if found.store_seal != facts.seal or not same:
            message = "it is of another store, or of this one before it changed"
            yield Finding(kind="statistics", key=key, message=message)
