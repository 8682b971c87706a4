"""Time to quality: PSNR of each image recipe after more and more updates.

PSNR alone must not choose a recipe: `inrgen probe-recipes` measures how well weights teach.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from inrgen.fit.build_config import RecipeName
from inrgen.fit.engines import make_engine, resolve_engine
from inrgen.fit.recipes import recipe
from inrgen.probes.report import columns_text
from inrgen.sources.config import SourceConfig
from pipelines.bench.fitted import fit_images, fitted_psnr_db, load_images

_RECIPES: tuple[RecipeName, ...] = ("published", "fast", "sharp")
# Shares of a recipe's own number of updates; the last goes beyond it.
_SHARES = (0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Result of one recipe with some number of updates.

    Attributes:
        recipe, engine, threads: the recipe, the engine and its threads.
        num_steps: updates of each fit.
        ms_an_inr: median over the repeats.
        psnr_db: mean PSNR.
    """

    recipe: str
    engine: str
    threads: int
    num_steps: int
    ms_an_inr: float
    psnr_db: float


def curve(
    data: str | None, num_items: int, repeats: int, shares: Sequence[float] = _SHARES
) -> list[CurvePoint]:
    """Fit with every recipe for shares of its own number of updates, without early stops.

    Args:
        data: the folder that holds Fashion-MNIST; None takes digits.
        num_items: images, one view each.
    """
    name = "digits" if data is None else "fashion-mnist"
    # The first images, as when the figures of RESULTS.md were measured.
    images = load_images(
        SourceConfig(name=name, data=data, split="train", limit=num_items, limit_order="first")
    )
    points = []
    for recipe_name in _RECIPES:
        plan = recipe(recipe_name, images.facts)
        engine_name = resolve_engine("auto", plan.spec, plan.fit)
        engine = make_engine(engine_name)
        for share in shares:
            num_steps = max(1, round(share * plan.fit.num_steps))
            cut = replace(plan, fit=replace(plan.fit, num_steps=num_steps, stop_psnr_db=None))
            fits = [fit_images(images, cut, engine, 1, 0) for _ in range(repeats + 1)]
            # The first fit may have compiled the engine.
            seconds = statistics.median(fit.seconds for fit in fits[1:])
            points.append(
                CurvePoint(
                    recipe=recipe_name,
                    engine=engine_name,
                    threads=torch.get_num_threads(),
                    num_steps=num_steps,
                    ms_an_inr=1e3 * seconds / len(images),
                    psnr_db=float(fitted_psnr_db(images, fits[0]).mean()),
                )
            )
    return points


_COLUMNS: dict[str, Callable[[CurvePoint], str]] = {
    "recipe": lambda row: row.recipe,
    "engine": lambda row: row.engine,
    "threads": lambda row: str(row.threads),
    "steps": lambda row: f"{row.num_steps:,}",
    "ms an INR": lambda row: f"{row.ms_an_inr:.2f}",
    "PSNR dB": lambda row: f"{row.psnr_db:.2f}",
}


def curve_table(rows: Sequence[CurvePoint]) -> str:
    """Print the points as text."""
    return columns_text(_COLUMNS, rows, 2)
