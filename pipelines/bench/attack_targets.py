"""Targets of the attack: small files of each kind, and a use of them that judges itself.

A use runs in a process of its own. It returns a sentence where something was wrong in silence, and
"" otherwise; a refusal is an error or a non-zero exit of a command.
"""

import contextlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Use = Callable[[Path, Path], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A folder of files to damage, and its use.

    Attributes:
        use: called with the damaged folder and an empty one to write into.
    """

    name: str
    make: Callable[[Path], None]
    use: Use


class Refused(Exception):
    """A command ended with one sentence and a non-zero exit."""


def command(*words: object) -> str:
    """Run a command line; returns its stdout. Raises Refused with what it said on stderr."""
    from inrgen.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    if status:
        raise Refused(err.getvalue())
    return out.getvalue()


_TRUTH = "truth.npy"
_BUILD = ("--workers", 0, "--views", 2, "--num-steps", 2, "--hidden", 4)


def make_store(folder: Path) -> None:
    """A small store of digits with statistics, its rows kept beside it."""
    from inrgen.store.reader import open_store

    store = folder / "store"
    command("build", "digits", "--limit", 90, "--out", store, *_BUILD)
    command("stats", store, "--workers", 0)
    opened = open_store(store)
    np.save(folder / _TRUTH, opened.read(range(len(opened))).flat().numpy())


def read_store(folder: Path, out: Path) -> str:
    """Every row that a reader, a loader or a job serves must be the row that was written."""
    import inrgen

    truth = np.load(folder / _TRUTH)
    store = inrgen.open_store(folder / "store")
    if not np.array_equal(store.read(range(len(truth))).flat().numpy(), truth):
        return "read serves other rows"
    served = list(inrgen.StreamLoader(store, split="all", batch_size=64))
    rows = np.concatenate([batch.rows.numpy() for batch in served])
    flat = np.concatenate([batch.params.flat().numpy() for batch in served])
    if not np.array_equal(np.sort(rows), np.arange(len(truth))):
        return "the loader does not serve every row once"
    return "" if np.array_equal(flat, truth[rows]) else "the loader serves other rows"


def repair_store(folder: Path, out: Path) -> str:
    """After a repair that succeeds, all must be right; nothing beside the store may change."""
    command("verify", folder / "store", "--repair")
    wrong = read_store(folder, out)
    return f"after a repair {wrong}" if wrong else ""


def make_images(folder: Path) -> None:
    """Pictures of several formats in folders of two classes."""
    from PIL import Image

    noise = np.random.default_rng(0)
    for number, suffix in enumerate((".png", ".tif", ".gif", ".bmp", ".jpg", ".webp")):
        for name in ("cat", "dog"):
            path = folder / name / f"{number}{suffix}"
            path.parent.mkdir(exist_ok=True)
            pixels = noise.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)


def make_meshes(folder: Path) -> None:
    """Cubes in several formats."""
    import trimesh

    for number, suffix in enumerate(("obj", "stl", "ply", "off", "glb")):
        path = folder / "cube" / f"{number}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        trimesh.creation.box().export(path)


def _use_source(source: str, *options: object) -> Use:
    def use(folder: Path, out: Path) -> str:
        said = command("build", source, "--data", folder, "--out", out / "s", *_BUILD, *options)
        # One file was damaged, so the others must be fitted all the same.
        rows, fitted = (re.search(p, said) for p in (r"([\d,]+) INRs of", r"([\d,]+) (?:ok|below)"))
        counts = [int(found[1].replace(",", "")) if found else 0 for found in (rows, fitted)]
        return "" if counts[1] >= counts[0] - 4 else f"{counts[1]} of {counts[0]} rows were fitted"

    return use


def make_export(folder: Path) -> None:
    """A store as safetensors files, which need no statement of their conventions."""
    store = folder.parent / "exported"
    command("build", "digits", "--limit", 2, "--out", store, *_BUILD)
    command("export", store, "--format", "safetensors", "--out", folder / "files")


def import_files(folder: Path, out: Path) -> str:
    """An import ends in a store that verifies, or in a refusal."""
    command("import", folder / "files", "--format", "safetensors", "--out", out / "s")
    report = json.loads(command("verify", out / "s", "--json"))
    return "" if not report["report"]["findings"] else "an import made a damaged store"


TARGETS = (
    Target(name="store", make=make_store, use=read_store),
    Target(name="repair", make=make_store, use=repair_store),
    Target(name="images", make=make_images, use=_use_source("image-folder")),
    Target(
        name="meshes",
        make=make_meshes,
        use=_use_source("mesh-folder", "--num-points", 300, "--recipe", "fast"),
    ),
    Target(name="import", make=make_export, use=import_files),
)
