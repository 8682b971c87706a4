"""Stores show themselves in notebooks, with every name of theirs as text."""

import base64
import io
import re

import numpy as np
from PIL import Image

from inrgen.core.geometry import grid_coords
from inrgen.core.siren import evaluate
from inrgen.store.notebook import facts_html
from inrgen.store.reader import open_store
from tests.hostile import HOSTILE_NAMES, HostileStore


def test_a_store_shows_its_facts_and_the_functions_of_its_first_rows(tmp_path):
    store = open_store(HostileStore(rows=24).build(tmp_path / "<b>store"))
    shown = store._repr_html_()
    assert "&lt;b&gt;store" in shown
    assert "<b>store" not in shown
    assert "24 of 24 rows" in shown
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', shown)
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    # rows 0 and 9 hold no weights; 4 x 5 samples become 45 x 56 points
    wanted = evaluate(store.spec, store.read([1]), grid_coords(store.spec, (45, 56)))[0, :, 0]
    drawn = strip[:45, :56, 0] / 255
    np.testing.assert_allclose(drawn, wanted.reshape(45, 56).clamp(0, 1), atol=0.6 / 255)


def test_no_fact_becomes_markup():
    shown = facts_html(HOSTILE_NAMES[0], dict(zip(HOSTILE_NAMES, HOSTILE_NAMES, strict=True)))
    assert set(re.findall(r"<(\w+)", shown)) <= {"div", "b", "table", "tr", "th", "td"}
