"""Tables written in every way are read as they were written, or refused with the option that helps."""

import logging
import random
import re

import pytest

from pretrain_lib.data.tables.dialect import Dialect
from pretrain_lib.data.tables.rows import read_rows

PIECES = ["a", "fine", "Grüße", "é", "'", "''", '"', '""', "it's", ",", ";", "|", "\t", " ", "  ", "0", "1", "\\", '\\"', "\\n",
           "\n", "\r\n", "\n\n", "\x85", ".", "#", "="]
WIDE = ["\u2028", "\u2029", "\ufeff", "क", "中文", "🥊", "e\u0301", "“", "—"]
WINDOWS = ["“", "—", "…", "€"]
NAMES = ["text", "label", "id", "stars (1)", "größe", "a b", "7", "Unnamed: 0", "a,b", 'the "x"', "it's"]
TABLES = 5000
HARD = (27120, 38339, 85173, 104939)  # seeds: commas and a tab in quotes; a backslash in single quotes


def field(chance, pieces, clean):
    kind = chance.random()
    if kind < 0.15:
        return ""
    if kind < 0.3:
        return chance.choice(["0", "1", "yes", "no", "-3.5"])
    if kind < 0.4:
        return '"' + chance.choice(["so it is", "well, no", "ah"]) + '"' * (kind < 0.37)
    text = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 9)))
    return clean(text)


def written(value, separator, quote, always):
    """A field as a program writes it that knows no `csv` module."""
    if quote == "none":
        return value
    sign = quote[-1]
    if not (always or any(mark in value for mark in (separator, sign, "\n", "\r", *quote[:-1])) or value == ""):
        return value
    inside = value.replace("\\", "\\\\").replace(sign, quote) if len(quote) == 2 else value.replace(sign, sign * 2)
    return f"{sign}{inside}{sign}"


def made(seed):
    """A table: its bytes, suffix, way of writing, names, whether they stand in it, and its rows."""
    chance = random.Random(seed)
    separator = chance.choice(",;\t|")
    quote = chance.choice(['"', '"', "none", "none", "'", '\\"', "\\'"])
    encoding = chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
    end = chance.choice(["\n", "\r\n"])
    width = chance.randrange(1, 5)
    suffix = chance.choice([".csv", ".tsv"])
    pieces = PIECES + {"cp1252": WINDOWS, "latin-1": []}.get(encoding, WIDE)
    if chance.random() < 0.5:  # most files have words rather than marks
        pieces = pieces + ["word ", "good ", "the "] * 15

    def clean(text):
        if quote == "none":
            text = re.sub(f"[\r\n{re.escape(separator)}]", "", text)
        if len(quote) == 2 and separator == "\\":
            text = ""
        return text.encode(encoding, "ignore").decode(encoding) if encoding in ("cp1252", "latin-1") else text

    names = [clean(name) for name in chance.sample(NAMES[: -3 if width == 1 else None], width)]  # of one column with a comma, nothing tells
    rows = [[field(chance, pieces, clean) for _ in names] for _ in range(chance.randrange(1, 12))]
    if quote == "none":
        rows = [[clean(value) for value in row] for row in rows]
        if width == 1:
            rows = [[value or "x"] for value, in rows]
    header = chance.random() < 0.6
    if not header:  # no mark that begins a file, and no blank line
        rows[0][0] = "x" + rows[0][0]
    always = chance.random() < 0.3
    table = [names, *rows] if header else rows
    text = end.join(separator.join(written(value, separator, quote, always) for value in row) for row in table)
    text += end if chance.random() < 0.8 else ""
    return text.encode(encoding), suffix, (separator, quote, encoding), names, header, rows


def values(path, names, dialect):
    return [[row[name] for name in names] for _, row in read_rows(path, names, dialect)]


@pytest.mark.slow
def test_what_is_written_is_read_where_the_dialect_is_given(tmp_path):
    for seed in range(TABLES):
        content, suffix, way, names, header, rows = made(seed)
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(content)
        dialect = Dialect(() if header else names, *way)
        assert values(path, names, dialect) == rows, (seed, content)
        path.unlink()


@pytest.mark.slow
def test_what_is_guessed_is_right_or_told_or_refused_with_the_option(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    outcomes = {"right": 0, "told": 0, "refused": 0}
    for seed in [*range(TABLES), *HARD]:
        content, suffix, way, names, header, rows = made(seed)
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(content)
        by_number = not header and seed % 2
        wanted = [str(i + 1) for i in range(len(names))] if by_number else names
        caplog.clear()
        try:
            found = values(path, wanted, Dialect(() if header or by_number else names))
        except ValueError as error:
            said = str(error)
            assert str(path) in said and re.search(r"\bline \d+|\bbyte \d+", said) and "--" in said, (seed, content, said)
            outcomes["refused"] += 1
            continue
        if found == rows:
            outcomes["right"] += 1
            continue
        assert str(path) in caplog.text and "set --" in caplog.text, (seed, content, found, rows)
        outcomes["told"] += 1
        path.unlink()
    assert outcomes["right"] > 0.4 * TABLES and outcomes["told"] < 0.1 * TABLES, outcomes


def read_tsv(tmp_path, content, names=("text", "label"), dialect=Dialect(("text", "label"))):
    (tmp_path / "x.tsv").write_text(content)
    return values(tmp_path / "x.tsv", names, dialect)


@pytest.mark.parametrize("content", ['good ,"a\tfilm"\n', '"a\tfilm";good\n"so\tso";bad\n', "good|'a\tfilm'\n"])
@pytest.mark.parametrize("by", [{"names": ("1", "2"), "dialect": Dialect()}, {}])
def test_a_tsv_with_tabs_within_quotes_is_refused_with_both_separators(tmp_path, content, by):
    separator = re.search("[,;|]", content)[0]
    with pytest.raises(ValueError, match=rf"two ways.* line 1 on.*--separator tab or --separator '{re.escape(separator)}'"):
        read_tsv(tmp_path, content, **by)


@pytest.mark.parametrize(("content", "rows"), [
    ("good, really\t1\n", [["good, really", "1"]]),
    ("Paris\t48,9\nRome\t41,9\n", [["Paris", "48,9"], ["Rome", "41,9"]]),
    ('so "good"\t3,5\n', [['so "good"', "3,5"]]),
])
def test_a_tsv_with_a_comma_in_every_row_is_read_by_its_tabs_and_told(tmp_path, caplog, content, rows):
    assert read_tsv(tmp_path, content) == rows
    assert re.search("x.tsv: there is a tab between fields.*; if not so, set --separator", caplog.text)


@pytest.mark.parametrize("content", ["good, really\t1\nbad\t0\n", "good, really\t1\nbad, too, and long\t0\n",
                                     "text\tlabel\ngood, really\t1\nbad, too\t0\n"])
def test_a_tsv_that_commas_do_not_split_evenly_is_read_without_a_word(tmp_path, caplog, content):
    header = content.startswith("text")
    rows = [line.split("\t") for line in content.splitlines()][header:]
    assert read_tsv(tmp_path, content, dialect=Dialect(() if header else ("text", "label"))) == rows
    assert not caplog.messages


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_backslash_within_single_quotes_is_read_or_refused_with_both_signs(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    mark = {".csv": ",", ".tsv": "\t"}[suffix]
    path.write_text(mark.join(["'text'", "'label'"]) + "\n" + mark.join([r"'it\'s good'", "'1'"]) + "\n")
    assert values(path, ["text", "label"], Dialect()) == [["it's good", "1"]]
    path.write_text(mark.join(["'text'", "'label'"]) + "\n" + mark.join([r"'C:\\new'", "'1'"]) + "\n")
    with pytest.raises(ValueError, match=r"two ways.*line 2 on.*--quote \"'\" or --quote \"\\'\""):
        values(path, ["text", "label"], Dialect())
