"""python -m pipelines.augmentation_study --scale tiny|small|whole|full"""

import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from inrgen.fit.build_config import RecipeName
from inrgen.training.device import choose_device
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.report import write_report
from pipelines.augmentation_study.results import read_outcomes
from pipelines.augmentation_study.rows import Row, chosen, plan_rows
from pipelines.augmentation_study.scales import ScaleName, scale
from pipelines.augmentation_study.schedule import Tally, plan_runs, run_pending
from pipelines.augmentation_study.stores import Places, build_images, why_not
from pipelines.augmentation_study.waiting import when_free

_SHAPE_VIEWS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """Repeat the published study of augmentations for weight-space networks, and go beyond it.

    Builds the stores that are missing, runs every row of the published table and more, each with
    its seeds, and writes a report beside the published figures: OUT/report-SCALE.html and .md.
    The same command again goes on where it was stopped, a training after its last whole epoch, and
    the same command twice at once, on one machine or several that share OUT, divides the runs.
    A run that fails by its own config or data, or diverges, has that for its result; one that fails
    otherwise, as for want of memory, is tried again by the next command. Exit 1 where any failed.

    Attributes:
        scale: tiny (digits, minutes, to see that all runs), small (3,000 Fashion-MNIST images, two
            cores, a night), whole (all images with one view each, two cores, an hour a row) or full
            (the published protocol, for a GPU).
        data: the folder that holds FashionMNIST/raw; tiny needs none.
        out: where stores, results and the report go.
        budget_min: begin no run after so many minutes of running; what is left waits.
        rows: shell patterns of the names of rows to run, such as 'images-dws-1v-*'; all by default.
        seeds: trainings of each row; by default the scale's.
        recipe: how images are fitted, instead of the scale's way; stores and results of another
            recipe lie in folders of their own.
        steps: updates of each training on images, instead of the scale's; results of another
            number lie in a folder of their own.
        lr: what all networks are optimised from, instead of what each family is by default;
            results of another lie in a folder of their own.
        jobs: runs at a time, each in a process of its own.
        threads: of each run; by default the machine's cores shared out to jobs.
        device: cpu, cuda or cuda:N; auto takes a GPU where there is one.
        shapes: the folder that holds stores named modelnet_like and watertight; by default out.
        modelnet40: the folder that holds stores train, val and test of the real set.
        report_only: write the report of the results that are there and run nothing.
        list_rows: print the names of the rows in their order and do nothing else.
    """

    scale: ScaleName = "tiny"
    data: Path | None = None
    out: Path = Path("study")
    budget_min: float | None = None
    rows: tuple[str, ...] = ()
    seeds: int | None = None
    recipe: RecipeName | None = None
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
        chosen_scale = chosen_scale.of_recipe(config.recipe)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySummary:
    """What a command did. lines: what to tell people; failed: whether an error ended any run."""

    lines: tuple[str, ...]
    failed: bool = False

    def text(self) -> str:
        """The lines below each other."""
        return "\n".join(self.lines)


def study(config: StudyConfig) -> StudySummary:
    """Run what is left and write the report."""
    setting = _setting(config)
    planned = plan_rows(setting.scale.views, _SHAPE_VIEWS, config.modelnet40 is not None)
    rows = chosen(planned, config.rows)
    if config.list_rows:
        return StudySummary(lines=tuple(row.row_id for row in rows))
    tally = Tally(done=0, left=0) if config.report_only else _run(config, setting, rows)
    outcomes = read_outcomes(setting.places.out, setting.scale)
    html, markdown = write_report(setting, planned, outcomes)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    lines = [
        f"ran {tally.done} runs, {tally.left} left; {len(outcomes)} results, "
        f"{failed} of them failed",
        *([f"{tally.passing} of those left failed and will be tried again"] * (tally.passing > 0)),
        f"report: {html}",
        f"table: {markdown}",
    ]
    return StudySummary(lines=tuple(lines), failed=tally.failed > 0)


def _run(config: StudyConfig, setting: Setting, rows: Sequence[Row]) -> Tally:
    """Make the stores that are missing and run what is left of some rows."""
    # results of another scale are found before hours are spent
    read_outcomes(setting.places.out, setting.scale)
    if any(row.corpus == "images" and not row.recipe for row in rows):
        workers = None if config.jobs > 1 else 0
        when_free(lambda: build_images(setting.places, setting.scale, workers))
    reasons = {row: why_not(setting.places, row) for row in rows}
    for why, count in Counter(filter(None, reasons.values())).items():
        print(f"leaving out {count} rows: {why}", file=sys.stderr)
    able = [row for row in rows if not reasons[row]]
    runs = plan_runs(able, config.seeds or setting.scale.seeds)
    return run_pending(setting, runs, config.jobs, config.budget_min)


def main() -> int:
    """Run the command; 1 where a run failed, or with one sentence where it cannot be done."""
    try:
        summary = study(tyro.cli(StudyConfig, prog="python -m pipelines.augmentation_study"))
        print(summary.text())
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except (ValueError, OSError, BrokenProcessPool) as error:
        print(f"augmentation_study: {error}", file=sys.stderr)
        return 1
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
