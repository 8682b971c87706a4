"""Write a store in another format: a plan, parts that any process can write, and an end."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inrgen.core.splits import Split
from inrgen.exchange.catalog import FormatName, format_named
from inrgen.exchange.conventions import convert, standardise
from inrgen.exchange.files import (
    hold_folder,
    read_json,
    remove_unfinished,
    write_json,
    write_whole,
)
from inrgen.exchange.format import SIDECAR, Row, Wishes, Writing
from inrgen.exchange.moments import Moments
from inrgen.exchange.selection import Selection, select_rows
from inrgen.exchange.stated import stated_of
from inrgen.store.location import absolute
from inrgen.store.reader import Store, open_store

_STATE = "_inrgen"
_PLAN = "plan.json"
# Fewer parts are done before other processes have started.
_PARTS_WORTH_WORKERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a worker must know to write any part: paths and plain values."""

    store: str
    spec_id: str
    format: FormatName
    writing: Writing


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportPlan:
    """An export, settled before a file is written.

    digest: of all that decides what is written; an export is resumed by the same plan alone.
    """

    job: Job
    selection: Selection
    parts: Sequence[range]
    digest: str


def plan_export(
    path: str | Path,
    format: FormatName,
    out: Path,
    *,
    splits: Sequence[Split],
    views: Sequence[int] | None = None,
    spec_id: str | None = None,
    wishes: Wishes | None = None,
) -> ExportPlan:
    """Settle what goes out and under which conventions.

    Raises ValueError where the format cannot hold what the store has.
    """
    wishes, store, made = wishes or Wishes(), open_store(path), format_named(format)
    spec_id = spec_id or store.spec.spec_id
    if spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    needs = made.exporter
    if needs.one_view and views is not None and len(set(views)) > 1:
        raise ValueError(f"{format} holds one view of each item; choose one of {list(views)}")
    source = _source(store)
    target = made.target(store.specs[spec_id], source, wishes)
    chosen = [0] if needs.one_view and views is None else views
    selection = select_rows(store, spec_id, splits, chosen, needs.whole_items)
    nameless = int((selection.rows["label"].to_numpy() < 0).sum())
    if needs.labelled and nameless:
        raise ValueError(f"{format} needs a class for each row; {nameless:,} rows have none")
    writing = Writing(
        folder=out.absolute(),
        target=target,
        wishes=wishes,
        source=source,
        views=tuple(selection.views),
    )
    job = Job(store=absolute(path), spec_id=spec_id, format=format, writing=writing)
    return ExportPlan(
        job=job,
        selection=selection,
        parts=selection.parts(needs.rows_per_part),
        digest=_digest(store, job, selection),
    )


def _source(store: Store) -> str:
    noted = store.identity.get("source")
    return str(noted.get("name", "")) if isinstance(noted, dict) else ""


def _digest(store: Store, job: Job, selection: Selection) -> str:
    """Where the files lie does not count, but for formats that write it into them."""
    target = job.writing.target
    facts = {
        "store": store.seal,
        "format": job.format,
        "spec": target.spec.to_dict(),
        "standardised": [target.mean, target.std],
        "wishes": asdict(job.writing.wishes),
        "views": job.writing.views,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(selection.rows["row"].to_numpy()).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=2)
def _opened(path: str) -> Store:
    return open_store(path)


def export_part(job: Job, part: int, rows: Sequence[Row]) -> Moments:
    """Convert and write one part; gives the moments of its training rows.

    Conventions are changed in float64 and rounded once.
    """
    store, target = _opened(job.store), job.writing.target
    before = store.specs[job.spec_id]
    params = store.read([row["row"] for row in rows], job.spec_id)
    if target.spec != before or target.mean is not None:
        params = convert(params.to(dtype=torch.float64), before, target.spec)
        if target.mean is not None and target.std is not None:
            params = standardise(params, target.spec, target.mean, target.std)
        params = params.to(dtype=torch.float32)
    format_named(job.format).write(job.writing, part, rows, params)
    trains = rows[0]["split"] == "train"
    return Moments.of(params) if trains else Moments.of_none(target.spec.num_params)


def _note(state: Path, part: int, found: Moments) -> None:
    def made(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, count=found.count, mean=found.mean, squares=found.squares)

    write_whole(state / f"{part}.npz", made)


def _work(job: Job, part: int, rows: Sequence[Row]) -> int:
    """A part in a worker: written, then noted as done; how many rows it had."""
    _note(job.writing.folder / _STATE, part, export_part(job, part, rows))
    return len(rows)


def _end_with(driver: int) -> None:
    """End this worker soon after its driver, which may be killed without a word."""

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _alone(job: Job, part: int, rows: Sequence[Row]) -> int:
    """The same in a process of its own, beside others: one thread each."""
    torch.set_num_threads(1)
    return _work(job, part, rows)


class Export:
    """An export that writes into a folder; the same plan again goes on where it was stopped.

    Files get their names once they are whole, and a part is noted once all its files are there, so
    a killed export loses the parts in hand. (Files are not synced: a power cut can lose more.)
    """

    def __init__(self, plan: ExportPlan) -> None:
        self.plan = plan
        self._folder = plan.job.writing.folder
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
            workers: processes; 0 is this one alone, None as many as there are cores if it is worth
                their start.

        Raises:
            BlockingIOError: another process is at it.
            OSError: the folder cannot be written, or a worker died.
        """
        with hold_folder(self._state):
            pending = self.pending()
            if workers is None:
                workers = 0 if len(pending) < _PARTS_WORTH_WORKERS else os.cpu_count() or 1
            yield from self._parts(pending, workers)
            self._finish()

    def _parts(self, pending: Sequence[int], workers: int) -> Iterator[int]:
        plan = self.plan
        if workers == 0:
            for part in pending:
                yield _work(plan.job, part, plan.selection.part(plan.parts[part]))
            return
        with ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),
            initializer=_end_with,
            initargs=(os.getpid(),),
        ) as pool:
            waiting = set()
            try:
                for part in pending:
                    rows = plan.selection.part(plan.parts[part])
                    waiting.add(pool.submit(_alone, plan.job, part, rows))
                    if len(waiting) > 2 * workers:
                        done = next(as_completed(waiting))
                        waiting.remove(done)
                        yield done.result()
                for done in as_completed(waiting):
                    yield done.result()
            except BrokenProcessPool as error:
                raise OSError("a worker died; the same command goes on from here") from error
            finally:
                pool.shutdown(cancel_futures=True)

    def _finish(self) -> None:
        writing, rows = self.plan.job.writing, self.plan.selection.rows
        total = Moments.of_none(writing.target.spec.num_params)
        for part in range(len(self.plan.parts)):
            with np.load(self._state / f"{part}.npz", allow_pickle=False) as found:
                total = total.with_more(
                    Moments(count=int(found["count"]), mean=found["mean"], squares=found["squares"])
                )
        format_named(self.plan.job.format).finish(writing, rows, total)
        remove_unfinished(self._folder)
        write_json(self._folder / SIDECAR, self._sidecar())
        shutil.rmtree(self._state)

    def _sidecar(self) -> dict[str, Any]:
        """What was exported, so that an import need not be told."""
        writing, rows = self.plan.job.writing, self.plan.selection.rows
        counts = {c["values"]: c["counts"] for c in rows["split"].value_counts().to_pylist()}
        named = rows.group_by(["label", "label_name"]).aggregate([]).to_pylist()
        target = writing.target
        return {
            "inrgen_export": 1,
            "digest": self.plan.digest,
            "format": self.plan.job.format,
            "source": writing.source,
            "widths": target.spec.widths,
            "conventions": stated_of(target.spec, target.mean, target.std).to_dict(),
            "views": writing.views,
            "rows": counts,
            "left_out": self.plan.selection.left_out,
            "label_names": {str(r["label"]): r["label_name"] for r in named if r["label"] >= 0},
            "store_seal": _opened(self.plan.job.store).seal,
        }
