"""Mend a derived store: its damaged blocks are made again from its parent, bit for bit."""

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.jobs.derive import DerivePlan, pace_of, tasks_of
from inrgen.jobs.derive_run import derive_blocks
from inrgen.store.content import content_sha256
from inrgen.store.files.location import Location, followed
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter


def remake_blocks(out: Location, parent: str | None, blocks: dict[str, list[int]]) -> int:
    """Make blocks of a derived store again, from its parent; how many rows they have.

    Args:
        parent: where the parent is; None looks where it was.

    Raises ValueError where the parent is not there, or no longer what it was.
    """
    store = open_store(out)
    done, noted = store.derivation, store.parent_metadata
    assert done is not None, "only derived stores are made again so"
    assert noted is not None, "derived stores note their parents"
    where = parent or followed(store.path, noted["path"])
    try:
        there = content_sha256(where)
    except FileNotFoundError as error:
        raise ValueError(
            f"{out} was derived, and its damaged blocks can only be made again from its parent, "
            f"which is not at {where}: say where it is with --data"
        ) from error
    if there != done.parent_sha256:
        raise ValueError(
            f"{where} is not what {out} was made of: its content is {there[:16]}, and not "
            f"{done.parent_sha256[:16]}"
        )
    plan = DerivePlan(parent=open_store(where), out=store.path, derivation=done)
    pace, executor = pace_of(plan.cost(), ExecutorConfig(workers=1))
    tasks, made = tasks_of(plan, blocks, pace), 0
    with StoreWriter(plan.out) as writer, show_progress("repair", len(tasks), 0, "blocks") as bar:
        for staged in derive_blocks(tasks, executor, bar.tick):
            writer.replace(staged)
            made += len(store.layouts[staged.spec_id].block_rows(staged.block))
            bar.advance(1)
        writer.finish()
    return made
