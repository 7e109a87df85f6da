"""From a chapter's notebooks to its page: numbered equations and figures, solutions folded in."""

from __future__ import annotations

import base64
import re
import textwrap
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from ..markdown import caption, escaped
from ..sources import CHECK, NOTEBOOKS, first_cell, tags

ONLY_IN_NOTEBOOKS = (first_cell(None).splitlines()[0], "[![Open in Colab]")  # the theme has its own buttons

EXERCISE = re.compile(r"\bExercise (\d\d\.\d+)")
EQUATION = re.compile(r"^\$\$.*?\$\$[ ]*$", re.MULTILINE | re.DOTALL)
TAG = re.compile(r"\s*\\tag\{(.*?)\}")  # the number of an equation that is spoken of, as notebooks show it
MENTION = re.compile(  # what must stay as it is, or else what is linked where it is spoken of
    r"^```.*?^```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|^#.*?$|<summary>.*?</summary>"
    r"|\bchapter (?P<chapter>\d\d)\b(?!\.\d)|\bexercise (?P<exercise>\d\d\.\d+)"
    r"|(?:(?<=equation )|(?<=equations )|(?<=\) and ))\((?P<equation>\d+\.\d+)\)|\bfigure (?P<figure>\d+\.\d+)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
SHOWN = {"text/plain"}


def chapter_names() -> dict[str, str]:
    """The chapters that are built, such as {"02": "02_autoencoder_math"}."""
    return {path.stem[:2]: path.stem for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}


def write_chapters(folder: Path) -> None:
    """Writes each chapter's page as a notebook that Sphinx reads, and its figures beside it."""
    (folder / "figures").mkdir(parents=True)
    names = chapter_names()
    notebooks = {number: nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4) for number, name in names.items()}
    exercises = {id for notebook in notebooks.values() for id in exercise_ids(notebook)}
    for number, name in names.items():
        solved = nbformat.read(NOTEBOOKS / "solutions" / f"{name}.ipynb", 4)
        cells = Chapter(number, solutions(solved), folder / "figures").cells(notebooks[number])
        for cell in cells:
            if cell.cell_type == "markdown":
                cell.source = linked(cell.source, number, names, exercises)
        notebooks[number].cells = cells
        nbformat.write(notebooks[number], folder / f"{name}.ipynb")


def exercise_ids(notebook: NotebookNode) -> list[str]:
    """The exercises that a chapter introduces."""
    texts = [cell.source for cell in notebook.cells
             if cell.cell_type == "markdown" and "exercise" in tags(cell)]
    return [found[1] for text in texts if (found := EXERCISE.search(text))]


def solutions(solved: NotebookNode) -> dict[str, NotebookNode]:
    """The solved cell of each exercise."""
    cells = [cell for cell in solved.cells if cell.cell_type == "code" and "exercise" in tags(cell)]
    return {CHECK.search(cell.source)[1]: cell for cell in cells if CHECK.search(cell.source)}


def linked(text: str, here: str, names: dict[str, str], exercises: set[str]) -> str:
    """The text with links where it speaks of another chapter, an exercise, a numbered equation or figure."""

    def link(match: re.Match) -> str:
        chapter, exercise = match["chapter"], match["exercise"]
        if chapter in names and chapter != here:
            return f"[{match[0]}]({names[chapter]}.ipynb)"
        if exercise in exercises and match[0].startswith("e"):  # a title has a capital letter
            return f"[{match[0]}](#{anchor(exercise)})"
        if match["equation"]:
            return f"{{eq}}`{label('eq', *match['equation'].split('.'))}`"
        if match["figure"]:
            return f"[{match[0]}](#{label('figure', *match['figure'].split('.'))})"
        return match[0]

    return MENTION.sub(link, text)


def anchor(exercise: str) -> str:
    return f"exercise-{exercise.replace('.', '-')}"


def label(kind: str, chapter: str, number: int | str) -> str:
    return f"{kind}-{int(chapter):02d}-{number}"


def text_of(output: NotebookNode) -> str:
    """What an output says, '' if it is a picture or a control."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return data.get("text/plain", "") if set(data) <= SHOWN | {"application/vnd.pretraining-course+json"} else ""


class Chapter:
    """Makes a chapter's cells into those of its page, and counts equations and figures.

    Args:
        number: such as "02".
        solutions: the solved cell of each exercise.
        figures: the folder for pictures.
    """

    def __init__(self, number: str, solutions: dict[str, NotebookNode], figures: Path):
        self.number, self.solutions, self.folder = number, solutions, figures
        self.equations = self.figures = 0

    def cells(self, notebook: NotebookNode) -> list[NotebookNode]:
        made = []
        for cell in notebook.cells:
            if cell.source.startswith(ONLY_IN_NOTEBOOKS):
                continue
            made += self.text(cell) if cell.cell_type == "markdown" else self.code(cell)
        return made

    def text(self, cell: NotebookNode) -> list[NotebookNode]:
        cell.source = EQUATION.sub(self.labelled, cell.source)
        exercise = EXERCISE.search(cell.source)
        if exercise and "exercise" in tags(cell):
            cell.source = f"({anchor(exercise[1])})=\n{cell.source}"
        return [cell]

    def labelled(self, equation: re.Match) -> str:
        """An equation that has a tag with the label from which Sphinx makes its number and its address.

        Raises:
            ValueError: if its tag is not that number.
        """
        tag = TAG.search(equation[0])
        if tag is None:
            return equation[0]
        self.equations += 1
        self.require(tag[1], "equation", self.equations)
        return f"{TAG.sub('', equation[0]).rstrip()} ({label('eq', self.number, self.equations)})"

    def require(self, said: str | None, kind: str, count: int) -> None:
        """An equation's or a figure's number, where the chapter says it, is the one that it gets here."""
        number = f"{int(self.number)}.{count}"
        if said not in (None, number):
            raise ValueError(f"chapter {self.number} calls the {kind} {said} that comes as number {number}")

    def code(self, cell: NotebookNode) -> list[NotebookNode]:
        """The cell with what it printed, then its sounds and figures, then the solution if it is an exercise."""
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        players = [player for output in cell.outputs if "<audio" in (player := output.get("data", {}).get("text/html", ""))]
        cell.outputs = [output for output in cell.outputs if text_of(output)]
        for output in cell.outputs:
            if "data" in output:
                output.data = NotebookNode({"text/plain": text_of(output)})
        after = [new_markdown_cell(f"```{{raw}} html\n{textwrap.dedent(player).strip()}\n```") for player in players]
        after += [new_markdown_cell(self.figure(picture)) for picture in pictures]
        exercise = CHECK.search(cell.source)
        if exercise and exercise[1] in self.solutions and "exercise" in tags(cell):
            after.append(new_markdown_cell(folded(exercise[1], self.solutions[exercise[1]])))
        return [cell, *after]

    def figure(self, output: NotebookNode) -> str:
        """A picture with its alternative text and its caption.

        Raises:
            ValueError: if it is shown in the notebook with another number.
        """
        self.figures += 1
        shown = output.metadata.get("image/png", {})
        self.require(shown.get("number"), "figure", self.figures)
        name = f"{self.number}-{self.figures}.png"
        (self.folder / name).write_bytes(base64.b64decode(output.data["image/png"]))
        alt = " ".join(shown.get("alt", output.data["text/plain"]).split())
        return (f":::{{figure}} figures/{name}\n:name: {label('figure', self.number, self.figures)}\n:alt: {alt}\n\n"
                f"{caption(alt)}\n:::")


def folded(exercise: str, cell: NotebookNode) -> str:
    """A solution and what `check` said to it, closed until it is asked for."""
    said = "".join(text_of(output) for output in cell.outputs).strip()
    parts = [f"``````{{dropdown}} Solution of exercise {exercise}", ":class-container: solution",
             "`````python", cell.source, "`````"]
    return "\n".join([*parts, *(["`````text", said, "`````"] if said else []), "``````"])
