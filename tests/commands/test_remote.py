"""Commands take a store's URL wherever they take a store."""

import json
from pathlib import Path

import pytest

from inrgen.cli import main
from inrgen.store.content import content_sha256
from inrgen.store.files.opening import open_files


def said(capsys, *words: str) -> dict:
    """The JSON document that a command prints."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_store_is_built_checked_and_derived_on_a_server(bucket_url, tmp_path, capsys):
    at = {name: bucket_url.replace("?", f"/{name}?") for name in ("digits", "aligned", "here")}
    build = ["build", "digits", "--split", "train", "--limit", "3", "--views", "2"]
    build += ["--num-steps", "2", "--workers", "0"]
    built = said(capsys, *build, "--out", at["digits"])
    assert (built["store"], built["rows_fitted"]) == (at["digits"], 6)
    assert said(capsys, *build, "--out", at["digits"])["rows_found"] == 6
    local = str(tmp_path / "digits")
    said(capsys, *build, "--out", local)
    assert content_sha256(at["digits"]) == content_sha256(local)

    said(capsys, "align", at["digits"], "--out", at["aligned"])
    lineage = said(capsys, "info", at["aligned"], "--lineage")["lineage"]
    assert [(step["path"], step["found"]) for step in lineage] == [
        (at["aligned"], "itself"),
        (at["digits"], "same"),
    ]
    said(capsys, "align", local, "--out", at["here"])
    assert said(capsys, "info", at["here"], "--lineage")["lineage"][1]["path"] == local
    assert said(capsys, "verify", at["aligned"])["report"]["findings"] == []
    measured = [said(capsys, "diversity", where)["specs"] for where in (at["digits"], local)]
    assert measured[0] == measured[1]
    assert measured[0][0]["num_items"] == 3
    check_cards(at["digits"], local, tmp_path / "card", capsys)


def check_cards(url: str, local: str, elsewhere: Path, capsys) -> None:
    """A store on a server and its twin in a folder have the same card, but for when and where."""
    written = said(capsys, "card", url)
    assert written["card"] == f"{url.partition('?')[0]}/README.md"
    on_server = open_files(url)
    beside = said(capsys, "card", url, "--out", str(elsewhere))
    assert Path(beside["card"]).read_bytes() == on_server.read("README.md")
    said(capsys, "card", local)
    records = [json.loads(on_server.read("croissant.json"))]
    records.append(json.loads(Path(local, "croissant.json").read_bytes()))
    for record in records:
        del record["distribution"][0]["sha256"]  # the root notes when it was made
    assert records[0] == records[1]
    assert said(capsys, "verify", url)["report"]["findings"] == []
    assert main(["card", local, "--out", url]) == 1
    assert "out must be a folder, or the store itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["info", "gs://bucket/x"], "a store is a folder, s3://BUCKET/PREFIX"),
    ],
)
def test_an_unknown_scheme_is_refused_in_one_sentence(words, what, capsys):
    assert main(words) == 1
    assert what in capsys.readouterr().err
