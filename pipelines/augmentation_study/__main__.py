"""Command of the study: python -m pipelines.augmentation_study --scale tiny|small|whole|full."""

import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from inrgen.cli import Verb, run_verb
from inrgen.core.summary import Summary
from inrgen.fit.build_config import BuildRecipe
from inrgen.fit.starts.start import find_shipped_start, load_start
from inrgen.training.distributed import choose_device
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.report import write_report
from pipelines.augmentation_study.results import read_outcomes
from pipelines.augmentation_study.rows import Row, choose_rows, plan_rows
from pipelines.augmentation_study.scales import Scale, ScaleName, scale
from pipelines.augmentation_study.schedule import Tally, plan_runs, run_pending
from pipelines.augmentation_study.sections_learned import learned_rows
from pipelines.augmentation_study.stores import Places, build_images, obstacle, wait_for_store

_SHAPE_VIEWS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """Repeat the published study of augmentations for weight-space networks, and extend it.

    The command builds missing stores, runs every row of the published table and more with each
    seed, and writes a report beside the published figures: OUT/report-SCALE.html and .md.

    The same command resumes a stopped study; a training resumes after its last whole epoch. Several
    processes, on one machine or on several that share OUT, divide the runs. A run that diverges or
    fails by its config or data has that as its result. A run that fails for another reason, such as
    too little memory, is tried again by the next command. The exit status is 1 if any run failed.

    Attributes:
        scale: tiny (digits, minutes, to check that all rows run), small (3,000 Fashion-MNIST
            images, two cores, a night), whole (all images with one view each, two cores, an hour
            per row) or full (the published protocol, for a GPU).
        data: the folder that holds FashionMNIST/raw; tiny needs none.
        out: folder for stores, results and the report.
        budget_min: minutes after which no further run begins.
        rows: shell patterns of the names of rows to run, such as 'images-dws-1v-*'; all by default.
        seeds: trainings of each row; by default the scale's.
        recipe: fitting recipe of the images, instead of the scale's; its stores and results have
            separate folders.
        steps: updates of each training on images, instead of the scale's; its results have a
            separate folder.
        lr: learning rate of all networks, instead of each family's; its results have a separate
            folder.
        jobs: parallel runs, one process each.
        threads: threads of each run; by default the machine's cores divided by jobs.
        device: cpu, cuda or cuda:N; auto takes a GPU where there is one.
        shapes: the folder that holds stores named modelnet_like and watertight; by default out.
        modelnet40: the folder that holds stores train, val and test of the real set.
        report_only: write the report of the existing results and run nothing.
        list_rows: print the names of the rows in their order and do nothing else.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "store": "data recipe shapes modelnet40",
        "training": "seeds steps lr",
        "run": "budget_min jobs threads device",
    }

    scale: ScaleName = "tiny"
    data: Path | None = None
    out: Path = Path("study")
    budget_min: float | None = None
    rows: tuple[str, ...] = ()
    seeds: int | None = None
    recipe: BuildRecipe | None = None
    steps: int | None = None
    lr: float | None = None
    jobs: int = 1
    threads: int | None = None
    device: str = "auto"
    shapes: Path | None = None
    modelnet40: Path | None = None
    report_only: bool = False
    list_rows: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1 or (self.seeds is not None and self.seeds < 1):
            raise ValueError(f"jobs and seeds must be positive; got {self.jobs}, {self.seeds}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1; got {self.threads}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be positive; got {self.steps}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be positive and finite; got {self.lr}")
        if self.budget_min is not None and not self.budget_min >= 0:
            raise ValueError(f"budget_min must not be negative; got {self.budget_min}")


def _setting(config: StudyConfig) -> Setting:
    chosen_scale = scale(config.scale)
    if config.recipe is not None:
        chosen_scale = chosen_scale.with_recipe(config.recipe)
    if config.recipe == "learned":
        chosen_scale = _limit_views(chosen_scale)
    if config.steps is not None:
        chosen_scale = replace(chosen_scale, steps=config.steps)
    if config.lr is not None:
        chosen_scale = replace(chosen_scale, lr=config.lr)
    shared = max(1, (os.cpu_count() or 1) // config.jobs)
    return Setting(
        scale=chosen_scale,
        places=Places(
            out=config.out.absolute(),
            data=config.data,
            shapes=(config.shapes or config.out).absolute(),
            modelnet40=config.modelnet40,
        ),
        device=str(choose_device(config.device)),
        threads=config.threads or shared,
    )


def _limit_views(chosen: Scale) -> Scale:
    """The scale with no more views than the starts that inrgen ships for its source."""
    path = find_shipped_start(chosen.source, "2-32-32-1", chosen.views)
    if path is None:
        raise ValueError(f"recipe learned needs a shipped start, which {chosen.source} lacks")
    return replace(chosen, views=min(chosen.views, load_start(path).num_views))


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySummary(Summary):
    """Summary of a command: lines for people, and the number of runs that errors ended."""

    lines: tuple[str, ...]
    runs_failed: int = 0

    @property
    def failed(self) -> bool:
        return self.runs_failed > 0

    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def study(config: StudyConfig) -> StudySummary:
    """Run the pending runs and write the report."""
    setting = _setting(config)
    planned = plan_rows(setting.scale.views, _SHAPE_VIEWS, config.modelnet40 is not None)
    if setting.scale.recipe == "learned":
        planned = learned_rows(setting.scale.views)
    rows = choose_rows(planned, config.rows)
    if config.list_rows:
        return StudySummary(lines=tuple(row.row_id for row in rows))
    tally = Tally(done=0, left=0) if config.report_only else _run(config, setting, rows)
    outcomes = read_outcomes(setting.places.out, setting.scale)
    html, markdown = write_report(setting, planned, outcomes)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    lines = [
        f"ran {tally.done} runs, {tally.left} left; {len(outcomes)} results, "
        f"{failed} of them failed",
        *(
            [f"{tally.transient} of those left failed and will be tried again"]
            * (tally.transient > 0)
        ),
        f"report: {html}",
        f"table: {markdown}",
    ]
    return StudySummary(lines=tuple(lines), runs_failed=tally.failed)


def _run(config: StudyConfig, setting: Setting, rows: Sequence[Row]) -> Tally:
    """Build missing stores and run the pending runs of some rows."""
    # Find results of another scale before hours are spent.
    read_outcomes(setting.places.out, setting.scale)
    if any(row.corpus == "images" and not row.recipe for row in rows):
        # A study of one job keeps to this process; otherwise fits may use every core.
        workers = None if config.jobs > 1 else 0
        wait_for_store(lambda: build_images(setting.places, setting.scale, workers))
    reasons = {row: obstacle(setting.places, row) for row in rows}
    for why, count in Counter(filter(None, reasons.values())).items():
        print(f"leaving out {count} rows: {why}", file=sys.stderr)
    able = [row for row in rows if not reasons[row]]
    runs = plan_runs(able, config.seeds or setting.scale.seeds)
    try:
        return run_pending(setting, runs, config.jobs, config.budget_min)
    except BrokenProcessPool as error:
        raise OSError(f"a run's process was killed, perhaps for memory: {error}") from error


def main() -> int:
    """Run the command; return 1 if a run failed, or after one sentence on a user error."""
    verb = Verb(
        "pipelines.augmentation_study",
        __name__,
        StudyConfig,
        study,
        help="Repeat the published study of augmentations, and extend it.",
        resumable=True,
    )
    return run_verb("python -m", verb, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
