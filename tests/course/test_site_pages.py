"""What the site's pages are made of; Sphinx is not needed here."""

from __future__ import annotations

import csv
import json
import math
import re
from statistics import mean, stdev

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import pretrain_lib
from pretrain_lib.course.addresses import badges
from pretrain_lib.course.exercises import ch14, ch15
from pretrain_lib.course.markdown import caption, escaped
from pretrain_lib.course.results import ROOT
from pretrain_lib.course.site import clinic, clinic_images, clinic_speech, findings, glossary, reference
from pretrain_lib.course.site.__main__ import main, without_dead_links
from pretrain_lib.course.site.chapters import Chapter, chapter_names, linked
from pretrain_lib.course.sources import chapter_cells, chapter_sources, first_cell

PNG = "iVBORw0KGgo="


@pytest.fixture
def cells(tmp_path):
    """The page of a tiny chapter: two equations, a figure, an exercise with its solution."""
    picture = new_output("display_data", {"image/png": PNG, "text/plain": "alt"}, metadata={"image/png": {"alt": "A line. It rises."}})
    exercise = new_code_cell('f = ...\nf = check("09.1", f)', metadata={"tags": ["exercise"]})
    exercise.outputs = [new_output("stream", text="09.1 is open")]
    solved = new_code_cell('f = 1\nf = check("09.1", f)', metadata={"tags": ["exercise"]},
                           outputs=[new_output("stream", text="09.1 passed")])
    notebook = new_notebook(cells=[
        new_code_cell(first_cell(None), metadata={"tags": ["setup"]}),
        new_markdown_cell(badges("09_tiny", "ana/course")),
        new_markdown_cell("so\n\n$$a\n= b . \\tag{9.1}$$\n\nand $c$, hence\n\n$$d \\tag{9.2}$$"),
        new_code_cell("draw()", outputs=[new_output("stream", text="drawn"), picture]),
        new_markdown_cell("**Exercise 09.1 · easy**", metadata={"tags": ["exercise"]}),
        exercise,
    ])
    return Chapter("09", {"09.1": solved}, tmp_path).cells(notebook)


def test_a_folder_that_holds_something_else_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["--to", str(tmp_path)]) == 2
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert "holds something else" in capsys.readouterr().err


def test_links_to_chapters_that_are_planned_are_words():
    text = "[one](notebooks/01_a.ipynb#x) and [two](notebooks/02_b.ipynb)"
    assert without_dead_links(text, {"01_a"}) == "[one](notebooks/01_a.ipynb#x) and two"


def test_tagged_equations_get_labels_in_order(cells):
    assert re.findall(r"\$\$ \((eq-[\d-]+)\)", cells[0].source) == ["eq-09-1", "eq-09-2"]
    assert "and $c$, hence" in cells[0].source


def test_a_tag_is_the_equations_number(tmp_path):
    def page(text):
        return Chapter("09", {}, tmp_path).cells(new_notebook(cells=[new_markdown_cell(text)]))[0].source

    assert page("$$a$$\n\n$$b \\tag{9.1}$$") == "$$a$$\n\n$$b$$ (eq-09-1)"
    with pytest.raises(ValueError, match=r"calls the equation 9\.1 that comes as number 9\.2"):
        page("$$a \\tag{9.1}$$\n\n$$b \\tag{9.1}$$")


def test_only_equations_with_a_tag_are_spoken_of():
    """The others show no number in a notebook."""
    text = "".join(path.read_text(encoding="utf-8") for path in chapter_sources())
    tagged = set(re.findall(r"\\tag\{(\d+\.\d+)\}", text))
    spoken_of = set(re.findall(r"\bequations? \((\d+\.\d+)\)", text))
    spoken_of |= set(re.findall(r"\bequations \(\d+\.\d+\) and \((\d+\.\d+)\)", text))
    assert spoken_of <= tagged and spoken_of


def test_figures_that_are_spoken_of_have_a_number():
    """The others show no caption in a notebook."""
    cells = [cell for path in chapter_sources() for cell in chapter_cells(path)]
    numbered = re.findall(r'number="(\d+\.\d+)"', "".join(c.source for c in cells if c.cell_type == "code"))
    spoken_of = re.findall(r"(?i)\bfigure (\d+\.\d+)", "".join(c.source for c in cells if c.cell_type == "markdown"))
    assert set(spoken_of) <= set(numbered) and len(numbered) == len(set(numbered)) and spoken_of


def test_a_figures_number_is_its_place_in_the_chapter(tmp_path):
    def page(*numbers):
        pictures = [new_output("display_data", {"image/png": PNG, "text/plain": "alt"},
                               metadata={"image/png": {"alt": "A line."} | ({"number": n} if n else {})}) for n in numbers]
        caption = new_output("display_data", {"text/markdown": "**Figure 9.2.** A line.", "text/plain": "**Figure 9.2.** A line."})
        return Chapter("09", {}, tmp_path).cells(new_notebook(cells=[new_code_cell("draw()", outputs=[*pictures, caption])]))

    code, *figures = page(None, "9.2")
    assert not code.outputs and [f.source.split("\n")[1] for f in figures] == [":name: figure-09-1", ":name: figure-09-2"]
    with pytest.raises(ValueError, match=r"calls the figure 9\.2 that comes as number 9\.1"):
        page("9.2")


def test_a_figure_leaves_the_outputs_and_keeps_its_alternative_text(cells, tmp_path):
    assert [output.text for output in cells[1].outputs] == ["drawn"]
    assert ":alt: A line. It rises.\n\nA line.\n:::" in cells[2].source
    assert (tmp_path / "09-1.png").read_bytes().startswith(b"\x89PNG")


def test_a_sound_can_be_played_on_the_page(tmp_path):
    player = '\n  <audio  controls="controls" >\n    <source src="data:audio/wav;base64,UklG" type="audio/wav" />\n  </audio>\n'
    sound = new_output("display_data", {"text/html": player, "text/plain": "<IPython.lib.display.Audio object>"})
    code, page = Chapter("09", {}, tmp_path).cells(new_notebook(cells=[new_code_cell("play()", outputs=[sound])]))
    assert not code.outputs and page.source.startswith("```{raw} html\n<audio ") and "base64,UklG" in page.source


def test_a_solution_is_folded_in_below_its_exercise(cells):
    assert cells[3].source.startswith("(exercise-09-1)=\n**Exercise 09.1")
    assert "{dropdown} Solution of exercise 09.1" in cells[5].source
    assert "f = 1\n" in cells[5].source and "09.1 passed" in cells[5].source


@pytest.mark.parametrize("text, made", [
    ("see chapter 02, and", "see [chapter 02](02_auto.ipynb), and"),
    ("this chapter 07 and chapter 03", "this chapter 07 and chapter 03"),  # itself, and one that is not there
    ("`chapter 02` and $chapter 02$", "`chapter 02` and $chapter 02$"),
    ("## Before chapter 02", "## Before chapter 02"),
    ("[of chapter 02](x.ipynb)", "[of chapter 02](x.ipynb)"),
    ("as in exercise 02.1.", "as in [exercise 02.1](#exercise-02-1)."),
    ("**Exercise 02.1 · easy**", "**Exercise 02.1 · easy**"),
    ("exercise 05.9", "exercise 05.9"),
    ("by equation (2.7), and", "by equation {eq}`eq-02-7`, and"),
    ("equations (2.7) and (6.11)", "equations {eq}`eq-02-7` and {eq}`eq-06-11`"),
    ("Hinton's equation 2, or (2.7)", "Hinton's equation 2, or (2.7)"),
    ("Figure 2.3 shows it, as figure 11.10 does", "[Figure 2.3](#figure-02-3) shows it, as [figure 11.10](#figure-11-10) does"),
    ("their Figure 2. It", "their Figure 2. It"),
])
def test_chapters_exercises_and_equations_that_are_spoken_of_are_linked(text, made):
    assert linked(text, "07", {"02": "02_auto", "07": "07_masked"}, {"02.1"}) == made


def test_a_caption_is_the_first_sentence():
    assert caption("Loss over w and v. Two valleys.") == "Loss over w and v."
    assert caption("From 0.25 to 0.5,\n  one line") == "From 0.25 to 0.5, one line"


def test_text_stays_text():
    assert escaped("a_b *c* [d] <e> $f$") == r"a\_b \*c\* \[d\] \<e\> \$f\$"


def test_every_result_is_among_the_findings():
    page = findings.page(chapter_names())
    for path in (ROOT / "results").glob("*.json"):
        entry = json.loads(path.read_text(encoding="utf-8"))
        section = page[page.index(f"(finding-{entry['id']})="):]
        assert escaped(" ".join(entry["prediction"].split())) in section
        assert escaped(" ".join(entry["verdict"].split())) in section
        assert entry["command"] in section


def test_verdicts_are_counted():
    assert findings.outcome("1. Held-out loss 3, held. 2. a: failed (b). 3. held.") == (2, 1)


def test_spreads_are_those_of_the_seeds():
    measured = {"per_class": [1, 5], "accuracy": {"ours": [[0.5, 0.7, 0.9], [0.8, 0.8, 0.8]]}, "steps": 3}
    found = list(findings.spreads(measured, 3, findings.axes(measured)))
    assert [path for path, _, _ in found] == [("accuracy", "ours", "per class 1"), ("accuracy", "ours", "per class 5")]
    assert found[0][1:] == (mean([0.5, 0.7, 0.9]), stdev([0.5, 0.7, 0.9]))


def test_the_glossary_has_sixty_terms_in_two_languages_each_with_its_chapter():
    with (ROOT / "docs" / "glossary.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert len(rows) >= 60 and len({row[0] for row in rows}) == len(rows)
    for english, chinese, meaning, chapters in rows:
        assert re.search("[\u4e00-\u9fff]", chinese), english
        assert meaning.endswith(".") and all(0 <= int(chapter) < 20 for chapter in chapters.split())
    page = glossary.page(ROOT / "docs" / "glossary.tsv", {"07": "07_masked"})
    assert "masked language model · <span lang=\"zh\">掩码语言模型</span>\n: Hides some" in page
    assert "[07](notebooks/07_masked.ipynb)" in page


def test_every_public_name_is_in_the_reference():
    page = reference.page()
    for name in pretrain_lib.__all__:
        assert re.search(rf"^::::::\{{py:(class|function)\}} {name}\(", page, re.MULTILINE), name


def test_a_docstring_becomes_markdown():
    def share(right, *, of: int = 3) -> float:
        """The share_of what is right.

        Args:
            right: how many
                are right.
            of: all of them.

        Returns:
            A number in [0, 1].
        """

    assert reference.signature(share) == "(right, *, of: int = 3)"
    assert reference.described(share) == (
        "The share\\_of what is right.\n\n**Args**\n\n* `right`: how many are right.\n* `of`: all of them.\n\n"
        "**Returns**\n\nA number in \\[0, 1\\].")


def test_the_clinic_shows_what_its_page_says():
    """The diagnoses, asserted on the curves that are drawn."""
    logs = json.loads(clinic.LOGS.read_text(encoding="utf-8"))
    lines, runs = logs["masked tokens"]["lines"], logs["masked tokens"]["runs"]
    last = {name: (run["training"][-1][1], run["held out"][-1][1]) for name, run in runs.items()}
    assert lines["best possible"] < lines["bigram"] < lines["unigram"]
    assert lines["best possible"] < last["healthy"][1] < lines["best possible"] + 0.2
    assert abs(last["plateau"][1] - lines["unigram"]) < 0.4 < lines["unigram"] - lines["bigram"]
    assert lines["bigram"] < last["rate too high"][1] < lines["unigram"]
    training = dict(runs["spike"]["training"])
    assert max(training[step] for step in range(202, 210, 2)) > 2 * training[198] and training[260] < training[198] * 1.1
    assert max(last["leak"]) < 0.1
    assert last["wrong mask"][0] < 1 and abs(last["wrong mask"][1] - last["healthy"][1]) < 0.1
    held_out = [loss for _, loss in runs["over-fitting"]["held out"]]
    assert held_out[-1] > min(held_out) + 0.5 and last["over-fitting"][0] < lines["best possible"]
    page = (ROOT / "docs" / "clinic.md").read_text(encoding="utf-8")
    names = [name for ward in logs.values() for name in ward["runs"]]
    assert len(names) == len(set(names)) and {f"clinic-{name.replace(' ', '-')}.png" for name in names} == set(re.findall(r"\]\((clinic-[\w-]+\.png)\)", page))


@pytest.fixture
def image_runs():
    logs = json.loads(clinic.LOGS.read_text(encoding="utf-8"))
    return logs["contrast"]["runs"] | logs["views alike"]["runs"], logs["contrast"]["lines"]["chance"], logs["contrast"]["untrained probe"]


def test_the_clinic_shows_what_its_page_says_of_pictures(image_runs):
    runs, chance, untrained = image_runs
    last = {name: {kind: run[kind][-1][1] for kind in ("training", "rank", "spread")} | {"probe": run["probe"]} for name, run in runs.items()}
    assert chance == pytest.approx(math.log(2 * clinic_images.BATCH - 1), abs=1e-4)
    healthy, collapsed, given_away, at_chance = (last[name] for name in ("healthy contrast", "collapsed", "given away", "at chance"))
    assert healthy["training"] < chance - 0.5 and healthy["probe"] > untrained + 0.2
    assert collapsed["training"] < 0.01 * runs["collapsed"]["training"][0][1] and collapsed["rank"] < 0.25 * healthy["rank"]
    assert collapsed["spread"] < 0.2 * healthy["spread"] and collapsed["probe"] < untrained
    assert given_away["training"] < healthy["training"] - 2 and given_away["rank"] > healthy["rank"] and given_away["probe"] < 0.15
    assert all(abs(mean(loss for _, loss in runs["at chance"]["training"][i:i + 20]) - chance) < 0.1 for i in range(0, 80, 20))
    assert at_chance["rank"] == max(run["rank"] for run in last.values()) and at_chance["probe"] < untrained
    resting = [loss for step, loss in runs["healthy contrast"]["training"] if 20 <= step <= 150]
    assert all(abs(loss - chance) < 0.1 for loss in resting)


def test_the_logs_of_exercise_14_4_are_those_runs(image_runs):
    runs, chance, untrained = image_runs
    order = {"A": "collapsed", "B": "given away", "C": "healthy contrast", "D": "at chance"}
    assert ch14.LOGS == {letter: clinic_images.as_text(runs[name], None if name == "collapsed" else chance, untrained) for letter, name in order.items()}


@pytest.fixture
def speech_wards():
    logs = json.loads(clinic.LOGS.read_text(encoding="utf-8"))
    return logs["prediction"], logs["transcripts"], logs["words"]


def late(run: dict, after: int) -> float:
    """The mean training loss after so many updates."""
    return mean(loss for step, loss in run["training"] if step > after)


def test_the_clinic_shows_what_its_page_says_of_prediction(speech_wards):
    ward, *_ = speech_wards
    chance, runs = ward["lines"]["chance"], ward["runs"]
    assert chance == pytest.approx(math.log(1 + clinic_speech.NEGATIVES), abs=1e-4)
    healthy, future, voice = (runs[name] for name in ("healthy prediction", "heard the future", "voice gives it away"))
    loss = {id(run): late(run, 200) for run in runs.values()}
    untrained = healthy["phones"][0][1], healthy["voices"][0][1]
    assert all((run["phones"][0][1], run["voices"][0][1]) == untrained for run in runs.values())
    last = {id(run): (run["phones"][-1][1], run["voices"][-1][1]) for run in runs.values()}
    assert 0.45 * chance < loss[id(healthy)] < 0.55 * chance
    assert last[id(healthy)][0] > untrained[0] + 0.02 and last[id(healthy)][1] < untrained[1] - 0.1
    assert loss[id(future)] < 0.15 * loss[id(healthy)] and abs(last[id(future)][0] - untrained[0]) < 0.005
    assert loss[id(voice)] < loss[id(healthy)] - 0.5 and last[id(voice)][0] < untrained[0] - 0.01
    assert last[id(voice)][1] > last[id(healthy)][1] + 0.05


def test_the_clinic_shows_what_its_page_says_of_transcripts(speech_wards):
    _, ward, _ = speech_wards
    nothing, healthy, plateau = ward["lines"]["hears nothing"], *(ward["runs"][name] for name in ("healthy transcripts", "blank plateau"))
    assert all(share == 0 for step, share in healthy["written"] if step <= 60) and all(share == 0 for _, share in plateau["written"])
    assert all(rate == 1 for _, rate in plateau["error"]) and healthy["error"][-1][1] < 0.5 and healthy["written"][-1][1] > 0.75
    assert late(healthy, 500) < 0.15 * nothing and 0.7 * nothing < late(plateau, 500) < 0.9 * nothing
    resting = [loss for step, loss in plateau["training"] if 100 <= step <= 220]
    assert abs(mean(resting) - nothing) < 0.15


def test_the_clinic_shows_what_its_page_says_of_words(speech_wards):
    *_, ward = speech_wards
    run, = ward["runs"].values()
    same, other = (dict(run[kind]) for kind in ("same voices", "other voices"))
    assert late(run, 150) < 0.1 and max(same) == clinic_speech.STEPS["words"]
    assert 0.03 < same[200] < 0.07 and 0.22 < other[200] < 0.3
    assert all(other[step] > same[step] for step in same if step >= 30)


def test_the_logs_of_exercise_15_3_are_those_runs(speech_wards):
    prediction, written, words = (ward["runs"] for ward in speech_wards)
    assert ch15.LOGS == {
        "A": clinic_speech.prediction_as_text(prediction["heard the future"], "their own utterance"),
        "B": clinic_speech.transcripts_as_text(written["blank plateau"], speech_wards[1]["lines"]["hears nothing"]),
        "C": clinic_speech.words_as_text(words["voice in both parts"]),
        "D": clinic_speech.prediction_as_text(prediction["voice gives it away"], "other utterances"),
        "E": clinic_speech.prediction_as_text(prediction["healthy prediction"], "their own utterance")}


def test_measuring_one_loss_leaves_the_others_as_they_are(tmp_path, monkeypatch):
    before, stub = json.loads(clinic.LOGS.read_text(encoding="utf-8")), {"loss": "loss", "lines": {}, "runs": {}}
    monkeypatch.setattr(clinic, "LOGS", tmp_path / "clinic.json")
    clinic.LOGS.write_text(json.dumps(before), encoding="utf-8")
    monkeypatch.setitem(clinic.WARDS, "views alike", clinic.WARDS["views alike"]._replace(measure=lambda: stub))
    clinic.main(["views alike"])
    after = json.loads(clinic.LOGS.read_text(encoding="utf-8"))
    assert after == before | {"views alike": stub} and list(after) == list(before) == list(clinic.WARDS)
    with pytest.raises(SystemExit):
        clinic.main(["nonsense"])


def test_a_figure_is_drawn_for_each_run(tmp_path):
    clinic.draw(tmp_path)
    logs = json.loads(clinic.LOGS.read_text(encoding="utf-8"))
    assert len(list(tmp_path.glob("clinic-*.png"))) == sum(len(ward["runs"]) for ward in logs.values())
