"""`inrgen align`: carry every row of a store near one reference, so that mixing needs no search."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.core.config import Kind, MatchConfig, Opening, thorough
from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.plan import TemplateChoice

if TYPE_CHECKING:
    from inrgen.jobs.derive import DeriveSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignConfig:
    """Align every row to one template, or each item's views to its first one.

    The same command again resumes. A symmetry carries each row, so the row computes the same
    function; its record holds the parent's row and the symmetry. Rows without weights stay as
    they are.

    Attributes:
        store: the store's folder.
        out: the folder of the new store; made if it does not exist.
        template: mean: the iterated mean of a sample of training rows. medoid: the candidate row
            with the smallest total distance to the others. A number: that row. pairs: align each
            item's views to its first one. An aligned store: its template, so that the rows of both
            stores lie near each other; match, init and restarts are then that store's. STORE:ROW:
            that row of another store.
        match: the symmetries to search: permutation; signed adds the sign of each unit; phase
            adds half periods.
        init: start of each search. ends first matches units by their connections to outputs and
            coordinates. identity takes units in their order, as published code does, and never
            ends farther away than it began. both takes the nearer result.
        restarts: further searches of each row from disturbed ends, or from random orders; the
            nearest result counts. Each takes as long as the first. To resume a store of an earlier
            version, give ends and 4, or identity and 0 if it records no init.
        sample: most rows that a mean or medoid is made from.
        seed: names the sample.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument
    template: str = "mean"
    match: Kind = "signed"
    init: Opening = thorough("signed").opening
    restarts: int = thorough("signed").restarts
    sample: int = 1000
    seed: int = 0
    how: Annotated[tyro.conf.OmitArgPrefixes[ExecutorConfig], tyro.conf.arg(name="executor")] = (
        field(default_factory=ExecutorConfig)
    )

    def ignored(self) -> dict[str, str]:
        """Options without effect on this template, each with what it is for."""
        samples = self.template in ("mean", "medoid")
        return {} if samples else dict.fromkeys(("sample", "seed"), "template mean or medoid")

    def __post_init__(self) -> None:
        if not 0 <= self.restarts <= 1000:
            raise ValueError(f"restarts must be in 0..1000; got {self.restarts}")
        # Made here for its checks, so that a wrong template is refused with the command line.
        _ = self.reference

    @property
    def reference(self) -> TemplateChoice:
        """The template to align to. Raises ValueError for a wrong template or sample."""
        return TemplateChoice(kind=self.template, sample=self.sample, seed=self.seed)

    @property
    def search(self) -> MatchConfig:
        """The search for each row's symmetry."""
        return MatchConfig(kind=self.match, restarts=self.restarts, opening=self.init)


def align(config: AlignConfig) -> "DeriveSummary":
    """Align a store, or resume an earlier run; raises what jobs.align_store raises."""
    from inrgen.jobs.align import align_store

    return align_store(config.store, config.out, config.reference, config.search, config.how)
