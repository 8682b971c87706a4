"""Compare recipes by time, quality and how well classifiers learn from their weights."""

from inrgen.probes.config import ProbeRecipesConfig as ProbeRecipesConfig
from inrgen.probes.report import TableReport, print_progress


def probe_recipes(config: ProbeRecipesConfig) -> TableReport:
    """Compare recipes, with progress on stderr, and draw the plot where one is asked for.

    Raises ValueError as compare_recipes does.
    """
    from inrgen.figures.style import save_figure
    from inrgen.figures.trade import trade_figure
    from inrgen.probes.recipes import compare_recipes, recipe_table, trade_points

    rows = compare_recipes(config, print_progress)
    if config.plot is not None:
        drawn, axis = trade_points(rows)
        heading = f"{config.source}: what recipes cost, and what their weights teach"
        save_figure(trade_figure(drawn, heading, axis), config.plot)
    return TableReport(rows=rows, table=recipe_table(rows))
