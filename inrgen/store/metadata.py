"""The zarr documents of a store: what they say, made and read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from inrgen.core.spec import InrSpec
from inrgen.store.derivation import Derivation, read_derivation
from inrgen.store.digest import DIGESTS, Digest
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.layout import FORMAT_VERSION, ROOT_DOCUMENT, Layout
from inrgen.store.seal import BLANK_SEAL, read_seal, seal

_FORMULA = (
    "h_0 = x; h_{l+1} = activation(omega[l] * (W_l h_l + b_l)) for every layer but the last; "
    "f(x) = W_L h_L + b_L + output_offset"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFacts:
    """What a store's root document says.

    identity: what a run that resumes the store is held to; plain JSON.
    about: what is merely noted.
    seal: the digest of the root document, which every fragment repeats.
    digest: the kind of digest that fragments note of shards and records.
    """

    specs: dict[str, InrSpec]
    layouts: dict[str, Layout]
    identity: dict[str, Any]
    about: dict[str, Any]
    seal: str
    digest: Digest

    @property
    def derivation(self) -> Derivation | None:
        """What the store was derived by; None for one that was not."""
        return read_derivation(self.identity)


def plain_json(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON gives it back: tuples as lists. ValueError for what JSON cannot hold."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be plain JSON: {error}") from error


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _spec_attributes(spec: InrSpec, layout: Layout) -> dict[str, Any]:
    """All that it takes to rebuild the networks from rows, without this package."""
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
    """The documents that zarr itself writes for the groups and arrays, by path."""
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
    """The sealed document of the root group; it repeats all others as consolidated metadata.

    Consolidated, so that zarr opens the store from this one file and takes no notice of the
    folders beside its arrays.
    """
    return seal(
        _dump(
            {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": {
                    "inrgen": {
                        "format_version": FORMAT_VERSION,
                        "specs": [spec.spec_id for spec, _ in arrays],
                        "identity": identity,
                        "about": about,
                    },
                    "seal": BLANK_SEAL,
                },
                "consolidated_metadata": {
                    "kind": "inline",
                    "must_understand": False,
                    "metadata": _zarr_documents(arrays),
                },
            }
        )
    )


def child_documents(root: bytes) -> dict[str, bytes]:
    """The documents of a store's groups and arrays, by key, as its root document has them."""
    documents = json.loads(root)["consolidated_metadata"]["metadata"]
    return {f"{path}/{ROOT_DOCUMENT}": _dump(document) for path, document in documents.items()}


def parse_root(root: bytes, where: object) -> StoreFacts:
    """Read a root document.

    Raises:
        DamagedStore: its seal is broken.
        ValueError: it belongs to something else, or to a later version of the format.
    """
    digest = read_seal(root)
    if digest is None:
        if b"inrgen" not in root:
            raise ValueError(f"{where} is a zarr group, but not an inrgen store")
        raise DamagedStore(
            f"{where} is damaged: its {ROOT_DOCUMENT} does not match its own digest",
            key=ROOT_DOCUMENT,
        )
    document = json.loads(root)
    facts = document["attributes"]["inrgen"]
    if facts["format_version"] not in DIGESTS:
        raise ValueError(
            f"{where} has format version {facts['format_version']}; "
            f"this inrgen reads versions up to {max(DIGESTS)}"
        )
    groups = document["consolidated_metadata"]["metadata"]
    specs, layouts = {}, {}
    for spec_id in facts["specs"]:
        attributes = groups[spec_id]["attributes"]
        specs[spec_id] = InrSpec.from_dict(attributes["spec"])
        cut = [field.name for field in fields(Layout) if field.name in attributes]
        layouts[spec_id] = Layout(**{name: attributes[name] for name in cut})
    return StoreFacts(
        specs=specs,
        layouts=layouts,
        identity=facts["identity"],
        about=facts["about"],
        seal=digest,
        digest=DIGESTS[facts["format_version"]],
    )


def read_facts(files: Files, where: object) -> StoreFacts:
    """Read what the store in a folder is.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore, ValueError: as parse_root.
    """
    try:
        root = files.read(ROOT_DOCUMENT)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where} is not an inrgen store: it has no zarr.json") from error
    return parse_root(root, where)
