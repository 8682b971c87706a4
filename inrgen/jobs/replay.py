"""Make derived rows again from the draws that their records hold."""

from collections.abc import Sequence

from inrgen.core.params import Params
from inrgen.jobs.augment import Augment
from inrgen.jobs.block import make_change
from inrgen.jobs.draw_bytes import decode_draw
from inrgen.store.files.protocol import open_files
from inrgen.store.lookup import served_records
from inrgen.store.metadata import read_facts
from inrgen.store.reader import Store
from inrgen.transforms.exact import RandomSymmetry


def replay(
    parent: Store, derived: Store, rows: Sequence[int], spec_id: str | None = None
) -> Params:
    """What the draws of derived rows make of their parents: those rows again, bit for bit.

    Raises ValueError for a row that holds no weights, and for a store that was not derived.
    """
    if derived.derivation is None:
        raise ValueError(f"derived must be a store made by align or augment; got {derived.path}")
    spec_id = derived.spec.spec_id if spec_id is None else spec_id
    change, _ = make_change(read_facts(open_files(derived.path), derived.path), spec_id)
    transform = change.chain if isinstance(change, Augment) else RandomSymmetry()
    records = served_records(derived, rows, spec_id, ["parent_row", "draw"])
    draw = decode_draw(transform, derived.specs[spec_id], [r["draw"] for r in records])
    return transform.apply(parent.read([r["parent_row"] for r in records], spec_id), draw)
