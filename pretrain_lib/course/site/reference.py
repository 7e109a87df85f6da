"""The reference: every public name of the library, from its signature and docstring."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent

import pretrain_lib

from ..markdown import escaped

PARTS = {
    "data": "Data",
    "models": "Models",
    "objectives": "Objectives",
    "training": "Training",
    "evaluation": "Evaluation",
    "transfer": "Transfer",
    "compression": "Compression",
    "pretrained": "Saved models",
}
HEAD = """# Reference

What `import pretrain_lib` offers. Shapes are written `(batch, seq, hidden)`. The commands are described by
`python -m pretrain_lib --help`, each with `--help` of its own.

"""
HEADINGS = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n", re.MULTILINE)
ITEM = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*): (.*)", re.DOTALL)


def page() -> str:
    """The page in Markdown, by the library's folders."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in sorted(set(pretrain_lib.__all__), key=str.lower):
        thing = getattr(pretrain_lib, name)
        parts[thing.__module__.split(".")[1]].append(entry(name, thing))
    sections = [f"## {PARTS[part]}\n\n" + "\n\n".join(entries) for part, entries in parts.items() if entries]
    return HEAD + "```{py:currentmodule} pretrain_lib\n```\n\n" + "\n\n".join(sections) + "\n"


def entry(name: str, thing) -> str:
    """A class with its methods, or a function."""
    kind = "class" if inspect.isclass(thing) else "function"
    body = [described(thing)]
    if kind == "class":
        body += [directive("method", method, f"{method}{signature(function)}", described(function), ":::::")
                 for method, function in methods(thing)]
    return directive(kind, name, name + signature(thing), "\n\n".join(body), "::::::")


def methods(thing: type) -> list[tuple[str, object]]:
    """A class's own public methods, those with a docstring."""
    return [(name, function) for name, function in vars(thing).items()
            if inspect.isfunction(function) and not name.startswith("_") and function.__doc__]


def directive(kind: str, name: str, call: str, body: str, fence: str) -> str:
    return f"{fence}{{py:{kind}}} {call}\n\n{body}\n{fence}"


def signature(thing) -> str:
    """Its parameters with their types and defaults, as the source writes them."""
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return "()"
    parts, starred = [], False
    for parameter in parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parts.append(written(parameter))
    return f"({', '.join(parts)})"


def written(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if isinstance(parameter.annotation, str):
        text += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        default = repr(parameter.default)
        text += f" = {default if '<' not in default else '...'}"
    return text


def described(thing) -> str:
    """A docstring of Google's style in Markdown."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if inspect.isclass(thing) else inspect.getdoc(thing) or ""
    first, *rest = HEADINGS.split(text)
    parts = [prose(first)]
    for heading, body in zip(rest[::2], rest[1::2]):
        indented = re.match(r"(?:[ ]+.*\n?|\n)*", body)[0]
        parts += [f"**{heading}**", listed(dedent(indented)), prose(body[len(indented):])]
    return "\n\n".join(part for part in parts if part.strip())


def prose(text: str) -> str:
    """Text as it is, but for signs that Markdown would read; code stays code."""
    pieces = re.split(r"(`[^`\n]+`)", dedent(text).strip())
    return "".join(piece if piece.startswith("`") else escaped(piece) for piece in pieces)


def listed(text: str) -> str:
    """Lines of "name: what it is" as a list, or else the text."""
    items = re.split(r"\n(?=\S)", text.strip())
    if not all(map(ITEM.match, items)):
        return prose(" ".join(text.split()))
    return "\n".join(f"* `{name}`: {prose(' '.join(meaning.split()))}"
                     for name, meaning in (ITEM.match(item).groups() for item in items))
