"""Run an export: threads write its parts side by side, then one thread finishes."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inrgen.core.atomic import remove_unfinished, write_whole
from inrgen.core.moments import Moments
from inrgen.exchange.conventions import Conventions
from inrgen.exchange.conversion import convert, standardise
from inrgen.exchange.export_plan import ExportPlan
from inrgen.exchange.files import hold_folder, read_json, write_json
from inrgen.exchange.formats.base import SIDECAR, Row, load_format
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks

# Progress of an unfinished export; no loader's pattern matches it.
_STATE = "_inrgen"
_PLAN = "plan.json"
# More threads take more memory, a part each, and wait for one another's Python.
_MAX_THREADS = 8


def export_rows(plan: ExportPlan, part: int, rows: Sequence[Row]) -> Moments[np.ndarray]:
    """Convert and write one part; gives the moments of its training rows.

    Converts in float64 and rounds once, so that no step adds its own rounding.
    """
    target = plan.context.target
    before = plan.store.specs[plan.spec_id]
    params = plan.store.read([row["row"] for row in rows], plan.spec_id)
    if target.spec != before or target.mean is not None:
        params = convert(params.to(dtype=torch.float64), before, target.spec)
        if target.mean is not None and target.std is not None:
            params = standardise(params, target.spec, target.mean, target.std)
        params = params.to(dtype=torch.float32)
    load_format(plan.format).write(plan.context, part, rows, params)
    if rows[0]["split"] != "train":
        return Moments.empty(target.spec.num_params)
    return Moments.from_rows(params.flat().numpy())


class Export:
    """An export that writes into a folder, and resumes there under the same plan.

    Files get their names once they are whole, and a part is noted once all its files are whole,
    so a killed export loses only the parts in hand. Files are not synced to disk: a power cut
    can lose more.
    """

    def __init__(self, plan: ExportPlan) -> None:
        self.plan = plan
        self._folder = plan.context.folder
        self._state = self._folder / _STATE

    def prepare(self) -> bool:
        """Make the folder; False if it already holds this very export, finished.

        Raises FileExistsError for a folder that holds anything else.
        """
        finished = self._folder / SIDECAR
        if finished.exists():
            if read_json(self._folder, SIDECAR).get("digest") == self.plan.digest:
                return False
            raise FileExistsError(f"{self._folder} holds another export; choose another folder")
        names = [p.name for p in self._folder.iterdir()] if self._folder.exists() else []
        plan = self._state / _PLAN
        if plan.exists() and read_json(self._state, _PLAN) != {"digest": self.plan.digest}:
            raise FileExistsError(
                f"{self._folder} holds the beginning of another export: of another store or other "
                "options; remove it, or choose another folder"
            )
        if not plan.exists() and set(names) - {_STATE}:
            raise FileExistsError(f"{self._folder} is not empty: it holds {min(names)}")
        # the digest goes first, so that a part never lies beside an unknown plan
        self._state.mkdir(parents=True, exist_ok=True)
        write_json(plan, {"digest": self.plan.digest})
        return True

    def pending(self) -> list[int]:
        """The parts that are not written yet."""
        done = {path.stem for path in self._state.glob("*.npz") if not path.name.startswith("_")}
        return [part for part in range(len(self.plan.parts)) if str(part) not in done]

    def run(self, workers: int | None) -> Iterator[int]:
        """Write the pending parts, then the files about all rows; yields row counts as they finish.

        Threads suffice: most of the time goes to the file system, and a process takes as long to
        start as five thousand files take to write.

        Args:
            workers: number of threads; None takes one a core, up to eight; 0 and 1 write part
                after part.

        Raises:
            BlockingIOError: another process runs this export.
            OSError: the folder cannot be written.
        """
        with hold_folder(self._state):
            workers = min(os.cpu_count() or 1, _MAX_THREADS) if workers is None else workers
            executor = ExecutorConfig(scheduler="threads", workers=workers)
            yield from run_tasks(self._write_part, self.pending(), executor)
            self._finish()

    def _write_part(self, part: int) -> int:
        """Write a part and note it as done; gives its number of rows."""
        rows = self.plan.selection.part(self.plan.parts[part])
        found = export_rows(self.plan, part, rows)

        def save(staged: Path) -> None:
            # savez appends .npz to a path, but not to an open file
            with staged.open("wb") as file:
                np.savez(file, count=found.count, mean=found.mean, squares=found.squares)

        write_whole(self._state / f"{part}.npz", save, durable=False)
        return len(rows)

    def _finish(self) -> None:
        context, rows = self.plan.context, self.plan.selection.rows
        total = Moments.empty(context.target.spec.num_params)
        # in the order of parts, so that rounding does not depend on the threads
        for part in range(len(self.plan.parts)):
            with np.load(self._state / f"{part}.npz", allow_pickle=False) as found:
                total += Moments(
                    count=int(found["count"]), mean=found["mean"], squares=found["squares"]
                )
        load_format(self.plan.format).finish(context, rows, total)
        # this process holds the folder, so temporary files are those of killed ones
        remove_unfinished(self._folder)
        write_json(self._folder / SIDECAR, self._sidecar())
        shutil.rmtree(self._state)

    def _sidecar(self) -> dict[str, Any]:
        """Facts about the export, so that an import need not be told them."""
        context, rows = self.plan.context, self.plan.selection.rows
        counts = {c["values"]: c["counts"] for c in rows["split"].value_counts().to_pylist()}
        named = rows.group_by(["label", "label_name"]).aggregate([]).to_pylist()
        target = context.target
        return {
            "inrgen_export": 1,
            "digest": self.plan.digest,
            "format": self.plan.format,
            "source": context.source,
            "widths": target.spec.widths,
            "conventions": Conventions.from_spec(target.spec, target.mean, target.std).to_dict(),
            "views": context.views,
            "rows": counts,
            "left_out": self.plan.selection.left_out,
            "label_names": {str(r["label"]): r["label_name"] for r in named if r["label"] >= 0},
            "store_seal": self.plan.store.self_checksum,
        }


def run_export(plan: ExportPlan, workers: int | None = None) -> int:
    """Export with a progress bar, or resume a stopped export; gives the number of rows written.

    Raises OSError if the folder holds anything else or cannot be written.

    Args:
        workers: number of threads, as Export.run takes it.
    """
    export, total, written = Export(plan), plan.selection.rows.num_rows, 0
    if export.prepare():
        left = sum(len(plan.parts[part]) for part in export.pending())
        with show_progress("export", total, total - left, "INRs") as progress:
            for count in export.run(workers):
                written += count
                progress.advance(count)
    return written
