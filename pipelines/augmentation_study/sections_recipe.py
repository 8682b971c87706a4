"""Section on recipes: how initialisation, steps and alignment change what weights teach."""

from collections.abc import Sequence

from pipelines.augmentation_study.bootstrap import Interval
from pipelines.augmentation_study.document import Section, Table
from pipelines.augmentation_study.plots import Dot, dot_figure
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
            lines.append([text, *["not run"] * 6])
            continue
        cost, psnr = one["psnr_db"], one["accuracy"]
        cells = [f"{psnr[p]['percent']:.1f} ± {psnr[p]['standard_error']:.1f}" for p in _PROBES]
        lines.append([text, f"{one['seconds_per_10k']:,.0f}", f"{cost:.1f}", *cells])
    train, val, test = scale.probes
    words = (
        f"Each recipe fits the same {train + val + test:,} images once ({train:,} to learn from, "
        f"{val:,} to choose the epoch, {test:,} to test), in the grammar of "
        "`inrgen probe-recipes`. An MLP of 512-512 learns from raw and from aligned weights, and "
        "a small network invariant to order and signs from raw ones. Test accuracy in % with one "
        "standard error over test items. Recipes with shared=yes start all INRs from one "
        "initialisation, as an upper bound.",
    )
    head = ["recipe", "seconds for 10,000 INRs", "PSNR (dB)", *_PROBES.values()]
    run = {text: found[text]["accuracy"]["set_raw"] for text in RECIPES if text in found}
    dots = [Dot(name=text, ours=_interval(share)) for text, share in run.items()]
    figures = [dot_figure(dots, "Set model on raw weights, by recipe")] if dots else []
    return Section(
        heading="The recipe study",
        words=words,
        figures=figures,
        tables=[Table(head=head, rows=lines)],
    )


def _interval(share: dict) -> Interval:
    """An accuracy with two standard errors to each side, about a 95 % interval."""
    mean, error = share["percent"], 2 * share["standard_error"]
    return Interval(mean=mean, low=mean - error, high=mean + error, num_seeds=1)
