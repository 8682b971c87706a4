"""The quickstart notebook runs from top to bottom, and shows stores and runs."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "pipelines" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook_goes_from_pictures_to_a_classifier(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    said = "".join(str(output) for cell in notebook.cells for output in cell.get("outputs", ()))
    raw, aligned = map(int, re.findall(r"(\d+)%", said[said.index("unseen digits") :])[:2])
    assert aligned > raw + 20
    for shown in ("INR store", "the first INRs, evaluated", "Training run", "<svg"):
        assert shown in said
    assert (tmp_path / "page.html").is_file()
    assert (tmp_path / "EXPORT" / "index.html").is_file()


def test_the_notebook_s_outputs_are_small_and_name_no_folder():
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert not re.search(r"/(tmp|home|root|work)/", text)
