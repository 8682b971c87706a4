"""Plan of an append: the items that are new to a finished store, and all that they change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from inrgen.executors.progress import show_progress
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.config import FitConfig
from inrgen.fit.kept_items import read_kept
from inrgen.fit.plan import (
    BuildPlan,
    OwnRecipe,
    recorded_plan,
    vary_fit,
    vary_recipe,
    vary_spec,
)
from inrgen.fit.starts.plan import find_recorded_start, learned_fit
from inrgen.fit.variants import LearnedVariant, parse_variant
from inrgen.sources.base import Item, Signal, Source, SourceFacts
from inrgen.sources.bounds import load_item
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.listed import choose_listed, item_positions, keep_labels, name_items
from inrgen.store.content import content_sha256
from inrgen.store.create import name_differences
from inrgen.store.files.opening import open_files
from inrgen.store.growth import grown_root
from inrgen.store.item_list import encode_items
from inrgen.store.metadata import read_facts
from inrgen.store.reader import Store, open_store

# Sources whose items keep the split and class that they had when they were listed first.
_FOLDERS = ("image-folder", "video-folder", "audio-folder", "mesh-folder", "modelnet40")
_KEEPS_LISTED = (*_FOLDERS, "array")


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendPlan:
    """An append to a finished store.

    plan is that of the whole store after it, whose first kept_rows rows are there. root and items
    are its root document and its list of items, as bytes. Without new items, root is empty.
    """

    store: Store
    plan: BuildPlan
    root: bytes
    items: bytes


def _settled_source(config: SourceConfig, recorded: dict[str, Any]) -> SourceConfig:
    """The source with the settings that the store records, and with arguments that are given.

    Raises ValueError for any other setting.
    """
    known = SourceConfig.from_identity(recorded, config.data)
    if known.limit is not None:
        raise ValueError(
            f"the store was built with --limit {known.limit}, so items that it lacks are not new; "
            "append needs a store of all items"
        )
    if known.copies:
        raise ValueError(
            "the store was built with --copies, whose items come after all others, so it cannot "
            "grow; build a store of the new items, and give both to a loader"
        )
    # Arguments of an own function may say how many items there are, so they may change;
    # _check_unchanged holds the old items to their digests.
    arguments = known.arguments | config.arguments
    known = replace(known, arg=tuple(f"{name}={text}" for name, text in arguments.items()))
    config = replace(config, arg=())
    usual = SourceConfig(name=known.name).identity()
    stated = {key: value for key, value in config.identity().items() if usual.get(key) != value}
    there = known.identity()
    differing = [
        place
        for key, value in stated.items()
        for place in name_differences(f"source.{key}", there.get(key), value)
    ]
    _refuse(differing)
    shape = replace(known.shape, cache=config.shape.cache)
    bounds = {"memory_limit": config.memory_limit, "read_seconds": config.read_seconds}
    return replace(known, shape=shape, **bounds)


def _refuse(differing: Sequence[str]) -> None:
    if differing:
        raise ValueError(
            f"append takes the settings of the store, which differ in {'; '.join(differing)}"
        )


def _check_settings(
    config: BuildConfig, own: OwnRecipe | None, store: Store, facts: SourceFacts
) -> None:
    """Raise ValueError for a setting that is given and is not the store's."""
    recorded, spec = store.identity, store.spec
    try:
        OwnRecipe(spec=spec).check(facts)
    except ValueError as error:
        # such as values above 1, which turn intensities into quantities
        raise ValueError(f"the items now are of another kind: the store's {error}") from None
    # Left out, or as it is by default: the store's own.
    stated = {
        "views": (config.views, recorded["views"]),
        "engine": (None if config.engine == "auto" else config.engine, recorded["engine"]),
        "seed": (config.seed or None, recorded["seed"]),
        "min_psnr_db": (config.min_psnr, recorded["min_psnr_db"]),
    }
    differing = [
        place
        for name, (here, there) in stated.items()
        if here is not None
        for place in name_differences(name, there, here)
    ]
    variant, start = parse_variant(config.recipe) if config.recipe else None, config.start
    # The range of values in an array may have grown with it.
    facts = replace(facts, value_range=spec.value_range)
    learned, num_steps = recorded.get("start"), config.num_steps
    if isinstance(variant, LearnedVariant):
        start, num_steps = start or variant.start, num_steps or variant.num_steps
        config = replace(config, curvature=config.curvature or variant.curvature)
        differing += [] if learned else [f"recipe (there {recorded['recipe']!r}, here 'learned')"]
    elif learned and variant is not None:
        differing.append(f"recipe (there 'learned', here {config.recipe!r})")
    _refuse(differing)
    find_recorded_start(learned, store.source_name, spec.architecture, start)
    fit = learned_fit(**recorded["fit"]) if learned else FitConfig.from_dict(recorded["fit"])
    config = replace(config, num_steps=num_steps)
    if variant is None or isinstance(variant, LearnedVariant):
        own = own or OwnRecipe()
        wanted = vary_spec(config, own.spec or spec), vary_fit(config, own.fit or fit)
    else:
        wanted = vary_recipe(config, variant, own or OwnRecipe(), facts)[1:]
    _refuse(
        [
            *name_differences("spec", spec.to_dict(), wanted[0].to_dict()),
            *name_differences("fit", fit.to_dict(), wanted[1].to_dict()),
        ]
    )


def _check_unchanged(
    source: Source,
    config: SourceConfig,
    kept: Sequence[Item],
    digests: Sequence[str],
    *,
    keeps_listed: bool,
) -> None:
    """Raise ValueError that names the items whose signal is not that which was fitted.

    Args:
        keeps_listed: items keep the split and class number that they were listed with first.
    """
    places = item_positions(source, [item.item_id for item in kept], config.name)
    changed = list[str]()
    with show_progress("compare", len(kept), 0, "items") as progress:
        for item, digest, place in zip(kept, digests, places, strict=True):
            now, signal = source.items[place], load_item(source, place, config)
            # An item that could not be read has no digest.
            same = (signal.sha256() if isinstance(signal, Signal) else "") == digest
            # Class numbers of a folder shift with each class that is new; names stay.
            named = (item.label_name or item.label) == (now.label_name or now.label)
            if not keeps_listed:
                named = named and (item.label, item.split) == (now.label, now.split)
            if not (same and named):
                changed.append(item.item_id)
            progress.advance(1)
    if changed:
        raise ValueError(
            f"{config.name} gives other signals or classes than were fitted for "
            f"{name_items(changed)}: put the old files back, or build a new store"
        )


def plan_append(
    config: BuildConfig, given: Source | None = None, own: OwnRecipe | None = None
) -> AppendPlan:
    """Find the items that are new to a store, and check that all its others are as they were.

    Every signal is read again and compared with the digest in its record, since names and times of
    files do not tell.

    Raises:
        ValueError: the store was not built from this source, or with other settings than are
            given, or is not finished; or items have changed or are gone, which are named.
        FileNotFoundError: there is no store.
    """
    store = open_store(config.out)
    recorded = store.identity.get("source")
    if store.derivation is not None or not isinstance(recorded, dict):
        raise ValueError(
            f"{store.path} was not made by `inrgen build`; append to the store that it was made "
            "from, and make this one again"
        )
    # It raises where the store is not finished.
    content = content_sha256(store.path)
    if config.source.name != recorded.get("name"):
        raise ValueError(
            f"{store.path} was built from {recorded.get('name')}; got {config.source.name}"
        )
    settled = _settled_source(config.source, recorded)
    # Its splits may follow from all its items, so that old ones would leave the part.
    whole = replace(settled, split="all")
    source = open_source(whole) if given is None else given
    _check_settings(config, own, store, source.facts)
    kept, digests = read_kept(store)
    keeps_listed = given is not None or settled.name in _KEEPS_LISTED
    _check_unchanged(source, settled, kept, digests, keeps_listed=keeps_listed)
    known = {item.item_id for item in kept}
    new = [i for i in source.items if i.item_id not in known and i.split in settled.splits]
    items = [*kept, *keep_labels(kept, new)]
    layout = store.layouts[store.spec.spec_id]
    plan = recorded_plan(
        store,
        settled,
        choose_listed(source, items, settled.name),
        layout.grown_to(len(items) * layout.views) if new else layout,
        config.start,
    )
    plan = replace(plan, kept_rows=layout.rows, is_given=given is not None)
    if not new:
        return AppendPlan(store=store, plan=plan, root=b"", items=b"")
    facts = read_facts(open_files(store.path))
    about = facts.about | {"inrgen_version": version("inrgen")}
    listed = ((i.item_id, i.split, i.label, i.label_name) for i in items)
    return AppendPlan(
        store=store,
        plan=plan,
        root=grown_root(facts, plan.layout, plan.identity, about, content),
        items=encode_items(listed),
    )
