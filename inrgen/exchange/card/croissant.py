"""A store's records as a Croissant data set (MLCommons Croissant 1.0)."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

# The context that the standard prescribes for every file of version 1.0.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

# What the columns of records mean, for those who have the file alone.
_MEANINGS: dict[str, str] = {
    "item_id": "Which signal the row was fitted to.",
    "view": "Which of the item's fits it is; each has its own random initialisation.",
    "row": "The row of the weights within the params array of its spec.",
    "spec_id": "Which group of the Zarr store holds the weights: architecture and conventions.",
    "split": "train, val or test.",
    "label": "The item's class; -1 for none.",
    "label_name": "The name of the item's class.",
    "source_sha256": "SHA-256 of the decoded signal.",
    "seed": "The seed of the whole build.",
    "engine": "The implementation that fitted the row.",
    "num_steps": "Optimiser updates made.",
    "final_loss": "Mean squared error at the last step.",
    "psnr_db": "PSNR in dB, measured from the stored weights.",
    "iou": "Intersection over union of the insides of shapes; NaN for images.",
    "status": "ok and below_target hold weights; non_finite and bad_input hold NaN.",
    "reason": "Why the status is not ok.",
    "duration_s": "Seconds of computing that the row took.",
    "grid": "Shape of the signal's grid: rows and columns for images.",
    "near_error": "Mean absolute error of a shape's distance near its surface.",
    "chamfer": "Mean distance between surfaces, as a share of the mesh's diagonal.",
    "sign_method": "How inside was told from outside; empty for images.",
    "sign_trust": "Share of a mesh's area that parts inside from outside beyond doubt.",
    "center": "With scale, how a file's coordinates became x = (file - center) * scale.",
    "scale": "Coordinate units for each unit of a mesh's file.",
    "parent_row": "The row of the parent store that this one was made from.",
    "operation": "What was done to the parent's row.",
    "draw": "The random choice that the operation carried out.",
}


def _data_type(kind: pa.DataType) -> tuple[str, bool]:
    """The Croissant type of an Arrow one, and whether a record has many of them."""
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
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"records/{column.name}",
        "name": column.name,
        "description": _MEANINGS.get(column.name, column.name),
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
    """The JSON-LD of a store: its records as a record set, and its Zarr metadata as a file.

    Weights stay in Zarr, which Croissant has no reader for; the records say where each row lies.

    Args:
        schema: of the records.
        folder: the store, relative to the folder of croissant.json.
        root_document: the bytes of the store's zarr.json.
        license: an SPDX name or URL; left out where None, as it cannot be known from the store.
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
