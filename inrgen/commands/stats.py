"""`inrgen stats`: mean and deviation of every parameter, kept in the store for its loaders."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.executors.config import ExecutorConfig

if TYPE_CHECKING:
    from inrgen.jobs.stats import StatsSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsConfig:
    """Measure mean and unbiased standard deviation of every parameter.

    Only rows that hold weights count. The store keeps the result, and
    StreamLoader(store, normalise_by="train") finds it there.

    Attributes:
        store: the store's folder.
        split: the split whose rows count.
        out: a JSON file to write instead, for a read-only store. A store with several
            architectures gets one file for each, with the architecture before the suffix.
    """

    store: tyro.conf.Positional[StoreArgument]
    split: Literal["train", "val", "test", "all"] = "train"
    out: OptionalLocalPath = None
    how: Annotated[tyro.conf.OmitArgPrefixes[ExecutorConfig], tyro.conf.arg(name="executor")] = (
        field(default_factory=ExecutorConfig)
    )


def stats(config: StatsConfig) -> "StatsSummary":
    """Measure and write the statistics; raises what jobs.measure_statistics raises."""
    from inrgen.jobs.stats import measure_statistics

    return measure_statistics(config.store, config.split, config.out, config.how)
