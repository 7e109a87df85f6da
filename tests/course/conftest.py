"""A browser for the tests that look at pages as people do.

Debian's package `chromium` is one; playwright, which drives it, is installed by `course.py site`.
"""

from __future__ import annotations

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    missing = "the site's packages are not installed: python course.py site"
    playwright = pytest.importorskip("playwright.sync_api", reason=missing)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page of a desktop screen; what goes wrong on it collects in `page.complaints`."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    context.set_default_timeout(300_000)  # a busy machine is slow, not broken
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda said: said.type == "error"
            and page.complaints.append(f"{said.text} {said.location['url']}"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(f"cannot load {request.url}"))
    yield page
    context.close()
