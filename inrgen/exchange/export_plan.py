"""What an export writes, settled before a file is written: which rows, as what, in which parts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from inrgen.core.splits import Split
from inrgen.exchange.formats.base import Exporter, Wishes, Writing
from inrgen.exchange.formats.catalog import FormatName, format_named
from inrgen.exchange.selection import Selection, select_rows
from inrgen.store.reader import Store, open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportPlan:
    """An export: the rows of one architecture of a store in one format.

    parts: spans of the selection, each written by one thread.
    digest: of all that decides what is written; an export is resumed by the same plan alone.
    """

    store: Store
    spec_id: str
    format: FormatName
    writing: Writing
    selection: Selection
    parts: Sequence[range]
    digest: str


def plan_export(
    path: str | Path,
    format: FormatName,
    out: Path,
    *,
    splits: Sequence[Split],
    views: Sequence[int] | None = None,
    spec_id: str | None = None,
    wishes: Wishes | None = None,
) -> ExportPlan:
    """Settle what goes out and under which conventions.

    Raises ValueError where the format cannot hold what the store has.
    """
    wishes, store, made = wishes or Wishes(), open_store(path), format_named(format)
    spec_id = spec_id or store.spec.spec_id
    if spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    needs = made.exporter
    _check_wishes(format, needs, wishes, out)
    if needs.one_view and views is not None and len(set(views)) > 1:
        raise ValueError(f"{format} holds one view of each item; choose one of {list(views)}")
    target = made.target(store.specs[spec_id], store.source_name, wishes)
    chosen = [0] if needs.one_view and views is None else views
    selection = select_rows(store, spec_id, splits, chosen, needs.whole_items)
    nameless = int((selection.rows["label"].to_numpy() < 0).sum())
    if needs.labelled and nameless:
        raise ValueError(f"{format} needs a class for each row; {nameless:,} rows have none")
    writing = Writing(
        folder=out.absolute(),
        target=target,
        wishes=wishes,
        source=store.source_name,
        views=tuple(selection.views),
    )
    return ExportPlan(
        store=store,
        spec_id=spec_id,
        format=format,
        writing=writing,
        selection=selection,
        parts=selection.parts(needs.rows_per_part),
        digest=_digest(store, format, writing, selection),
    )


def _check_wishes(format: FormatName, needs: Exporter, wishes: Wishes, out: Path) -> None:
    """Refuse what would have no effect, and a prefix that would mislead the format's loader."""
    for name in wishes.stated:
        if name not in needs.heeds:
            raise ValueError(f"{name} means nothing to {format}, so leave it out")
    name, before = out.absolute().name, wishes.path_prefix or ""
    if needs.cut_at_folder and name in PurePosixPath(before).parts:
        raise ValueError(
            f"path_prefix must not hold the folder's own name {name!r}, at whose first occurrence "
            f"the loader cuts; got {before!r}"
        )


def _digest(store: Store, format: FormatName, writing: Writing, selection: Selection) -> str:
    """Where the files lie does not count, so a finished export may be moved.

    (Of dws, without a prefix, the paths within are those of the old place then.)
    """
    target = writing.target
    facts = {
        "store": store.seal,
        "format": format,
        "spec": target.spec.to_dict(),
        "standardised": [target.mean, target.std],
        "wishes": asdict(writing.wishes),
        "views": writing.views,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(selection.rows["row"].to_numpy()).tobytes())
    return digest.hexdigest()
