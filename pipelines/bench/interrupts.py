"""Interrupts: stop resumable commands at many moments, go on, and compare the results."""

import io
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from inrgen.cli import main
from inrgen.core.summary import Summary

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPED = "stopped; run the same command again to go on"
_HUNG_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptBench:
    """Send Ctrl-C and SIGTERM to resumable commands at random moments, and run them again.

    A command must end with 130 and say how to go on, or with 0 if it was done; run again, it must
    give what it gives without an interrupt.

    Attributes:
        moments: interrupts of each command.
        seed: seed of the moments.
        only: commands to interrupt; by default all.
    """

    moments: int = 50
    seed: int = 0
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.moments < 1:
            raise ValueError(f"moments must be at least 1; got {self.moments}")


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptReport(Summary):
    """Counts of exit statuses by command, and a line for each interrupt that ended otherwise."""

    counts: dict[str, dict[str, int]]
    failures: tuple[str, ...]

    @property
    def fault(self) -> str:
        return f"{len(self.failures)} interrupts ended wrong" if self.failures else ""

    def text(self) -> str:
        """A table, and the failures."""
        lines = ["| command | 130 | 0 | other |", "| --- | --- | --- | --- |"]
        for name, counts in self.counts.items():
            lines.append(f"| {name} | " + " | ".join(map(str, counts.values())) + " |")
        return "\n".join([*lines, *self.failures])


def _digest_files(path: Path) -> str:
    """Digest of a file, or of all files of a folder with their names."""
    digest = blake3()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return digest.hexdigest()


def _digest_store(path: Path) -> str:
    from inrgen.store.content import content_sha256
    from inrgen.store.verify import verify_store

    # a stopped run leaves nothing behind, either
    found = verify_store(path).findings
    return content_sha256(path) + "".join(finding.text() for finding in found)


def _digest_run(path: Path) -> str:
    return _digest_files(path / "model.safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """A resumable command: the words before --out and after it, and a digest of its result."""

    before: str
    after: str
    digest: Callable[[Path], str] = _digest_store
    suffix: str = ""

    @property
    def name(self) -> str:
        return self.before.split()[0]

    def argv(self, folder: Path, out: Path) -> list[str]:
        """The command line; STORE and FILES are made before."""
        words = [str(folder / word) if word.isupper() else word for word in self.before.split()]
        return [*words, "--out", str(out), *self.after.split()]


_CASES = (
    _Case(
        before="build digits",
        after="--limit 60 --views 1 --recipe fast --num-steps 3 --engine cpu --workers 0",
    ),
    _Case(
        before="learn-start digits",
        after="--limit 40 --outer-steps 6 --batch 4 --views 1 --hidden 8 8 --threads 1",
        digest=_digest_files,
        suffix=".safetensors",
    ),
    _Case(before="align STORE", after="--template pairs --workers 0"),
    _Case(before="augment STORE", after="--augment siren-negation --copies 2 --workers 0"),
    _Case(before="export STORE", after="--format neural-graphs", digest=_digest_files),
    _Case(before="import FILES", after="--format neural-graphs"),
    _Case(
        before="train STORE",
        after="--model mlp --epochs 2 --device cpu --threads 1 --logger none",
        digest=_digest_run,
    ),
)


@contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Keep what a command prints."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        yield said


def _run(argv: list[str]) -> None:
    """Run a command in this process, to the end."""
    with _silence() as said:
        status = main(argv)
    if status:
        raise AssertionError(f"{' '.join(argv)} ended with {status}: {said.getvalue()}")


def _interrupt(argv: list[str], after_s: float, which: signal.Signals) -> tuple[int, str]:
    """Run a command in a fork, and send it a signal; returns its exit status and its words.

    A fork, because imports take far longer than these commands.
    """
    with tempfile.TemporaryFile() as words:
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            _become(argv, words.fileno(), theirs)
        os.read(ours, 1)
        time.sleep(after_s)
        os.kill(child, which)
        for end in (ours, theirs):
            os.close(end)
        status = _wait(child)
        words.seek(0)
        return status, words.read().decode(errors="replace")


def _become(argv: list[str], words: int, ready: int) -> None:
    """Run the command and leave the process, without the tests or the bench that it came from."""
    status = 130
    try:
        for descriptor in (1, 2):
            os.dup2(words, descriptor)
        # a signal before the command began has stopped nothing
        for which in SIGNALS:
            signal.signal(which, signal.default_int_handler)
        os.write(ready, b"1")
        with open(2, "w", closefd=False) as err, redirect_stdout(err), redirect_stderr(err):
            status = main(argv)
    except KeyboardInterrupt:
        os.write(2, _STOPPED.encode())
    except BaseException as error:
        os.write(2, repr(error).encode())
        status = 1
    finally:
        os._exit(status)


def _wait(child: int) -> int:
    """Wait for a child; -9 if it had to be killed."""
    end = time.monotonic() + _HUNG_S
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _find_fault(case: _Case, argv: list[str], out: Path, status: int, said: str, want: str) -> str:
    """Say what is wrong with a command that was interrupted, and with its second run; ""."""
    if status not in (0, 130):
        return f"ended with {status}: {said[-400:]}"
    if "Traceback" in said or (status == 130 and _STOPPED not in said):
        return f"said {said[-400:]!r}"
    try:
        if status:
            _run(argv)
        found = case.digest(out)
    except Exception as error:
        return f"cannot go on: {error}"
    return "" if found == want else "gives another result"


def bench_interrupts(config: InterruptBench) -> InterruptReport:
    """Interrupt every command at its moments."""
    import torch

    torch.set_num_threads(1)
    counts, failures = dict[str, dict[str, int]](), list[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _run(_CASES[0].argv(folder, folder / "STORE"))
        _run(
            [
                "export",
                str(folder / "STORE"),
                "--out",
                str(folder / "FILES"),
                "--format",
                "neural-graphs",
            ]
        )
        for case in _CASES:
            if config.only and case.name not in config.only:
                continue
            rng, found = random.Random(f"{config.seed} {case.name}"), Counter[str]()
            # the first run compiles and imports, and the second tells how long a command takes
            for name in ("warm", "reference"):
                began = time.monotonic()
                _run(case.argv(folder, whole := folder / f"{case.name} {name}{case.suffix}"))
                took_s = time.monotonic() - began
            want = case.digest(whole)
            for number in range(config.moments):
                out = folder / f"{case.name} {number}{case.suffix}"
                argv, which = case.argv(folder, out), SIGNALS[number % 2]
                moment_s = rng.uniform(0, took_s)
                status, said = _interrupt(argv, moment_s, which)
                found[str(status) if status in (0, 130) else "other"] += 1
                if fault := _find_fault(case, argv, out, status, said, want):
                    failures.append(
                        f"{case.name} {number}: {which.name} at {moment_s:.3f} s {fault}"
                    )
            counts[case.name] = {status: found[status] for status in ("130", "0", "other")}
    return InterruptReport(counts=counts, failures=tuple(failures))
