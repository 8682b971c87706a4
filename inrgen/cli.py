"""The command line: one verb a stage, made from the stages' own config dataclasses."""

import ast
import importlib
import importlib.util
import inspect
import json
import math
import os
import signal
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar

import tyro

Config = TypeVar("Config")

# verb: (module, config dataclass, function). A verb's module is imported when the verb is used.
VERBS = {
    "demo": ("inrgen.commands.demo", "DemoConfig", "demo"),
    "build": ("inrgen.commands.build", "BuildConfig", "build"),
    "info": ("inrgen.commands.info", "InfoConfig", "info"),
    "verify": ("inrgen.commands.verify", "VerifyConfig", "verify"),
    "render": ("inrgen.commands.render", "RenderConfig", "render"),
    "extract": ("inrgen.commands.extract", "ExtractConfig", "extract"),
    "stats": ("inrgen.commands.stats", "StatsConfig", "stats"),
    "augment": ("inrgen.commands.augment", "AugmentConfig", "augment"),
    "align": ("inrgen.commands.align", "AlignConfig", "align"),
    "train": ("inrgen.commands.train", "TrainCommand", "train"),
    "predict": ("inrgen.commands.predict", "PredictConfig", "predict"),
    "diversity": ("inrgen.commands.diversity", "DiversityConfig", "diversity"),
    "card": ("inrgen.commands.card", "CardConfig", "card"),
    "export": ("inrgen.commands.export", "ExportConfig", "export"),
    "import": ("inrgen.commands.import_", "ImportConfig", "import_store"),
    "bench fit": ("pipelines.bench.fit", "FitBench", "bench_fit"),
    "bench align": ("pipelines.bench.align", "AlignBenchConfig", "run"),
    "bench recipe": ("inrgen.probes.recipes", "RecipeBench", "bench_recipe"),
    "bench load": ("pipelines.bench.load", "LoadBench", "bench_load"),
    "bench jobs": ("pipelines.bench.jobs", "JobsBench", "bench_jobs"),
    "bench train": ("pipelines.bench.train", "TrainBench", "bench_train"),
}
RESUMABLE = {"align", "augment", "build", "export", "import", "train"}


class Report(Protocol):
    """What a stage returns: what it did, in plain words and as plain values."""

    @property
    def failed(self) -> bool:
        """Whether the command must exit non-zero."""
        ...

    def text(self) -> str:
        """A short summary for people."""
        ...

    def document(self) -> Any:
        """The same for machines: dataclass fields, lists and dictionaries of plain values."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Command(Generic[Config]):
    """A stage's config and how to print what it did.

    Attributes:
        config: what the stage is asked to do.
        json: print the summary as one JSON document on stdout, and nothing else there.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    json: bool = False


def _config(verb: str) -> type:
    module, name, _ = VERBS[verb]
    return getattr(importlib.import_module(module), name)


def _about(config: type) -> str:
    """What a stage's config says of the stage, less the list of its fields."""
    return inspect.cleandoc(config.__doc__ or "").split("\nAttributes:")[0]


def _docstring(module: str, name: str) -> str:
    """A class's docstring, read from its file: to import every stage takes seconds."""
    found = importlib.util.find_spec(module)
    tree = ast.parse(Path(str(found and found.origin)).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _docstring(str(node.module), name)
    raise AttributeError(f"{module} has no class {name}")


def _first_words(verb: str) -> str:
    """What a verb does, in the first paragraph of its config's docstring."""
    return " ".join(_docstring(*VERBS[verb][:2]).split("\n\n")[0].split())


def _listing(group: str) -> str:
    """The verbs there are, a few words on each; of one group, or all for ""."""
    verbs = [verb for verb in VERBS if verb.startswith(group)]
    width = max(map(len, verbs)) + 4
    lines = [
        textwrap.fill(
            _first_words(verb),
            width=88,
            initial_indent=f"  {verb}".ljust(width),
            subsequent_indent=" " * width,
        )
        for verb in verbs
    ]
    return "\n".join(
        [
            f"usage: inrgen {group or 'VERB'}{' VERB' if group else ''} ...",
            "",
            "Make, store and serve data sets of implicit neural representations.",
            "",
            *lines,
            "",
            f"inrgen {group or 'VERB'}{' VERB' if group else ''} --help says more of each.",
            *([] if group else ["inrgen --version says which this is."]),
        ]
    )


def _chosen(argv: Sequence[str]) -> str | None:
    """The verb that a command line begins with, of one word or two."""
    return next((v for n in (2, 1) if (v := " ".join(argv[:n])) in VERBS), None)


def _parse(verb: str, rest: Sequence[str]) -> Command[Any]:
    """Read what follows the verb; only the module of the verb that is used gets imported."""
    config = _config(verb)
    return tyro.cli(Command[config], args=rest, prog=f"inrgen {verb}", description=_about(config))


def _without_verb(argv: Sequence[str]) -> int:
    """Say which verbs there are, or the version: asked for, 0; to none or a wrong verb, 2."""
    group = "bench" if argv[:1] == ["bench"] else ""
    given = argv[1:] if group else argv
    if given and given[0] in ("-h", "--help"):
        print(_listing(group))
        return 0
    if argv == ["--version"]:
        print(f"inrgen {version('inrgen')}")
        return 0
    wrong = f"there is no verb {given[0]!r}" if given else "a verb is needed"
    print(f"{_listing(group)}\n\ninrgen: {wrong}", file=sys.stderr)
    return 2


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity, so they become null; paths become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _run(verb: str, command: Command[Any]) -> int:
    module, _, function = VERBS[verb]
    run: Callable[[Any], Report] = getattr(importlib.import_module(module), function)
    report = run(command.config)
    said = json.dumps(_plain(report.document()), indent=2) if command.json else report.text()
    print(said, flush=True)
    return 1 if report.failed else 0


def _stop(signum: int, frame: object) -> None:
    """A polite request to end, as batch systems send it, is treated like Ctrl-C."""
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what was asked, 1 if not, 2 for a wrong command line."""
    argv = list(sys.argv[1:] if argv is None else argv)
    verb = _chosen(argv)
    if verb is None:
        return _without_verb(argv)
    name = f"inrgen {verb}"
    handler = signal.signal(signal.SIGTERM, _stop)
    try:
        return _run(verb, _parse(verb, argv[len(verb.split()) :]))
    except KeyboardInterrupt:
        again = "; run the same command again to go on" if verb in RESUMABLE else ""
        print(f"{name}: stopped{again}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        print(
            f"{name}: a defect of inrgen itself, {type(error).__name__}: {error}; "
            f"please report it with the details in {log.name}",
            file=sys.stderr,
        )
        return 1
    finally:
        signal.signal(signal.SIGTERM, handler)
