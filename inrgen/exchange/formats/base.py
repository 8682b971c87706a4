"""The pieces of a foreign format: how a store is written in it, and how it is read back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pyarrow as pa
import torch
from jaxtyping import Float32
from torch import Tensor

from inrgen.core.config import Split
from inrgen.core.config_text import check_name
from inrgen.core.memory import bounded_memory, too_large
from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import Conventions, ExportOptions, FormatName
from inrgen.exchange.files import BadEntry

# Facts about an export: its last file, whose presence marks the export as finished.
SIDECAR = "inrgen-export.json"

# One row to export: the columns of export_plan.Selection, and its place in the whole export.
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Conventions of the exported weights.

    Attributes:
        spec: architecture and conventions after conversion.
        mean: mean that standardises values, one number or one an output; None leaves values.
        std: standard deviation that goes with mean.
    """

    spec: InrSpec
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportContext:
    """Facts about a running export that its format needs.

    Attributes:
        folder: folder that files go into.
        target: conventions of the weights that the format receives.
        options: choices of the user.
        source: name of the data set that the store was fitted to; "" if unknown.
        store: location of the store.
        views: exported views, in order.
    """

    folder: Path
    target: Target
    options: ExportOptions
    source: str
    store: str
    views: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Place of one INR: a file within the folder, and a row of that file.

    label is -1 if only the file itself says it.
    """

    item_id: str
    view: int
    split: Split
    path: str
    row: int = 0
    label: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """An INR as a file holds it.

    Attributes:
        widths: sizes of all layers, input and output included.
        flat: (p,) parameters in the store's order; None if the caller wanted other widths.
        label: class of the item; -1 if there is none.
    """

    widths: tuple[int, ...]
    flat: Float32[Tensor, " p"] | None
    label: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Contents of a foreign folder: entries in no particular order, and what the files state."""

    entries: Sequence[Entry]
    label_names: dict[int, str] = field(default_factory=dict)
    conventions: Conventions = field(default_factory=Conventions)
    widths: tuple[int, ...] | None = None


# Path of a row's file, relative to the export's folder.
PathOf = Callable[[ExportContext, Row], str]


def _write_nothing(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    """Finish a format without files about all rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A layout of files: five functions and the limits that the exporter must respect.

    The functions may trust their arguments. They must check everything they read from files.

    Attributes:
        target: (spec, source, options) gives the conventions to convert weights to. Raises
            ValueError if the format cannot hold such INRs.
        write: (context, part, rows, params) writes the files of one part, each one whole. params
            follow the target's conventions.
        list_entries: lists a folder. Raises ValueError or OSError if that is impossible.
        read_file: (folder, entries, widths) reads entries that share one file, in their order;
            widths None accepts any. Raises BadEntry if the file cannot be read.
        finish: (context, rows, moments) writes files about all rows; moments cover the training
            rows. Does nothing by default.
        rows_per_part: rows that one thread writes at a time.
        one_view: the format has no views; it takes the first unless the user names one.
        whole_items: the format cannot hold an item that lacks one of its views.
        train_views: further views are of training items alone, unless options.all_views asks for
            all. Loaders would count those of val and test items as items.
        labelled: the format cannot hold rows without a class.
        options: names of the ExportOptions that the format uses.
        cut_at_folder: the loader cuts each path at the first part named as the folder, so a
            prefix must not contain that name.
        layouts: formats to use instead for some data sets, by their names.
    """

    target: Callable[[InrSpec, str, ExportOptions], Target]
    write: Callable[[ExportContext, int, Sequence[Row], Params], None]
    list_entries: Callable[[Path], Listing]
    read_file: Callable[[Path, Sequence[Entry], tuple[int, ...] | None], Sequence[Loaded]]
    finish: Callable[[ExportContext, pa.Table, Moments], None] = _write_nothing
    rows_per_part: int
    one_view: bool = False
    whole_items: bool = False
    train_views: bool = False
    labelled: bool = False
    options: tuple[str, ...] = ()
    cut_at_folder: bool = False
    layouts: "Mapping[str, Format]" = field(default_factory=dict)

    def layout_for(self, source: str, options: ExportOptions) -> "Format":
        """The format to use for a store's source, unless options.like names another."""
        return self.layouts.get(options.like or source, self)


def load_format(name: FormatName) -> Format:
    """The format of a name, which is the FORMAT of the module named alike.

    Imports that module only now, because some formats need libraries that take a second.
    """
    return format_module(name).FORMAT


def format_module(name: FormatName) -> ModuleType:
    """The module of a format's name. Raises ValueError for an unknown name."""
    check_name(name, get_args(FormatName), "format")
    # a module "safetensors" would hide the library of that name from type checkers
    module = "safetensors_shards" if name == "safetensors" else name.replace("-", "_")
    return import_module(f"inrgen.exchange.formats.{module}")


def load_entries(
    format: Format, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> Iterator[Loaded | BadEntry]:
    """Read entries in their order, lazily; an unreadable file gives its BadEntry for each.

    Args:
        widths: sizes of all layers of the networks wanted; None accepts any.
    """
    for _, group in groupby(entries, lambda entry: entry.path):
        same = list(group)
        try:
            with bounded_memory():
                found = format.read_file(folder, same, widths)
        except BadEntry as error:
            found = [error] * len(same)
        except MemoryError:
            found = [BadEntry(f"{same[0].path} takes {too_large()}")] * len(same)
        yield from found


def choose_layout(default: Format, layouts: Mapping[str, Format]) -> Format:
    """A format with one layout a data set, which options.like or else the store's source names.

    The default layout reads all of them.

    Args:
        layouts: layout of each data set that does not have the default one.
    """
    default = replace(default, layouts=layouts)

    def layout(context: ExportContext) -> Format:
        return default.layout_for(context.source, context.options)

    def target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
        chosen = default.layout_for(source, options)
        if options.path_prefix is not None and "path_prefix" not in chosen.options:
            raise ValueError("path_prefix means nothing here: such files have no list of paths")
        return chosen.target(spec, source, options)

    def write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
        layout(context).write(context, part, rows, params)

    def finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
        layout(context).finish(context, rows, moments)

    names = [name for each in (default, *layouts.values()) for name in ("like", *each.options)]
    options = tuple(dict.fromkeys(names))
    return replace(default, target=target, write=write, finish=finish, options=options)


def mean_and_std(moments: Moments, spec: InrSpec) -> tuple[Params, Params]:
    """Mean and unbiased deviation of the training rows, each as one INR in float32.

    Raises ValueError for fewer than two rows, which have no deviation.
    """
    both = torch.stack([torch.from_numpy(moments.mean), torch.from_numpy(moments.std())]).float()
    params = Params.from_flat(spec, both)
    return params[0:1], params[1:2]
