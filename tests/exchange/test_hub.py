"""Stores on a Hugging Face hub: pushed whole, read back bit for bit, never mixed or written to."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hub_server import Hub, serve_hub
from made_up import MadeUp

from inrgen.cli import main
from inrgen.exchange.hub import parse_repo, push_store
from inrgen.loaders.stream import StreamLoader
from inrgen.store.reader import open_store

URL = "hf://datasets/user/digits"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of the test's own, with a token and an empty cache."""
    from huggingface_hub import constants

    with serve_hub() as served:
        for name, value in {
            "ENDPOINT": served.url,
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HUGGINGFACE_CO_URL_TEMPLATE": served.url + "/{repo_id}/resolve/{revision}/{filename}",
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        yield served


def _rows(store) -> np.ndarray:
    return store.read(range(len(store))).flat().numpy()


def test_a_pushed_store_reads_back_bit_for_bit_and_carries_its_card(hub: Hub, store):
    summary = push_store(store, "hf:user/digits", private=True)
    assert summary.url == URL
    assert summary.commit == hub.head
    there = hub.files("main")
    assert b"inrgen" in there["README.md"]
    assert not any(name.startswith("_") for name in there)
    assert hub.made["visibility"] == "private"
    again = open_store(URL)
    np.testing.assert_array_equal(_rows(again), _rows(store))
    assert again.read_records(["row", "item_id"]).equals(store.read_records(["row", "item_id"]))


def test_an_epoch_over_the_hub_is_the_epoch_of_the_folder(hub: Hub, store):
    push_store(store, "hf:user/digits")
    epochs = [
        [batch.params.flat() for batch in StreamLoader(each, split="train", batch_size=4)]
        for each in (store, open_store(URL))
    ]
    assert all((a == b).all() for a, b in zip(*epochs, strict=True))


def test_a_file_is_downloaded_once(hub: Hub, store):
    push_store(store, "hf:user/digits")
    for _ in range(2):
        _rows(open_store(URL))
    shards = [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line]
    assert len(shards) == len(set(shards))


def test_an_open_store_stays_at_its_commit_and_a_push_leaves_no_stale_file(hub: Hub, store):
    push_store(store, "hf:user/digits")
    first, opened = hub.head, open_store(URL)
    hub.add({**hub.files("main"), "stale": b"of an earlier version"})
    push_store(store, "hf:user/digits")
    assert "stale" not in hub.files("main")
    # Files of other commits are not touched after the store was opened.
    hub.requests.clear()
    _rows(opened)
    fetched = [line for line in hub.requests if "/resolve/" in line]
    assert fetched
    assert all(first in line for line in fetched)
    assert len(open_store(f"{URL}@{first}")) == len(store)


def test_the_hub_is_read_only(hub: Hub, store):
    push_store(store, "hf:user/digits")
    with pytest.raises(io.UnsupportedOperation, match="read-only"):
        open_store(URL)._files.put("records/x", b"")


def test_what_cannot_be_pushed_is_refused_with_its_reason(hub: Hub, tmp_path):
    MadeUp().build(tmp_path / "unfinished", num_blocks=4)
    with pytest.raises(ValueError, match="unfinished, 40 rows to go"):
        push_store(open_store(tmp_path / "unfinished"), "hf:user/digits")
    assert not hub.commits
    with pytest.raises(OSError, match="no data set user/digits"):
        open_store(URL)


def test_what_the_hub_refuses_is_said_in_one_line(hub: Hub, store):
    hub.refuses = True
    refused = r"^hf:user/digits: the hub refuses: .*no right to write"
    with pytest.raises(OSError, match=refused) as error:
        push_store(store, "hf:user/digits")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["hf:a", "a/b/c", "hf:a/b@v", "hf://a/b", "hf:../b", "s3://a/b", ""]
)
def test_a_push_goes_to_a_data_set_alone(text):
    with pytest.raises(ValueError, match="to must be hf:USER/NAME"):
        parse_repo(text)


@pytest.mark.parametrize("text", ["hf:a/b.c", "hf://datasets/a/b.c", "a/b.c"])
def test_a_data_set_is_named_in_three_ways(text):
    assert parse_repo(text) == "a/b.c"


def test_a_hub_that_does_not_answer_is_a_sentence(store, monkeypatch, capsys):
    from huggingface_hub import constants

    # Nothing listens on the discard port of loopback.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    for words in (["push", store.path, "--to", "hf:user/digits"], ["info", URL]):
        assert main(words) == 1
        assert "the hub does not answer" in capsys.readouterr().err


def test_the_command_says_where_the_store_is(hub: Hub, store, capsys):
    assert main(["push", store.path, "--to", "hf:user/digits", "--license", "mit"]) == 0
    assert f'inrgen.open_store("{URL}")' in capsys.readouterr().out
    assert b'license: "mit"' in hub.files("main")["README.md"]


def test_without_the_library_a_sentence_says_what_to_install():
    code = """
import sys
sys.modules["huggingface_hub"] = None
from inrgen.store.reader import open_store
try:
    open_store("hf://datasets/a/b")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'inrgen[hub]'" in done.stdout
