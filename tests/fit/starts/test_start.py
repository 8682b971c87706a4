"""A START file gives back the start that was saved, and any other file one clear sentence."""

import json
import math
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.recipes import recipe
from inrgen.fit.starts.config import LearnStartConfig
from inrgen.fit.starts.start import (
    LearnedStart,
    find_shipped_start,
    load_start,
    save_start,
    shipped_starts,
)
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import items_digest

SPEC = InrSpec(widths=(2, 3, 3, 1), omega=(30.0, 30.0), output_offset=0.5)
VIEWS = 2


def made_start(seed: int = 0, views: int = VIEWS) -> LearnedStart:
    generator = torch.Generator().manual_seed(seed)
    flat = torch.rand(2, views, SPEC.num_params, generator=generator)
    return LearnedStart(
        spec=SPEC,
        params=Params.from_flat(SPEC, flat[0] - 0.5),
        step_sizes=Params.from_flat(SPEC, flat[1] + 0.1),
        inner_steps=6,
        facts={"source": {"name": "digits"}, "seed": 3, "psnr_db": 20.5, "guide": "none"},
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "start.safetensors"
    save_start(path, made_start())
    return path


def test_a_saved_start_comes_back(saved):
    start, found = made_start(), load_start(saved)
    assert (found.spec, found.inner_steps, found.facts) == (SPEC, 6, start.facts)
    assert torch.equal(found.params.flat(), start.params.flat())
    assert torch.equal(found.step_sizes.flat(), start.step_sizes.flat())
    assert found.num_views == VIEWS
    assert found.sha256 == start.sha256


def test_the_same_start_gives_the_same_bytes(saved, tmp_path):
    save_start(tmp_path / "again", load_start(saved))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("_")] == []


def test_the_digest_covers_everything_but_the_order_of_facts():
    start = made_start()
    others = [
        replace(start, inner_steps=7),
        replace(start, facts={**start.facts, "seed": 4}),
        replace(start, spec=replace(SPEC, output_offset=0.0)),
        replace(start, params=start.step_sizes),
        replace(start, step_sizes=start.step_sizes.map(lambda step: 2 * step)),
    ]
    assert len({start.sha256, *(other.sha256 for other in others)}) == 1 + len(others)
    turned = dict(reversed(start.facts.items()))
    assert replace(start, facts=turned).sha256 == start.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner_steps": 0}, "inner_steps must be from 1"),
        ({"inner_steps": 10**6}, "inner_steps must be from 1"),
        ({"step_sizes": made_start().step_sizes[[0]]}, "as many as params"),
        ({"step_sizes": made_start().params}, "step_sizes must be positive"),
        ({"params": made_start().params.map(lambda p: p / 0)}, "params must be finite"),
        ({"params": made_start().params.to(dtype=torch.float64)}, "must be float32"),
        ({"spec": replace(SPEC, widths=(2, 4, 3, 1))}, "needs the shapes"),
        ({"params": made_start().params[[]]}, "needs 1 to 1000 starts"),
    ],
)
def test_a_start_is_checked_when_it_is_made(change, message):
    with pytest.raises(ValueError, match=message):
        replace(made_start(), **change)


def test_facts_that_are_not_json_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_start(tmp_path / "start", replace(made_start(), facts={"psnr_db": math.nan}))
    assert list(tmp_path.iterdir()) == []


def forged(tensors: dict | None = None, **changes) -> bytes:
    """A START file with other content. The digest is checked last, so it hides no other reason."""
    start = made_start()
    document = {"version": 1, "spec": SPEC.to_dict(), "inner_steps": 6, "facts": start.facts}
    document = {**document, "sha256": start.sha256, **changes}
    flat = {"params": start.params.flat(), "step_sizes": start.step_sizes.flat()}
    whole = {name: t.clone() for name, t in {**flat, **(tensors or {})}.items()}
    return save(whole, metadata={"inrgen_start": json.dumps(document)})


def spec_facts(**changes) -> dict:
    return {**SPEC.to_dict(), **changes}


WHOLE = forged()
HALF = torch.ones(VIEWS, SPEC.num_params, dtype=torch.float16)
ROWS = torch.ones(VIEWS, SPEC.num_params)
DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "text": b"not a start\n" * 50,
    "cut header": WHOLE[:100],
    "cut data": WHOLE[:-1],
    "longer": WHOLE + b"x",
    "huge header": struct.pack("<Q", 2**62) + WHOLE[8:],
    "flipped bit": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
    "pickle": b"\x80\x04c__builtin__\neval\n.",
    "no metadata": save({"params": ROWS, "step_sizes": ROWS.clone()}),
    "metadata is no JSON": save({"params": ROWS}, metadata={"inrgen_start": "{"}),
    "metadata is a list": save({"params": ROWS}, metadata={"inrgen_start": "[1]"}),
    "deep metadata": save({"params": ROWS}, metadata={"inrgen_start": "[" * 200_000}),
    "other version": forged(version=2),
    "further key": forged(more=1),
    "further tensor": forged({"more": ROWS}),
    "inner_steps of the wrong type": forged(inner_steps="6"),
    "inner_steps is a bool": forged(inner_steps=True),
    "too many inner_steps": forged(inner_steps=10**9),
    "facts of the wrong type": forged(facts=[1]),
    "other facts": forged(facts={"seed": 4}),
    "facts with NaN": forged(facts={"psnr_db": math.nan}),
    "missing convention": forged(spec={"widths": [2, 3, 3, 1]}),
    "widths as text": forged(spec=spec_facts(widths=["2", "3", "3", "1"])),
    "widths as fractions": forged(spec=spec_facts(widths=[2, 3.0, 3, 1])),
    "huge widths": forged(spec=spec_facts(widths=[2, 10**12, 3, 1])),
    "negative widths": forged(spec=spec_facts(widths=[2, -3, 3, 1])),
    "infinite omega": forged(spec=spec_facts(omega=[math.inf, 30.0])),
    "omega as text": forged(spec=spec_facts(omega=["30", "30"])),
    "range as text": forged(spec=spec_facts(value_range=["a", "b"])),
    "other widths": forged(spec=spec_facts(widths=[2, 4, 3, 1])),
    "half precision": forged({"params": HALF}),
    "flat tensor": forged({"params": ROWS.flatten()}),
    "no starts": forged({"params": ROWS[:0], "step_sizes": ROWS[:0].clone()}),
    "fewer step sizes": forged({"step_sizes": ROWS[:1]}),
    "NaN": forged({"params": ROWS * math.nan}),
    "negative step": forged({"step_sizes": -ROWS}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_foreign_or_hostile_file_gets_one_sentence(content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.safetensors is not a valid START file: ") as caught:
        load_start(path)
    assert "\n" not in str(caught.value)


def test_a_folder_a_missing_file_and_a_large_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"):
        load_start(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no START file"):
        load_start(tmp_path / "none")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ValueError, match="bytes, where at most"):
        load_start(tmp_path / "large")


def test_a_shipped_start_is_found_by_source_and_architecture(saved, monkeypatch):
    monkeypatch.setattr("inrgen.fit.starts.start._SHIPPED", saved.parent)
    assert find_shipped_start("start", "2-3-3-1") == saved
    assert find_shipped_start("start", "2-32-32-1") is None
    assert find_shipped_start("other", "2-3-3-1") is None
    assert find_shipped_start("../start", "2-3-3-1") is None


@pytest.mark.parametrize(("views", "name"), [(1, "x"), (2, "x-3"), (3, "x-3"), (9, "x-3")])
def test_the_shipped_start_with_the_fewest_views_that_suffice_is_taken(
    views, name, tmp_path, monkeypatch
):
    monkeypatch.setattr("inrgen.fit.starts.start._SHIPPED", tmp_path)
    for stem, num in (("x-3", 3), ("x", 1), ("x-y", 5), ("xx", 2)):
        save_start(tmp_path / f"{stem}.safetensors", made_start(views=num))
    assert find_shipped_start("x", "2-3-3-1", views) == tmp_path / f"{name}.safetensors"
    assert [path.stem for path in shipped_starts("x", "2-3-3-1")] == ["x", "x-3"]


def test_the_start_that_ships_for_digits_is_of_the_default_settings():
    path = find_shipped_start("digits", "2-32-32-1")
    assert path is not None
    start, source = load_start(path), SourceConfig(name="digits", split="train")
    assert (start.num_views, start.inner_steps, start.facts["guide"]) == (10, 6, "none")
    assert start.facts["source"] == source.identity()
    assert start.facts["items_sha256"] == items_digest(open_source(source).items)
    assert start.facts["settings"] == LearnStartConfig(source=source, out=path).settings
    assert start.spec == recipe("fast", open_source(source).facts).spec
    assert min(start.facts["psnr_db_of_starts"]) > 45.0
