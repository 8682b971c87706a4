"""Measure how well classifiers learn from the weights of a store."""

from inrgen.probes.config import ProbeConfig as ProbeConfig
from inrgen.probes.report import TableReport, print_progress


def probe(config: ProbeConfig) -> TableReport:
    """Probe a store, with progress on stderr. Raises ValueError as probe_store does."""
    from inrgen.probes.stores import probe_store, store_table

    rows = probe_store(config, print_progress)
    return TableReport(rows=rows, table=store_table(rows))
