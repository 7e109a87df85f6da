"""The page of findings: what every experiment predicted and measured, read from the ledger."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from statistics import mean, stdev

from ..results import ROOT, experiments, machine, results
from ..markdown import escaped

MOST_ROWS = 60
HEAD = """# Findings

Every experiment of the course, with what we predicted before measuring and what came of it. Predictions stay
as they were written, also where they failed. This page is made from the files in `results/`, which hold every
seed's value, the hardware and the versions.

"""


def page(chapters: dict[str, str]) -> str:
    """The page in Markdown: a table of all findings, then each, by chapter.

    Args:
        chapters: the names of the chapters that are there, by number.
    """
    entries = [results(path.stem) for path in sorted((ROOT / "results").glob("[0-9]*.json"))]
    rows = ["| finding | predictions held | failed |", "|---|---:|---:|"]
    for entry in entries:
        held, failed = outcome(entry["verdict"])
        rows.append(f"| [{escaped(entry['title'])}](#finding-{entry['id']}) | {held or '·'} | {failed or '·'} |")
    note = "A dot stands where a verdict gives numbers and leaves the judgement to the reader."
    parts = ["\n".join(rows), note]
    for number, group in groupby(entries, key=lambda entry: entry["id"][:2]):
        link = f"[Chapter {number}](notebooks/{chapters[number]}.ipynb)" if number in chapters else f"Chapter {number}"
        parts += [f"## {link}", *map(section, group)]
    return HEAD + "\n\n".join(parts) + "\n"


def outcome(verdict: str) -> tuple[int, int]:
    """How many predictions a verdict says have held and failed."""
    return len(re.findall(r"\bheld\b(?! out|-out)", verdict)), len(re.findall(r"\bfailed\b", verdict))


def section(entry: dict) -> str:
    id = entry["id"]
    about = [paragraph for paragraph in source(id).split("\n\n") if paragraph]
    folded = ["", f"``````{{dropdown}} Measured, mean ± standard deviation over {len(entry['seeds'])} seeds",
              *table(entry), "``````"]
    return "\n".join([
        f"(finding-{id})=", f"### {escaped(entry['title'])}", "",
        *(escaped(paragraph) + "\n" for paragraph in about),
        "**Predicted.** " + escaped(" ".join(entry["prediction"].split())), "",
        "**Found.** " + escaped(" ".join(entry["verdict"].split())),
        *(folded if table(entry) else []), "",
        f"`{entry['command']}` · {minutes(entry['seconds'])} on {escaped(machine(entry['hardware']))} · {entry['date']}",
    ])


def source(id: str) -> str:
    """What the experiment's file says of itself: what was published, and how it is measured here."""
    file = experiments().get(id)
    tree = ast.parse(file.read_text(encoding="utf-8")) if file else ast.parse("")
    return ast.get_docstring(tree) or ""


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def table(entry: dict) -> list[str]:
    """A row for each quantity that was measured once a seed."""
    measured, seeds = entry["measured"], len(entry["seeds"])
    rows = list(spreads(measured, seeds, axes(measured)))[:MOST_ROWS]
    return ["| quantity | mean | ± |", "|---|---:|---:|",
            *(f"| {escaped(' · '.join(path))} | {m:.4g} | {s:.2g} |" for path, m, s in rows)] if rows else []


def axes(measured: dict) -> dict[int, list[str]]:
    """Names for the places of lists, from lists beside them: per_class = [1, 5] names "per class 1"."""
    lists = {name: value for name, value in measured.items()
             if isinstance(value, list) and all(isinstance(one, int | float | str) for one in value)}
    lengths = [len(value) for value in lists.values()]
    return {len(value): [f"{name.replace('_', ' ')} {one}" for one in value]
            for name, value in lists.items() if lengths.count(len(value)) == 1}


def spreads(measured, seeds: int, named: dict[int, list[str]],
            path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float, float]]:
    """Finds lists with one number a seed; yields where each lies, its mean and standard deviation."""
    if isinstance(measured, dict):
        for name, inner in measured.items():
            yield from spreads(inner, seeds, named, (*path, str(name)))
    elif isinstance(measured, list) and seeds > 1:
        if len(measured) == seeds and all(type(value) in (int, float) for value in measured):
            if path and path[-1] != "seeds":
                yield path, mean(measured), stdev(measured)
        elif all(isinstance(inner, list | dict) for inner in measured):
            places = named.get(len(measured), [str(place) for place in range(1, len(measured) + 1)])
            for place, inner in zip(places, measured):
                yield from spreads(inner, seeds, named, (*path, place))
