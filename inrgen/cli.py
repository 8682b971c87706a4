"""The command line: a table of verbs, and the one way in which every verb runs.

`pipelines.bench` runs its own table through run_verbs, and other pipelines their one verb through
run_verb, so options, JSON, errors and exit codes are the same there.
"""

import importlib
import json
import math
import os
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from inrgen.core.command_line import parse_config
from inrgen.core.config_fields import name_options
from inrgen.core.config_text import UnknownName, suggest
from inrgen.core.escape import one_line, printable_lines
from inrgen.core.interrupts import check_interrupt, remember_interrupts, stop_requested
from inrgen.core.own_code import own_place
from inrgen.store.files.location import check_outside_stores


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of a command line.

    Attributes:
        name: the word, or words, typed.
        module: the module with config and function, imported when the verb is used.
        config: the frozen dataclass that the options are made from, or its name in the module.
        function: the function that takes the config and returns a Report, or its name likewise.
        help: one sentence for the list of verbs.
        resumable: whether the same command, run again, goes on where it stopped.
        renamed: old names of options, each with the new one.
    """

    name: str
    module: str
    config: str | type
    function: str | Callable[[Any], "Report"]
    help: str = field(kw_only=True)
    resumable: bool = field(default=False, kw_only=True)
    renamed: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def load(self, named: Any) -> Any:
        """The config or the function, whose module is imported only now."""
        if not isinstance(named, str):
            return named
        return getattr(importlib.import_module(self.module), named)


# fmt: off
VERBS = (
    Verb("demo", "inrgen.commands.demo", "DemoConfig", "demo",
         help="Run the whole journey on handwritten digits, offline, in about a minute."),
    Verb("build", "inrgen.commands.build", "BuildConfig", "build", resumable=True,
         help="Fit views of every item of a data set into a store."),
    Verb("learn-start", "inrgen.commands.learn_start", "LearnStartConfig", "learn_start",
         resumable=True,
         help="Learn starts from which a few gradient steps fit an image."),
    Verb("info", "inrgen.commands.info", "InfoConfig", "info",
         help="Print what a store or a START file holds: networks, origin and PSNR."),
    Verb("verify", "inrgen.commands.verify", "VerifyConfig", "verify",
         help="Check all weights and records of a store; --repair refits what is damaged."),
    Verb("render", "inrgen.commands.render", "RenderConfig", "render",
         help="Draw INRs beside their originals, and the quality of the whole store."),
    Verb("view", "inrgen.commands.view", "ViewConfig", "view",
         help="Make one page that shows a store and evaluates its INRs in the browser."),
    Verb("extract", "inrgen.commands.extract", "ExtractConfig", "extract",
         help="Write one INR as a file: the surface of a shape as a mesh, or a sound as .wav."),
    Verb("stats", "inrgen.commands.stats", "StatsConfig", "stats",
         help="Measure mean and standard deviation of every parameter."),
    Verb("augment", "inrgen.commands.augment", "AugmentConfig", "augment", resumable=True,
         renamed={"--chain": "--augment"},
         help="Make a store of changed copies of every row."),
    Verb("align", "inrgen.commands.align", "AlignConfig", "align", resumable=True,
         renamed={"--to": "--template", "--opening": "--init"},
         help="Align every row to one template, or the views of each item."),
    Verb("train", "inrgen.commands.train", "TrainCommand", "train", resumable=True,
         help="Train a network that reads weights, and test its best epoch."),
    Verb("predict", "inrgen.commands.predict", "PredictConfig", "predict",
         help="Classify the INRs of a store with a trained network."),
    Verb("diversity", "inrgen.commands.diversity", "DiversityConfig", "diversity",
         help="Measure how far apart views and items are, before and after alignment."),
    Verb("card", "inrgen.commands.card", "CardConfig", "card",
         help="Write a data card for the Hugging Face hub, and a Croissant record."),
    Verb("push", "inrgen.commands.push", "PushConfig", "push",
         help="Publish a store, with its card, as a data set on the Hugging Face hub."),
    Verb("export", "inrgen.commands.export", "ExportConfig", "export", resumable=True,
         help="Write a store in the files that other people's code reads."),
    Verb("import", "inrgen.commands.import_", "ImportConfig", "import_store", resumable=True,
         help="Read other people's INRs into a store."),
    Verb("transforms", "inrgen.commands.listing", "ListConfig", "list_transforms",
         help="List the transforms of --augment with their fields and defaults."),
    Verb("models", "inrgen.commands.listing", "ListConfig", "list_models",
         help="List the networks of train --model with their fields and defaults."),
    Verb("sources", "inrgen.commands.listing", "ListConfig", "list_sources",
         help="List the sources of build, with those that installed packages add."),
    Verb("recipes", "inrgen.commands.listing", "ListConfig", "list_recipes",
         help="List the recipes of build."),
    Verb("recipe show", "inrgen.commands.recipe", "RecipeShowConfig", "recipe_show",
         help="Print a recipe as a TOML file, to change and to build with."),
    Verb("formats", "inrgen.commands.listing", "ListConfig", "list_formats",
         help="List the formats of export and import."),
    Verb("probe", "inrgen.commands.probe", "ProbeConfig", "probe",
         help="Measure how well classifiers learn from the weights of a store."),
    Verb("probe-recipes", "inrgen.commands.probe_recipes", "ProbeRecipesConfig", "probe_recipes",
         help="Fit the same items with several recipes, and measure what the weights teach."),
)
# fmt: on

# Verbs of earlier versions, each with the command that took its place.
MOVED_VERBS = {
    "bench recipe": "inrgen probe-recipes",
    **{
        f"bench {name}": f"python -m pipelines.bench {name}"
        for name in ("fit", "align", "load", "jobs", "train")
    },
}


class Report(Protocol):
    """The summary that a verb's function returns, for people and for machines."""

    @property
    def failed(self) -> bool:
        """Tell whether the command must exit non-zero."""
        ...

    @property
    def fault(self) -> str:
        """A sentence for stderr on the result as a whole, such as a store without weights; ""."""
        ...

    def text(self) -> str:
        """A short summary for people."""
        ...

    def document(self) -> Any:
        """The same for machines: dataclass fields, lists and dictionaries of plain values."""
        ...


def _listing(prog: str, verbs: Sequence[Verb], about: str) -> str:
    """Usage, and every verb with its sentence."""
    width = max(len(verb.name) for verb in verbs) + 4
    lines = [
        textwrap.fill(
            verb.help,
            width=88,
            initial_indent=f"  {verb.name}".ljust(width),
            subsequent_indent=" " * width,
        )
        for verb in verbs
    ]
    head = [f"usage: {prog} VERB ...", "", about, ""]
    tail = ["", f"{prog} VERB --help explains the options of a verb."]
    return "\n".join([*head, *lines, *tail, f"{prog} --version prints the version."])


def _without_verb(prog: str, verbs: Sequence[Verb], about: str, argv: Sequence[str]) -> int:
    """Print the list of verbs or the version; exit status 2 if neither was asked for."""
    if argv and argv[0] in ("-h", "--help"):
        print(_listing(prog, verbs, about))
        return 0
    if list(argv) == ["--version"]:
        print(f"inrgen {version('inrgen')}")
        return 0
    if (moved := MOVED_VERBS.get(" ".join(argv[:2]))) is not None:
        print(f"{prog}: {' '.join(argv[:2])} is now `{moved}`", file=sys.stderr)
        return 2
    wrong = "a verb is needed"
    if argv:
        begun = [verb for verb in verbs if verb.name.startswith(f"{argv[0]} ")]
        near = suggest(argv[0], [verb.name for verb in begun or verbs])
        wrong = f"there is no verb {argv[0]!r}{near}"
        if begun:
            seconds = [verb.name.removeprefix(f"{argv[0]} ") for verb in begun]
            wrong = f"{argv[0]} needs {' or '.join(seconds)} after it"
            verbs = [verb for verb in verbs if verb.name.startswith(argv[0])]
    print(f"{_listing(prog, verbs, about)}\n\n{prog}: {wrong}", file=sys.stderr)
    return 2


def _check_renamed(verb: Verb, arguments: Sequence[str]) -> None:
    """Raise ValueError for an option that has another name now."""
    for argument in arguments:
        old = argument.split("=")[0]
        if old in verb.renamed:
            raise ValueError(f"{old} is now {verb.renamed[old]}")


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity, so they become null; paths become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _run(prog: str, verb: Verb, arguments: Sequence[str]) -> int:
    try:
        _check_renamed(verb, arguments)
        config, as_json = parse_config(verb.load(verb.config), f"{prog} {verb.name}", arguments)
        if getattr(config, "out", None) is not None:
            stores = [config.store] if hasattr(config, "store") else []
            check_outside_stores(config.out, stores)
    except ValueError as error:  # a dataclass refused a value
        _complain(prog, verb, str(error))
        return 2
    report: Report = verb.load(verb.function)(config)
    # one that was lost after the last progress, as in a destructor
    check_interrupt()
    if as_json:
        print(json.dumps(_plain(report.document()), indent=2), flush=True)
    else:
        print(printable_lines(report.text()), flush=True)
    if report.fault:
        _complain(prog, verb, report.fault)
    return 1 if report.failed else 0


def _complain(prog: str, verb: Verb, sentence: str) -> None:
    """Print one line on stderr, which names --options where the sentence names fields."""
    # Before its config is loaded, no sentence names a field.
    if verb.module in sys.modules:
        sentence = name_options(sentence, verb.load(verb.config))
    print(f"{prog} {verb.name}: {one_line(sentence)}", file=sys.stderr)


def _stopped(verb: Verb) -> tuple[str, int]:
    """The message for a command that was interrupted, and its exit status."""
    return "stopped" + ("; run the same command again to go on" if verb.resumable else ""), 130


def _explain(error: BaseException) -> str:
    """Describe an error in a sentence; the details of an unexpected one go to a log file."""
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        path = Path(error.filename)
        files = [str(place) for place in (path, *path.parents) if place.is_file()]
        if files:
            return f"{files[0]} is a file, where a folder is needed"
    if isinstance(error, OSError) and error.filename and error.strerror:
        # Python's own text begins with a number, such as [Errno 17].
        return f"{error.filename}: {error.strerror.lower()}"
    if place := own_place(error):
        return f"your own code failed{place}: {type(error).__name__}: {error}"
    if isinstance(error, ValueError | OSError):
        return str(error)
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    return (
        f"a defect of inrgen itself, {type(error).__name__}: {error}; "
        f"please report it with the details in {log.name}"
    )


def run_verbs(prog: str, verbs: Sequence[Verb], about: str, argv: Sequence[str]) -> int:
    """Run one command line of a table of verbs.

    A user error becomes one sentence on stderr; any other exception is written to a log file that
    the sentence names.

    Returns:
        0 for success, 1 for failure, 2 for a wrong command line, 130 if interrupted, 141 if the
        reader of stdout went away.
    """
    verb = next((v for v in verbs if list(argv[: len(v.name.split())]) == v.name.split()), None)
    if verb is None:
        return _without_verb(prog, verbs, about, argv)
    return run_verb(prog, verb, argv[len(verb.name.split()) :])


def run_verb(prog: str, verb: Verb, arguments: Sequence[str]) -> int:
    """Run one verb; run_verbs says what it returns."""
    with remember_interrupts():
        try:
            return _run(prog, verb, arguments)
        except BrokenPipeError:
            # Without this, Python fails once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (Exception, KeyboardInterrupt) as error:
            # An interrupt may surface as an error of the library that it was raised in.
            stopped = isinstance(error, KeyboardInterrupt) or stop_requested()
            status = 2 if isinstance(error, UnknownName) else 1
            sentence, status = _stopped(verb) if stopped else (_explain(error), status)
            _complain(prog, verb, sentence)
            return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run inrgen's command line; argv is sys.argv[1:] by default. Returns the exit status."""
    about = "Make, store and serve data sets of implicit neural representations."
    return run_verbs("inrgen", VERBS, about, list(sys.argv[1:] if argv is None else argv))
