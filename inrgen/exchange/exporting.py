"""Write a store in another format: parts that threads write side by side, and an end."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inrgen.exchange.conventions import convert, standardise
from inrgen.exchange.export_plan import ExportPlan
from inrgen.exchange.files import (
    hold_folder,
    read_json,
    remove_unfinished,
    write_json,
    write_whole,
)
from inrgen.exchange.formats.base import SIDECAR, Row
from inrgen.exchange.formats.catalog import format_named
from inrgen.exchange.moments import Moments
from inrgen.exchange.stated import stated_of
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks

_STATE = "_inrgen"
_PLAN = "plan.json"
# More take more memory, a part each, and wait for one another's Python.
_MAX_THREADS = 8


def export_rows(plan: ExportPlan, part: int, rows: Sequence[Row]) -> Moments:
    """Convert and write one part; gives the moments of its training rows.

    Conventions are changed in float64 and rounded once.
    """
    target = plan.writing.target
    before = plan.store.specs[plan.spec_id]
    params = plan.store.read([row["row"] for row in rows], plan.spec_id)
    if target.spec != before or target.mean is not None:
        params = convert(params.to(dtype=torch.float64), before, target.spec)
        if target.mean is not None and target.std is not None:
            params = standardise(params, target.spec, target.mean, target.std)
        params = params.to(dtype=torch.float32)
    format_named(plan.format).write(plan.writing, part, rows, params)
    trains = rows[0]["split"] == "train"
    return Moments.of(params) if trains else Moments.of_none(target.spec.num_params)


def _note(state: Path, part: int, found: Moments) -> None:
    def made(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, count=found.count, mean=found.mean, squares=found.squares)

    write_whole(state / f"{part}.npz", made)


class Export:
    """An export that writes into a folder; the same plan again goes on where it was stopped.

    Files get their names once they are whole, and a part is noted once all its files are there, so
    a killed export loses the parts in hand. (Files are not synced: a power cut can lose more.)
    """

    def __init__(self, plan: ExportPlan) -> None:
        self.plan = plan
        self._folder = plan.writing.folder
        self._state = self._folder / _STATE

    def prepare(self) -> bool:
        """Make the folder; False where this very export is finished there already.

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
        self._state.mkdir(parents=True, exist_ok=True)
        write_json(plan, {"digest": self.plan.digest})
        return True

    def pending(self) -> list[int]:
        """The parts that are not written yet."""
        done = {path.stem for path in self._state.glob("*.npz") if not path.name.startswith("_")}
        return [part for part in range(len(self.plan.parts)) if str(part) not in done]

    def run(self, workers: int | None) -> Iterator[int]:
        """Write what is pending, then what is about all rows; yields rows as they are done.

        Args:
            workers: threads, None for as many as there are cores, up to eight; 0 and 1 write one
                part after the other. Most of the time goes to the file system, where threads wait
                for one another only to make files in the same folder; to start a process takes
                as long as to write five thousand files.

        Raises:
            BlockingIOError: another process is at it.
            OSError: the folder cannot be written.
        """
        with hold_folder(self._state):
            workers = min(os.cpu_count() or 1, _MAX_THREADS) if workers is None else workers
            executor = ExecutorConfig(scheduler="threads", workers=workers)
            yield from run_tasks(self._write, self.pending(), executor)
            self._finish()

    def _write(self, part: int) -> int:
        """Write a part, then note that it is done; how many rows it had."""
        rows = self.plan.selection.part(self.plan.parts[part])
        _note(self._state, part, export_rows(self.plan, part, rows))
        return len(rows)

    def _finish(self) -> None:
        writing, rows = self.plan.writing, self.plan.selection.rows
        total = Moments.of_none(writing.target.spec.num_params)
        for part in range(len(self.plan.parts)):
            with np.load(self._state / f"{part}.npz", allow_pickle=False) as found:
                total = total.with_more(
                    Moments(count=int(found["count"]), mean=found["mean"], squares=found["squares"])
                )
        format_named(self.plan.format).finish(writing, rows, total)
        remove_unfinished(self._folder)
        write_json(self._folder / SIDECAR, self._sidecar())
        shutil.rmtree(self._state)

    def _sidecar(self) -> dict[str, Any]:
        """What was exported, so that an import need not be told."""
        writing, rows = self.plan.writing, self.plan.selection.rows
        counts = {c["values"]: c["counts"] for c in rows["split"].value_counts().to_pylist()}
        named = rows.group_by(["label", "label_name"]).aggregate([]).to_pylist()
        target = writing.target
        return {
            "inrgen_export": 1,
            "digest": self.plan.digest,
            "format": self.plan.format,
            "source": writing.source,
            "widths": target.spec.widths,
            "conventions": stated_of(target.spec, target.mean, target.std).to_dict(),
            "views": writing.views,
            "rows": counts,
            "left_out": self.plan.selection.left_out,
            "label_names": {str(r["label"]): r["label_name"] for r in named if r["label"] >= 0},
            "store_seal": self.plan.store.seal,
        }
