"""The Zarr documents of a store, which hold everything that is known of it as a whole."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from inrgen.core.spec import InrSpec
from inrgen.store.derivation import Derivation, read_derivation
from inrgen.store.digests import (
    BLANK_CHECKSUM,
    DIGESTS,
    Digest,
    add_self_checksum,
    read_self_checksum,
)
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.layout import FORMAT_VERSION, ROOT_DOCUMENT, Layout

_FORMULA = (
    "h_0 = x; h_{l+1} = activation(omega[l] * (W_l h_l + b_l)) for every layer but the last; "
    "f(x) = W_L h_L + b_L + output_offset"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFacts:
    """Content of a store's root document.

    Attributes:
        identity: plain JSON that a run must match to resume the store.
        about: plain JSON that is recorded and never compared.
        self_checksum: of the root document; every fragment repeats it.
        digest: algorithm of the digests that fragments record.
    """

    specs: dict[str, InrSpec]
    layouts: dict[str, Layout]
    identity: dict[str, Any]
    about: dict[str, Any]
    self_checksum: str
    digest: Digest

    @property
    def derivation(self) -> Derivation | None:
        """Operation that made the store from another one; None for a store that was built."""
        return read_derivation(self.identity)

    def check_spec_id(self, spec_id: str | None) -> str:
        """Return the spec_id, or that of the only spec for None. Raises ValueError otherwise."""
        if spec_id is None and len(self.specs) == 1:
            return next(iter(self.specs))
        if spec_id not in self.specs:
            raise ValueError(f"spec_id must be one of {sorted(self.specs)}; got {spec_id!r}")
        return spec_id


def plain_json(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value as JSON restores it, with tuples as lists; ValueError if it is not JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be plain JSON: {error}") from error


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _spec_attributes(spec: InrSpec, layout: Layout) -> dict[str, Any]:
    """Return everything that rebuilds the networks from rows without this package."""
    layers = [
        {"name": slot.name, "shape": list(slot.shape), "offset": slot.offset}
        for slot in spec.layers
    ]
    return {
        "spec": spec.to_dict(),
        "layers": layers,
        "num_params": spec.num_params,
        "formula": _FORMULA,
        **asdict(layout),
    }


def _zarr_documents(arrays: Sequence[tuple[InrSpec, Layout]]) -> dict[str, dict[str, Any]]:
    """Return the documents that zarr itself writes for the groups and arrays, by path."""
    # zarr is slow to import, and only creation needs it
    import numpy as np
    import zarr
    from zarr.codecs import Crc32cCodec
    from zarr.storage import MemoryStore

    written: dict[str, Any] = {}
    root = zarr.create_group(MemoryStore(written))
    for spec, layout in arrays:
        group = root.create_group(spec.spec_id, attributes=_spec_attributes(spec, layout))
        group.create_array(
            "params",
            shape=(layout.rows, spec.num_params),
            dtype="float32",
            chunks=(layout.chunk_rows, spec.num_params),
            shards=(layout.shard_rows, spec.num_params),
            compressors=Crc32cCodec(),
            filters=None,
            # a missing shard must never pass for zeros
            fill_value=np.nan,
            dimension_names=("row", "parameter"),
        )
    ending = "/" + ROOT_DOCUMENT
    return {
        key.removesuffix(ending): json.loads(text.to_bytes())
        for key, text in written.items()
        if key.endswith(ending)
    }


def root_document(
    arrays: Sequence[tuple[InrSpec, Layout]], identity: dict[str, Any], about: dict[str, Any]
) -> bytes:
    """Return the document of the root group, with its self-checksum."""
    facts = {
        "format_version": FORMAT_VERSION,
        "specs": [spec.spec_id for spec, _ in arrays],
        "identity": identity,
        "about": about,
    }
    document = {
        "zarr_format": 3,
        "node_type": "group",
        # sorted keys put "seal" after "inrgen", whose text may contain the same mark
        "attributes": {"inrgen": facts, "seal": BLANK_CHECKSUM},
        # zarr opens the store from this one file, and ignores the folders beside its arrays
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": False,
            "metadata": _zarr_documents(arrays),
        },
    }
    return add_self_checksum(_dump(document))


def child_documents(root: bytes) -> dict[str, bytes]:
    """Return the documents of groups and arrays, by key, as the root document repeats them."""
    documents = json.loads(root)["consolidated_metadata"]["metadata"]
    return {f"{path}/{ROOT_DOCUMENT}": _dump(document) for path, document in documents.items()}


def parse_root(root: bytes, location: object) -> StoreFacts:
    """Read a root document.

    Raises:
        DamagedStore: its self-checksum is wrong.
        ValueError: it belongs to something else, or to a later version of the format.
    """
    checksum = read_self_checksum(root)
    if checksum is None:
        # a foreign group never mentions inrgen; a damaged document of ours still does
        if b"inrgen" not in root:
            raise ValueError(f"{location} is a zarr group, but not an inrgen store")
        raise DamagedStore(
            f"{location} is damaged: its {ROOT_DOCUMENT} does not match its self-checksum",
            key=ROOT_DOCUMENT,
        )
    document = json.loads(root)
    facts = document["attributes"]["inrgen"]
    if facts["format_version"] not in DIGESTS:
        raise ValueError(
            f"{location} has format version {facts['format_version']}; "
            f"this inrgen reads versions up to {max(DIGESTS)}"
        )
    groups = document["consolidated_metadata"]["metadata"]
    specs, layouts = {}, {}
    for spec_id in facts["specs"]:
        attributes = groups[spec_id]["attributes"]
        specs[spec_id] = InrSpec.from_dict(attributes["spec"])
        # older stores lack later fields of Layout, whose defaults describe them
        known = [field.name for field in fields(Layout) if field.name in attributes]
        layouts[spec_id] = Layout(**{name: attributes[name] for name in known})
    return StoreFacts(
        specs=specs,
        layouts=layouts,
        identity=facts["identity"],
        about=facts["about"],
        self_checksum=checksum,
        digest=DIGESTS[facts["format_version"]],
    )


def read_facts(files: Files) -> StoreFacts:
    """Read what a store is.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore, ValueError: as parse_root.
    """
    try:
        root = files.read(ROOT_DOCUMENT)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{files.location} is not an inrgen store: it has no zarr.json"
        ) from error
    return parse_root(root, files.location)
