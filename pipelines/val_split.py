"""A validation split for data sets that ship with train and test alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from inrgen.core import rng
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.reader import open_store
from inrgen.store.records import table_to_records
from inrgen.store.writer import StoreWriter, stage_block

_VAL_SHARE = 6


def with_val(given: Path, out: Path) -> Path:
    """The same store with one training item in six, by the hash of its id, as validation.

    An epoch must be chosen without looking at test items. Run again it goes on, or finds it done.
    """
    store = open_store(given)
    spec, layout = store.spec, store.layouts[store.spec.spec_id]
    identity = {"val_of": content_sha256(given), "one_in": _VAL_SHARE}
    create_store(out, [(spec, layout)], identity=identity, about={"given": store.identity})
    records = sorted(table_to_records(store.records.to_table()), key=lambda r: r.row)
    codes = (rng.hash_items([r.item_id for r in records]) % _VAL_SHARE).tolist()
    moved = [
        replace(r, split="val") if r.split == "train" and code == 0 else r
        for r, code in zip(records, codes, strict=True)
    ]
    with StoreWriter(out) as writer:
        for block in writer.pending(spec.spec_id):
            rows = layout.block_rows(block)
            flat = store.read(rows).flat().numpy().astype(np.float32)
            writer.commit(
                stage_block(out, spec.spec_id, block, flat, moved[rows.start : rows.stop])
            )
        writer.finish()
    return out
