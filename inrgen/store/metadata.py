"""The Zarr documents of a store, which hold everything that is known of it as a whole."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from inrgen.core.activations import ACTIVATIONS
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
from inrgen.store.layout import (
    FORMAT_VERSION,
    GROWN_VERSION,
    INDEX,
    ITEMS,
    RECORDS,
    ROOT_COPY,
    ROOT_DOCUMENT,
    STATISTICS,
    Layout,
)
from inrgen.store.versions import StoreVersion, pick_checksum, read_versions

# A name that is one folder below the store on every file system, and never a store's own file.
_SPEC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_RESERVED = frozenset({RECORDS, INDEX, STATISTICS, ITEMS, ROOT_DOCUMENT, ROOT_COPY})
# Far beyond any store, and few enough to loop over blocks.
_MOST_ROWS, _MOST_BLOCKS = 10**11, 10**7
# A chunk is written and read whole. Older stores may hold larger ones, and stay readable.
_MOST_CHUNK_BYTES = 2**32

_INPUTS = {None: "x", "fourier": "(cos(2 pi B x), sin(2 pi B x)), where B is encoding.frequencies"}
_FORMULA = (
    "h_0 = {inputs}; h_{{l+1}} = {activated} for every layer but the last; "
    "f(x) = W_L h_L + b_L + output_offset"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFacts:
    """Content of a store's root document.

    Attributes:
        identity: plain JSON that a run must match to resume the store.
        about: plain JSON that is recorded and never compared.
        self_checksum: of the root document; every fragment repeats it.
        digest: algorithm of the digests that new fragments record.
        versions: what the store was before each time that it grew.
    """

    specs: dict[str, InrSpec]
    layouts: dict[str, Layout]
    identity: dict[str, Any]
    about: dict[str, Any]
    self_checksum: str
    digest: Digest
    versions: tuple[StoreVersion, ...] = ()

    def block_checksum(self, spec_id: str, block: int) -> str:
        """Return the self-checksum of the root document that a block's records name."""
        stop = self.layouts[spec_id].block_rows(block).stop
        return pick_checksum(self.versions, stop, self.self_checksum)

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


def _formula(spec: InrSpec) -> str:
    """Return the function that a network computes; the spec has the numbers that it names."""
    activated = "activation(omega[l] * (W_l h_l + b_l))"
    if not ACTIVATIONS[spec.activation].scales_input:
        equation = ACTIVATIONS[spec.activation].equation.replace("omega", "omega[l]")
        activated = f"{equation}, where z = W_l h_l + b_l,"
    inputs = _INPUTS[spec.encoding and spec.encoding.kind]
    return _FORMULA.format(inputs=inputs, activated=activated)


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
        "formula": _formula(spec),
        **layout.to_dict(),
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
    arrays: Sequence[tuple[InrSpec, Layout]],
    identity: dict[str, Any],
    about: dict[str, Any],
    versions: Sequence[StoreVersion] = (),
) -> bytes:
    """Return the document of the root group, with its self-checksum.

    Args:
        versions: what a store that grows was before.
    """
    facts = {
        "format_version": GROWN_VERSION if versions else FORMAT_VERSION,
        "specs": [spec.spec_id for spec, _ in arrays],
        "identity": identity,
        "about": about,
    }
    if versions:
        facts["versions"] = [version.to_dict() for version in versions]
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
    """Return the documents of groups and arrays, by key, as the root document repeats them.

    Raises ValueError if it names any other document.
    """
    documents = _checked_groups(json.loads(root))
    return {f"{path}/{ROOT_DOCUMENT}": _dump(document) for path, document in documents.items()}


def _checked_groups(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the consolidated metadata by path; every path is of a spec or of its array.

    Names become paths of files, so a name such as "../other" must not pass.
    """
    spec_ids = document["attributes"]["inrgen"]["specs"]
    groups = document["consolidated_metadata"]["metadata"]
    for spec_id in spec_ids:
        if not _SPEC_NAME.fullmatch(spec_id) or spec_id in _RESERVED:
            raise ValueError(f"it names a spec {spec_id[:100]!r}, which is no name of a folder")
    expected = {path for spec_id in spec_ids for path in (spec_id, f"{spec_id}/params")}
    foreign, missing = sorted(set(groups) - expected), sorted(expected - set(groups))
    if foreign:
        raise ValueError(f"it names a document {foreign[0][:100]!r}, which no store has")
    if missing or not spec_ids:
        raise ValueError(f"it lacks the document of {(missing or ['any spec'])[0]}")
    return groups


def _checked_layout(attributes: dict[str, Any]) -> Layout:
    """Read the layout of a spec; its numbers are bounded, since loops run over them."""
    # older stores lack later fields of Layout, whose defaults describe them
    named = {
        field.name: attributes[field.name] for field in fields(Layout) if field.name in attributes
    }
    for name, number in named.items():
        if type(number) is not int or not 1 <= number <= _MOST_ROWS:
            raise ValueError(f"{name} must be in 1..{_MOST_ROWS:,}; got {number!r:.100}")
    layout = Layout(**named)
    if layout.num_blocks > _MOST_BLOCKS:
        raise ValueError(
            f"it has {layout.num_blocks:,} blocks; a store has {_MOST_BLOCKS:,} at most"
        )
    return layout


def check_arrays(arrays: Sequence[tuple[InrSpec, Layout]]) -> None:
    """Raise ValueError for networks or numbers of rows that no store can hold."""
    for spec, layout in arrays:
        _checked_layout(layout.to_dict())
        # Views of an item never straddle a chunk, so many of them make it large, too.
        num_bytes = 4 * layout.chunk_rows * spec.num_params
        if num_bytes > _MOST_CHUNK_BYTES:
            raise ValueError(
                f"a chunk of a store must take at most {_MOST_CHUNK_BYTES:,} B; got "
                f"{layout.chunk_rows:,} rows of {spec.num_params:,} parameters, {num_bytes:,} B: "
                f"take smaller networks or fewer views"
            )


def parse_root(root: bytes, location: object) -> StoreFacts:
    """Read a root document.

    Raises:
        DamagedStore: its self-checksum is wrong, or it names files or numbers that no store has.
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
    try:
        document = json.loads(root)
        version = document["attributes"]["inrgen"]["format_version"]
        if version in DIGESTS:
            return _parse_document(document, checksum)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # the checksum is right, so somebody wrote it so
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedStore(
            f"{location} is damaged: its {ROOT_DOCUMENT} is not that of a store: {why}",
            key=ROOT_DOCUMENT,
        ) from error
    raise ValueError(
        f"{location} has format version {version!r:.100}; "
        f"this inrgen reads versions up to {max(DIGESTS)}"
    )


def _parse_document(document: dict[str, Any], checksum: str) -> StoreFacts:
    """Read a root document; raises any error of a document that has another form."""
    facts, groups = document["attributes"]["inrgen"], _checked_groups(document)
    specs, layouts = {}, {}
    for spec_id in facts["specs"]:
        attributes = groups[spec_id]["attributes"]
        specs[spec_id] = InrSpec.from_dict(attributes["spec"])
        # the name holds a digest of the spec
        if specs[spec_id].spec_id != spec_id:
            raise ValueError(f"{spec_id} describes {specs[spec_id].spec_id}")
        layouts[spec_id] = _checked_layout(attributes)
    for name in ("identity", "about"):
        if not isinstance(facts[name], dict):
            raise ValueError(f"{name} must be an object")
    versions: tuple[StoreVersion, ...] = ()
    if facts["format_version"] >= GROWN_VERSION:
        # Only a build grows, and it has one kind of network.
        (layout,) = layouts.values()
        items = facts["identity"]["items"]
        versions = read_versions(facts["versions"], items, layout.rows, layout.views)
    found = StoreFacts(
        specs=specs,
        layouts=layouts,
        identity=facts["identity"],
        about=facts["about"],
        self_checksum=checksum,
        digest=DIGESTS[facts["format_version"]],
        versions=versions,
    )
    # read once here, so that a bad one is noticed here
    made = found.derivation
    if made is not None and (type(made.copies) is not int or made.copies < 1):
        raise ValueError(f"copies must be a positive number; got {made.copies!r:.100}")
    return found


def no_store(files: Files) -> FileNotFoundError:
    """The error for a place without a root document."""
    try:
        files.top_names()
    except FileNotFoundError:
        return FileNotFoundError(f"there is no folder {files.location}")
    return FileNotFoundError(f"{files.location} is not an inrgen store: it has no {ROOT_DOCUMENT}")


def read_facts(files: Files) -> StoreFacts:
    """Read what a store is.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore, ValueError: as parse_root.
    """
    try:
        root = files.read(ROOT_DOCUMENT)
    except FileNotFoundError:
        # The cause says no more, and its traceback would bury the sentence.
        raise no_store(files) from None
    return parse_root(root, files.location)


def find_growth(files: Files, known: StoreFacts) -> StoreFacts | None:
    """Return the facts of a store that has grown since others were read; None if it has not."""
    facts = read_facts(files)
    before = {version.self_checksum for version in facts.versions}
    return facts if known.self_checksum in before else None
