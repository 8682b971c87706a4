"""The verbs as Python functions: each takes keywords, does the work, and returns a store or a run.

Keywords are the fields of the verb's config dataclass and of the dataclasses nested in it, so they
are the options of the command line, too: `--num-steps 100` is num_steps=100. The same call again
goes on where an earlier one was stopped.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

if TYPE_CHECKING:
    from inrgen.fit.starts.start import LearnedStart
    from inrgen.sources.config import SourceConfig
    from inrgen.store.reader import Store
    from inrgen.training.run import Run

Config = TypeVar("Config")


def _nested(config_class: type) -> dict[str, type]:
    """The fields of a config that are configs themselves, by name."""
    hints = get_type_hints(config_class)
    found: dict[str, type] = {}
    for field in dataclasses.fields(config_class):
        for kind in (hints[field.name], *get_args(hints[field.name])):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                found[field.name] = kind
    return found


def _own_names(config_class: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config_class)}


def _field_names(config_class: type) -> set[str]:
    """All keywords that make_config takes for a config class."""
    return _own_names(config_class).union(*map(_field_names, _nested(config_class).values()))


def make_config(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a config from keywords, each for a field of the config or of one nested in it.

    Raises:
        ValueError: a keyword is unknown; the message names the nearest known one.
    """
    known = _field_names(config_class)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"there is no option {name}{hint}")
    own = _own_names(config_class)
    arguments = {name: value for name, value in values.items() if name in own}
    for name, kind in _nested(config_class).items():
        inner = {k: v for k, v in values.items() if k in _field_names(kind) and k not in own}
        if inner and name not in arguments:
            arguments[name] = make_config(kind, inner)
    return config_class(**arguments)


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
    label_names: Sequence[str] | None = None,
    **options: Any,
) -> "Store":
    """Fit INRs to every item of a data set, and return the finished store.

    Args:
        source: a name (digits, fashion-mnist, mnist, cifar10, image-folder, mesh-folder,
            modelnet40, torchvision:NAME, array, or your own MODULE:FUNCTION), a SourceConfig, or
            the signals themselves: a Source, an array or tensor (n, *grid, channels), a map-style
            data set of torch, or an iterable of Signals. The axes of an array may be stated, such
            as axes="nyx".
        out: the store's folder or URL.
        labels: for signals: class numbers or class names, one for each.
        splits: for signals: train, val or test for each; by default a hash of the ids.
        coords: for an array (n, points, channels): the points, (points, d_in) or one set each.
        label_names: for signals: names of the classes by number.
        options: fields of BuildConfig, SourceConfig and ShapeConfig, such as data="DIR", views=10,
            recipe="fast", start="START.safetensors", limit=1000, seed=0, workers=0.

    Raises:
        ValueError: an option, the data, or a store that is there already does not fit.
        OSError: the data cannot be read, or the store cannot be written.
    """
    from inrgen.commands.build import BuildConfig
    from inrgen.commands.build import build as run
    from inrgen.sources.config import SourceConfig
    from inrgen.sources.given import as_source
    from inrgen.store.reader import open_store

    given, about = None, {"labels": labels, "splits": splits, "coords": coords}
    about["label_names"] = label_names
    if isinstance(source, str | SourceConfig):
        named = {"name": source} if isinstance(source, str) else {"source": source}
        if stray := [name for name, value in about.items() if value is not None]:
            raise ValueError(f"{', '.join(stray)} is for signals given as an object")
    else:
        given = as_source(source, axes=options.get("axes"), **about)
        named = {"name": given.facts.name}
    if options.get("start") is not None:
        options["start"] = Path(options["start"])
    run(make_config(BuildConfig, {**named, **options, "out": out}), given)
    return open_store(out)


def learn_start(
    source: "str | SourceConfig", *, out: "str | Path", **options: Any
) -> "LearnedStart":
    """Learn starts from which a few gradient steps fit an image, and return them.

    Args:
        source: a name, as in build, or a SourceConfig; only its training split is read.
        out: the START file, which ends in .safetensors.
        options: fields of LearnStartConfig and SourceConfig, such as data="DIR", views=10,
            inner_steps=6, outer_steps=800, seed=0.

    Raises:
        ValueError: an option, the data, or a file that is there already does not fit.
        OSError: the data cannot be read, or the file cannot be written.
    """
    from inrgen.commands.learn_start import LearnStartConfig
    from inrgen.commands.learn_start import learn_start as run
    from inrgen.fit.starts.start import load_start

    named = {"name": source} if isinstance(source, str) else {"source": source}
    run(make_config(LearnStartConfig, {**named, **options, "out": Path(out)}))
    return load_start(out)


def align(store: "Store | str | Path", *, out: "str | Path", **options: Any) -> "Store":
    """Align every row of a store to one template, and return the aligned store.

    Every INR computes the same function as before; its hidden units change places and signs.

    Args:
        store: the store, or its location.
        out: the folder or URL of the aligned store.
        options: fields of AlignConfig and ExecutorConfig, such as match="signed",
            template="mean", workers=2.

    Raises:
        ValueError: an option, or a store that is there already does not fit.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.align import AlignConfig
    from inrgen.commands.align import align as run
    from inrgen.store.reader import open_store

    run(make_config(AlignConfig, {**options, "store": _location(store), "out": out}))
    return open_store(out)


def augment(
    store: "Store | str | Path", *, augment: str, out: "str | Path", **options: Any
) -> "Store":
    """Make a store of changed copies of every row, and return it.

    Args:
        store: the store, or its location.
        augment: transforms in order, such as "rotation:bound_deg=30,gaussian-noise".
        out: the folder or URL of the new store.
        options: fields of AugmentConfig and ExecutorConfig, such as copies=4, seed=0.

    Raises:
        ValueError: an option, or a store that is there already does not fit.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.commands.augment import AugmentConfig
    from inrgen.commands.augment import augment as run
    from inrgen.store.reader import open_store

    values = {**options, "augment": augment, "store": _location(store), "out": out}
    run(make_config(AugmentConfig, values))
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

    run(make_config(TrainCommand, {**options, "store": _location(store), "out": Path(out)}))
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

    values = {**options, "store": _location(store), "format": format, "out": Path(out)}
    run(make_config(ExportConfig, values))
    return Path(out)


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

    run(
        make_config(ImportConfig, {**options, "folder": Path(folder), "format": format, "out": out})
    )
    return open_store(out)
