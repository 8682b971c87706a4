"""From a data set to a network that reads weights: build, align, train; each step resumes."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tyro

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.build import build
from inrgen.commands.train import TrainCommand, TrainSummary, train
from inrgen.fit.build_config import BuildConfig, RecipeName
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import MESH_SOURCES, ShapeConfig
from inrgen.store.choice import split_items
from inrgen.store.reader import open_store
from inrgen.training.config import TrainConfig
from pipelines.val_split import with_val


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is fitted and trained.

    Attributes:
        limit: the first so many items of each split; all by default.
        views: fits of each item.
        recipe: how they are fitted; by default so that weights teach the network below: signed for
            images, teach for shapes.
        epochs: passes over the training items.
        workers: fits at a time, one core each; 0 is this process alone; by default every core.
    """

    limit: int | None = None
    views: int = 10
    recipe: RecipeName | None = None
    epochs: int = 20
    workers: int | None = None


def build_align_train(
    source: SourceConfig, out: Path, size: Size, training: TrainConfig
) -> TrainSummary:
    """Fit every item, carry all INRs nearest to one template, and train on them.

    Raises ValueError where the source, a store or the training is not what it must be.
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
    has_val = bool(split_items(store, store.spec.spec_id, "val"))
    fitted = out / "fitted" if has_val else with_val(out / "fitted", out / "with-val")
    align(AlignConfig(store=fitted, out=out / "aligned"))
    return train(TrainCommand(store=out / "aligned", out=out / "run", training=training))


def signed_training(size: Size) -> TrainConfig:
    """A network blind to order and signs of units: the study's best on weights alone."""
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


# Fits of inside and outside teach more than fits of distances.
SHAPE = ShapeConfig(target="occupancy")


class Journey(Protocol):
    """One data set's journey, made from its command line."""

    out: Path
    size: Size

    def source(self) -> SourceConfig:
        """Where its signals come from."""
        ...


def main(journey: type[Any]) -> int:
    """Run a journey from the command line; one sentence and 1 where it cannot be done, 130 where
    it is stopped.
    """
    config: Journey = tyro.cli(journey)
    try:
        training = signed_training(config.size)
        print(build_align_train(config.source(), config.out, config.size, training).text())
    except KeyboardInterrupt:
        print(f"{journey.__name__}: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"{journey.__name__}: {error}", file=sys.stderr)
        return 1
    return 0
