"""Import a folder as the command line does, without its words."""

from pathlib import Path

from inrgen.exchange.importing import import_block, plan_import
from inrgen.exchange.stated import Stated
from inrgen.store.create import create_store
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter, stage_block


def import_folder(
    folder: Path, name, out: Path, stated: Stated | None = None, widths=None, **more
) -> Store:
    """The store that the folder becomes."""
    plan = plan_import(folder, name, stated or Stated(), widths, **more)
    create_store(out, [(plan.spec, plan.layout)], identity=plan.identity, about={})
    with StoreWriter(out) as writer:
        for block in writer.pending(plan.spec.spec_id):
            flat, records = import_block(plan, block)
            writer.commit(stage_block(out, plan.spec.spec_id, block, flat, records))
    return open_store(out)


def outcome(store: Store) -> list[tuple[str, int, str, str]]:
    """Item, view, status and reason of every row, in order."""
    table = store.records.to_table(columns=["row", "item_id", "view", "status", "reason"])
    rows = sorted(table.to_pylist(), key=lambda record: record["row"])
    return [(r["item_id"], r["view"], r["status"], r["reason"]) for r in rows]
