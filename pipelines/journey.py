"""Journey from a data set to a network that reads weights: build, align, train, all resumable."""

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inrgen.cli import Verb, run_verb
from inrgen.commands.align import AlignConfig, align
from inrgen.commands.build import build
from inrgen.commands.train import TrainCommand, TrainSummary, train
from inrgen.fit.build_config import BuildConfig, RecipeName
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import MESH_SOURCES, ShapeConfig
from inrgen.store.queries import read_items
from inrgen.store.reader import open_store
from inrgen.training.config import TrainConfig
from pipelines.val_split import with_val


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Amount of fitting and training.

    Attributes:
        limit: items of each split, a stratified sample; all by default.
        views: fits of each item.
        recipe: fitting recipe; by default signed for images and teach for shapes, whose weights
            teach best.
        epochs: passes over the training items.
        workers: parallel fits, one core each; 0 uses this process alone; by default every core.
    """

    limit: int | None = None
    views: int = 10
    recipe: RecipeName | None = None
    epochs: int = 20
    workers: int | None = None


def build_align_train(
    source: SourceConfig, out: Path, size: Size, training: TrainConfig
) -> TrainSummary:
    """Fit every item, align all INRs to one template, and train on them.

    Raises ValueError where the source, a store or the training config does not fit the others.
    """
    build(
        BuildConfig(
            source=source,
            out=out / "fitted",
            views=size.views,
            recipe=size.recipe or ("teach" if source.name in MESH_SOURCES else "signed"),
            workers=size.workers,
        )
    )
    store = open_store(out / "fitted")
    # An epoch must never be chosen by the test items.
    has_val = bool(read_items(store, store.spec.spec_id, "val"))
    fitted = out / "fitted" if has_val else with_val(out / "fitted", out / "with-val")
    align(AlignConfig(store=fitted, out=out / "aligned"))
    return train(TrainCommand(store=out / "aligned", out=out / "run", training=training))


def signed_training(size: Size) -> TrainConfig:
    """Config of the signed network, the best in the study of those that read weights alone."""
    mode = "random" if size.views > 1 else "all"
    return TrainConfig(
        model="signed",
        views=size.views,
        view_mode=mode,
        epochs=size.epochs,
        batch_size=64,
        warmup=20,
        schedule="cosine",
    )


# Weights fitted to occupancy teach more than weights fitted to distances.
SHAPE = ShapeConfig(target="occupancy")


class Journey(Protocol):
    """Journey of one data set, made from its command line."""

    out: Path
    size: Size

    def source(self) -> SourceConfig:
        """Source of its signals."""
        ...


def run_journey(config: Journey) -> TrainSummary:
    """Build, align and train as a journey's config says."""
    training = signed_training(config.size)
    return build_align_train(config.source(), config.out, config.size, training)


def main(journey: type[Any]) -> int:
    """Run a journey from the command line; inrgen.cli.run_verbs says what it returns."""
    name = f"pipelines.{Path(inspect.getfile(journey)).stem}"
    about = inspect.cleandoc(journey.__doc__ or "")
    verb = Verb(name, journey.__module__, journey, run_journey, help=about, resumable=True)
    return run_verb("python -m", verb, sys.argv[1:])
