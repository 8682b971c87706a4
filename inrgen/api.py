"""The verbs as Python functions: each takes keywords, does the work, and returns a store or a run.

Keywords are the fields of the verb's config dataclass and of the dataclasses nested in it, so they
are the options of the command line, too: `--num-steps 100` is num_steps=100. The same call again
goes on where an earlier one was stopped.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inrgen.core.config_fields import expand_home, make_config, refuse_options

if TYPE_CHECKING:
    from inrgen.core.spec import InrSpec
    from inrgen.fit.config import FitConfig
    from inrgen.fit.starts.start import LearnedStart
    from inrgen.sources.config import SourceConfig
    from inrgen.store.reader import Store
    from inrgen.training.run import Run

Config = TypeVar("Config")


def _run(verb: Callable[[Config], object], config_class: type[Config], **values: Any) -> None:
    """Run a verb with a config of these keywords, all of which are checked first."""
    from inrgen.store.files.location import check_outside_stores

    config = make_config(config_class, values)
    check_outside_stores(values["out"], [values["store"]] if "store" in values else [])
    verb(config)


def _location(store: "Store | str | Path") -> "str | Path":
    """The location of a store that may be open already."""
    from inrgen.store.reader import Store

    return store.path if isinstance(store, Store) else store


def build(
    source: Any,
    *,
    out: "str | Path",
    labels: Any = None,
    splits: Any = None,
    coords: Any = None,
    weights: Any = None,
    label_names: Sequence[str] | None = None,
    spec: "InrSpec | None" = None,
    fit: "FitConfig | None" = None,
    **options: Any,
) -> "Store":
    """Fit INRs to every item of a data set, and return the finished store.

    Args:
        source: a name (digits, fashion-mnist, mnist, cifar10, image-folder, video-folder,
            audio-folder, mesh-folder, modelnet40, torchvision:NAME, array, or your own
            MODULE:FUNCTION), a SourceConfig, or the signals themselves: a Source, an array or
            tensor (n, *grid, channels), a map-style data set of torch, or an iterable of Signal.
            The axes of an array may be stated, such as axes="nyx".
        out: the store's folder or URL.
        labels: for signals: class numbers or class names, one for each.
        splits: for signals: train, val or test for each; by default a hash of the ids.
        coords: for an array (n, points, channels): the points, (points, d_in) or one set each.
        weights: for an array: shares of its points in loss and PSNR, (n, points) or (points,), or
            (n, *grid) or (*grid).
        label_names: for signals: names of the classes by number.
        spec: networks in place of the recipe's, such as replace(recipe("fast", facts).spec, ...).
        fit: fit settings in place of the recipe's, such as FitConfig(num_steps=200).
        options: fields of BuildConfig, SourceConfig and ShapeConfig, such as data="DIR", views=10,
            recipe="fast", start="START.safetensors", limit=1000, seed=0, workers=0. append=True
            adds the items that are new to the finished store at out.

    Raises:
        ValueError: an option, the data, or a store that is there already does not fit.
        OSError: the data cannot be read, or the store cannot be written.
    """
    from inrgen.commands.build import BuildConfig
    from inrgen.commands.build import build as run
    from inrgen.fit.plan import OwnRecipe
    from inrgen.sources.config import SourceConfig
    from inrgen.sources.given import as_source
    from inrgen.sources.options import IN_MEMORY, ignored_options
    from inrgen.store.reader import open_store

    given, about = None, {"labels": labels, "splits": splits, "coords": coords}
    about |= {"weights": weights, "label_names": label_names}
    if isinstance(source, str | SourceConfig):
        named = {"name": source} if isinstance(source, str) else {"source": source}
        if stray := [name for name, value in about.items() if value is not None]:
            raise ValueError(f"{', '.join(stray)} is for signals given as an object")
    else:
        refuse_options(ignored_options(IN_MEMORY), {name: name for name in options})
        given = as_source(source, axes=options.get("axes"), **about)
        named = {"name": given.facts.name}
    own = None if spec is None and fit is None else OwnRecipe(spec=spec, fit=fit)
    _run(partial(run, given=given, own=own), BuildConfig, **named, **options, out=out)
    return open_store(out)


def learn_start(
    source: "str | SourceConfig", *, out: "str | Path", **options: Any
) -> "LearnedStart":
    """Learn starts from which a few gradient steps fit an image, and return them.

    Args:
        source: a name, as in build, or a SourceConfig; only its training split is read.
        out: the START file, which ends in .safetensors.
        options: fields of LearnStartConfig and SourceConfig, such as data="DIR", views=10,
            inner_steps=10, outer_steps=800, seed=0.

    Raises:
        ValueError: an option, the data, or a file that is there already does not fit.
        OSError: the data cannot be read, or the file cannot be written.
    """
    from inrgen.commands.learn_start import LearnStartConfig
    from inrgen.commands.learn_start import learn_start as run
    from inrgen.fit.starts.start import load_start

    named = {"name": source} if isinstance(source, str) else {"source": source}
    _run(run, LearnStartConfig, **named, **options, out=out)
    return load_start(out)


def align(store: "Store | str | Path", *, out: "str | Path", **options: Any) -> "Store":
    """Align every row of a store to one template, and return the aligned store.

    Every INR computes the same function as before; its hidden units change places and signs.

    Args:
        store: the store, or its location.
        out: the folder or URL of the aligned store.
        options: fields of AlignConfig and ExecutorConfig, such as match="signed",
            template="mean" (or another aligned store, to share its template), workers=2.

    Raises:
        ValueError: an option, or a store that is there already does not fit.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.align import AlignConfig
    from inrgen.commands.align import align as run
    from inrgen.store.reader import open_store

    if "template" in options:
        options["template"] = str(_location(options["template"]))
    _run(run, AlignConfig, **options, store=_location(store), out=out)
    return open_store(out)


def augment(
    store: "Store | str | Path", *, augment: Any, out: "str | Path", **options: Any
) -> "Store":
    """Make a store of changed copies of every row, and return it.

    Args:
        store: the store, or its location.
        augment: transforms in order, such as "rotation:bound_deg=30,gaussian-noise"; or a
            transform, a function as inrgen.transform takes it, or a list of these.
        out: the folder or URL of the new store.
        options: fields of AugmentConfig and ExecutorConfig, such as copies=4, seed=0.

    Raises:
        ValueError: an option, or a store that is there already does not fit.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.augment import AugmentConfig
    from inrgen.commands.augment import augment as run
    from inrgen.store.reader import open_store
    from inrgen.transforms.named import make_link

    links, text = None, augment
    if not isinstance(augment, str):
        several = augment if isinstance(augment, list | tuple) else [augment]
        links = [make_link(each) for each in several]
        text = ",".join(link.name for link in links)
    changed = partial(run, links=links)
    _run(changed, AugmentConfig, **options, augment=text, store=_location(store), out=out)
    return open_store(out)


def view(store: "Store | str | Path", **options: Any) -> str:
    """Make one HTML page that shows a store in a browser, and return where it lies.

    The page holds weights and evaluates them where it is opened, without network or server.

    Args:
        store: the store, or its location.
        options: fields of ViewConfig, such as out="page.html", rows=500, data="DIR".

    Raises:
        ValueError: an option does not fit, or the store's networks cannot be drawn.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.view import ViewConfig
    from inrgen.commands.view import view as run

    if options.get("out") is not None:
        options["out"] = Path(options["out"])
    return run(make_config(ViewConfig, {**options, "store": _location(store)})).page


def train(store: "Store | str | Path", *, out: "str | Path", **options: Any) -> "Run":
    """Train a network that reads weights, test its best epoch, and return the run.

    Args:
        store: the store of training rows, or its location.
        out: the run's folder.
        options: fields of TrainCommand and TrainConfig, such as model="mlp", views=3,
            mixup="direct", augment="negation", epochs=20, device="cpu".

    Raises:
        ValueError: an option, or a run that is there already does not fit.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.train import TrainCommand
    from inrgen.commands.train import train as run
    from inrgen.training.run import open_run

    _run(run, TrainCommand, **options, store=_location(store), out=out)
    return open_run(out)


def export(store: "Store | str | Path", *, format: str, out: "str | Path", **options: Any) -> Path:
    """Write a store in the files that other people's code reads, and return their folder.

    Args:
        store: the store, or its location.
        format: dws-multiview, dws, neural-graphs, scalegmn, nfn, fit-a-nef, inr2vec, safetensors
            or huggingface.
        out: the folder to write.
        options: fields of ExportConfig, such as split="train", views=1.

    Raises:
        ValueError: an option, or the store's networks do not fit the format.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.export import ExportConfig
    from inrgen.commands.export import export as run

    _run(run, ExportConfig, **options, store=_location(store), format=format, out=out)
    return expand_home(out)


def import_store(
    folder: "str | Path", *, format: str, out: "str | Path", **options: Any
) -> "Store":
    """Read INRs that other people's code wrote into a store, and return it.

    Args:
        folder: the folder of files. Nothing in them is executed.
        format: their format, as in export.
        out: the store's folder or URL.
        options: fields of ImportConfig and Conventions, such as conventions="dws".

    Raises:
        ValueError: the files are not of the format, or say too little of their conventions; the
            message names what to state.
    """
    from inrgen.commands.import_ import ImportConfig
    from inrgen.commands.import_ import import_store as run
    from inrgen.store.reader import open_store

    _run(run, ImportConfig, **options, folder=folder, format=format, out=out)
    return open_store(out)
