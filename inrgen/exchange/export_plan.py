"""The plan of an export: which rows go out, under which conventions, in which parts."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from jaxtyping import Bool, Int

from inrgen.core.config import SPLITS, Split
from inrgen.exchange.conventions import ExportOptions, FormatName
from inrgen.exchange.conversion import check_conversion
from inrgen.exchange.formats.base import ExportContext, Format, load_format
from inrgen.store.reader import Store, open_store
from inrgen.store.records import encode_texts, usable_rows

_COLUMNS = ("row", "item_id", "view", "split", "label", "label_name", "status")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The rows to export, sorted by split (train, val, test) and then by row.

    Attributes:
        rows: table with the columns row, item_id, view, split, label, label_name, item (0, 1, ...
            over all items) and number. number names an item's file: it is the number in the item
            id if those numbers differ within training and within test items, else a count.
        left_out: number of requested rows without weights, or whose item lacks a view.
    """

    rows: pa.Table
    left_out: int

    def part(self, span: range) -> list[dict[str, Any]]:
        """The rows of a span as plain values, each with its place in the whole export."""
        rows = self.rows.slice(span.start, len(span)).to_pylist()
        return [{**row, "place": place} for row, place in zip(rows, span, strict=True)]

    def parts(self, rows_per_part: int) -> list[range]:
        """Cut the rows into spans of at most rows_per_part, none across two splits."""
        # sorted, because the rows are
        spans, codes = [], _split_codes(self.rows)
        for code in range(len(SPLITS)):
            start, stop = np.searchsorted(codes, [code, code + 1]).tolist()
            for first in range(start, stop, rows_per_part):
                spans.append(range(first, min(first + rows_per_part, stop)))
        return spans

    @property
    def views(self) -> list[int]:
        """The exported views, in order."""
        return np.unique(self.rows["view"].to_numpy()).tolist()


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportPlan:
    """Export of the rows of one architecture of a store in one format.

    Attributes:
        parts: spans of the selection; one thread writes each.
        digest: SHA-256 of all that decides what is written. A stopped export resumes only under
            a plan of the same digest.
    """

    store: Store
    spec_id: str
    format: FormatName
    context: ExportContext
    selection: Selection
    parts: Sequence[range]
    digest: str


def plan_export(
    path: str | Path,
    format: FormatName,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    views: Sequence[int] | None = None,
    spec_id: str | None = None,
    options: ExportOptions | None = None,
) -> ExportPlan:
    """Choose rows and conventions; writes nothing.

    Raises ValueError if the format cannot hold the store's rows or does not use an option.

    Args:
        path: the store's folder or URL.
        out: folder to export into.
        views: views of each item; None takes all, or the first if the format has no views.
        spec_id: architecture to export; None takes the only one.
    """
    options, store, whole = options or ExportOptions(), open_store(path), load_format(format)
    layout = whole.layout_for(store.source_name, options)
    spec_id = spec_id or store.spec.spec_id
    if spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    _check_options(format, whole, options, out)
    if layout.one_view and views is not None and len(set(views)) > 1:
        raise ValueError(f"{format} holds one view of each item; choose one of {list(views)}")
    # before any row is read, so that a wrong option costs nothing
    target = whole.target(store.specs[spec_id], store.source_name, options)
    check_conversion(store.specs[spec_id], target.spec)
    chosen = [0] if layout.one_view and views is None else views
    train_views = layout.train_views and not options.all_views
    selection = select_rows(store, spec_id, splits, chosen, layout.whole_items, train_views)
    unlabelled = int((selection.rows["label"].to_numpy() < 0).sum())
    if layout.labelled and unlabelled:
        raise ValueError(f"{format} needs a class for each row; {unlabelled:,} rows have none")
    context = ExportContext(
        folder=out.absolute(),
        target=target,
        options=options,
        source=store.source_name,
        store=store.path,
        views=tuple(selection.views),
    )
    return ExportPlan(
        store=store,
        spec_id=spec_id,
        format=format,
        context=context,
        selection=selection,
        parts=selection.parts(layout.rows_per_part),
        digest=_digest(store, format, layout, context, selection),
    )


def _check_options(format: FormatName, layout: Format, options: ExportOptions, out: Path) -> None:
    """Refuse an option without effect, and a prefix that would mislead the format's loader."""
    for name in options.given:
        if name not in layout.options:
            raise ValueError(f"{name} means nothing to {format}, so leave it out")
    name, prefix = out.absolute().name, options.path_prefix or ""
    if layout.cut_at_folder and name in PurePosixPath(prefix).parts:
        raise ValueError(
            f"path_prefix must not hold the folder's own name {name!r}, at whose first occurrence "
            f"the loader cuts; got {prefix!r}"
        )


def _digest(
    store: Store, format: FormatName, layout: Format, context: ExportContext, selection: Selection
) -> str:
    """Digest of the plan without its folder, so that a finished export may be moved.

    (The paths in a dws export without a prefix still name the old place then.)
    """
    target, options = context.target, asdict(context.options)
    for name in ("all_views", "license"):
        # earlier exports, which must still resume, knew no such option
        if options[name] is None:
            del options[name]
    facts = {
        "store": store.self_checksum,
        "format": format,
        "spec": target.spec.to_dict(),
        "standardised": [target.mean, target.std],
        # the key of the first version, so that older exports still resume
        "wishes": options,
        "views": context.views,
        # earlier exports numbered the folders of further views from 1
        **({"first_aug": 0} if layout.train_views and len(context.views) > 1 else {}),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(selection.rows["row"].to_numpy()).tobytes())
    return digest.hexdigest()


def select_rows(
    store: Store,
    spec_id: str,
    splits: Sequence[Split],
    views: Sequence[int] | None,
    whole_items: bool,
    train_views: bool = False,
) -> Selection:
    """Read the records of the rows to export.

    Raises ValueError for a view that the store does not have, and if no row is left.

    Args:
        views: views of each item; None takes all.
        whole_items: leave out items of which one of the views holds no weights.
        train_views: take the first of the views alone of val and test items.
    """
    num_views = store.layouts[spec_id].views
    wanted = sorted(set(range(num_views) if views is None else views))
    if not wanted or wanted[0] < 0 or wanted[-1] >= num_views:
        raise ValueError(f"views must be among 0..{num_views - 1}; got {wanted}")
    wanted_rows = (ds.field("spec_id") == spec_id) & ds.field("split").isin(list(splits))
    table = store.read_records(_COLUMNS, wanted_rows & ds.field("view").isin(wanted))
    # fragments of the records come in any order
    table = table.take(np.lexsort((table["row"].to_numpy(), _split_codes(table))))
    if train_views:
        table = table.filter((pc.field("split") == "train") | (pc.field("view") == wanted[0]))
    asked = table.num_rows
    table = table.filter(usable_rows()).drop_columns(["status"]).combine_chunks()
    if whole_items:
        is_train = _split_codes(table)[: table.num_rows] == SPLITS.index("train")
        expected = np.where(is_train | (not train_views), len(wanted), 1)
        table = table.filter(pa.array(_is_whole(_items(table), expected))).combine_chunks()
    if not table.num_rows:
        raise ValueError(f"{store.path} has no rows with weights in {', '.join(splits)} to export")
    items = _items(table)
    numbers = _numbers(table, items)
    rows = table.append_column("item", pa.array(items)).append_column("number", pa.array(numbers))
    return Selection(rows=rows, left_out=asked - table.num_rows)


def _split_codes(table: pa.Table) -> Int[np.ndarray, " r"]:
    """The index of each row's split within SPLITS."""
    texts, codes = encode_texts(table["split"])
    # one more code, so that a table without rows can be indexed
    return np.array([*map(SPLITS.index, texts), 0])[codes]


def _items(table: pa.Table) -> Int[np.ndarray, " r"]:
    """The ordinal of each row's item; the rows of an item are neighbours."""
    _, codes = encode_texts(table["item_id"])
    return np.cumsum(np.diff(codes, prepend=codes[:1]) != 0)


def _numbers(table: pa.Table, items: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
    """The number in the file name of each row's item."""
    _, firsts = np.unique(items, return_index=True)
    ids = table["item_id"].take(firsts).to_pylist()
    is_test = _split_codes(table)[firsts] == SPLITS.index("test")
    found = [re.search(r"(\d{1,15})(\.\w+)?$", item_id) for item_id in ids]
    numbers = np.array([int(match[1]) if match else -1 for match in found], dtype=np.int64)
    pairs = np.stack([is_test, numbers])
    # files of val lie beside those of train, so numbers must differ across both
    if len(ids) and (numbers.min() < 0 or np.unique(pairs, axis=1).shape[1] < len(ids)):
        numbers = np.where(is_test, np.cumsum(is_test), np.cumsum(~is_test)) - 1
    return numbers[items]


def _is_whole(
    items: Int[np.ndarray, " r"], num_views: Int[np.ndarray, " r"]
) -> Bool[np.ndarray, " r"]:
    return np.bincount(items)[items] == num_views if len(items) else np.zeros(0, dtype=bool)
