"""The demo leaves what it says, and says where."""

import json

from PIL import Image

from inrgen.cli import main
from inrgen.commands.demo import DemoConfig, demo
from inrgen.fit.starts import start
from inrgen.store.reader import open_store
from tests.learned import saved_start


def test_the_demo_builds_checks_loads_draws_and_describes(tmp_path, monkeypatch, capsys):
    path = saved_start(tmp_path / "start")
    monkeypatch.setattr(start, "find_shipped_start", lambda *_: path)
    config = DemoConfig(out=tmp_path / "demo", images=4, views=2, workers=0)
    report = demo(config)
    assert not report.failed
    assert report.verified_rows == 24
    assert report.loaded_rows == 8
    assert open_store(report.store).records.count_rows() == 24
    for picture in (report.reconstructions, report.quality):
        with Image.open(picture) as image:
            assert min(image.size) > 200
        assert str(picture) in report.text()
    assert "2 independent fits" in report.card.read_text()
    assert json.loads(report.croissant.read_text())["@type"] == "sc:Dataset"
    words = ["demo", "--out", str(config.out), "--images", "4", "--views", "2", "--workers", "0"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    built = json.loads(capsys.readouterr().out)["built"]
    assert (built["rows_fitted"], built["rows_found"]) == (0, 24)
    published, learned = report.recipes
    assert (published.recipe, learned.recipe, learned.num_steps) == ("published", "learned", 3)
    assert open_store(learned.store).learned_start is not None
    assert all(figures.text() in report.text() for figures in report.recipes)


def test_a_demo_without_a_shipped_start_measures_the_published_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "find_shipped_start", lambda *_: None)
    report = demo(DemoConfig(out=tmp_path / "demo", images=4, views=1, workers=0))
    assert [figures.recipe for figures in report.recipes] == ["published"]
