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


# --- Hours --------------------------------------------------------------------------------------

WORDS_A_MINUTE = 100  # of technical text, with code and figures to look at


def minutes(stated: str) -> int:
    """Of "15 minutes", "3 hours" or "4½ hours"."""
    number, unit = re.fullmatch(r"([\d½]+) (minutes|hours)", stated).groups()
    return int(number) if unit == "minutes" else 60 * int(number.rstrip("½")) + 30 * number.endswith("½")


def exercise_minutes(source) -> int:
    text = source.read_text(encoding="utf-8")
    asked = re.findall(r"xercise \d\d\.\d+ · .*?(\d+) min\)", text)
    assert len(asked) == len(all_exercises(source.stem[:2]))
    return sum(map(int, asked))


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda source: source.stem)
def test_a_chapters_time_holds_its_exercises_and_its_words(source):
    words = sum(len(line.split()) - 1 for line in source.read_text(encoding="utf-8").splitlines() if re.match(r"# (?!%%)", line))
    assert exercise_minutes(source) + words / WORDS_A_MINUTE <= minutes(ROWS[source.stem[:2]][1]) + 5


def test_a_week_takes_seven_to_eight_hours():
    assert "seven to eight a week (in the second without the exercises of 05)" in " ".join(GUIDE.split())
    left = {"05": exercise_minutes(next(source for source in chapter_sources() if source.stem.startswith("05")))}
    weeks = re.findall(r"^\| \d \| (\d\d(?:, \d\d)*) \|", GUIDE, re.MULTILINE)
    assert len(weeks) == 6
    for week in weeks:
        assert 7 <= sum(minutes(ROWS[chapter][1]) - left.get(chapter, 0) for chapter in week.split(", ")) / 60 <= 8


def test_a_day_of_two_takes_six_hours():
    first, second = re.search(r"^\| day 1, .*?(?=\n\n)", GUIDE, re.MULTILINE | re.DOTALL)[0].split("| day 2, ")
    assert [sum(map(int, re.findall(r"^(?:\| (?:day 1, )?)?(\d+) min \|", day, re.MULTILINE))) for day in (first, second)] == [360, 360]
