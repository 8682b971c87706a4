"""A folder's files, while several drivers come and go."""

import pytest

from inrgen.store.files.local import LocalFiles


def test_a_file_is_created_though_another_driver_sweeps_the_staging_folder(tmp_path, monkeypatch):
    files, swept = LocalFiles(tmp_path), []
    put = LocalFiles.put

    def put_and_lose(self, key, data):
        put(self, key, data)
        if not swept:
            swept.append(key)
            self.remove(key)
            self.tidy()

    monkeypatch.setattr(LocalFiles, "put", put_and_lose)
    assert files.create("records/a", b"facts")
    assert files.read("records/a") == b"facts"
    assert not files.create("records/a", b"others")
    assert len(swept) == 1


def test_an_error_that_another_try_would_repeat_is_raised(tmp_path, monkeypatch):
    def refuse(self, other):
        raise FileNotFoundError("no hard links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    with pytest.raises(FileNotFoundError, match="no hard links"):
        LocalFiles(tmp_path).create("a", b"facts")
