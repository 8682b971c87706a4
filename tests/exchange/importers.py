"""Export and import in one call each, and read the outcome of each row."""

from pathlib import Path

from inrgen.exchange.conventions import Conventions, ExportOptions
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.export_run import run_export
from inrgen.exchange.import_plan import plan_import
from inrgen.exchange.import_run import run_import
from inrgen.store.reader import Store, open_store


def import_folder(
    folder: Path, name, out: Path, stated: Conventions | None = None, widths=None, **more
) -> Store:
    """Plan and run an import; gives the store."""
    run_import(plan_import(folder, name, stated, widths, **more), out)
    return open_store(out)


def outcome(store: Store) -> list[tuple[str, int, str, str]]:
    """Item, view, status and reason of every row, in order."""
    table = store.records.to_table(columns=["row", "item_id", "view", "status", "reason"])
    rows = sorted(table.to_pylist(), key=lambda record: record["row"])
    return [(r["item_id"], r["view"], r["status"], r["reason"]) for r in rows]


def export(store, name, out, **options):
    """Export a store in one process; gives the folder."""
    run_export(plan_export(store, name, out, options=ExportOptions(**options)), 0)
    return out


def keys(store):
    """The columns of every row that all formats keep, in order."""
    columns = ["row", "split", "view", "label", "label_name", "status", "engine"]
    return sorted(store.records.to_table(columns=columns).to_pylist(), key=lambda r: r["row"])
