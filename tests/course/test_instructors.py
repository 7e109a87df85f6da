"""The instructor's guide says what the chapters say."""

import re

import pytest

from pretrain_lib.course.exercises import all_exercises
from pretrain_lib.course.questions import crosses
from pretrain_lib.course.sources import ROOT, chapter_sources

GUIDE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
ROWS = {row[0][:2]: row for row in re.findall(r"^\| (\d\d [^|]+) \| ([^|]+) \| ([^|]+) \| (\d+) \|$", GUIDE, re.MULTILINE)}


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda source: source.stem)
def test_times_and_exercises_are_those_of_the_chapter(source):
    text = " ".join(source.read_text(encoding="utf-8").replace("\n#", " ").split())
    opening = re.search(r"\*\*Time\*\*:? (.*?%)", text)[1]
    _, reading, computing, exercises = ROWS[source.stem[:2]]
    assert reading in opening and computing in opening
    assert int(exercises) == len(all_exercises(source.stem[:2]))
    assert f"\n### {source.stem[:2]} · " in GUIDE


def test_exercises_that_are_named_exist():
    named = set(re.findall(r"(?<![\d.])(\d\d\.\d)(?!\d| MB)\b", GUIDE))
    assert len(named) > 40 and named <= set(all_exercises())


def test_those_judged_inside_the_sandbox_are_named():
    listed = re.findall(r"\d\d\.\d+", re.search(r"look at gradients \(([^)]*)\)", GUIDE)[1])
    checked = [id for id in all_exercises() if id not in ("09.1", "09.2", "09.6")]  # slow to try, and judged outside
    assert [id for id in checked if not crosses(id)] == listed


def test_sections_that_are_named_exist():
    for source in chapter_sources():
        numbers = set(re.findall(r"^# ## (\d+) · ", source.read_text(encoding="utf-8"), re.MULTILINE))
        part = GUIDE.split(f"\n### {source.stem[:2]} · ")[1].split("\n##")[0]
        assert set(re.findall(r"section (\d+)", part)) <= numbers
