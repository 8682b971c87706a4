"""The page of a store, before any browser: its choice of rows, its size, and its safety."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from inrgen.commands.export import ExportConfig, export
from inrgen.commands.view import ViewConfig, page_of_store, view
from inrgen.exchange.card.writing import write_card
from inrgen.figures.viewer.assembly import pack
from inrgen.figures.viewer.choice import choose_page_rows
from inrgen.store.queries import read_rows
from inrgen.store.reader import open_store
from tests.hostile import HOSTILE_NAMES, HostileStore
from tests.made_up import MadeUp


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    made = MadeUp()
    return open_store(made.build(tmp_path_factory.mktemp("made up") / "store"))


def test_a_page_of_all_rows_has_each_of_them(made_up):
    assert choose_page_rows(made_up, made_up.spec, 5000) == list(range(len(made_up)))


@pytest.mark.parametrize("num", [1, 40, 500])
def test_a_smaller_page_has_so_many_rows_of_every_split_and_class_and_both_ends(made_up, num):
    rows = choose_page_rows(made_up, made_up.spec, num)
    records = read_rows(made_up, rows, made_up.spec.spec_id, ["split", "label", "status", "view"])
    usable = [record for record in records if record["status"] == "ok"]
    assert len(usable) == num
    assert rows == sorted(set(rows))
    # rows without weights are shown beside them, with their reasons
    assert {0, 9, 501, 502} <= set(rows)
    if num >= 40:
        assert {record["split"] for record in usable} == {"train", "val", "test"}
        assert {record["label"] for record in usable} == {0, 1, 2}
        # PSNR grows with the row
        assert min(record["row"] for record in usable) == 1
        assert max(record["row"] for record in usable) == len(made_up) - 1


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.float32])
def test_packed_bytes_are_grouped_by_significance_and_come_back(kind):
    values = np.random.default_rng(0).standard_normal(500).astype(np.float32).view(np.uint8)
    values = values.view(kind)
    planes = np.frombuffer(unpack(pack(values)), np.uint8)
    back = planes.reshape(values.itemsize, -1).T.copy().view(kind).reshape(-1)
    np.testing.assert_array_equal(back.view(np.uint8), values.view(np.uint8))


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    made = HostileStore(rows=24)
    path = made.build(tmp_path_factory.mktemp("hostile") / "store")
    return page_of_store(open_store(path)).html


def test_no_text_of_a_store_is_in_the_markup(hostile_page):
    for name in HOSTILE_NAMES:
        assert name not in hostile_page
    scripts = re.findall(r"<script[^>]*>", hostile_page)
    assert scripts.count('<script type="module">') == 1
    for data in re.findall(r'<script type="text/plain"[^>]*>(.*?)</script>', hostile_page, re.S):
        assert re.fullmatch(r"[!#-&(-;=-Z^-~]+", data)


def test_the_policy_allows_the_page_s_own_code_and_nothing_else(hostile_page):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', hostile_page)
    for kind, pattern in (
        ("script", r"<script type=\"module\">(.*?)</script>"),
        ("style", r"<style>(.*?)</style>"),
    ):
        (code,) = re.findall(pattern, hostile_page, re.S)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", hostile_page)


def test_the_command_writes_beside_the_card_and_prints_the_address(tmp_path):
    path = HostileStore(rows=24).build(tmp_path / "store")
    summary = view(ViewConfig(store=path, rows=8))
    page = path / "view.html"
    assert summary.text().startswith(page.as_uri())
    assert (summary.rows, summary.size_bytes) == (8, page.stat().st_size)
    first = page.read_bytes()
    again = view(ViewConfig(store=path, rows=8, out=tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_bytes() == first, again
    with pytest.raises(ValueError, match=r"out must end in \.html"):
        ViewConfig(store=path, out=tmp_path / "page.txt")
    for up in ("y", "z"):
        assert set(document_of(page_of_store(open_store(path), 4, up=up).html)["up"]) == {up}
    with pytest.raises(ValueError, match="spec must be one of"):
        view(ViewConfig(store=path, spec="no"))


def test_progress_is_told_and_changes_no_byte(tmp_path, monkeypatch):
    store = open_store(HostileStore(rows=24).build(tmp_path / "store"))
    whole = page_of_store(store, 8).html
    monkeypatch.setattr("inrgen.figures.viewer.partners._PAIRS_AT_ONCE", 6)
    told: list[tuple[str, int]] = []
    page = page_of_store(store, 8, report=lambda text, count: told.append((text, count)))
    assert page.html == whole
    kinds = ("permutation", "signed")
    assert told == [(f"of 12 pairs aligned ({kind})", n) for kind in kinds for n in (6, 12)]


def test_the_card_links_the_page_and_an_export_for_the_hub_carries_one(tmp_path):
    path = HostileStore(rows=24).build(tmp_path / "store")
    card, _ = write_card(open_store(path))
    assert "view.html" not in Path(card).read_text()
    view(ViewConfig(store=path, rows=4))
    write_card(open_store(path), tmp_path)
    assert "[view.html](store/view.html)" in (tmp_path / "README.md").read_text()
    config = ExportConfig(
        store=path, format="huggingface", out=tmp_path / "out", split="test", workers=0
    )
    rows = export(config).rows
    held = document_of((tmp_path / "out" / "index.html").read_text())
    assert held["records"]["split"] == ["test"] * rows
    assert held["quality"]["rows"] == rows


def document_of(html):
    (packed,) = re.findall(r'id="document">([^<]*)<', html)
    return json.loads(unpack(packed))


def unpack(packed):
    return zlib.decompress(base64.b85decode(packed.replace(",", "<")))
