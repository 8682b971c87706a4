"""Section on recipes: how initialisation, steps and alignment change what weights teach."""

from collections.abc import Sequence

from inrgen.figures.trade import Measured, TradePoint, trade_figure
from pipelines.augmentation_study.document import Section, Table
from pipelines.augmentation_study.results import Outcome
from pipelines.augmentation_study.rows import RECIPES
from pipelines.augmentation_study.scales import Scale

_PROBES = {
    "mlp_raw": "MLP, raw",
    "mlp_permutation": "MLP, aligned by permutation",
    "mlp_signed": "MLP, aligned with signs",
    "set_raw": "set model, raw",
}


def recipe_section(outcomes: Sequence[Outcome], scale: Scale) -> Section:
    """Table of recipes: PSNR, and test accuracy of four probes with a standard error."""
    found = {o.run.row.recipe: o.recipe for o in outcomes if o.recipe and o.run.seed == 0}
    lines = []
    for text in RECIPES:
        one = found.get(text)
        if one is None:
            lines.append([text, *["not run"] * 5])
            continue
        cost, psnr = one["psnr_db"], one["accuracy"]
        cells = [f"{psnr[p]['percent']:.1f} ± {psnr[p]['standard_error']:.1f}" for p in _PROBES]
        lines.append([text, f"{cost:.1f}", *cells])
    train, val, test = scale.probes
    words = (
        f"Each recipe fits the same {train + val + test:,} images once ({train:,} to learn from, "
        f"{val:,} to choose the epoch, {test:,} to test), in the grammar of "
        "`inrgen probe-recipes`. An MLP of 512-512 learns from raw and from aligned weights, and "
        "a small network invariant to order and signs from raw ones. Test accuracy in % with one "
        "standard error over test items. Recipes with shared=yes start all INRs from one "
        "initialisation, as an upper bound.",
    )
    head = ["recipe", "PSNR (dB)", *_PROBES.values()]
    points = [_point(text, found[text]) for text in RECIPES if text in found]
    figures = [trade_figure(points, "Cost and accuracy of recipes")] if points else []
    return Section(
        heading="The recipe study",
        words=words,
        figures=figures,
        tables=[Table(head=head, rows=lines)],
    )


def _point(text: str, one: dict) -> TradePoint:
    def measured(probe: str) -> Measured:
        share = one["accuracy"][probe]
        value, error = share["percent"], share["standard_error"]
        return Measured(value=value, low=value - error, high=value + error)

    return TradePoint(
        name=text,
        seconds=one["seconds_per_10k"],
        quality=Measured(value=one["psnr_db"], low=one["psnr_p5_db"], high=one["psnr_p95_db"]),
        accuracy={_PROBES[p]: measured(p) for p in ("mlp_raw", "mlp_signed", "set_raw")},
    )
