"""A card states the store's facts, and its code and commands work."""

import json
import logging
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh
import tyro
import yaml

from inrgen.core.siren import evaluate
from inrgen.exchange.card.facts import read_card_facts
from inrgen.exchange.card.snippets import build_command
from inrgen.exchange.card.text import Wording
from inrgen.exchange.card.writing import write_card
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.plan import plan_build
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from inrgen.store.records import USABLE_STATUSES
from tests.learned import saved_start

PLACES = {"inside": "data/store", "above": "data"}


@pytest.fixture(params=PLACES)
def card(request, store, tmp_path) -> Path:
    """A card in the store's folder, or in a folder that holds it."""
    folder = tmp_path / PLACES[request.param]
    written = write_card(store, folder)
    assert written == (f"{folder}/README.md", f"{folder}/croissant.json")
    return folder / "README.md"


def code_of(readme: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", readme.read_text(), re.DOTALL | re.MULTILINE)


def front_matter(readme: Path) -> dict:
    return yaml.safe_load(readme.read_text().split("---\n")[1])


def test_the_front_matter_is_yaml_that_finds_the_records(card):
    facts = front_matter(card)
    assert facts["size_categories"] == ["n<1K"]
    assert "license" not in facts
    pattern = facts["configs"][0]["data_files"][0]["path"]
    assert len(list(card.parent.glob(pattern))) == 1


def test_facts_are_those_of_the_records(store):
    facts = read_card_facts(store)
    records = store.records.to_table().to_pylist()
    assert (facts.rows, facts.rows_planned, facts.items) == (18, 18, 9)
    for split, counts in facts.splits.items():
        of = [r for r in records if r["split"] == split]
        psnr = [r["psnr_db"] for r in of if r["status"] in USABLE_STATUSES]
        assert (counts.items, counts.rows) == (3, len(of))
        assert sorted(counts.psnr_db) == sorted(psnr)
        assert sum(counts.by_status.values()) == len(of)
    assert facts.splits["train"].by_status == {"ok": 2, "non_finite": 2, "bad_input": 2}
    assert facts.labels == ((0, "a", 3), (1, "b", 3), (2, "c", 3))
    assert (facts.engines, facts.seeds) == (("torch",), (3,))


def test_the_loading_example_runs_without_inrgen_and_is_right(card, store):
    (code,) = code_of(card, "python")
    assert "inrgen" not in code
    argv = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(argv, cwd=card.parent, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    item, _, _, value = done.stdout.split(maxsplit=3)
    centre = store.read([0]).weights[0].new_zeros(1, 2)
    expected = float(evaluate(store.spec, store.read([0]), centre))
    assert item == "synthetic/00000"
    assert float(value.strip("[]\n")) == pytest.approx(expected, abs=1e-6)


def test_names_from_outside_stay_text(card):
    text = card.read_text()
    assert "# INRs of a\\|b &lt;i&gt; (2-8-1)" in text
    assert text.count("```") == 4  # two blocks: how to load it, and the identity


def test_a_licence_is_stated_only_where_it_was_given(store, tmp_path):
    written = write_card(store, tmp_path / "data", Wording(license="mit", title="My set"))
    readme, record = map(Path, written)
    assert front_matter(readme)["license"] == "mit"
    assert front_matter(readme)["pretty_name"] == "My set"
    assert json.loads(record.read_text())["license"] == "mit"
    assert write_card(store, tmp_path / "data") == written
    assert "Not stated." in readme.read_text()
    assert "license" not in json.loads(record.read_text())


def test_a_card_is_written_anew_but_never_over_another_readme(store, tmp_path):
    folder = tmp_path / "data"
    readme = Path(write_card(store, folder)[0])
    first = readme.read_bytes()
    write_card(store, folder)
    assert readme.read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "croissant.json",
        "store",
    ]
    readme.write_text("# my notes")
    with pytest.raises(FileExistsError, match=r"README\.md is no card of inrgen's"):
        write_card(store, folder)
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="out must be the store's folder or one that holds it"):
        write_card(store, tmp_path / "other")


def test_cards_hold_no_path_of_this_machine(card, tmp_path):
    for path in card.parent.glob("*.*"):
        if path.name in ("README.md", "croissant.json"):
            assert str(tmp_path) not in path.read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_croissant_loads_and_its_records_are_the_stores(card, store, caplog):
    mlcroissant = pytest.importorskip("mlcroissant")
    with caplog.at_level(logging.CRITICAL):
        dataset = mlcroissant.Dataset(card.parent / "croissant.json")
    assert dataset.metadata.issues.errors == set()
    found = list(dataset.records("records"))
    expected = sorted(store.records.to_table().to_pylist(), key=lambda r: r["row"])
    assert len(found) == len(expected)
    for record, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            got = record[f"records/{name}"]
            if isinstance(value, float) and math.isnan(value):
                assert got is None or math.isnan(got)
            else:
                text = got.decode() if isinstance(got, bytes) else got
                assert text == value or (value == [] and text is None)


def test_croissant_covers_every_column(card, store):
    document = json.loads((card.parent / "croissant.json").read_text())
    fields = [field["name"] for field in document["recordSet"][0]["field"]]
    assert fields == store.records.schema.names


def test_the_hub_would_show_the_records(card, tmp_path):
    code = (
        "import datasets, sys\n"
        "data = datasets.load_dataset(sys.argv[1], 'records', cache_dir=sys.argv[2])\n"
        "sys.stdout.write(str(data['records'].num_rows))\n"
    )
    place = tmp_path / "copy"
    shutil.copytree(card.parent, place)
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    argv = [sys.executable, "-c", code, str(place), str(tmp_path / "cache")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "18", done.stderr


BODIES = SourceConfig(
    name="mesh-folder",
    data="DIR",
    shape=ShapeConfig(fill="sphere", margin=0.2, truncation=0.0, near_widths=(0.02, 0.1)),
)
CONFIGS = [
    BuildConfig(source=BODIES, out=Path("STORE"), recipe="fast"),
    BuildConfig(source=SourceConfig(name="digits", limit=5), out=Path("STORE")),
    BuildConfig(
        source=SourceConfig(name="digits", limit=5, limit_order="first"),
        out=Path("STORE"),
        shared=True,
    ),
    BuildConfig(
        source=SourceConfig(name="digits", split="val", limit=7, channels="rgb"),
        out=Path("STORE"),
        recipe="sharp",
        views=3,
        hidden=(16, 16, 16),
        omega=10.0,
        num_steps=11,
        lr=1e-3,
        points_per_step=40,
        min_psnr=20.5,
        engine="torch",
        seed=-4,
    ),
    BuildConfig(
        source=SourceConfig(name="digits", limit=5), out=Path("STORE"), start=Path("START"), views=1
    ),
    BuildConfig(
        source=SourceConfig(name="digits", limit=5),
        out=Path("STORE"),
        start=Path("START"),
        num_steps=9,
        points_per_step=30,
        curvature=True,
    ),
    BuildConfig(
        source=SourceConfig(name="digits", limit=5),
        out=Path("STORE"),
        recipe="published,bias=0.5,rule=glorot,k=3",
        activation="gaussian",
    ),
]


@pytest.mark.parametrize(
    "config",
    CONFIGS,
    ids=["shapes", "default", "shared", "changed", "learned", "curved", "gaussian"],
)
def test_the_command_on_a_card_makes_the_same_store(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DIR").mkdir()
    trimesh.creation.box().export(tmp_path / "DIR" / "box.off")
    saved_start(tmp_path / "START")
    identity = plan_build(config).identity
    command = build_command(identity)
    assert command is not None
    words = command.split()
    assert words[:2] == ["inrgen", "build"]
    assert plan_build(tyro.cli(BuildConfig, args=words[2:])).identity == identity


def test_a_store_that_no_build_made_has_no_command():
    assert build_command({"operation": "align"}) is None
