"""The alignment bench on digits: nearer pairs, complete rows, refused options."""

import math
import re
from dataclasses import asdict

import pytest
import torch
from PIL import Image

from inrgen.core import rng
from inrgen.core.config import InitConfig, MatchConfig
from inrgen.core.matching import match
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.probes import classifiers
from inrgen.probes.classifiers import LabelledRows
from inrgen.probes.config import ProbeTraining
from inrgen.sources.config import SourceConfig
from pipelines.bench.align import AlignBench, bench_align, table
from pipelines.bench.align_speed import match_as_published, match_one_by_one
from pipelines.bench.fitted import load_images


@pytest.fixture(scope="module")
def report():
    return bench_align(
        AlignBench(
            items=12,
            num_steps=60,
            widths=(32, 48),
            batch=16,
            probe_items=200,
            probe_steps=60,
            probe=ProbeTraining(epochs=3, hidden=64),
            repeats=1,
        )
    )


def test_every_richer_alignment_comes_nearer(report):
    distance = {row.alignment: row.squared_distance for row in report.evidence}
    assert distance["none"] > distance["permutation"] > distance["signed"]
    assert distance["signed, once"] > distance["signed"]
    assert distance["template, signed"] < distance["template, once"] < distance["none"]
    # The mean of squares is no less than the square of the mean.
    assert all(row.midpoint_mse >= row.midpoint_rms**2 for row in report.evidence)
    # A symmetry moves no function, so their distance is one and the same down the table.
    functions = [row.function_rms for row in report.evidence]
    assert max(functions) - min(functions) < 1e-4
    assert all(row.num_pairs == 12 for row in report.evidence)


def test_times_and_accuracies_are_there(report):
    assert {row.job for row in report.speed} == {"2-32-32-1", "2-48-48-1"}
    assert all(row.ms_a_pair > 0 for row in report.speed)
    assert all(row.cpu_ms_a_pair > 0 for row in report.speed)
    published = [row.speedup for row in report.speed if row.method == "published style"]
    assert published == pytest.approx([1.0, 1.0])
    assert all(0 <= row.accuracy_percent <= 100 for row in report.probe)
    assert [row.num_train for row in report.probe] == [200] * 5


def test_the_probe_sees_weights_on_one_scale(monkeypatch):
    keys = rng.keys(0, "weights", torch.arange(50))
    flat = 3.0 + rng.normal(keys, (4,)) * torch.tensor([0.1, 1.0, 2.0, 5.0])
    rows = LabelledRows(flat=flat, labels=torch.arange(50) % 2)
    seen = []

    def note(make, train, val, test, config):
        seen.append(train.flat)
        return torch.zeros(len(test.labels), 2)

    monkeypatch.setattr(classifiers, "trained_scores", note)
    classifiers.mlp_hits(rows, rows, rows, ProbeTraining(), one_scale=True)
    classifiers.mlp_hits(rows, rows, rows, ProbeTraining())
    ratios = seen[0].std(dim=0) / flat.std(dim=0)
    torch.testing.assert_close(ratios, ratios[:1].expand(4))
    torch.testing.assert_close(seen[0].square().mean().sqrt(), torch.tensor(1.0), rtol=0.02, atol=0)
    torch.testing.assert_close(seen[1].std(dim=0), torch.ones(4))


def test_published_ways_find_what_matching_finds():
    spec = InrSpec(widths=(2, 9, 1), omega=(30.0,))
    keys = (rng.keys(seed, "pairs", torch.arange(8)) for seed in (0, 1))
    one, two = (initialise(spec, InitConfig(hidden_bias="torch"), k) for k in keys)
    ours = match(spec, one, two, MatchConfig(kind="permutation")).symmetry.permutations[0]
    for row, (plain, public) in enumerate(
        zip(match_one_by_one(one, two), match_as_published(one, two), strict=True)
    ):
        assert plain[0].tolist() == public[0].tolist() == ours[row].tolist()


def test_the_table_has_a_line_a_row(report):
    text = table(report)
    for rows in asdict(report).values():
        assert len(rows) > 0
    assert "signed + MixUp" in text
    assert len(text.splitlines()) == sum(len(r) for r in asdict(report).values()) + 5


@pytest.mark.parametrize(
    "fields",
    [
        {"items": 0},
        {"num_steps": 0},
        {"widths": (32, 0)},
        {"batch": 0},
        {"probe_items": 7},
        {"probe_items": -1},
        {"probe_steps": 0},
        {"repeats": 0},
    ],
    ids=str,
)
def test_a_number_that_cannot_be_is_named(fields):
    ((name, value),) = fields.items()
    with pytest.raises(ValueError, match=rf"{name} must be .*; got {re.escape(str(value))}"):
        AlignBench(**fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 0),
        ("dropout", 1.0),
        ("lr", 0.0),
        ("lr", math.inf),
        ("weight_decay", -0.1),
        ("batch", 0),
        ("epochs", 0),
    ],
)
def test_a_probe_that_cannot_learn_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must .*; got {value}"):
        ProbeTraining(**{name: value})


@pytest.mark.parametrize("empty", ["train", "val", "test"])
def test_a_probe_without_rows_has_no_accuracy(empty):
    rows = LabelledRows(flat=torch.randn(6, 4), labels=torch.arange(6) % 2)
    none = LabelledRows(flat=rows.flat[:0], labels=rows.labels[:0])
    parts = [none if name == empty else rows for name in ("train", "val", "test")]
    with pytest.raises(ValueError, match=f"at least one row in {empty}"):
        classifiers.trained_scores(lambda: torch.nn.Linear(4, 2), *parts, ProbeTraining(epochs=1))


def test_images_of_several_sizes_are_refused(tmp_path):
    for number, size in enumerate([(4, 4), (5, 4)]):
        Image.new("L", size).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="one size"):
        load_images(SourceConfig(name="image-folder", data=str(tmp_path)))
