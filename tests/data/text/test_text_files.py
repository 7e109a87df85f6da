"""Files of one's own: every format gives the same documents, and what is refused says why."""

import csv
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain_lib.data.tables.readings import numbered
from pretrain_lib.data.text import files as module
from pretrain_lib.data.text.load import load_text

ROWS = [
    {"text": 'One, "two",\nthree.', "era": "old"},
    {"text": "Zwölf Boxkämpfer 🥊", "era": "new"},
    {"text": "x" * 200_000, "era": "long"},
]


def write(path, rows):
    """Writes rows with the standard library or pyarrow, by the path's suffix."""
    import pyarrow
    from pyarrow import parquet

    kind = path.name.removesuffix(".gz").rsplit(".")[-1]
    plain = path.with_name(path.name.removesuffix(".gz"))
    if kind == "jsonl":
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        plain.write_text(lines, encoding="utf-8")
    elif kind == "csv":
        with plain.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), plain)
    if path != plain:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_are_documents_and_short_columns_labels(tmp_path, kind, ending):
    path = write(tmp_path / f"reviews.{kind}{ending}", ROWS)
    corpus = load_text(path)
    documents = list(corpus)
    assert [d.text for d in documents] == [row["text"] for row in ROWS]
    assert [d.labels for d in documents] == [{"era": row["era"]} for row in ROWS]
    first = 2 if kind == "csv" else 1  # the header is line 1; the first row takes two lines
    second = {"csv": 4, "jsonl": 2, "parquet": 2}[kind]
    assert [d.source for d in documents][:2] == [f"{path}:{first}", f"{path}:{second}"]
    assert list(corpus) == documents


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_text_file_is_one_document(tmp_path, ending):
    for name, content in (("b", "Second.\n\nPart two.\n"), ("a", "\ufeffFirst.\r\nLine.")):
        path = tmp_path / f"{name}.txt{ending}"
        path.write_bytes((gzip.compress if ending else bytes)(content.encode()))
    documents = list(load_text(f"{tmp_path}/*.txt{ending}"))
    assert [d.text for d in documents] == ["First.\r\nLine.", "Second.\n\nPart two.\n"]
    assert [d.source for d in documents] == [f"{tmp_path}/{n}.txt{ending}" for n in "ab"]


def test_patterns_reach_into_folders(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.txt").write_text("Deep.")
    (tmp_path / "b.txt").write_text("Flat.")
    assert {d.text for d in load_text(f"{tmp_path}/**/*.txt")} == {"Deep.", "Flat."}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="ab\n", max_size=20)), st.integers(1, 10))
def test_a_long_text_file_is_cut_and_nothing_is_lost(tmp_path, pieces, part):
    content = "\n".join(pieces)
    path = tmp_path / "long.txt"
    path.write_text(content)
    original, module.PART = module.PART, part
    try:
        documents = list(module.read_txt(path))
    finally:
        module.PART = original
    assert "".join(d.text for d in documents) == content
    assert len({d.source for d in documents}) == len(documents)
    for document in documents[:-1]:
        last = document.text.splitlines()[-1]
        assert len(document.text) >= (2 * part if last.strip() else part)
    longest_line = max(map(len, content.splitlines(keepends=True)), default=0)
    assert max(len(d.text) for d in documents) < 2 * part + longest_line or not content


# --- Tables of strangers --------------------------------------------------------------------


@pytest.mark.parametrize("separator", ",;\t|")
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separator_encoding_and_line_ends_are_found_out(tmp_path, separator, ending, encoding):
    path = tmp_path / ("reviews.tsv" if separator == "\t" else "reviews.csv")
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(
            file, [*ROWS[0], "a,b,c,d;e;f;g|h|i|j"], delimiter=separator, lineterminator=ending
        )
        table.writeheader()
        table.writerows(row | {"a,b,c,d;e;f;g|h|i|j": "1;2,3"} for row in ROWS)
    documents = list(load_text(path))
    assert [d.text for d in documents] == [row["text"] for row in ROWS]
    assert [d.labels for d in documents] == [
        {"era": row["era"], "a,b,c,d;e;f;g|h|i|j": "1;2,3"} for row in ROWS
    ]


@pytest.mark.parametrize("name", ["utf-16le", "utf-16be"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_utf_16_without_a_mark_is_named_with_the_way_out(tmp_path, name, ending):
    path = tmp_path / f"reviews.csv{ending}"
    content = "text,stars\ngood,5\n".encode(name)
    path.write_bytes(gzip.compress(content) if ending else content)
    said = refused(path)
    assert "looks like UTF-16 without its byte order mark" in said
    assert f"convert it, for example with iconv -f {name} -t utf-8" in said


def test_what_only_begins_like_utf_16_is_refused(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"\xff\xfea\x00\x00\xd8b\x00\n")
    assert f"{path} begins like UTF-16 and is not" in refused(path)


def test_columns_of_one_name_are_numbered(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("text, stars ,stars\nFine.,1,2\n")
    assert list(load_text(path))[0].labels == {"stars (1)": "1", "stars (2)": "2"}
    assert "its columns are text, stars (1), stars (2)" in refused(path, column="stars")


def test_a_number_makes_no_name_that_another_column_has():
    assert numbered("text,text,text (1)".split(",")) == ["text (2)", "text (3)", "text (1)"]


def test_lines_that_end_as_on_old_macs_are_lines(tmp_path):
    path = tmp_path / "mac.csv"
    path.write_bytes(b'text,stars\r"two\rlines\nor three",1\rFine.,2\r')
    documents = list(load_text(path))
    assert [d.text for d in documents] == ["two\rlines\nor three", "Fine."]
    assert [d.labels["stars"] for d in documents] == ["1", "2"]
    path.write_bytes(b'text,stars\n"two\rlines",1\n')
    assert [d.text for d in load_text(path)] == ["two\rlines"]


@pytest.mark.parametrize("blank", ["\n", "\r\n", " \t\n\n", "\ufeff\n"])
def test_blank_lines_before_the_header_are_skipped_and_counted(tmp_path, blank):
    path = tmp_path / "a.csv"
    path.write_bytes(f'{blank}text;stars\n"Two\nlines.";1\nFine.;2\n'.encode())
    header = blank.count("\n") + 1
    assert [d.source for d in load_text(path)] == [f"{path}:{header + 1}", f"{path}:{header + 3}"]
    path.write_bytes(f"{blank}text;stars\nFine.;2;3\n".encode())
    assert f"line {header + 1}: 3 fields, but 2 columns" in refused(path)


def test_a_quote_that_is_never_closed_is_named_where_its_row_begins(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,stars\n"Two\nlines.",1\nWell,2\n"Open,3\n' + "Fine.,1\n" * 9)
    said = refused(path)
    assert f"{path}, line 5: not CSV" in said and "must end with one" in said
    path.write_text('"text,stars\n' + "Fine.,1\n" * 9)
    assert f"{path}, line 1: not CSV" in refused(path)


def test_a_field_with_an_unquoted_separator_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text;stars\nfine; good;1\n")
    assert (
        "line 2: 3 fields, but 2 columns; put double quotes around a field that holds ';'"
        in refused(path)
    )


# --- What is refused ------------------------------------------------------------------------


def refused(path, kind=ValueError, **options):
    with pytest.raises(kind) as error:
        list(load_text(path, **options))
    return str(error.value)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_wrong_encoding_names_file_and_byte(tmp_path, ending):
    content = b"fine \xc3\xa9\n" * 3 + "caf\xe9\n".encode("latin1")
    path = tmp_path / f"old.txt{ending}"
    path.write_bytes(gzip.compress(content) if ending else content)
    said = refused(path)
    assert str(path) in said and f"byte {content.index(bytes([0xE9, 10]))} is 0xe9" in said
    assert "UTF-8" in said


def test_a_binary_file_names_file_and_byte(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(b"PNG\n\x01\x00\xff")
    assert f"{path} is not text but binary: byte 5 is 0x00" in refused(path)


@pytest.mark.parametrize("content", ["", "  \n\n\t"])
def test_an_empty_text_is_refused(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_text(content)
    assert "is empty: none of its documents holds a word" in refused(path)


def test_one_empty_document_among_others_is_kept(tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("Words.")
    assert [d.text for d in load_text(f"{tmp_path}/*.txt")] == ["", "Words."]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_missing_column_names_those_that_exist(tmp_path, kind):
    path = write(tmp_path / f"reviews.{kind}", ROWS)
    assert refused(path, column="body").endswith("no column 'body'; its columns are text, era")
    assert [d.labels for d in load_text(path, column="era")][:1] == [{"text": ROWS[0]["text"]}]


@pytest.mark.parametrize("asked, offered", [("Text", "text"), ("txet", "text"), ("ERA ", "era")])
def test_the_nearest_column_is_offered(tmp_path, asked, offered):
    path = write(tmp_path / "reviews.csv", ROWS)
    assert f"no column {asked!r}; did you mean {offered!r}? its columns are" in refused(
        path, column=asked
    )


def test_of_many_columns_an_error_lists_some(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(99)) + "\n" + "x," * 98 + "x\n")
    assert refused(path, column="zzz").endswith("c28, c29 and 69 more")


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', "line 3: not JSON"),
        ("a.jsonl", b'"text"\n', "line 1: must be an object"),
        ("a.jsonl", b'{"text": 5}\n', "row 1: column 'text' must hold text, got int"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "cut \\ud83d"}\n', r"line 2: '\ud83d' is half of a"),
        ("a.jsonl", b'{"text": "x", "\\ude00": 1}\n', r"line 1: '\ude00' is half of a character"),
        ("a.jsonl", b'\n{"text": ' + b"9" * 5000 + b"}\n", "line 2: holds a number of more than"),
        ("a.jsonl", b'\n{"text": ' + b"[" * 200_000 + b"\n", "line 2: its brackets nest too deep"),
        ("a.csv", b"text,era\nx,y\nx,y,z\n", "line 3: 3 fields, but 2 columns"),
        ("a.csv", b'text,era\n"x" y, z,w\n', "line 2: not CSV"),
        ("a.csv", b"text,era\n", "is empty"),
        ("a.parquet", b"PAR1 nonsense", "cannot be read as Parquet"),
        ("a.txt.gz", b"no gzip", "is no intact .gz file"),
        ("a.txt.gz", gzip.compress(b"some words" * 99, mtime=0)[:-12], "is no intact .gz file"),
        ("a.parquet.gz", b"no gzip", "is no intact .gz file"),
        ("a.parquet.gz", gzip.compress(b"no Parquet", mtime=0), "cannot be read as Parquet"),
        (
            "a.docx",
            b"words",
            "must end in .txt, .jsonl, .csv, .tsv, .parquet, or one of these and .gz",
        ),
    ],
)
def test_damaged_and_unknown_files_are_refused(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    refusal = refused(path)
    assert str(path) in refusal and said in refusal


def test_a_pair_of_surrogates_is_one_character_and_a_backslash_is_a_backslash(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\ud83d\\ude00"}\n{"text": "\\\\ud83d"}\n')
    assert [d.text for d in load_text(path)] == ["😀", "\\ud83d"]


@pytest.mark.parametrize("damage", ["cut off", "a byte within", "the checksum"])
def test_a_damaged_parquet_gz_names_the_file(tmp_path, damage):
    path = write(tmp_path / "a.parquet.gz", [{"text": f"{i}" * 99} for i in range(900)])
    content = bytearray(path.read_bytes())
    if damage == "cut off":
        content = content[: len(content) // 2]
    elif damage == "a byte within":
        content[10] = 0b111  # a block of a kind that does not exist
    else:
        content[-8] ^= 1
    path.write_bytes(content)
    assert f"{path} is no intact .gz file" in refused(path)


def test_text_of_parquet_that_is_no_utf_8_names_the_file(tmp_path):
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.array([b"caf\xe9"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": text}), tmp_path / "a.parquet")
    assert f"{tmp_path / 'a.parquet'} cannot be read as Parquet" in refused(tmp_path / "a.parquet")


def test_missing_files_and_folders_are_refused(tmp_path):
    assert "no file matches" in refused(tmp_path / "none.txt", FileNotFoundError)
    assert "no file matches" in refused(f"{tmp_path}/*.txt", FileNotFoundError)
    assert f"is a folder: name its files, such as '{tmp_path}/*.txt'" in refused(tmp_path)
