"""A real browser, and pages opened in it from disk.

Chromium is Debian's; where there is none its tests skip, except under INRGEN_BROWSER=required,
which .ci/run sets.
"""

import os
import shutil

import pytest


# Not for the session: while Playwright runs, no other test could start an event loop.
@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        reason = "no Chromium is at hand: apt-get install chromium"
        assert os.environ.get("INRGEN_BROWSER") != "required", reason
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        # the second option: WebGL without a GPU
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        started = play.chromium.launch(executable_path=found, args=flags)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """A function from HTML to the page opened from disk; afterwards nothing went wrong on it."""
    wrong = []
    contexts = []

    def opened(html, fragment="", ready="body[data-ready]", **options):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda asked: _local(asked.url) or wrong.append(asked.url))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector(ready)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _local(url):
    return url.startswith(("file:", "blob:"))
