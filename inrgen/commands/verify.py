"""Check a store to the last byte, and make good what is damaged."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.executors.progress import show_progress
from inrgen.fit.plan import BuildPlan, plan_again
from inrgen.fit.worker import Resources, block_tasks, repair_block, run_blocks
from inrgen.jobs.remake import remake_blocks
from inrgen.sources.catalog import open_source
from inrgen.store.documents import restore_documents, sound_facts
from inrgen.store.files.location import absolute
from inrgen.store.findings import Finding, VerifyReport
from inrgen.store.layout import STATISTICS
from inrgen.store.reader import Store, open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """Check every byte of a store, and that weights and records agree; exits 1 if they do not.

    Attributes:
        store: the store's folder.
        repair: refit just the rows that are damaged or missing, then check again; a derived store's
            blocks are computed again from its parent, bit for bit.
        data: for repair: the folder that holds the data set, as for build; for a derived store its
            parent, which is otherwise looked for where it was.
        workers: for repair: fits at a time; 0 is this process alone, without Ray.
    """

    store: tyro.conf.Positional[StoreArgument]
    repair: bool = False
    data: str | None = None
    workers: int | None = 0


def _without(key: str) -> str:
    """What it means that a derived file is gone."""
    if key.startswith(f"{STATISTICS}/"):
        return "`inrgen stats` makes it again"
    return "it only gathered records, which are read without it"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySummary:
    """What was found, and what was made good before the check that report is of.

    found: what the check before a repair found; none where nothing was repaired.
    restored, removed: the documents written again, and the derived files taken away, by key.
    rows_refitted: rows fitted again; rows_recomputed: rows of a derived store, made of its parent.
    """

    store: str
    report: VerifyReport
    found: tuple[Finding, ...]
    restored: tuple[str, ...]
    removed: tuple[str, ...]
    rows_refitted: int
    rows_recomputed: int

    @property
    def failed(self) -> bool:
        return not self.report.ok

    def text(self) -> str:
        """A line a finding, a line each thing that was mended, and what all was looked at."""
        report = self.report
        looked = f"{report.num_rows:,} rows in {report.num_blocks:,} blocks, {report.num_bytes:,} B"
        lines = [f"found {finding.text()}" for finding in self.found]
        lines += [f"restored {key}" for key in self.restored]
        lines += [f"removed {key}; {_without(key)}" for key in self.removed]
        if self.rows_refitted:
            lines.append(f"{self.store}: refitted {self.rows_refitted:,} rows")
        if self.rows_recomputed:
            lines.append(
                f"{self.store}: computed {self.rows_recomputed:,} rows again from its parent"
            )
        lines += [finding.text() for finding in report.findings]
        count = len(report.findings)
        findings = f"{count:,} finding{'' if count == 1 else 's'}"
        verdict = "every byte is as written" if report.ok else findings
        return "\n".join([*lines, f"{self.store}: {looked}: {verdict}"])

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def misnamed_blocks(plan: BuildPlan, store: Store) -> list[int]:
    """The blocks with records of another item than the plan has at their rows.

    Of two rows with one name, nothing within the store says which is right.
    """
    table = store.read_records(["row", "item_id"])
    row = table["row"].to_numpy()
    wanted = np.array([item.item_id for item in open_source(plan.source).items], dtype=object)
    found = np.array(table["item_id"].to_pylist(), dtype=object)
    wrong = row[found != wanted[row // plan.layout.views]]
    return np.unique(wrong // plan.layout.shard_rows).tolist()


def _repair(config: VerifyConfig, report: VerifyReport) -> int:
    """Write every damaged block of a built store again; how many rows were fitted for it."""
    plan = plan_again(open_store(config.store), config.data)
    blocks = report.bad_blocks.get(plan.job.spec.spec_id, [])
    if any(finding.kind == "duplicate" for finding in report.findings):
        blocks = sorted({*blocks, *misnamed_blocks(plan, open_store(config.store))})
    store, means = absolute(config.store), Resources(workers=config.workers)
    tasks = block_tasks(plan, store, blocks, means)
    num_rows = sum(len(plan.layout.block_rows(block)) for block in blocks)
    refitted = 0
    with (
        StoreWriter(store) as writer,
        show_progress("repair", num_rows, 0, "INRs") as progress,
    ):
        for repaired in run_blocks(repair_block, tasks, means, progress):
            writer.replace(repaired.staged)
            refitted += repaired.rows_fitted
        writer.finish()
    return refitted


def _check(config: VerifyConfig) -> VerifyReport:
    """Read the whole store."""
    num_rows = sum(layout.rows for layout in sound_facts(config.store).layouts.values())
    with show_progress("verify", num_rows, 0, "INRs") as progress:
        return verify_store(config.store, progress.advance)


def verify(config: VerifyConfig) -> VerifySummary:
    """Check a store; with repair, mend it and check again."""
    report, found, mended = _check(config), (), list[Finding]()
    refitted = recomputed = 0
    if config.repair and not report.ok:
        found, mended = report.findings, restore_documents(config.store)
        if report.bad_blocks and open_store(config.store).derivation is not None:
            recomputed = remake_blocks(config.store, config.data, report.bad_blocks)
        elif report.bad_blocks:
            refitted = _repair(config, report)
        report = _check(config)
    return VerifySummary(
        store=str(config.store),
        report=report,
        found=found,
        restored=tuple(one.key for one in mended if one.kind == "document"),
        removed=tuple(one.key for one in mended if one.kind != "document"),
        rows_refitted=refitted,
        rows_recomputed=recomputed,
    )
