"""The verify verb: check a store to the last byte, and repair damage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.core.summary import Summary
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.store.layout import INDEX, STATISTICS

if TYPE_CHECKING:
    from inrgen.store.inspection import Finding
    from inrgen.store.verify import VerifyReport


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """Check every byte of a store's documents, weights and records, and that they agree.

    Index files and statistics are checked where they are there; their loss costs no data. A card
    is not checked, because `inrgen card` writes it from these facts. Exits 1 if there is a fault.

    Attributes:
        store: the store's folder.
        repair: refit the rows that are damaged or missing, then check again. The blocks of a
            derived store are computed again from its parent, bit for bit. Damaged index files and
            statistics, files of blocks that the store does not have and, once all blocks are
            there, files left in _staging and _replacing are removed, and an append that was stopped
            is given up.
        data: for repair, the folder that holds the data set, as for build. For a derived store it
            is the parent, which is otherwise looked for where it was.
        source: for repair of a store of your own source, its MODULE:FUNCTION, whose code is run.
        start: for repair of a store that was built from a learned start, the START file; without
            it the start that is shipped for the source.
        workers: for repair, fits at a time; 0 is this process alone, without Ray.
    """

    store: tyro.conf.Positional[StoreArgument]
    repair: bool = False
    data: str | None = None
    source: str | None = None
    start: OptionalLocalPath = None
    workers: int | None = 0

    def ignored(self) -> dict[str, str]:
        """Options without effect on this check, each with what it is for."""
        names = ("data", "source", "start", "workers")
        return {} if self.repair else dict.fromkeys(names, "repair")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySummary(Summary):
    """Summary of a check, and of the repair before it.

    report is of the last check. found holds the findings of the check before a repair; it is
    empty without a repair. restored and removed are keys of documents and of derived files.
    rows_refitted counts rows that were fitted again, and rows_recomputed rows of a derived store
    that were computed again from its parent.
    """

    store: str
    report: "VerifyReport"
    found: "tuple[Finding, ...]"
    restored: tuple[str, ...]
    removed: tuple[str, ...]
    rows_refitted: int
    rows_recomputed: int

    @property
    def failed(self) -> bool:
        return not self.report.ok

    def text(self) -> str:
        """A line for each finding and each repair, and a line for the whole check."""
        report = self.report
        checked = f"{report.num_rows:,} rows in {report.num_blocks:,} blocks"
        checked += f", {report.num_bytes:,} B"
        lines = [f"found {finding.text()}" for finding in self.found]
        lines += [f"restored {key}" for key in self.restored]
        lines += [f"removed {key}; {_removal_note(key)}" for key in self.removed]
        if self.rows_refitted:
            lines.append(f"{self.store}: refitted {self.rows_refitted:,} rows")
        if self.rows_recomputed:
            lines.append(
                f"{self.store}: computed {self.rows_recomputed:,} rows again from its parent"
            )
        lines += [finding.text() for finding in report.findings]
        count = len(report.findings)
        findings = f"{count:,} finding{'' if count == 1 else 's'}"
        verdict = "all checksums match" if report.ok else findings
        return "\n".join([*lines, f"{self.store}: {checked}: {verdict}"])


# Documents, then blocks, then the files derived from these; one more for good measure.
_MOST_ROUNDS = 3


def _removal_note(key: str) -> str:
    """The consequence of removing a derived file."""
    if key.startswith(f"{STATISTICS}/"):
        return "`inrgen stats` makes it again"
    if key.startswith(f"{INDEX}/"):
        return "it only gathered records, which can be read without it"
    return "it is no part of the store"


def _check(config: VerifyConfig) -> "VerifyReport":
    from inrgen.store.files.opening import open_files
    from inrgen.store.verify import sound_facts, verify_store

    num_rows = sum(layout.rows for layout in sound_facts(open_files(config.store)).layouts.values())
    with show_progress("verify", num_rows, 0, "INRs") as progress:
        return verify_store(config.store, progress.advance)


def _repair_blocks(config: VerifyConfig, report: "VerifyReport") -> tuple[int, int]:
    """Repair the damaged blocks; returns the numbers of rows refitted and recomputed."""
    from inrgen.fit.build import repair_store
    from inrgen.jobs.repair import remake_blocks
    from inrgen.store.reader import open_store

    if not report.bad_blocks:
        return 0, 0
    if open_store(config.store).derivation is not None:
        return 0, remake_blocks(config.store, config.data, report.bad_blocks)
    duplicates = any(finding.kind == "duplicate" for finding in report.findings)
    executor = ExecutorConfig(scheduler="ray", workers=config.workers)
    refitted = repair_store(
        config.store,
        config.data,
        report.bad_blocks,
        duplicates,
        executor,
        config.start,
        config.source,
    )
    return refitted, 0


def verify(config: VerifyConfig) -> VerifySummary:
    """Check a store; with repair, repair it and check again.

    Raises ValueError when a repair needs data that is not there, or that has changed.
    """
    from inrgen.store.verify import restore_documents

    report, found, repaired = _check(config), (), []
    refitted = recomputed = 0
    if config.repair and not report.ok:
        found = report.findings
    for _ in range(_MOST_ROUNDS if found else 0):
        before, restored = report.findings, restore_documents(config.store)
        # some blocks may be whole already, now that their files are back
        report = _check(config) if restored else report
        rows = _repair_blocks(config, report)
        report = _check(config) if any(rows) else report
        repaired += restored
        refitted, recomputed = refitted + rows[0], recomputed + rows[1]
        # derived files are judged by the blocks, so they may need a look after a repair of these
        if report.ok or report.findings == before:
            break
    return VerifySummary(
        store=str(config.store),
        report=report,
        found=found,
        restored=tuple(one.key for one in repaired if one.kind == "document"),
        removed=tuple(one.key for one in repaired if one.kind != "document"),
        rows_refitted=refitted,
        rows_recomputed=recomputed,
    )
