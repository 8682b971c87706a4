"""What a user meets: help, one sentence for each mistake, JSON and nothing else where asked."""

import importlib
import json
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import get_type_hints

import pyarrow.parquet as pq
import pytest

import inrgen
from inrgen.cli import MOVED_VERBS, VERBS, Verb, main, run_verbs
from inrgen.commands.info import InfoConfig
from inrgen.core.command_line import parse_config
from inrgen.core.interrupts import stop_requested
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import _open_executor
from tests.command_line import QUICK, refusal, run


@pytest.fixture
def store(tmp_path, capsys) -> Path:
    out = tmp_path / "store"
    status, _, err = run(capsys, "build", "digits", "--limit", 8, "--out", out, *QUICK)
    assert status == 0, err
    return out


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help_for_every_option(verb, capsys):
    status, out, _ = run(capsys, *verb.split(), "--help")
    assert status == 0
    text = " ".join(line.strip("│ ") for line in out.splitlines())
    options = re.split(r"\s(?=--[a-z])(?!--no-)", text.split("show this help message and exit")[1])
    for option in options[1:]:
        said = re.sub(r"\{[^ ]*\}|\(default.*|[│╭╰─╮╯].*", "", option).split()
        words = [word for word in said if word.islower() and not word.startswith("--")]
        assert len(words) > 2, f"{verb} lacks help for {option}"


def test_help_lists_every_verb(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(verb.name in out for verb in VERBS)


def test_the_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version") == (0, f"inrgen {version('inrgen')}\n", "")
    assert "--version" in run(capsys, "--help")[1]


@pytest.mark.parametrize("old", MOVED_VERBS)
def test_a_verb_that_moved_names_the_command_in_its_place(old, capsys):
    status, out, err = run(capsys, *old.split(), "--json")
    assert (status, out) == (2, "")
    assert err == f"inrgen: {old} is now `{MOVED_VERBS[old]}`\n"


@pytest.mark.parametrize("argument", ["--from", "--from=x"])
def test_an_old_option_is_refused_with_its_new_name(argument, capsys):
    verb = Verb("go", "no.such.module", "C", "f", help="Go.", renamed={"--from": "--start"})
    assert run_verbs("inrgen", (verb,), "About.", ["go", argument]) == 2
    assert capsys.readouterr().err == "inrgen go: --from is now --start\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "a verb is needed"),
        (["bild"], "'bild'; did you mean build?"),
        (["bench", "speed"], "'bench'"),
    ],
)
def test_no_verb_or_a_wrong_one_is_answered_by_the_list_of_verbs(argv, words, capsys):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert "Fit views of every item" in err


def test_listing_the_verbs_imports_none_of_them():
    code = "import sys, inrgen.cli as c; c.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_build_prints_json_and_nothing_else(tmp_path, capsys):
    status, out, _ = run(
        capsys, "build", "digits", "--limit", 4, "--out", tmp_path / "s", *QUICK, "--json"
    )
    assert status == 0
    summary = json.loads(out)
    assert summary["quality"]["rows"] == 24
    assert summary["quality"]["by_status"] == {"ok": 24}


def test_info_says_what_is_in_a_store(store, capsys):
    status, out, _ = run(capsys, "info", store, "--json")
    assert status == 0
    facts = json.loads(out)
    assert facts["identity"]["views"] == 2
    assert facts["quality"]["by_split"] == {"test": 16, "train": 16, "val": 16}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["fashion-mnist"], ["--data, the folder that holds"]),
        (["array"], ["--data, the .npy, .npz or Zarr file"]),
        (["image-folder", "--data", "no/such/folder"], ["no/such/folder"]),
        (["image-folder", "--data", __file__], ["--data, the folder", f"{__file__} is a file"]),
        (["mnist", "--data", __file__], ["--data, the folder", f"{__file__} is a file"]),
        (["cifar10", "--data", __file__], ["--data, the folder", f"{__file__} is a file"]),
        (["os:nofn"], ["os has no nofn"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if value and value[0] != "source" else None,
)
def test_a_wrong_argument_is_one_sentence_that_names_it(options, words, tmp_path, capsys):
    sentence = refusal(capsys, "build", *options, "--out", tmp_path / "store")
    assert all(word in sentence for word in words), sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("render STORE --out FILE", "FILE is a file, where a folder is needed"),
        ("export STORE --format safetensors --out FILE/in", "FILE is a file, where a folder is"),
        ("predict STORE RUN --out p.csv", "RUN comes first, then STORE; got the store STORE"),
        ("extract STORE 0 --out o.obj", "render draws images"),
    ],
)
def test_a_wrong_place_is_named(argv, words, made, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()

    def fill(text):
        return text.replace("STORE", str(made), 1).replace("FILE", str(file))

    said = words.replace("store STORE", f"store {made}").replace("FILE", str(file))
    assert said in refusal(capsys, *fill(argv).split())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--engine", "jax"),
        ("--recipe", "jax"),
        ("--split", "jax"),
        ("--views", "0"),
        ("--workers", "-1"),
        ("--limit", "0"),
        ("--seed", "9223372036854775808"),
        ("--min-psnr", "nan"),
        ("--views", "three"),
    ],
)
def test_a_wrong_value_is_refused_before_any_work(option, value, tmp_path, capsys):
    status, out, err = run(capsys, "build", "digits", "--out", tmp_path / "s", option, value)
    assert status == 2
    assert option.strip("-").replace("-", "_") in err.replace("-", "_")
    assert value in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "s").exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A store that tests only read."""
    out = tmp_path_factory.mktemp("made") / "store"
    assert main(["build", "digits", "--limit", "2", "--out", str(out), *QUICK]) == 0
    return out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("build digits --limit 2 --workers 0 --views 1000000000000", ["rows", "6000000000000"]),
        ("build digits --limit 2 --workers 0 --hidden 1000000 1000000", ["at most", "parameters"]),
        ("build digits --limit 2 --workers 0 --num-steps 0", ["--num-steps", "at least 1"]),
        ("build digits --limit 2 --workers 0 --address auto", ["--address", "workers=0"]),
        ("augment STORE --workers 0 --augment noise --copies 1000000000000000", ["rows"]),
        ("augment STORE --workers 0 --augment noise --out STORE/in", ["--out", "inside a store"]),
        ("build digits --limit 2 --address 127.0.0.1:1", ["--address", "127.0.0.1:1"]),
        ("align STORE --workers 0 --address tcp://h:1", ["address", "workers=0"]),
        ("train STORE --out STORE/in", ["--out", "inside a store"]),
        ("export STORE --format nfn --out STORE/in", ["--out", "inside a store"]),
        ("card STORE --out /", ["--out", "alone"]),
    ],
)
def test_a_command_that_cannot_work_makes_nothing(argv, words, made, tmp_path, capsys):
    out, before = tmp_path / "out", sorted(made.rglob("*"))
    parts = argv.replace("STORE", str(made)).split()
    status, _, err = run(capsys, *parts, *([] if "--out" in parts else ["--out", out]))
    assert status in (1, 2)
    assert all(word in err for word in words), err
    assert not any(word in err for word in ("defect", "Traceback"))
    assert not out.exists()
    assert sorted(made.rglob("*")) == before


def test_a_quick_build_does_not_wait_for_ray(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("inrgen.executors.runner._open_executor", _only_here)
    few = ["--limit", 64, "--views", 2, "--num-steps", 3]  # two blocks
    assert run(capsys, "build", "digits", "--out", tmp_path / "s", *few)[0] == 0
    monkeypatch.setattr("inrgen.fit.build._RAY_STARTS_S", 0.0)
    assert "Ray is opened" in refusal(capsys, "build", "digits", "--out", tmp_path / "t", *few)


def _only_here(config, gpus_per_task):
    if config.backend != "serial":
        raise ValueError("Ray is opened")
    return _open_executor(config, gpus_per_task)


def test_a_tilde_is_the_home_folder_on_the_command_line_and_in_python(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    few = ["--limit", 2, *QUICK]
    assert run(capsys, "build", "digits", "--out=~/one", *few)[0] == 0
    changed = inrgen.augment("~/one", augment="noise", out="~/two", workers=0)
    assert changed.path == str(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_foreign_folders_and_files_are_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" in refusal(capsys, "build", "digits", "--out", tmp_path, *QUICK)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]
    taken = tmp_path / "notes.txt"
    assert "notes.txt" in refusal(capsys, "build", "digits", "--out", taken, *QUICK)
    assert taken.read_text() == "mine"


def test_a_store_of_another_recipe_is_refused_naming_every_difference(store, capsys):
    sentence = refusal(
        capsys, "build", "digits", "--limit", 8, "--out", store, *QUICK, "--seed", 3, "--lr", 0.1
    )
    assert "seed (there 0, here 3)" in sentence
    assert "fit.lr (there 0.0005, here 0.1)" in sentence


@pytest.mark.parametrize("verb", ["info", "verify", "render", "card"])
def test_what_is_not_a_store_is_named(verb, tmp_path, capsys):
    options = [] if verb in ("info", "verify") else ["--out", tmp_path / "out"]
    said = refusal(capsys, verb, tmp_path / "none", *options)
    assert said.endswith(f"there is no folder {tmp_path / 'none'}")


def _first_page(fragment: Path, column: str) -> int:
    """Offset of the first page of a column in a Parquet file."""
    group = pq.ParquetFile(fragment).metadata.row_group(0)
    chunks = [group.column(at) for at in range(group.num_columns)]
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema == column)
    return chunk.dictionary_page_offset or chunk.data_page_offset


def test_a_flipped_bit_among_records_is_a_sentence_that_says_what_finds_it(store, capsys):
    fragment = next((store / "records").iterdir())
    data = bytearray(fragment.read_bytes())
    # within a column that info reads
    data[_first_page(fragment, "status") + 40] ^= 1
    fragment.write_bytes(data)
    assert "inrgen verify" in refusal(capsys, "info", store)


def test_a_reader_who_has_had_enough_is_no_error(store):
    command = f"'{Path(sys.executable).with_name('inrgen')}' info '{store}' | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(store)
    assert done.stderr == ""


LOCAL = {
    ("build", "start"): ["digits", "--out", "store", "--start", "URL"],
    ("verify", "start"): ["store", "--start", "URL"],
    ("demo", "out"): ["--out", "URL"],
    ("learn-start", "out"): ["digits", "--out", "URL/x.safetensors"],
    ("render", "out"): ["store", "--out", "URL"],
    ("extract", "out"): ["store", "0", "--out", "URL/x.ply"],
    ("stats", "out"): ["store", "--out", "URL/x.json"],
    ("train", "out"): ["store", "--out", "URL"],
    ("train", "init"): ["store", "--out", "run", "--init", "URL"],
    ("predict", "run"): ["URL", "store", "--out", "x.csv"],
    ("predict", "out"): ["run", "store", "--out", "URL/x.csv"],
    ("diversity", "out"): ["store", "--out", "URL"],
    ("export", "out"): ["store", "--format", "dws", "--out", "URL"],
    ("view", "out"): ["store", "--out", "URL/x.html"],
    ("import", "folder"): ["URL", "--format", "dws", "--out", "store"],
}


@pytest.mark.parametrize(("verb", "field"), LOCAL)
def test_a_url_is_not_taken_for_a_folder_here(verb, field, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("URL", "s3://bucket/x") for word in LOCAL[verb, field]]
    status, out, err = run(capsys, verb, *words)
    assert (status, out) == (2, "")
    assert re.search(
        rf"({field}|PATH|RUN) must be a folder or file on this machine; got s3://b", err
    )
    assert not list(tmp_path.iterdir())


def test_every_local_path_of_every_verb_is_among_these():
    local = set()
    for verb in VERBS:
        hints = get_type_hints(getattr(importlib.import_module(verb.module), verb.config))
        paths = {field for field, hint in hints.items() if hint in (Path, Path | None)}
        local |= {(verb.name, field) for field in paths}
    assert local == set(LOCAL)


def _raise_in_a_callback() -> None:
    """Be interrupted where Python prints an exception and goes on."""

    class Doomed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    Doomed()


def lose_an_interrupt(config: InfoConfig) -> None:
    _raise_in_a_callback()
    with show_progress("work", 2, 0, "rows") as progress:
        progress.advance(1)
    raise AssertionError("the work went on")


def turn_an_interrupt_into_an_error(config: InfoConfig) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt as error:
        raise RuntimeError("a library failed") from error


@pytest.mark.parametrize("work", [lose_an_interrupt, turn_an_interrupt_into_an_error])
def test_an_interrupt_is_neither_lost_nor_taken_for_an_error(work, capsys):
    verb = Verb("go", __name__, "InfoConfig", work.__name__, help="Go.", resumable=True)
    sys.modules.setdefault(__name__, sys.modules[work.__module__])
    before = signal.getsignal(signal.SIGINT)
    assert run_verbs("inrgen", (verb,), "About.", ["go", "STORE"]) == 130
    assert capsys.readouterr().err == "inrgen go: stopped; run the same command again to go on\n"
    assert signal.getsignal(signal.SIGINT) is before
    assert not stop_requested()


@pytest.mark.parametrize(("said", "limit"), [("None", None), ("7", 7)])
def test_none_can_be_said_where_the_default_is_a_number(said, limit):
    verb = next(verb for verb in VERBS if verb.name == "probe")
    config, _ = parse_config(verb.load(verb.config), "inrgen probe", ["STORE", "--limit", said])
    assert config.limit == limit
