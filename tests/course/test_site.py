"""The site in a browser: every page opened from the disk, as a reader would.

Skipped where the packages of requirements-site.txt or a browser are missing; `python course.py
site` installs the packages, and Debian's package `chromium` is such a browser.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain_lib.course.results import ROOT

from .conftest import DESKTOP

pytest.importorskip("sphinx", reason="the site's packages are not installed: python course.py site")
pytestmark = [pytest.mark.site, pytest.mark.slow, pytest.mark.timeout(1500)]

PHONE = {"width": 375, "height": 700}
READY = "window.MathJax ? MathJax.startup.promise.then(() => true) : true"
BROKEN_IMAGES = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
IMAGES_WITHOUT_ALT = "[...document.images].filter(i => !i.alt.trim()).map(i => i.src)"
UNSET_MATHS = """[...document.querySelectorAll('.math')].filter(
    m => !m.querySelector('mjx-container') || m.querySelector('[data-mjx-error], mjx-merror')).map(m => m.textContent)"""
RAW_MATHS = """(() => {
    const found = [], walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (!text.parentElement.closest('pre, code, script, style, mjx-container') && /\\$[^$]+\\$|\\\\\\(/.test(text.data))
            found.push(text.data);
    }
    return found; })()"""
SOME_OF_EACH_COLOURING = """(() => {
    const count = {}, bare = 'rgba(0, 0, 0, 0)';
    const ground = e => !e || getComputedStyle(e).backgroundColor != bare ? e : ground(e.parentElement);
    return [...document.querySelectorAll('body *')].filter(e => {
        if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType == Node.TEXT_NODE && n.data.trim())) return false;
        const style = getComputedStyle(e), under = ground(e);
        const key = [style.color, style.fontSize, style.fontWeight, under && getComputedStyle(under).backgroundColor];
        return (count[key] = (count[key] || 0) + 1) <= 3;
    }); })()"""
WIDER_THAN_SCREEN = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pretrain_lib.course.site", "--to", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def page(page):
    """Without a network."""
    page.context.set_offline(True)
    return page


def pages(site: Path) -> list[Path]:
    return sorted(file for file in site.rglob("*.html") if "_static" not in file.parts)


def visit(page, file: Path) -> None:
    page.goto(file.as_uri())
    page.evaluate(READY)


def axe(page) -> list[str]:
    """What axe calls serious or critical: the rule and the elements that break it.

    Contrast, the slowest of the rules, is measured at some elements of each colouring.
    """
    from axe_playwright_python import sync_playwright as package

    page.evaluate((Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    rules = "{resultTypes: ['violations'], rules: {'color-contrast': {enabled: false}}}"
    found = page.evaluate(f"axe.run({{exclude: [['mjx-container svg']]}}, {rules})")["violations"]
    found += page.evaluate(f"axe.run({SOME_OF_EACH_COLOURING}, {{runOnly: ['color-contrast']}})")["violations"]
    return [f"{one['id']}: " + "; ".join(node["html"][:120] for node in one["nodes"][:3])
            for one in found if one["impact"] in ("serious", "critical")]


def test_every_chapter_has_a_page_with_its_outputs_and_solutions(site):
    for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        html = (site / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        pictures = sum("image/png" in out.get("data", {}) for cell in code for out in cell["outputs"])
        assert len(re.findall(r"<figure ", html)) == pictures
        sounds = sum("<audio" in "".join(out.get("data", {}).get("text/html", "")) for cell in code for out in cell["outputs"])
        assert html.count("<audio") == sounds
        exercises = {found for cell in code if "exercise" in cell["metadata"].get("tags", [])
                     for found in re.findall(r'\bcheck\(\s*"([\d.]+)"', "".join(cell["source"]))}
        assert set(re.findall(r"Solution of exercise ([\d.]+)", html)) == exercises
        chapter = int(notebook.stem[:2])
        figures = re.findall(r'caption-number">Figure (\d+\.\d+)', html)
        assert figures == [f"{chapter}.{number}" for number in range(1, pictures + 1)]
        equations = re.findall(r'class="eqno">\((\d+\.\d+)\)', html)
        assert equations == [f"{chapter}.{number}" for number in range(1, len(equations) + 1)]
        tagged = sum("".join(cell["source"]).count(r"\tag{") for cell in cells if cell["cell_type"] == "markdown")
        assert len(equations) == tagged


def test_nothing_comes_from_elsewhere(site):
    loaded = re.compile(r"""<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)""")
    outside = {url for file in pages(site) for url in loaded.findall(file.read_text(encoding="utf-8"))}
    assert not outside


def test_every_page_is_whole_fits_a_phone_and_shuts_nobody_out(site, page):
    faults = {}
    for file in pages(site):
        page.complaints.clear()
        page.set_viewport_size(DESKTOP)
        visit(page, file)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = {
            "console": list(page.complaints), "broken images": page.evaluate(BROKEN_IMAGES),
            "no alternative text": page.evaluate(IMAGES_WITHOUT_ALT), "maths not set": page.evaluate(UNSET_MATHS),
            "raw maths": page.evaluate(RAW_MATHS), "axe": axe(page),
        }
        page.set_viewport_size(PHONE)
        found["wider than a phone by"] = page.evaluate(WIDER_THAN_SCREEN)
        faults |= {f"{file.relative_to(site)}, {what}": said for what, said in found.items() if said}
    assert not faults, "\n".join(f"{where}: {said}" for where, said in faults.items())


def test_maths_is_set(site, page):
    visit(page, site / "notebooks" / "02_autoencoder_math.html")
    assert page.locator("mjx-container").count() > 100
    assert page.locator("mjx-container svg").first.bounding_box()["width"] > 5


def test_search_finds_a_word_of_the_chapters(site, page):
    visit(page, site / "search.html")
    page.goto((site / "search.html").as_uri() + "?q=masked")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "found => found.map(a => a.href)")
    assert any("07_masked_language_modeling" in link for link in links)
    assert not page.complaints


def test_the_dark_can_be_had_and_figures_stay_on_white(site, page):
    visit(page, site / "notebooks" / "01_why_pretrain.html")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "light"
    page.locator("button.theme-switch-button:visible").first.click()
    page.locator("button.theme-change-button[data-mode=dark]:visible").first.click()
    assert page.evaluate(theme) == "dark"
    page.mouse.move(0, 0)
    page.locator(".tooltip").first.wait_for(state="detached")  # while it fades its colours are neither
    style = page.eval_on_selector("figure img", "i => [getComputedStyle(i).backgroundColor, getComputedStyle(i).filter]")
    assert style == ["rgb(255, 255, 255)", "none"]
    assert not axe(page)


def test_the_keyboard_reaches_the_text_and_opens_a_solution(site, page):
    visit(page, site / "notebooks" / "02_autoencoder_math.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first stop skips the navigation
    assert page.evaluate("location.hash") == "#main-content"
    summary = page.locator("details.solution summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.solution").first.evaluate("d => d.open")
