"""Statistics of a split: mean and deviation of every parameter, kept in the store itself."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inrgen.core.params import Params
from inrgen.store.content import content_of
from inrgen.store.digests import BLANK_CHECKSUM, add_self_checksum, read_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.inspection import Finding
from inrgen.store.layout import STATISTICS
from inrgen.store.metadata import StoreFacts
from inrgen.store.reader import Store

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Mean and unbiased standard deviation of every parameter over the rows that hold weights.

    Attributes:
        split: train, val, test or all.
        count: number of rows.
        mean, std: P numbers each, in the order of a flat row.
        store_seal: self-checksum of the store's root document, under its stored name.
        content_sha256: content digest of the store.
    """

    spec_id: str
    split: str
    count: int
    mean: list[float]
    std: list[float]
    store_seal: str
    content_sha256: str


def statistics_key(spec_id: str, split: str) -> str:
    """Return the key of a split's statistics."""
    return f"{STATISTICS}/{spec_id}.{split}.json"


def encode_statistics(found: Statistics) -> bytes:
    """Return the document, with its self-checksum."""
    facts = {"inrgen_statistics": _FORMAT, **asdict(found), "seal": BLANK_CHECKSUM}
    return add_self_checksum(json.dumps(facts, indent=None, allow_nan=False).encode() + b"\n")


def decode_statistics(data: bytes) -> Statistics:
    """Read a document. Raises ValueError if it is damaged or something else."""
    if read_self_checksum(data) is None:
        raise ValueError("it does not match its self-checksum")
    facts: Any = json.loads(data)
    if not isinstance(facts, dict) or facts.pop("inrgen_statistics", None) != _FORMAT:
        raise ValueError("it does not hold statistics, or has a later version of the format")
    facts.pop("seal", None)
    # a document may be sealed and still say anything
    if facts.keys() != Statistics.__annotations__.keys():
        raise ValueError(f"it must have the keys {', '.join(Statistics.__annotations__)}")
    for name, kind in (("count", int), ("mean", list), ("std", list)):
        if type(facts[name]) is not kind:
            raise ValueError(f"its {name} must be a {kind.__name__}")
    if not all(type(number) in (int, float) for number in facts["mean"] + facts["std"]):
        raise ValueError("its mean and std must be numbers")
    return Statistics(**facts)


def write_statistics(path: str | Path, found: Statistics) -> str:
    """Keep statistics in their store, replacing older ones; return the key of the document."""
    files, document = open_files(path), encode_statistics(found)
    key = statistics_key(found.spec_id, found.split)
    # create never replaces a file, so that readers meet the old document, none or the new one
    if not files.create(key, document) and files.read(key) != document:
        files.remove(key)
        files.create(key, document)
    return key


def read_statistics(store: Store, split: str, spec_id: str | None = None) -> tuple[Params, Params]:
    """Return the mean and standard deviation of a split, each as one float32 INR.

    Raises:
        FileNotFoundError: there are none; `inrgen stats` makes them.
        DamagedStore: they were altered, or belong to another store.
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
    if found.store_seal != store.self_checksum:
        raise DamagedStore(f"{store.path} is damaged: {key} is of another store", key=key)
    spec = store.specs[spec_id]
    if {len(found.mean), len(found.std)} != {spec.num_params}:
        message = f"{key} must have {spec.num_params} numbers for mean and std"
        raise DamagedStore(f"{store.path} is damaged: {message}", key=key)
    numbers = torch.tensor([found.mean, found.std], dtype=torch.float32)
    both = Params.from_flat(spec, numbers)
    return both[0:1], both[1:2]


def check_statistics(files: Files, facts: StoreFacts) -> Iterator[Finding]:
    """Yield every document of statistics that is altered or does not match the store."""
    names = files.names(STATISTICS)
    if not names:
        return
    try:
        # by these facts, since the document on disk may be lost or another store's
        content = content_of(files, facts)
    except ValueError:
        # missing or damaged blocks have their own findings
        content = None
    for name in names:
        key = f"{STATISTICS}/{name}"
        try:
            found = decode_statistics(files.read(key))
        except ValueError as error:
            yield Finding(kind="statistics", key=key, message=str(error))
            continue
        same = found.content_sha256 == content or content is None
        if found.store_seal != facts.self_checksum or not same:
            message = "it is of another store, or of this one before it changed"
            yield Finding(kind="statistics", key=key, message=message)
