"""A file is there whole or not at all, whatever happens to its writer."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from inrgen.core.atomic import remove_unfinished, write_whole


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "new" / "facts.json"
    write_whole(path, lambda staged: staged.write_text("old"))

    def fail(staged: Path) -> None:
        staged.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from inrgen.core.atomic import write_whole\n"
        "path = Path(sys.argv[1]) / 'facts.json'\n"
        "write_whole(path, lambda staged: (staged.write_text('half'), os._exit(9)))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert len(list(tmp_path.glob("_facts.json.*.part"))) == 1
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_content_is_synced_before_it_gets_its_name(tmp_path, monkeypatch, durable):
    done = []
    monkeypatch.setattr(os, "fsync", lambda fd: done.append((tmp_path / "facts").exists()))
    write_whole(tmp_path / "facts", lambda staged: staged.write_text("x"), durable=durable)
    assert done == [False] * durable


@pytest.mark.parametrize(("free", "kind"), [(0, OSError), (2**40, RuntimeError)])
def test_an_error_of_a_library_on_a_full_disk_says_so(tmp_path, monkeypatch, free, kind):
    def fail(staged):
        raise RuntimeError("unexpected pos 576 vs 534")  # torch.save's words for a full disk

    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("inrgen.core.atomic.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(kind, match=r"No space left|unexpected pos"):
        write_whole(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []
