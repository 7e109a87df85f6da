"""The command `finetune`: what it writes, and what it says where it cannot."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.programs import finetune as finetune_program, finetune_report
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.tasks.labelled import LabelledText
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.data.splits import stratified_sample
from pretrain_lib.programs.finetune import FinetuneConfig, carry_out, finetune, parted, sample
from pretrain_lib.transfer.features import logits

TOPICS = {"money": "gold silver coin bank tax", "war": "army soldier fort enemy peace"}
TOKENIZER = train_tokenizer(TOPICS.values(), 150)
QUICK = FinetuneConfig(length=16, trials=1, batch_size=8)


def write_csv(path, rows, columns=("text", "label")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


def topics(n=60):
    generator = np.random.default_rng(0)
    names = [list(TOPICS)[i % 2] for i in range(n)]
    return [(" ".join(generator.choice(TOPICS[name].split(), 5)), name) for name in names]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "tiny"
    config = pl.ModernBertConfig(vocab_size=150, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=32)  # fmt: skip
    pl.save_pretrained(pl.ModernBertForMaskedLM(config), folder, TOKENIZER)
    return str(folder)


@pytest.fixture(scope="module")
def done(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = write_csv(folder / "topics.csv", topics())
    out = folder / "out"
    words = [model, "--data", data, "--folder", str(out), "--length", "16", "--trials", "2"]
    finetune([*words, "--batch-size", "8"])
    return out, json.loads((out / "report.json").read_text())


def test_the_report_tells_what_was_learned_and_beside_what(done):
    folder, report = done
    assert report["scores"].keys() == {"fine-tuned", "TF-IDF", "majority class"}
    assert report["scores"]["fine-tuned"]["accuracy"] > 0.9
    assert report["tfidf"]["terms"] in ("words", "characters")
    assert report["unknown"] == 0
    assert report["scores"]["majority class"]["accuracy"] == pytest.approx(0.5)
    assert (report["training_texts"], report["test_texts"]) == (48, 12)
    matrix = torch.tensor(report["confusion_matrix"])
    assert matrix.sum() == 12
    assert matrix.diagonal().sum().item() / 12 == pytest.approx(
        report["scores"]["fine-tuned"]["accuracy"]
    )
    page = (folder / "report.md").read_text()
    for name, scores in report["scores"].items():
        assert f"| {name} | {scores['accuracy']:.3f} | {scores['macro_f1']:.3f} |" in page


def test_the_classifier_is_saved_with_its_tokenizer_and_the_names_of_the_classes(done):
    folder, report = done
    classifier = pl.load_pretrained(folder)
    assert type(classifier) is pl.ModernBertForSequenceClassification
    assert classifier.label_names == ["money", "war"]
    texts = encode_texts(list(TOPICS.values()), pl.load_tokenizer(folder / "model"), 16)
    assert logits(classifier, texts).argmax(1).tolist() == [0, 1]


def test_the_same_again_gives_the_same(model, done, tmp_path):
    _, report = done
    config = FinetuneConfig(model, report["data"], length=16, trials=2, batch_size=8)
    again = carry_out(config, tmp_path)
    assert again["scores"] == report["scores"] and again["curve"] == report["curve"]


ROWS = topics(12)


@pytest.mark.parametrize("rows, columns, options, message", [
    (ROWS, ("sentence", "label"), {}, "has no column 'text'; its columns are sentence, label"),
    (ROWS, ("text", "class"), {}, "has no column 'label'; its columns are text, class"),
    ([(t, "war") for t, _ in ROWS], ("text", "label"), {}, "only the class 'war'"),
    ([*ROWS, ("the one", "roads")], ("text", "label"), {},
     "has 1 text of class 'roads', and needs at least 3"),
    ([(t, i) for i, (t, _) in enumerate(ROWS * 20)], ("text", "label"), {},
     "has 240 different values in 'label', such as '0' and '1'"),
    (ROWS, ("text", "Label"), {}, "no column 'label'; did you mean 'Label'?"),
    ([*ROWS, *[("the one", "roads")] * 9, ("another", "roads")], ("text", "label"), {},
     "has 2 different texts of class 'roads', and needs at least 3"),
    ([], ("text", "label"), {}, "holds no labelled"),
    (ROWS, ("text", "label"), {"length": 64}, "length must be at most 32"),
])  # fmt: skip
def test_data_that_cannot_be_learned_from_is_named(
    model, tmp_path, rows, columns, options, message
):
    data = write_csv(tmp_path / "rows.csv", rows, columns)
    with pytest.raises(ValueError, match=re.escape(message)):
        carry_out(replace(QUICK, model=model, data=data, **options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_column_without_classes_and_one_text_of_many_classes_are_told_apart(model, tmp_path):
    floats = write_csv(tmp_path / "floats.csv", [(t, i / 7) for i, (t, _) in enumerate(topics(30))])
    with pytest.raises(ValueError, match="most of the 30 values in 'label' .* no column of classes"):
        carry_out(replace(QUICK, model=model, data=floats), tmp_path / "out")
    rows = [*ROWS, *ROWS, *[(text, "both") for text, _ in ROWS[:5]]]
    data = write_csv(tmp_path / "both.csv", rows)
    with pytest.raises(ValueError, match="class 'both'.* counts for its commonest"):
        carry_out(replace(QUICK, model=model, data=data), tmp_path / "out")


def test_a_folder_that_cannot_be_used_is_named_before_anything_is_trained(model, done, tmp_path, monkeypatch):
    data = done[1]["data"]
    monkeypatch.setattr(finetune_program, "choose_setting", None)  # training would call it
    config = replace(QUICK, model=model, data=data)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file cannot be written to .*another --folder"):
        carry_out(config, tmp_path / "file")
    (tmp_path / "used" / "model").mkdir(parents=True)
    (tmp_path / "used" / "model" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="not a saved model"):
        carry_out(config, tmp_path / "used")
    run = tmp_path / "run"
    pl.save_pretrained(pl.load_pretrained(model), run / "model", pl.load_tokenizer(model))
    with pytest.raises(ValueError, match="take the place of"):
        carry_out(replace(config, model=str(run)), run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").write_text('{"data": "b/rows.csv", "label": "label"}')
    with pytest.raises(ValueError, match="holds what data 'b/rows.csv' gave"):
        carry_out(config, tmp_path / "other")


def test_names_of_classes_are_drawn_as_they_are(tmp_path):
    names = [r"$\frac$", "$5-$10", "a^$"]
    report = {"curve": {"labels": [9], **{name: [0.5] for name in finetune_report.COLOURS}},
              "confusion_matrix": [[1, 0, 0]] * 3, "classes": names}
    finetune_report.draw_report(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 1000


def test_of_few_texts_no_lead_is_told():
    few, many = 19, 20
    for number, told in ((few, False), (many, True)):
        labels = torch.arange(number) % 2
        answers = {"fine-tuned": labels, "TF-IDF": 1 - labels, "majority class": 0 * labels}
        found = finetune_program.compare(answers, labels, list(map(str, range(number))), 2)
        assert (found["lead_over_tfidf"] is not None) == told


@pytest.mark.parametrize("field, value, message", [
    ("trials", 0, "trials must be an integer of at least 1, got 0"),
    ("trials", 6, "trials must be at most 5, got 6"),
    ("length", 2, "length must be an integer of at least 3, got 2"),
    ("curve", 0, "curve must be an integer of at least 1, got 0"),
    ("epochs", 0, "epochs must be an integer of at least 1, got 0"),
])  # fmt: skip
def test_options_out_of_range_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig(**{field: value})


def test_an_unknown_model_and_one_that_reads_no_text_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="neither a folder 'no-such-model' nor such a model"
    ):
        carry_out(replace(QUICK, model="no-such-model"), tmp_path / "out")
    pl.save_pretrained(pl.Autoencoder(pl.AutoencoderConfig()), tmp_path / "images")
    with pytest.raises(ValueError, match="holds Autoencoder, which reads no text"):
        carry_out(replace(QUICK, model=str(tmp_path / "images")), tmp_path / "out")


def test_without_a_word_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit):
        finetune([])
    assert (
        "finetune [MODEL] --data reviews.csv --text review --label stars" in capsys.readouterr().out
    )


@pytest.mark.parametrize("words, model", [
    ([], "modernbert-mini-sotu"), (["mine"], "mine"), (["mine", "--model", "other"], "other"),
    (["--model", "other"], "other"),
])  # fmt: skip
def test_the_model_is_the_first_word_or_an_option_or_the_zoos(monkeypatch, words, model):
    asked = []
    monkeypatch.setattr(
        finetune_program, "carry_out", lambda config, folder: asked.append((config, folder))
    )
    monkeypatch.setattr(finetune_program, "as_markdown", lambda report: "")
    at = 1 if words[:1] == ["mine"] else 0
    finetune(
        [
            *words[:at],
            "--data",
            "a/reviews.csv",
            "--text",
            "review",
            "--label",
            "stars",
            *words[at:],
        ]
    )
    config, folder = asked[0]
    assert config == FinetuneConfig(model, "a/reviews.csv", "review", "stars")
    assert folder.as_posix() == f"runs/finetune-reviews.csv-{model}"


def test_the_curve_ends_at_the_score_with_all_labels_and_beats_guessing(done):
    folder, report = done
    curve = report["curve"]
    assert curve["labels"] == [16, 48]
    for name, score in report["scores"].items():
        assert len(curve[name]) == 2 and curve[name][-1] == score["accuracy"]
    assert curve["majority class"][0] == curve["majority class"][1]
    page = (folder / "report.md").read_text()
    for row, number in enumerate(curve["labels"]):
        assert (
            f"| {number} | " + " | ".join(f"{curve[name][row]:.3f}" for name in report["scores"])
            in page
        )


def test_the_picture_is_a_picture(done):
    from PIL import Image

    picture = np.asarray(Image.open(done[0] / "report.png").convert("L"))
    assert picture.shape == (440, 1100) and picture.std() > 10
    assert "](report.png)" in (done[0] / "report.md").read_text()


def test_a_strangers_table_works_and_the_gaps_are_told(model, tmp_path):
    """Semicolons, UTF-16, quotes, emoji, lines within a field, numbers as classes, gaps."""
    stars = {"money": "5", "war": "1"}
    rows = [(f'{text} "so"; 🥊\nyes', stars[name], *range(18)) for text, name in topics(40)]
    rows[7] = (rows[7][0], "", *range(18))
    rows[9] = ("", "5", *range(18))
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-16") as file:
        csv.writer(file, delimiter=";").writerows([("review", "stars", *["c"] * 18), *rows])
    config = replace(QUICK, model=model, data=str(path), text="review", label="stars", curve=1)
    report = carry_out(config, tmp_path / "out")
    assert report["classes"] == ["1", "5"] and report["training_texts"] + report["test_texts"] == 38
    assert report["left_out"] == [f"{path}:16", f"{path}:20"]  # a row takes two lines
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"2 rows were left out for want of text or class: {path}:16, {path}:20." in page
    assert pl.load_pretrained(tmp_path / "out").label_names == ["1", "5"]


@pytest.mark.parametrize("form", ["table", "two files"])
def test_a_table_without_a_header_is_described_by_options_and_what_became_of_its_texts_is_told(model, tmp_path, form):
    rows = [(name, text) for text, name in topics(60)]
    rows[0] = ("money", '"gold" – ' + "coin " * 20)  # too long, with a quote and a dash
    rows += [rows[1], rows[1], ("war", ""), ("", "fort")]
    out, words = tmp_path / "out", []
    if form == "table":
        (tmp_path / "sms.tsv").write_bytes("\n".join(map("\t".join, rows)).encode("cp1252"))
        words = ["--data", str(tmp_path / "sms.tsv"), "--columns", "label", "text", "--separator", "tab"]
    else:
        for name, column in zip(("labels", "texts"), zip(*rows), strict=True):
            (tmp_path / f"{name}.txt").write_bytes("".join(f"{value}\n" for value in column).encode("cp1252"))
        words = ["--data", str(tmp_path / "texts.txt"), "--labels", str(tmp_path / "labels.txt")]
    finetune([model, *words, "--encoding", "cp1252", "--folder", str(out), "--length", "16", "--trials", "1", "--curve", "1",
              "--examples", "0", "--test-examples", "8"])  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["classes"] == ["money", "war"] and len(report["left_out"]) == 2
    assert report["training_texts"] + report["test_texts"] + report["unused"] == 62
    assert report["test_texts"] == 8 and report["unused"] > 0
    assert report["repeated"] == len(rows) - 2 - len({text for _, text in rows} - {"", "fort"})
    assert sum(report["cut_off"]) <= 1
    page = (out / "report.md").read_text()
    assert (f"Left unused: {report['unused']} texts. Cut off behind 16 tokens: {report['cut_off'][0]} of those to train on, "
            f"{report['cut_off'][1]} of those to test on. Unreadable: 2 rows. Repeated: {report['repeated']} texts") in page


def test_only_what_is_longer_is_cut_off():
    tokens = TOKENIZER.encode("gold coin bank").ids  # with [CLS] and [SEP]
    text = LabelledText("mine", ["gold coin bank", "gold coin bank tax"], np.array([0, 1]), ["a", "b"], ["0", "1"])
    assert finetune_program.cut_off(text, TOKENIZER, len(tokens)) == 1
    assert finetune_program.cut_off(text, TOKENIZER, len(tokens) - 1) == 2
    assert finetune_program.repeated(text.subset([0, 1, 0, 0])) == 2


def test_fewer_labels_are_the_beginning_of_more():
    labels = np.arange(60) % 3
    few, more = (stratified_sample(labels, n, seed=3) for n in (12, 40))
    assert (few == more[:12]).all() and len(set(more)) == 40 and set(labels[few]) == {0, 1, 2}


def text_of(labels, sources, name="mine"):
    return LabelledText(
        name, [f"text {i}" for i in range(len(labels))], np.array(labels), ["a", "b"], sources
    )


def test_held_out_addresses_are_what_is_tested_on(monkeypatch):
    monkeypatch.setattr(finetune_program, "held_out_sources", lambda name: {"s1", "s3"})
    text = text_of([0, 1, 0, 1], ["s0", "s1", "s2", "s3"], "era")
    training, test = parted(text, 0)
    assert (training.sources, test.sources) == (["s0", "s2"], ["s1", "s3"])


def test_a_sample_keeps_two_of_a_rare_class():
    text = text_of([0] * 97 + [1] * 3, list(map(str, range(100))))
    part = sample(text, 10, seed=0)
    assert len(part) == 10 and (part.labels == 1).sum() >= 2
    assert len(set(part.sources)) == 10
    assert sample(text, 0, seed=0) is text
