"""Make derived rows again, bit for bit: whole blocks from the parent, or rows from their draws."""

from collections.abc import Sequence

from inrgen.core.params import Params
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.jobs.derive import DerivePlan, derive_blocks, limit_executor
from inrgen.jobs.draw_bytes import decode_draw
from inrgen.jobs.operations import Augment, read_operation
from inrgen.store.content import content_sha256, has_grown_from
from inrgen.store.files.location import Location, resolve_relative
from inrgen.store.files.opening import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter
from inrgen.transforms.exact import RandomSymmetry


def remake_blocks(out: Location, parent: str | None, blocks: dict[str, list[int]]) -> int:
    """Make damaged blocks of a derived store again from its parent; returns their rows.

    Args:
        parent: the parent's location; None takes the recorded one.

    Raises ValueError if the parent is missing or has changed.
    """
    store = open_store(out)
    done, recorded = store.derivation, store.parent_metadata
    assert done is not None, "only derived stores are made again from a parent"
    assert recorded is not None, "derived stores record their parents"
    path = parent or resolve_relative(store.path, recorded["path"])
    try:
        found = content_sha256(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"{out} was derived, and its damaged blocks can only be made again from its parent, "
            f"which is not at {path}: give its place with --data"
        ) from error
    # A parent that has grown has the rows of then still.
    if found != done.parent_sha256 and not has_grown_from(path, done.parent_sha256):
        raise ValueError(
            f"{path} is not the parent of {out}: its content is {found[:16]}, not "
            f"{done.parent_sha256[:16]}"
        )
    plan = DerivePlan(parent=open_store(path), out=store.path, derivation=done)
    # Damaged blocks are few, so one worker suffices.
    concurrency, executor = limit_executor(plan.block_costs(), ExecutorConfig(workers=1))
    tasks, made = plan.tasks(blocks, concurrency.rows_at_once), 0
    with StoreWriter(plan.out) as writer, show_progress("repair", len(tasks), 0, "blocks") as bar:
        for staged in derive_blocks(tasks, executor, bar.tick):
            writer.replace(staged)
            made += len(store.layouts[staged.spec_id].block_rows(staged.block))
            bar.advance(1)
        writer.finish()
    return made


def replay(
    parent: Store, derived: Store, rows: Sequence[int], spec_id: str | None = None
) -> Params:
    """Make derived rows again from the draws in their records, bit for bit.

    Raises ValueError for a row without weights, and for a store that was not derived.
    """
    if derived.derivation is None:
        raise ValueError(f"derived must be a store made by align or augment; got {derived.path}")
    spec_id = derived.spec.spec_id if spec_id is None else spec_id
    operation, _ = read_operation(read_facts(open_files(derived.path)), spec_id)
    # An alignment's draw is the symmetry it found, which RandomSymmetry applies as well.
    transform = operation.chain if isinstance(operation, Augment) else RandomSymmetry()
    records = read_usable_records(derived, rows, spec_id, ["parent_row", "draw"])
    draw = decode_draw(transform, derived.specs[spec_id], [r["draw"] for r in records])
    return transform.apply(parent.read([r["parent_row"] for r in records], spec_id), draw)
