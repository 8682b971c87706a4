"""`inrgen demo`: the whole journey on a small scale."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inrgen.core.arguments import LocalPath
from inrgen.core.summary import Summary

if TYPE_CHECKING:
    from inrgen.fit.build import BuildSummary
    from inrgen.sources.config import SourceConfig

_EPOCHS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Run the whole journey on handwritten digits of scikit-learn, offline, in about a minute.

    Fits, verifies, reads back, draws and describes a store. Fits the same images from the learned
    start that inrgen ships, too, and compares time, PSNR and what the weights teach.

    Attributes:
        out: folder for the store, its pictures and its card.
        images: number of images of each split.
        views: fits of each image.
        workers: fits at a time, one core each; the default is every core, and 0 runs without Ray.
    """

    out: LocalPath = Path("demo")
    images: int = 150
    views: int = 3
    workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeFigures:
    """Figures of the fits of one recipe.

    Attributes:
        fit_seconds: computing time of all fits, summed over cores.
        psnr_db: mean over all rows.
        accuracy_percent: test accuracy of an MLP on raw weights.
        standard_error: of the accuracy, over the test items.
    """

    recipe: str
    store: Path
    num_steps: float
    fit_seconds: float
    psnr_db: float
    accuracy_percent: float
    standard_error: float

    def text(self) -> str:
        """The figures in a line."""
        return (
            f"recipe {self.recipe}: {self.num_steps:,.0f} steps a fit, {self.fit_seconds:.1f} s in "
            f"all, {self.psnr_db:.2f} dB; an MLP on raw weights reads {self.accuracy_percent:.1f} "
            f"±{self.standard_error:.1f} % of the test digits"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSummary(Summary):
    """Paths of everything that was made, and what was measured on the way.

    recipes compares the published recipe with the learned start.
    """

    store: Path
    reconstructions: Path
    quality: Path
    card: Path
    croissant: Path
    built: "BuildSummary"
    verified_rows: int
    loaded_rows: int
    loaded_rows_per_s: float
    recipes: tuple[RecipeFigures, ...]
    is_damaged: bool

    @property
    def failed(self) -> bool:
        return self.is_damaged

    def text(self) -> str:
        """The journey in a few lines."""
        return "\n".join(
            [
                self.built.text(),
                f"verified {self.verified_rows:,} rows: "
                + ("something is damaged" if self.is_damaged else "all checksums match"),
                f"read {self.loaded_rows:,} training rows an epoch back through the loader, "
                f"{self.loaded_rows_per_s:,.0f} rows/s",
                f"originals beside reconstructions: {self.reconstructions}",
                f"quality: {self.quality}",
                f"data card: {self.card}",
                *(figures.text() for figures in self.recipes),
            ]
        )


def _read_epochs(store: Path) -> tuple[int, float]:
    """Count the rows of a training epoch, and time a second one, in seconds.

    The first epoch also loads compiled code and checks checksums, so it is not timed.
    """
    from inrgen.loaders.stream import StreamLoader
    from inrgen.store.reader import open_store

    loader = StreamLoader(open_store(store), split="train", batch_size=64)
    first = sum(len(batch.params) for batch in loader)
    began = time.perf_counter()
    second = sum(len(batch.params) for batch in loader)
    assert first == second, "epochs serve the same rows"
    return second, time.perf_counter() - began


def _measure_recipe(recipe: str, store: Path, views: int) -> RecipeFigures:
    """Read the figures of a store's fits from its records, and probe its weights."""
    from inrgen.probes.config import ProbeConfig
    from inrgen.probes.stores import probe_store
    from inrgen.store.reader import open_store

    table = open_store(store).read_records(["num_steps", "duration_s", "psnr_db"])
    steps, seconds, psnr = (table[name].to_numpy() for name in table.column_names)
    # A few hundred digits need more passes than the thousands of images that the default is for.
    probe = ProbeConfig(store=store, probes=("mlp_raw",), views=views, epochs=_EPOCHS, repeats=1)
    (judged,) = probe_store(probe)
    return RecipeFigures(
        recipe=recipe,
        store=store,
        num_steps=float(steps.mean()),
        fit_seconds=float(seconds.sum()),
        psnr_db=float(psnr.mean()),
        accuracy_percent=judged.accuracy.percent,
        standard_error=judged.accuracy.standard_error,
    )


def _build_learned(config: DemoConfig, source: "SourceConfig") -> Path | None:
    """Fit the same images from the shipped start; None if none is shipped."""
    from inrgen.commands.build import build
    from inrgen.fit.build_config import BuildConfig
    from inrgen.fit.starts.start import find_shipped_start, load_start

    start, store = find_shipped_start("digits", "2-32-32-1"), config.out / "digits-learned"
    if start is None:
        return None
    views = min(config.views, load_start(start).num_views)
    # Without Ray, whose start would take longer than these fits.
    build(BuildConfig(source=source, out=store, views=views, start=start, workers=0))
    return store


def demo(config: DemoConfig) -> DemoSummary:
    """Build, verify, load, draw and describe; a second call goes on where the first stopped."""
    from inrgen.commands.build import build
    from inrgen.commands.card import CardConfig, card
    from inrgen.commands.render import RenderConfig, render
    from inrgen.commands.verify import VerifyConfig, verify
    from inrgen.fit.build_config import BuildConfig
    from inrgen.sources.config import SourceConfig

    store = config.out / "digits"
    source = SourceConfig(name="digits", limit=config.images)
    built = build(BuildConfig(source=source, out=store, views=config.views, workers=config.workers))
    checked = verify(VerifyConfig(store=store))
    rows, seconds = _read_epochs(store)
    pictures = render(RenderConfig(store=store, out=config.out))
    described = card(CardConfig(store=store))
    learned = _build_learned(config, source)
    fits = {"published": store} | ({} if learned is None else {"learned": learned})
    return DemoSummary(
        store=store,
        reconstructions=pictures.reconstructions,
        quality=pictures.quality,
        card=Path(described.card),
        croissant=Path(described.croissant),
        built=built,
        verified_rows=checked.report.num_rows,
        loaded_rows=rows,
        loaded_rows_per_s=rows / seconds,
        recipes=tuple(_measure_recipe(name, at, config.views) for name, at in fits.items()),
        is_damaged=checked.failed,
    )
