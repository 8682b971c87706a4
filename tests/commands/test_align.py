"""Aligned rows compute the same functions, lie nearer to their reference, and record the way."""

from pathlib import Path

import numpy as np
import pytest
import torch

import inrgen
from inrgen.cli import main
from inrgen.commands.align import AlignConfig, align
from inrgen.core import rng
from inrgen.core.config import MatchConfig, thorough
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match, squared_distance
from inrgen.core.siren import evaluate
from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.derive import ensure_store, fill, plan_derivation
from inrgen.jobs.operations import read_search, read_template, record_templates
from inrgen.jobs.repair import replay
from inrgen.store.files.opening import open_files
from inrgen.store.lineage import walk_back
from inrgen.store.metadata import read_facts
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from tests.made_up import MadeUp


def config(parent: Path, out: Path, **changes) -> AlignConfig:
    asked = {"store": parent, "out": out, "sample": 40, "how": ExecutorConfig(workers=2)}
    return AlignConfig(**{**asked, **changes})


@pytest.fixture(scope="module")
def aligned(parent, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("align") / "aligned"
    said = align(config(parent, out))
    assert said.after < 0.9 * said.before
    return out


def names_of(made_up, rows: list[int]) -> torch.Tensor:
    """Names of restarts, from items and views."""
    records = [made_up.records[row] for row in rows]
    items = rng.hash_items(record.item_id for record in records)
    return rng.fold(items, torch.tensor([record.view for record in records]))


def served(made_up) -> list[int]:
    return [row for row in range(made_up.rows) if row not in made_up.bad]


def test_functions_stay_the_same(made_up, parent, aligned):
    assert verify_store(aligned).ok
    rows, coords = served(made_up)[::5], grid_coords(made_up.spec, (8, 8), torch.float64)
    stores = [open_store(path) for path in (parent, aligned)]
    params = [store.read(rows).to(dtype=torch.float64) for store in stores]
    assert not torch.equal(params[0].flat(), params[1].flat())
    values = [evaluate(made_up.spec, some, coords) for some in params]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-12)
    tables = [store.records.to_table().sort_by("row") for store in stores]
    for column in ("psnr_db", "item_id", "view", "status", "reason"):
        found, expected = (table[column].to_pylist() for table in tables)
        np.testing.assert_equal(found, expected)
    assert tables[1]["parent_row"].to_pylist() == list(range(made_up.rows))
    unserved = stores[1].read(list(made_up.bad)).flat()
    assert unserved.isnan().all()


def test_a_row_is_its_parent_matched_to_the_stored_template(made_up, parent, aligned):
    facts = read_facts(open_files(aligned))
    template = read_template(facts.about, made_up.spec)
    rows = served(made_up)[::7]
    params, names = open_store(parent).read(rows), names_of(made_up, rows)
    found = match(made_up.spec, template, params, thorough("signed"), names=names)
    assert torch.equal(found.aligned.flat(), open_store(aligned).read(rows).flat())
    # Names must matter here, or equal bytes from other cuts of the rows would prove nothing.
    unnamed = match(made_up.spec, template, params, thorough("signed"))
    assert not torch.equal(unnamed.aligned.flat(), found.aligned.flat())


def test_the_search_is_recorded(aligned):
    noted = walk_back(open_store(aligned))[0].how["match"]
    assert read_search(noted) == thorough("signed")
    with pytest.raises(ValueError, match=r"that this version knows; got \['depth'\]"):
        read_search({**noted, "depth": 2})


def test_a_store_without_an_opening_resumes_from_the_identity(made_up, parent, tmp_path):
    out, rows = tmp_path / "earlier", served(made_up)
    noted = {"kind": "signed", "order": [], "max_sweeps": 100, "restarts": 0, "seed": 0}
    plan = plan_derivation(parent, out, "align", 1, {"to": "20", "match": noted, "template": {}})
    template = open_store(parent).read([20])
    ensure_store(plan, lambda: record_templates({made_up.spec_id: template}))
    fill(plan, ExecutorConfig(workers=1))
    found = match(made_up.spec, template, open_store(parent).read(rows), MatchConfig())
    assert torch.equal(found.aligned.flat(), open_store(out).read(rows).flat())
    said = align(config(parent, out, template="20", init="identity", restarts=0))
    assert said.rows_found == made_up.rows
    with pytest.raises(ValueError, match=r"match.opening \(there nothing, here 'both'\)"):
        align(config(parent, out, template="20"))


def test_a_stored_draw_replays_its_row_bit_for_bit(made_up, parent, aligned):
    rows, store = served(made_up), open_store(aligned)
    assert torch.equal(replay(open_store(parent), store, rows).flat(), store.read(rows).flat())


def test_reported_distances_are_those_of_the_stores(made_up, parent, aligned):
    said = align(config(parent, aligned))
    assert (said.rows_made, said.rows_found) == (0, made_up.rows)
    facts = read_facts(open_files(aligned))
    template = read_template(facts.about, made_up.spec)
    for path, figure in ((parent, said.before), (aligned, said.after)):
        distances = squared_distance(template, open_store(path).read(served(made_up)))
        assert figure == pytest.approx(float(distances.mean()), rel=1e-12)


def test_pairs_bring_views_to_the_first_finite_one(made_up, parent, tmp_path):
    out = tmp_path / "pairs"
    said = align(config(parent, out, template="pairs"))
    assert said.after < said.before
    before, after = open_store(parent), open_store(out)
    # The first view of item 0 is bad, so the others are matched to the second.
    assert torch.equal(before.read([1, 4, 8]).flat(), after.read([1, 4, 8]).flat())
    search, names = thorough("signed"), names_of(made_up, [2, 3])
    found = match(made_up.spec, before.read([1]), before.read([2, 3]), search, names=names)
    assert torch.equal(found.aligned.flat(), after.read([2, 3]).flat())
    assert verify_store(out).ok


class Part(MadeUp):
    """The first items of the made-up store."""

    bad = (0, 9)


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> Path:
    return Part(rows=72).build(tmp_path_factory.mktemp("part") / "store")


def test_a_part_aligned_to_the_template_of_the_whole_has_the_rows_of_the_aligned_whole(
    parent, aligned, part, tmp_path
):
    out = tmp_path / "aligned"
    align(config(part, out, template=str(aligned)))
    rows = open_store(out).read(range(72)).flat()
    assert rows.isnan().any(dim=1).sum() == 2
    whole = open_store(aligned).read(range(72)).flat()
    assert rows.numpy().tobytes() == whole.numpy().tobytes()
    # both are of one alignment, also where the part's template goes on to a third store
    third = inrgen.align(part, template=open_store(out), out=tmp_path / "third", workers=1)
    digest = open_store(aligned).alignment_sha256
    assert open_store(out).alignment_sha256 == third.alignment_sha256 == digest
    assert open_store(parent).alignment_sha256 == ""
    noted = walk_back(third)[0].how["template"]
    assert noted["alignment_sha256"] == digest
    content = MadeUp.content(out)
    assert align(config(part, out, template=str(aligned))).rows_made == 0
    assert MadeUp.content(out) == content


def test_another_template_is_refused_by_its_digest(aligned, part, tmp_path):
    align(config(part, tmp_path / "out", template=str(aligned)))
    other = align(config(part, tmp_path / "other", template="3"))
    with pytest.raises(ValueError, match=r"parameters.template.sha256 \(there"):
        align(config(part, tmp_path / "out", template=other.store))


def test_a_row_of_another_store_may_be_the_template(made_up, parent, part, tmp_path):
    align(config(part, tmp_path / "out", template=f"{parent}:300"))
    template = open_store(parent).read([300])
    assert torch.equal(
        read_template(read_facts(open_files(tmp_path / "out")).about, made_up.spec).flat(),
        template.flat(),
    )
    rows = [20, 31]
    params, names = open_store(part).read(rows), names_of(made_up, rows)
    found = match(made_up.spec, template, params, thorough("signed"), names=names)
    assert torch.equal(found.aligned.flat(), open_store(tmp_path / "out").read(rows).flat())


@pytest.mark.parametrize("kind", ["medoid", "20"])
def test_a_row_may_be_the_template(made_up, parent, tmp_path, kind):
    out = tmp_path / "store"
    how = ExecutorConfig(workers=1)
    align(config(parent, out, template=kind, match="permutation", restarts=0, how=how))
    facts = read_facts(open_files(out))
    template = read_template(facts.about, made_up.spec).flat()
    rows = served(made_up)
    same = (open_store(parent).read(rows).flat() == template).all(dim=1).nonzero()[:, 0].tolist()
    assert len(same) == 1
    row = rows[same[0]]
    assert row == 20 or kind == "medoid"
    assert torch.equal(open_store(out).read([row]).flat(), template)
    signs = replay(open_store(parent), open_store(out), [row]).flat()
    assert torch.equal(signs, template)


def test_an_interrupted_alignment_goes_on_with_its_own_template(
    made_up, parent, aligned, monkeypatch
):
    out = aligned.parent / "again"

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("inrgen.jobs.align.fill", stop)
        with pytest.raises(KeyboardInterrupt):
            align(config(parent, out))
    # The template is made once: a machine that sums in another order must not make another one.
    monkeypatch.setattr("inrgen.jobs.align.make_template", stop)
    monkeypatch.setattr("inrgen.jobs.plan._NUMBERS_AT_ONCE", 5_000)
    align(config(parent, out, how=ExecutorConfig(workers=1)))
    assert made_up.content(out) == made_up.content(aligned)


def test_wrong_alignments_are_refused_in_one_sentence(parent, aligned, tmp_path):
    none = "template must be mean, medoid, pairs, a row's number, an aligned store or STORE:ROW"
    for place in ("other", "other:3", f"{tmp_path}/no"):
        with pytest.raises(ValueError, match=f"{none}; there is no store"):
            align(config(parent, tmp_path / "a", template=place))
    with pytest.raises(ValueError, match="was not aligned"):
        align(config(parent, tmp_path / "a", template=str(parent)))
    with pytest.raises(ValueError, match="row 501 holds no weights"):
        align(config(parent, tmp_path / "a", template=f"{parent}:501"))
    with pytest.raises(ValueError, match=r"must be those of .*\(signed, "):
        align(config(parent, tmp_path / "a", template=str(aligned), match="phase"))
    wider = Part(rows=12, widths=(2, 7, 1))
    other = wider.build(tmp_path / "wider")
    with pytest.raises(ValueError, match=f"has none of {wider.spec_id}"):
        align(config(other, tmp_path / "a", template=str(aligned)))
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="template must be a row that holds weights; got 501"):
        align(config(parent, tmp_path / "a", template="501"))
    with pytest.raises(ValueError, match="template must be a row that holds weights; got 99999"):
        align(config(parent, tmp_path / "a", template="99999"))
    with pytest.raises(ValueError, match=r"parameters.match.kind \(there 'signed', here 'phase'\)"):
        align(config(parent, aligned, match="phase"))
    with pytest.raises(ValueError, match="memory_mb must be at least"):
        align(config(parent, tmp_path / "a", how=ExecutorConfig(memory_mb=1)))


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("align S --out T --to 3", "--to is now --template"),
        ("align S --out T --opening=ends", "--opening is now --init"),
        ("augment S --out T --chain rotation", "--chain is now --augment"),
    ],
)
def test_an_old_option_is_refused_by_its_new_name(command, sentence, capsys):
    assert main(command.split()) == 2
    assert capsys.readouterr().err.strip().endswith(sentence)
