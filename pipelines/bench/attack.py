"""Attack: damage files at random, use them, and count what is neither right nor refused."""

import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from inrgen.core.summary import Summary
from pipelines.bench.attack_targets import TARGETS, Refused, Target

# Limits of one use, generous for files of a few kilobytes. Seconds are of a processor, since a busy
# machine is no fault of a file; a process that only waits gets five times as many.
_LIMIT_S, _LIMIT_BYTES = 60.0, 2_000_000_000
OUTCOMES = ("right", "refused", "wrong", "hung", "traceback", "too large")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackBench:
    """Damage small stores, images, meshes and imports at random, and use them.

    Each use must give what was written, or be refused in a sentence, in bounded time and memory.

    Attributes:
        minutes: time to go on for.
        seed: seed of the damage; the same number of cases is the same damage.
        keep: folder for the files of each case that failed.
    """

    minutes: float = 10.0
    seed: int = 0
    keep: Path | None = None

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ValueError(f"minutes must be positive; got {self.minutes}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackReport(Summary):
    """Counts of outcomes by target, and a line for each case that failed."""

    counts: dict[str, dict[str, int]]
    failures: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return bool(self.failures)

    def text(self) -> str:
        """A table, and the failures."""
        lines = ["| target | " + " | ".join(OUTCOMES) + " |", "|" + " --- |" * (1 + len(OUTCOMES))]
        for name, counts in self.counts.items():
            cells = " | ".join(str(counts.get(outcome, 0)) for outcome in OUTCOMES)
            lines.append(f"| {name} | {cells} |")
        return "\n".join([*lines, *self.failures])


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one or two files below a folder; returns what was done, in words."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".npy")
    path = rng.choice(files)
    kind = rng.choice(sorted(_DAMAGES))
    _DAMAGES[kind](path, files, rng)
    return f"{kind} {path.relative_to(folder)}"


def _flip(path: Path, files: list[Path], rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 8, 64)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, files: list[Path], rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def _grow(path: Path, files: list[Path], rng: random.Random) -> None:
    data = path.read_bytes()
    at = rng.randrange(len(data) + 1)
    path.write_bytes(data[:at] + rng.randbytes(rng.choice((1, 16, 4096))) + data[at:])


def _number(path: Path, files: list[Path], rng: random.Random) -> None:
    """Put a large or odd number where a header may hold one."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(max(1, min(len(data), 4096)))
    number = rng.choice((b"\xff\xff\xff\x7f", b"\xff" * 8, b"\0" * 8, b"999999999", b"-1", b"nan"))
    data[at : at + len(number)] = number
    path.write_bytes(data)


def _remove(path: Path, files: list[Path], rng: random.Random) -> None:
    path.unlink()


def _exchange(path: Path, files: list[Path], rng: random.Random) -> None:
    alike = [other for other in files if other.parent == path.parent] or files
    other = rng.choice(alike)
    ours, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(ours)


def _copy(path: Path, files: list[Path], rng: random.Random) -> None:
    rng.choice(files).write_bytes(path.read_bytes())


_DAMAGES: dict[str, Callable[[Path, list[Path], random.Random], None]] = {
    "flip": _flip,
    "cut": _cut,
    "grow": _grow,
    "number": _number,
    "remove": _remove,
    "exchange": _exchange,
    "copy": _copy,
}


def _use(target: Target, folder: Path, out: Path, answer: Connection) -> None:
    """Use the files in this process, and send the outcome."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Whatever a library prints below Python is no part of the outcome.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    try:
        wrong = target.use(folder, out)
        outcome, said = ("wrong", wrong) if wrong else ("right", "")
    except Refused as refusal:
        bad = any(word in str(refusal) for word in ("Traceback", "defect"))
        outcome, said = ("traceback" if bad else "refused"), str(refusal)[-500:]
    except (ValueError, OSError) as error:
        outcome, said = "refused", str(error)[:500]
    except BaseException:
        outcome, said = "traceback", traceback.format_exc()[-1500:]
    held = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if held > _LIMIT_BYTES:
        outcome, said = "too large", f"{held:,} B: {said}"
    answer.send((outcome, said))


def judge(target: Target, folder: Path, out: Path) -> tuple[str, str]:
    """The outcome of a use in a process of its own, and what was said."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # fork, since the imports take longer than most uses
    process = multiprocessing.get_context("fork").Process(
        target=_use, args=(target, folder, out, theirs)
    )
    process.start()
    theirs.close()
    try:
        began, used = time.monotonic(), psutil.Process(process.pid)
        while not ours.poll(_LIMIT_S / 60):
            waited_s, times = time.monotonic() - began, used.cpu_times()
            if times.user + times.system > _LIMIT_S or waited_s > 5 * _LIMIT_S:
                return "hung", f"after {waited_s:.0f} s, {times.user:.0f} s of them at work"
        return ours.recv()
    except EOFError:
        process.join()
        return "traceback", f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()


def bench_attack(config: AttackBench) -> AttackReport:
    """Attack until the time is over."""
    # before the forks, so that each begins with all imports done
    import inrgen.cli
    import inrgen.fit.build
    import inrgen.loaders.stream  # noqa: F401

    counts: dict[str, Counter[str]] = {target.name: Counter() for target in TARGETS}
    failures, number = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        for target in TARGETS:
            _make(target, whole / target.name)
        end = time.monotonic() + 60 * config.minutes
        while number == 0 or time.monotonic() < end:
            target, work = TARGETS[number % len(TARGETS)], Path(temporary) / "work"
            shutil.copytree(whole / target.name, work / "in")
            (work / "out").mkdir()
            done = damage(work / "in", random.Random(f"{config.seed} {number}"))
            outcome, said = judge(target, work / "in", work / "out")
            counts[target.name][outcome] += 1
            if outcome not in ("right", "refused"):
                failures.append(f"case {number}, {target.name}: {done}: {outcome}: {said}")
                if config.keep is not None:
                    shutil.copytree(work / "in", config.keep / str(number))
            shutil.rmtree(work)
            number += 1
    return AttackReport(
        counts={name: dict(found) for name, found in counts.items()}, failures=tuple(failures)
    )


def _make(target: Target, folder: Path) -> None:
    """Make a target's files in a process of its own, which leaves no threads in this one."""
    folder.mkdir(parents=True)
    process = multiprocessing.get_context("fork").Process(target=target.make, args=(folder,))
    process.start()
    process.join()
    if process.exitcode:
        raise ChildProcessError(f"the files of {target.name} could not be made")
