"""Tables in the forms in which public data sets come: right rows, or a line that says which option to set."""

import logging

import numpy as np
import pytest

from pretrain_lib.data.tables.dialect import Dialect
from pretrain_lib.data.tasks.labelled import load_labelled_text
from pretrain_lib.data.tasks.tagged import load_tagged_text
from pretrain_lib.data.tasks.translation import load_translation
from pretrain_lib.data.text.load import load_text

LABEL_FIRST = Dialect(("label", "text"))


def rows_of(text):
    return [(text.classes[label], sentence) for label, sentence in zip(text.labels, text.sentences, strict=True)]


@pytest.fixture
def load(tmp_path):
    def loaded(name, content, encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return load_labelled_text(path, **options)
    return loaded


def refused(load, *words, **options):
    with pytest.raises(ValueError) as error:
        load(*words, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- Without quotes: film reviews, subjectivity, messages, tweets, acceptability -----------------

REVIEWS = [("0", '" a quote that runs on'), ("1", "a good film"), ("1", 'as she says : " wonderful "'), ("0", '"bad"'),
           ("1", 'he said "no" , and left'), ("0", "it's dull ; '70s kitsch")]


@pytest.mark.parametrize("name", ["MR.tsv", "Subj.tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_tsv_without_quotes_has_all_its_rows(load, caplog, name, end):
    content = end.join(["label\ttext", *map("\t".join, REVIEWS)])
    assert rows_of(load(name, content)) == REVIEWS
    assert "quotes are part of the text; if not so, set --quote" in caplog.text
    assert rows_of(load(name, content, dialect=Dialect(quote="none"))) == REVIEWS


def test_rows_between_two_quotes_are_not_swallowed_but_asked_about(load):
    rows = [("0", '"A quote that runs on'), ("1", "a good film"), ("1", "great"), ("0", "bad"), ("1", 'as she says: wonderful"'),
            *((f"{i % 2}", f"text {i}") for i in range(6))]
    for name, separator in (("x.tsv", "\t"), ("x.csv", ",")):
        content = "\n".join(map(separator.join, [("label", "text"), *rows])) + "\n"
        said = refused(load, name, content)
        assert "line 2" in said and "11 " not in said.split(":")[0]
        assert "--quote none" in said and "--quote '\"'" in said
        assert rows_of(load(name, content, dialect=Dialect(quote="none"))) == rows
        merged = rows_of(load(name, content, dialect=Dialect(quote='"')))
        assert len(merged) == 7 and merged[0][1].endswith("as she says: wonderful")


def test_a_row_with_a_tab_too_many_does_not_let_quotes_swallow_others(load):
    rows = ['0\t"A quote that runs on', "1\ta good\tfilm", "1\tgreat", "0\tbad", '1\tas she says: wonderful"', "0\t\"so", "1\tit", '0\tis"', "1\tfine"]
    said = refused(load, "x.tsv", "label\ttext\n" + "\n".join(rows))
    assert "line 2" in said and "--quote none" in said


def test_reviews_as_they_come_begin_with_a_label_and_a_space(load):
    content = b"1 the rock is destined , '' conan '' \x96 or not\n0 it is , well , dull\n1 \"fine\"\x85\n"
    rows = [("1", "the rock is destined , '' conan '' – or not"), ("0", "it is , well , dull"), ("1", '"fine"…')]
    for name in ("rt-polarity.txt", "MR.tsv", "MR.csv"):
        assert "--encoding cp1252" in refused(load, name, content, dialect=LABEL_FIRST)
        assert "--separator space" in refused(load, name, content, dialect=Dialect(("label", "text"), encoding="cp1252"))
        text = load(name, content, dialect=Dialect(("label", "text"), separator="space", encoding="cp1252"))
        assert rows_of(text) == rows


SMS = [("ham", "Go until jurong point, crazy.. Available only in bugis n great world la e buffet... Cine there got amore wat..."),
       ("ham", "Ok lar... Joking wif u oni..."), ("spam", "FreeMsg: Txt: CALL to No: 86888 & claim! \"3hrs\" talk"),
       ("ham", '"Hello" she said'), ("ham", '"'), ("spam", "£100 'cash' | now; \\ or never")]  # fmt: skip


def test_messages_without_a_header(load, caplog):
    content = "\n".join(map("\t".join, SMS)) + "\n"
    assert rows_of(load("sms.tsv", content, dialect=LABEL_FIRST)) == SMS
    assert rows_of(load("sms.tsv", content, column="2", label="1")) == SMS
    assert "the first line is a row (ham, Go until jurong point, crazy..…)" in caplog.text
    said = refused(load, "sms.tsv", content)
    assert "no column 'text'" in said and "line 1" in said and "--columns" in said and "by number, 1 to 2" in said


def test_a_first_line_that_may_be_names_or_a_row_is_asked_about(load):
    said = refused(load, "sms.tsv", "ham\tOk lar\nspam\tCall now!\n", column="2", label="1")
    assert "line 1: ham, Ok lar may be a row or the names" in said and "--columns" in said
    assert len(load("sms.tsv", "ham\tOk lar\nspam\tCall now!\n", dialect=LABEL_FIRST)) == 2


def test_tweets_with_two_labels_and_no_header(load):
    rows = ['@corinnamilborn Liebe Corinna, wir würden dich gerne als Moderatorin für uns gewinnen! |LBR| "Hallo"\tOTHER\tOTHER',
            '"@Martin28a Sie haben ja auch Recht.\tOTHER\tOTHER', 'Dummheit lässt sich nicht steuern. "so"\tOFFENSE\tINSULT', "'tis\u2028nothing\tOFFENSE\tABUSE"]
    content = "\n".join(rows) + "\n"
    coarse = load("germeval2018.training.txt", content, column="1", label="2")
    assert rows_of(coarse) == [(row.split("\t")[1], row.split("\t")[0]) for row in rows]
    fine = load("germeval.tsv", content, label="fine", dialect=Dialect(("text", "coarse", "fine")))
    assert rows_of(fine) == [(row.split("\t")[2], row.split("\t")[0]) for row in rows]


def test_acceptability_has_four_columns_and_no_header(load):
    rows = [("gj04", "1", "", "Our friends won't buy this analysis, let alone the next one we propose."), ("gj04", "0", "*", '"Who" did he say "left"?'),
            ("bc01", "1", "", '"I know," he said.'), ("l-93", "0", "*", "Fred's knowing the answer")]
    content = "\n".join(map("\t".join, rows)) + "\n"
    for options in ({"column": "4", "label": "2"}, {"dialect": Dialect(("source", "label", "star", "text"))}):
        assert rows_of(load("in_domain_train.tsv", content, **options)) == [(row[1], row[3]) for row in rows]
    assert "--columns" in refused(load, "in_domain_train.tsv", content)


def test_scores_of_pairs_with_a_header_and_stray_quotes(load):
    content = 'index\tsentence1\tlabel\n0\tHe said: "no.\t1\n1\t"Fine" it is\t0\n2\tall " well "\t0\n'
    assert rows_of(load("STS.tsv", content, column="sentence1")) == [("1", 'He said: "no.'), ("0", '"Fine" it is'), ("0", 'all " well "')]


# --- With other quotes and separators -----------------------------------------------------------

GNAD = ("Etat;'Die ARD-Tochterfirma Degeto hat sich verpflichtet, ab August einer Quotenregelung zu folgen; \"gut so\", sagt sie, das ''Haus'' auch.'\n"
        "Wirtschaft;'App sei nicht so angenommen worden wie geplant, sagt er, leider.'\nEtat;Nur kurz, aber gut\n")
GNAD_ROWS = [("Etat", "Die ARD-Tochterfirma Degeto hat sich verpflichtet, ab August einer Quotenregelung zu folgen; \"gut so\", sagt sie, das 'Haus' auch."),
             ("Wirtschaft", "App sei nicht so angenommen worden wie geplant, sagt er, leider."), ("Etat", "Nur kurz, aber gut")]


@pytest.mark.parametrize("options", [{"dialect": LABEL_FIRST}, {"column": "2", "label": "1"}, {"dialect": Dialect(("label", "text"), ";", "'")}])
def test_news_in_single_quotes_between_semicolons(load, options):
    assert rows_of(load("articles.csv", GNAD, **options)) == GNAD_ROWS
    assert rows_of(load("articles.csv", "label;text\n" + GNAD)) == GNAD_ROWS


def test_single_quotes_around_every_text_are_asked_about_where_nothing_needs_them(load):
    said = refused(load, "articles.csv", "Etat;'kurz'\nWeb;'gut'\n", dialect=LABEL_FIRST)
    assert "line 1" in said and "--quote '\"'" in said and "--quote \"'\"" in said


def test_reviews_with_a_label_first_and_marks_of_their_script(load):
    content = '\ufefflabel,review\r\n1,"很快，好吃，味道足，量大"\r\n0,送餐,\r\n'
    assert "take it away" in refused(load, "waimai_10k.csv", content, column="review")
    text = load("waimai_10k.csv", content.replace("送餐,", "“太慢”，不好"), column="review")
    assert rows_of(text) == [("1", "很快，好吃，味道足，量大"), ("0", "“太慢”，不好")]


def test_several_columns_of_labels_are_a_task_each(load):
    content = "문장\t여성/가족\t남성\tclean\n일안하는 시간은 쉬고싶어서\t1\t0\t0\n아동성범죄와 \"페도버\t0\t1\t0\n좋은 댓글\t0\t0\t1\n"
    assert rows_of(load("unsmile_train_v1.0.tsv", content, column="문장", label="clean")) == [
        ("0", "일안하는 시간은 쉬고싶어서"), ("0", '아동성범죄와 "페도버'), ("1", "좋은 댓글")]
    said = refused(load, "unsmile_train_v1.0.tsv", content, column="문장")
    assert "여성/가족, 남성 and clean hold 0 or 1: each is a task of its own" in said
    assert "label must be one column" in refused(load, "unsmile_train_v1.0.tsv", content, column="문장", label=("남성", "clean"))


def test_texts_and_labels_in_two_files(tmp_path):
    texts = ["Sunday afternoon walking through Venice “…” @ Venice", 'Time for some BBQ. "Yum', "Love love\u2028love all\x85these", "", "last one"]
    (tmp_path / "us_train.text").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (tmp_path / "us_train.labels").write_text("12\n19\n0\n0\n12\n", encoding="utf-8")
    text = load_labelled_text(tmp_path / "us_train.text", labels=tmp_path / "us_train.labels")
    assert rows_of(text) == [("12", texts[0]), ("19", texts[1]), ("0", texts[2]), ("12", texts[4])]
    assert text.sources[0] == f"{tmp_path}/us_train.text:1" and text.left_out == [f"{tmp_path}/us_train.text:4"]
    (tmp_path / "us_train.labels").write_text("12\n19\n0\n")
    with pytest.raises(ValueError, match="us_train.text has 5 lines and .*us_train.labels 3: each"):
        load_labelled_text(tmp_path / "us_train.text", labels=tmp_path / "us_train.labels")


# --- Exports ------------------------------------------------------------------------------------

def test_an_index_without_a_name(load):
    content = ',count,class,tweet\n0,3,2,"!!! RT @may: As a woman, you shouldn\'t\nclean, ""ever"""\n1,3,1,fine\n85,6,2,"a, b"\n'
    text = load("labeled_data.csv", content, column="tweet", label="class")
    assert rows_of(text) == [("2", "!!! RT @may: As a woman, you shouldn't\nclean, \"ever\""), ("1", "fine"), ("2", "a, b")]
    bare = content.removeprefix(",").replace("\nclean", " clean")
    assert "begin with a number that has no name" in refused(load, "labeled_data.csv", bare, column="tweet", label="class")


def test_an_export_in_windows_letters_with_three_empty_columns(load):
    content = b'v1,v2,,,\r\nham,"Go until jurong point, crazy..",,,\r\nspam,\xa31.50 to rcv \x96 now,,,\r\nham,"I said, ""go"""," for fear.""","maybe",\r\n'
    said = refused(load, "spam.csv", content, column="v2", label="v1")
    assert f"byte {content.index(0xa3)} is 0xa3" in said and "--encoding cp1252" in said and "iconv -f cp1252" in said and "latin" not in said
    text = load("spam.csv", content, column="v2", label="v1", dialect=Dialect(encoding="cp1252"))
    assert rows_of(text) == [("ham", "Go until jurong point, crazy.."), ("spam", "£1.50 to rcv – now"), ("ham", 'I said, "go"')]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_spreadsheets_unicode_text(load, encoding):
    content = "text\tlabel\r\nschön\t1\r\n\"zwei\r\nZeilen\"\t0\r\n"
    dialect = Dialect(encoding=encoding if encoding[-1] == "e" else "")
    assert rows_of(load("a.tsv", content, encoding, dialect=dialect)) == [("1", "schön"), ("0", "zwei\r\nZeilen")]


def test_backslashes_before_quotes(load, caplog):
    content = 'text,label\n"He said \\"no\\", twice",1\n"C:\\\\new",0\n'
    assert rows_of(load("dump.csv", content)) == [("1", 'He said "no", twice'), ("0", "C:\\new")]
    assert 'fields may be in quotes (\\"); if not so, set --quote' in caplog.text


@pytest.mark.parametrize("content, advice, dialect", [
    ("text,label\ngood,1,\nbad,0,\n", "line 2: 3 fields, but 2 columns; the line ends in a separator too many", Dialect()),
    ("text,label\n'fine, good',1\n'it's, well',0\n", "line 3: not CSV: ',' expected after", Dialect()),
    ("text,label\n'fine, good',1\n", "where fields are in quotes ('), set --quote \"'\"", Dialect(quote='"')),
    ('text,label\n"fine, good",1\n', "where fields are in quotes (\"), set --quote '\"'", Dialect(quote="none")),
    ('text,label\n"say \\"x\\", y",1\n"open,2\n', "line 3: not CSV: unexpected end of data, as --quote '\\\"' reads it", Dialect()),
    ('text,label\n"say \\"x\\", y",1\n', "set --quote '\\\"'", Dialect(quote='"')),
    ("fine, well;1\nbad;2\n", "where a semicolon stands between fields, set --separator ';'", Dialect(("text", "label"), ",")),
    ("text;label\nfine;1\n", "its columns are text;label; if this line is a row", Dialect(separator=",")),
    ("text,label\nfine, well,1\n", "put double quotes around a field that holds ','", Dialect()),
])  # fmt: skip
def test_each_way_to_be_wrong_has_its_own_advice(load, content, advice, dialect):
    assert advice in refused(load, "a.csv", content, dialect=dialect)


# --- JSON lines ---------------------------------------------------------------------------------

def test_a_key_that_a_row_lacks_leaves_the_row_out(load, tmp_path, caplog):
    text = load("z.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n{"text": "not labelled yet"}\n{"label": "x"}\n{"text": "d", "label": null}\n')
    assert rows_of(text) == [("x", "a"), ("y", "b")]
    assert text.left_out == [f"{tmp_path}/z.jsonl:{line}" for line in (3, 4, 5)] and "3 of 5 rows left out" in caplog.text
    said = refused(load, "z.jsonl", '\n{"text": "a"}\n{"text": "b", "id": 1}\n')
    assert "no column 'label'; its columns are text, id" in said and "z.jsonl, line 2, has" in said


def test_questions_with_answers_in_json_lines(load, tmp_path):
    content = '{"question": "Natalia sold 48\\nclips?", "answer": {"text": "48/2 = <<48/2=24>>24\\n#### 72", "kind": "sum"}}\n'
    content += '{"question": "Weng earns?", "answer": {"text": "12/60", "kind": "share"}}\n'
    assert rows_of(load("gsm8k.jsonl", content, column="answer.text", label="answer.kind")) == [("sum", "48/2 = <<48/2=24>>24\n#### 72"), ("share", "12/60")]
    assert [d.text for d in load_text(tmp_path / "gsm8k.jsonl", column="answer.text")] == ["48/2 = <<48/2=24>>24\n#### 72", "12/60"]
    assert "no column 'answer.txt'" in refused(load, "gsm8k.jsonl", content, column="answer.txt", label="answer.kind")


def test_programs_in_compressed_json_lines(tmp_path):
    import gzip
    content = b'{"task_id": "HumanEval/0", "prompt": "def f(x):\\n    \\"\\"\\"Doc\\u2028.\\"\\"\\"\\n"}\n'
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(content + b'{"task_id": "HumanEval/1", "prompt": "\\tpass"}\n'))
    found = list(load_text(tmp_path / "HumanEval.jsonl.gz", column="prompt"))
    assert [d.text for d in found] == ['def f(x):\n    """Doc\u2028."""\n', "\tpass"] and found[0].labels == {"task_id": "HumanEval/0"}


def test_options_that_mean_nothing_for_a_format_are_refused(load):
    for field, value in (("columns", ("a",)), ("separator", ";"), ("quote", "none")):
        assert f"{field} is for files of .csv and .tsv" in refused(load, "a.jsonl", '{"text": "a", "label": 1}\n', dialect=Dialect(**{field: value}))


@pytest.mark.parametrize("read, name", [(load_labelled_text, "era"), (load_text, "sotu"), (load_translation, "fr-FR"), (load_tagged_text, "countries"),
                                        (load_labelled_text, "hub:a/b"), (load_text, "hub:a/b"), (load_translation, "hub:a/b"),
                                        (load_tagged_text, "hub:a/b")])  # fmt: skip
def test_what_is_no_file_has_no_dialect(read, name):
    with pytest.raises(ValueError, match=f"encoding is for files, and '{name}' is none"):
        read(name, dialect=Dialect(encoding="cp1252"))
    with pytest.raises(ValueError, match="labels is for a file of texts, and 'era' has its own"):
        load_labelled_text("era", labels="a.txt")


def test_lines_have_no_columns(tmp_path):
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(ValueError, match="separator is for files of .csv and .tsv"):
        list(load_text(tmp_path / "a.txt", dialect=Dialect(separator=";")))
    with pytest.raises(ValueError, match="columns is for files of .csv and .tsv"):
        load_labelled_text(tmp_path / "a.txt", labels=tmp_path / "a.txt", dialect=LABEL_FIRST)


def test_a_header_is_not_made_a_row(load):
    assert "line 1: its columns name themselves: leave out --columns" in refused(load, "a.csv", "label,text\n1,a\n0,b\n", dialect=LABEL_FIRST)


# --- Names of classes, and what a dialect may be -------------------------------------------------

def test_a_class_in_two_unicode_forms_is_one(load):
    text = load("a.csv", "text,label\na,caf\u00e9\nb,cafe\u0301\nc,bar\n")
    assert text.classes == ["bar", "caf\u00e9"] and np.bincount(text.labels).tolist() == [1, 2]


@pytest.mark.parametrize("field, value, allowed", [
    ("columns", ("a", "a"), "different names"), ("separator", "ab", "one character, or tab or space"), ("separator", '"', "one character"),
    ("quote", "`", "one of \""), ("encoding", "utf-9", "one that Python knows"), ("encoding", "base64", "one that Python knows"),
])  # fmt: skip
def test_a_wrong_dialect_is_named(field, value, allowed):
    with pytest.raises(ValueError, match=f"{field} must be {allowed}"):
        Dialect(**{field: value})


def test_a_plain_table_is_not_spoken_of_and_a_guess_is_told_once(load, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    load("a.csv", 'text,label\n"a, b",1\nit\'s,0\n')
    load("b.tsv", "text\tlabel\na, b\t1\nit's\t0\n")
    assert not caplog.records
    (tmp_path / "c.csv").write_text("text;label\na, b;1\n")
    corpus = load_text(tmp_path / "c.csv")
    assert len(list(corpus)) == len(list(corpus)) == 1 and len(caplog.records) == 1
    assert caplog.messages == [f"{tmp_path}/c.csv: there is a semicolon between fields; if not so, set --separator"]
