"""Build plan: all that decides a build's result, settled before any work."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inrgen.core.encoding import read_encoding
from inrgen.core.own_code import is_own_name
from inrgen.core.spec import InrSpec
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.engines import resolve_engine
from inrgen.fit.kept_items import read_listed
from inrgen.fit.starts.plan import (
    StartChoice,
    choose_start,
    find_recorded_start,
    fit_of_start,
    learned_fit,
    learned_fit_facts,
)
from inrgen.fit.variants import LearnedVariant, Variant, parse_variant, vary_init, vary_networks
from inrgen.sources.base import Source, SourceFacts
from inrgen.sources.catalog import choose_part, is_openable, open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import items_digest
from inrgen.sources.listed import choose_listed
from inrgen.sources.options import without_ignored
from inrgen.sources.selection import data_digest, describe_part
from inrgen.store.errors import recorded_facts
from inrgen.store.files.opening import open_files
from inrgen.store.layout import SHARD_ROWS, Layout
from inrgen.store.metadata import read_facts
from inrgen.store.reader import Store

# A block of shapes then has at most 250 rows: 3 minutes on one core with the default recipe.
_SHAPE_CHUNK_ROWS = 16
# Weights of a block of images; published networks, of a thousand weights, come nowhere near.
_BLOCK_BYTES = 256_000_000
_VIEWS = 10
# Options, and fields of a recipe text, that say what a spec given as an object says.
_OF_NETWORKS = ("hidden", "omega", "activation", "encoding")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """All that decides a build's result.

    items_sha256 is the digest of the source's list of items, so that a build cannot resume on
    other files. data_sha256 is that of the data, where the source has one. start is the learned
    start of recipe learned; None for all other recipes. notes are sentences about the source and
    its recipe, for a person to check before any work. opened is the source, and is_given tells
    whether it is an object of the caller's, which no name opens again. reading is the version of
    the source's reading of its files, raised when the same files give other signals than before.
    kept_rows is the number of rows that a store which grows has already.
    """

    source: SourceConfig
    items_sha256: str
    recipe: str
    fit_plan: FitPlan
    engine: str
    layout: Layout
    start: StartChoice | None = None
    notes: tuple[str, ...] = ()
    data_sha256: str | None = None
    opened: Source = field(compare=False, repr=False)
    is_given: bool = False
    reading: int = 1
    kept_rows: int = 0

    def rows_to_fit(self, block: int) -> range:
        """Rows of a block without those that the store had before it grew."""
        rows = self.layout.block_rows(block)
        return range(max(rows.start, min(self.kept_rows, rows.stop)), rows.stop)

    @property
    def identity(self) -> dict[str, Any]:
        """Identity that the store records; a build that resumes must have the same."""
        fit, source = self.fit_plan.fit, self.source.identity()
        if self.reading > 1:  # stores of the first reading have no such key
            source["reading"] = self.reading
        identity = {
            # Renaming a key here would make every existing store refuse to resume.
            "source": source,
            "items": {
                "count": self.layout.rows // self.layout.views,
                "sha256": self.items_sha256,
            },
            "recipe": self.recipe,
            "spec": self.fit_plan.spec.to_dict(),
            "fit": fit.to_dict() if self.start is None else learned_fit_facts(fit),
            "engine": self.engine,
            "seed": self.fit_plan.seed,
            "views": self.fit_plan.views,
            "min_psnr_db": self.fit_plan.min_psnr_db,
        }
        if self.data_sha256 is not None:
            identity["items"]["data_sha256"] = self.data_sha256
        # Stores without a start must keep their identity, so they have no such key.
        return identity if self.start is None else identity | {"start": self.start.identity}


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnRecipe:
    """Networks and fit that a caller gives as objects; None leaves the recipe's."""

    spec: InrSpec | None = None
    fit: FitConfig | None = None

    def check(self, facts: SourceFacts) -> None:
        """Raise ValueError for networks of other signals than the source's."""
        for name in ("d_in", "d_out", "value_kind"):
            wanted, found = getattr(facts, name), getattr(self.spec, name, None)
            if self.spec is not None and found != wanted:
                raise ValueError(f"spec needs {name} {wanted!r} for {facts.name}; got {found!r}")


def vary_spec(config: BuildConfig, spec: InrSpec) -> InrSpec:
    """Networks with the config's own values in place of theirs."""
    return vary_networks(
        spec,
        hidden=config.hidden,
        omega=None if config.omega is None else (config.omega,),
        activation=config.activation,
        encoding=None if config.encoding is None else read_encoding(config.encoding),
    )


def vary_fit(config: BuildConfig, fit: FitConfig) -> FitConfig:
    """A fit with the config's own values in place of its."""
    if config.stop_psnr is not None:
        # A command line has no None, so inf means never.
        never = config.stop_psnr == math.inf
        fit = replace(fit, stop_psnr_db=None if never else config.stop_psnr)
    if config.num_steps is not None:
        fit = replace(fit, num_steps=config.num_steps)
    if config.points_per_step is not None:
        fit = replace(fit, points_per_step=config.points_per_step)
    if config.curvature:
        fit = replace(fit, curvature=True)
    if config.lr is not None:
        fit = replace(fit, lr=config.lr)
    if config.shared:
        fit = replace(fit, init=replace(fit.init, shared=True))
    return fit


def vary_recipe(
    config: BuildConfig, variant: Variant, own: OwnRecipe, facts: SourceFacts
) -> tuple[str, InrSpec, FitConfig]:
    """The recipe's name, networks and fit, with the config's own values in place of its."""
    chosen = None
    if own.spec is not None and own.fit is not None:
        # No recipe needs to be made for these signals.
        name, spec, fit = "own", own.spec, own.fit
    else:
        chosen = variant.plan(facts)
        name, spec, fit = chosen.name, own.spec or chosen.spec, own.fit or chosen.fit
    own.check(facts)
    stray = [k for k in _OF_NETWORKS if getattr(config, k) is not None or k in variant.changes]
    if own.spec is not None and stray:
        raise ValueError(f"spec says the networks already; leave out {', '.join(stray)}")
    spec = vary_spec(config, spec)
    if chosen is not None and own.fit is None:
        init = vary_init(fit.init, chosen.spec, spec, variant.stated("init"))
        fit = replace(fit, init=init)
    return name, spec, vary_fit(config, fit)


def _note_default(name: str, spec: InrSpec, fit: FitConfig) -> tuple[str, ...]:
    """A sentence about a recipe that a user may not have asked for."""
    if name not in ("default", "sound"):
        return ()
    omegas = "-".join(
        f"{w:g}" for w in (spec.omega[:1] if len(set(spec.omega)) == 1 else spec.omega)
    )
    outputs = f"{spec.d_out} output{'' if spec.d_out == 1 else 's'}"
    return (
        f"{spec.value_kind} over {spec.coord_order}, {outputs}; recipe {name}: "
        f"{'SIREN' if spec.is_siren else spec.kind} {spec.architecture}, "
        f"omega {omegas}, {fit.num_steps:,} steps at {fit.lr:g}",
    )


def _note_engine(spec: InrSpec, engine: str) -> tuple[str, ...]:
    """A sentence about networks that compiled code does not know."""
    if spec.is_siren:
        return ()
    return (f"networks {spec.architecture}: {spec.kind}; engine {engine}",)


def _reading_of(source: Source) -> int:
    # Only folders of files have had more than one.
    return getattr(source, "reading", 1)


def _plan_layout(num_items: int, views: int, facts: SourceFacts, spec: InrSpec) -> Layout:
    """Cut the rows into blocks, smaller ones for shapes and for wide networks.

    A fit of a shape takes a second, and a worker holds a whole block, of 15 rows at least.
    """
    rows = num_items * views
    if facts.d_in >= 3:
        return Layout(rows=rows, views=views, max_chunk_rows=_SHAPE_CHUNK_ROWS)
    fair = Layout(rows=rows, views=views)
    most = _BLOCK_BYTES // (4 * spec.num_params)
    if fair.shard_rows <= most:
        return fair
    return replace(fair, max_chunk_rows=max(1, fair.max_chunk_rows * most // SHARD_ROWS))


def _recorded_source(config: BuildConfig) -> dict[str, Any] | None:
    """The source that a store at config.out was begun with; None where nothing depends on it."""
    if config.source.limit is None or config.source.limit_order is not None:
        return None
    try:
        return read_facts(open_files(config.out)).identity.get("source")
    except (OSError, ValueError):
        # No store yet, or one that create_store refuses with its reason.
        return None


def _first(*choices: int | None) -> int | None:
    """The first choice that is given; 0 is one, and takes all points."""
    return next((choice for choice in choices if choice is not None), None)


def plan_build(
    config: BuildConfig, given: Source | None = None, own: OwnRecipe | None = None
) -> BuildPlan:
    """Read the source's list of items, and settle all that the result depends on.

    A store that is there already settles the order of the limit where the config leaves it open.

    Args:
        given: the source itself, where config.source only names it.
        own: networks and fit in place of the recipe's.
    """
    config = replace(config, source=config.source.with_order(_recorded_source(config)))
    usual = Variant(text="", base=None, changes={})
    variant = parse_variant(config.recipe) if config.recipe else usual
    if isinstance(variant, LearnedVariant):
        config = replace(
            config,
            recipe="learned",
            start=config.start or variant.start,
            num_steps=config.num_steps or variant.num_steps,
            points_per_step=_first(config.points_per_step, variant.points_per_step),
            curvature=config.curvature or variant.curvature,
        )
    if given is not None:
        given = choose_part(given, config.source)
    source = open_source(config.source) if given is None else given
    choice = choose_start(config, source.facts)
    views = config.views or (_VIEWS if choice is None else choice.start.num_views)
    if choice is not None:
        name, spec = "learned", choice.start.spec
        fit = fit_of_start(choice.start, config.num_steps, config.points_per_step, config.curvature)
        if own is not None:
            raise ValueError("a learned start brings its own networks; leave out spec and fit")
    else:
        assert isinstance(variant, Variant), "choose_start finds a start or raises"
        name, spec, fit = vary_recipe(config, variant, own or OwnRecipe(), source.facts)
        if fit.curvature:
            raise ValueError("curvature needs a learned start; give start, or recipe learned")
    engine = resolve_engine(config.engine, spec, fit, source.facts.weighted)
    return BuildPlan(
        source=config.source,
        items_sha256=items_digest(source.items),
        recipe=name,
        fit_plan=FitPlan(
            spec=spec, fit=fit, seed=config.seed, views=views, min_psnr_db=config.min_psnr
        ),
        engine=engine,
        layout=_plan_layout(len(source.items), views, source.facts, spec),
        start=choice,
        notes=(
            *source.facts.notes,
            *describe_part(source.items, config.source),
            *_note_default(name, spec, fit),
            *_note_engine(spec, engine),
        ),
        data_sha256=data_digest(source),
        opened=source,
        is_given=given is not None,
        reading=_reading_of(source),
    )


@recorded_facts("the source")
def source_of_store(store: Store, data: str | None, own: str | None = None) -> SourceConfig:
    """The source that a store was built from, read from the store itself.

    For a derived store it is the source of its oldest ancestor.

    Args:
        data: the folder of the source's files; a store does not record it.
        own: MODULE:FUNCTION of the user's own source, which opening the config will import.

    Raises ValueError for a store of an own source if own is not the recorded name, or is missing.
    """
    recorded = store.built_identity.get("source")
    if not isinstance(recorded, dict):
        raise ValueError(f"{store.path} was not made by `inrgen build`: it records no source")
    name = str(recorded.get("name"))
    if own is not None and own != name:
        raise ValueError(f"source must be {name}, from which {store.path} was built; got {own}")
    if own is None and not is_openable(name):
        # To import what a store names would run code that came with data.
        raise ValueError(
            f"{store.path} was built from {name}, a source of your own: "
            + (
                f"name it, too (--source {name}), and its code is run"
                if is_own_name(name)
                else "an object in memory, which nothing opens again"
            )
        )
    return SourceConfig.from_identity(recorded, data)


def plan_of_store(
    store: Store, data: str | None, start: str | Path | None = None, own: str | None = None
) -> BuildPlan:
    """The plan that a store was built by, read from the store itself.

    Args:
        data: the folder of the source's files; a store does not record it.
        start: the START file of a store that was built from one; by default the shipped one.
        own: as source_of_store takes it.

    Raises:
        ValueError: the store was not made by a build, the source now has other items, or the
            START is missing or another one.
        FileNotFoundError: there is no such START.
    """
    config = source_of_store(store, data, own)
    source = open_source(replace(config, split="all") if store.versions else config)
    if store.versions:
        source = choose_listed(source, read_listed(store), config.name)
    plan = recorded_plan(store, config, source, store.layouts[store.spec.spec_id], start)
    # A refit with any difference would not give the rows that were lost.
    known = {**store.identity, "source": without_ignored(store.identity["source"])}
    if plan.identity != known:
        raise ValueError(
            f"{store.path} was built from other items of {config.name} than those found now, or by "
            "another version of inrgen, which read them otherwise"
        )
    return plan


def recorded_plan(
    store: Store,
    config: SourceConfig,
    source: Source,
    layout: Layout,
    start: str | Path | None = None,
) -> BuildPlan:
    """The plan of some items by all that a store recorded of its build.

    Args:
        source: holds the items, in the order of their rows.
        start: the START file of a store that was built from one; by default the shipped one.
    """
    recorded = store.identity
    with recorded_facts("the build"):
        fit, name = recorded["fit"], store.spec.architecture
        choice = find_recorded_start(recorded.get("start"), config.name, name, start)
        return BuildPlan(
            source=config,
            items_sha256=items_digest(source.items),
            data_sha256=data_digest(source),
            recipe=recorded["recipe"],
            fit_plan=FitPlan(
                spec=store.spec,
                fit=FitConfig.from_dict(fit) if choice is None else learned_fit(**fit),
                seed=recorded["seed"],
                views=recorded["views"],
                min_psnr_db=recorded["min_psnr_db"],
            ),
            engine=recorded["engine"],
            layout=layout,
            start=choice,
            opened=source,
            reading=_reading_of(source),
        )
