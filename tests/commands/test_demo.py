"""The demo leaves what it says, and says where."""

import json

from PIL import Image

from inrgen.commands.demo import DemoConfig, demo
from inrgen.store.reader import open_store


def test_the_demo_builds_checks_loads_draws_and_describes(tmp_path):
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
    again = demo(config)
    assert again.built.rows_fitted == 0
    assert again.built.rows_found == 24
