"""Croissant 1.0 (MLCommons), a JSON-LD vocabulary that describes a data set to machines."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from inrgen.store.records import record_columns

# The standard prescribes this context, in this order, for every file of version 1.0.
_TERMS = """
    @language @vocab citeAs column conformsTo cr rai data dataType dct equivalentProperty examples
    extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath key md5
    parentField path recordSet references regex repeated replace samplingRate sc separator source
    subField transform
"""
_SPECIAL_TERMS: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
}
_CONTEXT = {term: _SPECIAL_TERMS.get(term, f"cr:{term}") for term in _TERMS.split()}


def _data_type(kind: pa.DataType) -> tuple[str, bool]:
    """The Croissant type of an Arrow type, and whether a record holds a list of them."""
    # binary columns, such as draw, count as text
    if pa.types.is_list(kind):
        return _data_type(kind.value_type)[0], True
    if pa.types.is_boolean(kind):
        return "sc:Boolean", False
    if pa.types.is_integer(kind):
        return "sc:Integer", False
    if pa.types.is_floating(kind):
        return "sc:Float", False
    return "sc:Text", False


def _field(column: pa.Field) -> dict[str, Any]:
    data_type, repeated = _data_type(column.type)
    known = record_columns().get(column.name)
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"records/{column.name}",
        "name": column.name,
        "description": known.meaning if known else column.name,
        "dataType": data_type,
        "source": {"fileSet": {"@id": "record-files"}, "extract": {"column": column.name}},
    }
    return field | {"repeated": True} if repeated else field


def croissant_document(
    name: str,
    description: str,
    schema: pa.Schema,
    folder: PurePosixPath,
    root_document: bytes,
    license: str | None = None,
) -> dict[str, Any]:
    """Describe a store: its records as a record set, and its Zarr metadata as a file.

    Weights stay in Zarr, for which Croissant has no reader; the records give each row's place.

    Args:
        schema: schema of the records.
        folder: the store, relative to the folder of croissant.json.
        root_document: content of the store's zarr.json.
        license: an SPDX name or URL; None leaves it out, since no store knows it.
    """
    metadata = {
        "@type": "cr:FileObject",
        "@id": "zarr-metadata",
        "name": "zarr.json",
        "description": "Root of the Zarr v3 store: architectures, conventions, identity.",
        "contentUrl": (folder / "zarr.json").as_posix(),
        "encodingFormat": "application/json",
        "sha256": hashlib.sha256(root_document).hexdigest(),
    }
    files = {
        "@type": "cr:FileSet",
        "@id": "record-files",
        "name": "record-files",
        "description": "One Parquet file a block of rows.",
        "encodingFormat": "application/x-parquet",
        "includes": (folder / "records" / "*.parquet").as_posix(),
    }
    records = {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "One record a row of weights.",
        "field": [_field(column) for column in schema],
    }
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "distribution": [metadata, files],
        "recordSet": [records],
    }
    return document | ({"license": license} if license else {})
