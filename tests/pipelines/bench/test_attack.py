"""The attack tells a right answer and a refusal from all that must not happen."""

import random
import time

import pytest

from pipelines.bench import attack
from pipelines.bench.attack import AttackBench, bench_attack, damage, judge
from pipelines.bench.attack_targets import Refused, Target


def right(folder, out):
    return ""


def wrong(folder, out):
    return "other rows"


def refuse(folder, out):
    raise Refused("inrgen build: it is damaged")


def defect(folder, out):
    raise Refused("inrgen build: a defect of inrgen itself")


def sentence(folder, out):
    raise ValueError("it is damaged")


def fault(folder, out):
    raise KeyError("seal")


def large(folder, out):
    return "" if bytearray(200_000_000) else "no memory"


def hang(folder, out):
    time.sleep(60)
    return ""


def end(folder, out):
    attack.os._exit(3)


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (right, "right"),
        (wrong, "wrong"),
        (refuse, "refused"),
        (sentence, "refused"),
        (defect, "traceback"),
        (fault, "traceback"),
        (end, "traceback"),
        (large, "too large"),
        (hang, "hung"),
    ],
)
def test_each_outcome_is_told_from_the_others(use, outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(attack, "_LIMIT_BYTES", 100_000_000)
    monkeypatch.setattr(attack, "_LIMIT_S", 0.2 if use is hang else 60.0)
    target = Target(name="t", make=lambda folder: None, use=use)
    assert judge(target, tmp_path, tmp_path)[0] == outcome


def test_the_same_seed_does_the_same_damage(tmp_path):
    for number in range(40):
        found = []
        for name in ("a", "b"):
            folder = tmp_path / f"{number}{name}"
            folder.mkdir()
            for file in ("x", "y"):
                (folder / file).write_bytes(bytes(range(200)))
            said = damage(folder, random.Random(f"0 {number}"))
            found.append((said, sorted((p.name, p.read_bytes()) for p in folder.iterdir())))
        assert found[0] == found[1]


def test_a_failure_is_reported_with_its_damage_and_kept(tmp_path, monkeypatch):
    target = Target(name="t", make=lambda folder: (folder / "x").write_bytes(b"1"), use=wrong)
    monkeypatch.setattr(attack, "TARGETS", (target,))
    report = bench_attack(AttackBench(minutes=0.001, keep=tmp_path / "kept"))
    assert report.failed
    assert report.failures[0].startswith("case 0, t: ")
    assert report.failures[0].endswith("wrong: other rows")
    assert (tmp_path / "kept" / "0").is_dir()
    assert report.counts["t"]["wrong"] == len(report.failures)
    assert f"| t | 0 | 0 | {len(report.failures)} | 0 | 0 | 0 |" in report.text()
