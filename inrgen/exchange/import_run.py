"""Run an import: read one block of rows after the other into a store."""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from inrgen.core.params import Params
from inrgen.exchange.conversion import unstandardise
from inrgen.exchange.files import BadEntry
from inrgen.exchange.formats.base import Entry, Loaded, load_entries, load_format
from inrgen.exchange.import_plan import ImportPlan
from inrgen.executors.progress import show_progress
from inrgen.store.create import create_store
from inrgen.store.files.location import Location
from inrgen.store.records import FitRecord, FitStatus
from inrgen.store.writer import StoreWriter, stage_block

# Fields of a record that describe a fit; an import fits nothing.
_NO_FIT: dict[str, Any] = {
    "source_sha256": "",
    "seed": 0,
    "engine": "imported",
    "num_steps": 0,
    "final_loss": math.nan,
    "psnr_db": math.nan,
    "iou": math.nan,
    "duration_s": 0.0,
}


def _load(plan: ImportPlan, entries: Sequence[Entry | None]) -> list[Loaded | BadEntry]:
    """Contents of each entry, in order."""
    present = [entry for entry in entries if entry is not None]
    loaded = load_entries(load_format(plan.format), plan.folder, present, plan.spec.widths)
    missing = BadEntry("the source has no such view of this item")
    return [missing if entry is None else next(loaded) for entry in entries]


def _convert(
    plan: ImportPlan, loaded: Loaded | BadEntry
) -> tuple[Float32[Tensor, " p"] | None, FitStatus, str]:
    """The row to store, or None with the status and the reason."""
    if isinstance(loaded, BadEntry):
        return None, "bad_input", str(loaded)
    if loaded.flat is None:
        has = "-".join(map(str, loaded.widths))
        return None, "bad_input", f"its layers are {has:.100}, not {plan.spec.architecture}"
    flat = loaded.flat[None]
    mean, std = plan.conventions.value_mean, plan.conventions.value_std
    if mean is not None and std is not None:
        params = Params.from_flat(plan.spec, flat.double())
        flat = unstandardise(params, plan.spec, mean, std).flat().float()
    if not bool(torch.isfinite(flat).all()):
        return None, "non_finite", "it holds numbers that are not finite"
    return flat[0], "ok", ""


def import_block(
    plan: ImportPlan, block: int
) -> tuple[Float32[np.ndarray, "r p"], list[FitRecord]]:
    """Read one block of the plan's layout: its rows, NaN if unreadable, and their records."""
    rows = plan.layout.block_rows(block)
    views = plan.layout.views
    items = plan.items[rows.start // views : rows.stop // views]
    entries = [entry for item in items for entry in item.views]
    flat = np.full((len(rows), plan.spec.num_params), np.nan, dtype=np.float32)
    records = []
    for place, loaded in enumerate(_load(plan, entries)):
        item, view = items[place // views], place % views
        row, status, reason = _convert(plan, loaded)
        if row is not None:
            flat[place] = row.numpy()
        first = next(entry for entry in item.views if entry is not None)
        # the label of a listing wins over the label in the file
        label = (item.views[view] or first).label
        if label < 0 and isinstance(loaded, Loaded):
            label = loaded.label
        records.append(
            FitRecord(
                item_id=item.item_id,
                view=view,
                row=rows.start + place,
                spec_id=plan.spec.spec_id,
                split=first.split,
                label=label,
                label_name=plan.label_names.get(label, str(label)) if label >= 0 else "",
                status=status,
                reason=reason,
                grid=plan.grid,
                **_NO_FIT,
            )
        )
    return flat, records


def run_import(plan: ImportPlan, out: Location) -> int:
    """Import with a progress bar, or resume a stopped import; gives the number of rows read.

    Raises OSError if the store cannot be written, ValueError if out holds another store.

    Args:
        out: the store's folder or URL; made if missing.
    """
    spec_id, read = plan.spec.spec_id, 0
    about = {"inrgen_version": version("inrgen")}
    create_store(out, [(plan.spec, plan.layout)], identity=plan.identity, about=about)
    with StoreWriter(out) as writer, writer.removed_if_refused():
        blocks = writer.pending(spec_id)
        left = sum(len(plan.layout.block_rows(block)) for block in blocks)
        with show_progress("import", plan.layout.rows, plan.layout.rows - left, "INRs") as progress:
            for block in blocks:
                flat, records = import_block(plan, block)
                writer.begin_commit(stage_block(out, spec_id, block, flat, records))
                read += len(records)
                progress.advance(len(records))
        writer.finish()
    return read
