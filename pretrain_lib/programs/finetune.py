"""The command `finetune`: labelled texts in, a classifier and a report of how good it is out."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor, nn

from ..data.splits import stratified_sample
from ..data.tables.dialect import Dialect
from ..data.tasks.encoded import EncodedText, encode_batch, encode_labelled
from ..data.tasks.labelled import LabelledText, load_labelled_text
from ..data.text.tokenizer import load_tokenizer, special_ids
from ..data.text.unknown import about_unknown, unknown_share
from ..evaluation.classification import (
    accuracy,
    confusion_matrix,
    macro_f1,
    majority_class,
    paired_bootstrap,
)
from ..files import write_text
from ..models.protocol import TextEncoder
from ..pretrained import find, load_pretrained, require_room, save_pretrained
from ..training.config import TrainConfig
from ..transfer.features import logits
from ..transfer.fine_tune import FineTuning
from ..transfer.tfidf import TfidfClassifier, words_and_characters
from ..transfer.tuning import choose_setting
from ..validation import require, require_at_least
from ..zoo import held_out_sources
from .finetune_report import as_markdown, draw_report

MODEL = "model"
ADDRESSES = ("era", "party", "sentiment", "continent")  # texts made of State of the Union addresses
HELD_OUT = "sotu-8192"  # the addresses that no model of the zoo was trained on
TEST_SHARE = 0.2
FEWEST = 3  # examples of a class: to train on, to choose a setting with, to test on
MOST_CLASSES = 200
FEWEST_OF_CURVE = 10  # labels
FEWEST_FOR_A_LEAD = 20  # sources: of fewer, a bootstrap is too sure of what it finds
FACTORS = (1.0, 0.3, 3.0, 0.1, 10.0)
STRENGTHS = (10.0, 1.0, 100.0, 0.1, 1000.0)
USAGE = """\
usage: python -m pretrain_lib finetune [MODEL] --data reviews.csv --text review --label stars

MODEL: a folder, a run's folder, or a zoo name; without one, the zoo's modernbert-mini-sotu

python -m pretrain_lib finetune --help tells the options"""


@dataclass(frozen=True)
class FinetuneConfig:
    """What is fine-tuned on what, and how much is tried.

    Attributes:
        model: the model to start from: a folder, a run's folder, or a zoo name.
        data: labelled texts: "era", "party", "docstring-library", "sentiment", "continent", a file
            (.csv, .tsv, .jsonl, .parquet, .txt with rows as a .tsv) or "hub:owner/name".
        text: column of a file or of the Hub that holds the text; one within another is
            "answer.text", and "1" the first of a table whose first line is a row.
        label: column that holds the class.
        labels: a .txt with the class of each line of `data`, where texts and labels are two files.
        columns: the names of all columns, for a table whose first line is a row.
        separator: between the fields of a table, such as ";", tab or space; left empty, it is
            guessed and told.
        quote: the sign around fields that hold separators, or none where quotes are part of the
            text; left empty, it is guessed and told.
        encoding: of the file, such as cp1252; left empty, UTF-8 or UTF-16.
        folder: where the classifier and the report go; left empty, under `runs`.
        length: tokens of a text that are read; the rest is cut off.
        trials: learning rates to choose from, 1 to 5; for the baseline as many strengths, of counted
            words and of counted characters.
        examples: texts to train on at most, drawn at random; 0 takes all.
        test_examples: texts to test on at most; 0 takes all.
        curve: points of the learning curve, each with a third of the next one's labels; 1 draws
            none.
        epochs: how often each text is seen.
        batch_size: texts in one update.
        seed: of every random choice.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    model: str = "modernbert-mini-sotu"
    data: str = "era"
    text: str = "text"
    label: str = "label"
    folder: str = ""
    length: int = 128
    trials: int = 3
    examples: int = 2000
    test_examples: int = 2000
    curve: int = 4
    epochs: int = 3
    batch_size: int = 16
    seed: int = 0
    labels: str = ""
    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""

    def __post_init__(self):
        self.dialect()
        least = {"length": 3, "trials": 1, "examples": 0, "test_examples": 0, "curve": 1,
                 "epochs": 1, "batch_size": 1, "seed": 0}  # fmt: skip
        for field, value in least.items():
            require_at_least(self, value, field)
        require(self.trials <= len(FACTORS), "trials", self.trials, f"at most {len(FACTORS)}")

    def dialect(self) -> Dialect:
        """How files are written, as far as it is said."""
        return Dialect(self.columns, self.separator, self.quote, self.encoding)


def finetune(words: list[str]) -> None:
    """Fine-tunes a model on labelled texts and tells how good it is."""
    import tyro

    if not words:
        print(USAGE)
        sys.exit(2)
    named = {} if words[0].startswith("-") else {"model": words[0]}
    config = tyro.cli(FinetuneConfig, args=words[len(named):], default=FinetuneConfig(**named),
                      prog="python -m pretrain_lib finetune [MODEL]",
                      description="Fine-tunes a model on labelled texts, and compares it with "
                                  "guessing the majority class and with counting words.")
    folder = Path(config.folder or
                  Path("runs") / f"finetune-{as_folder_name(config.data)}-{as_folder_name(config.model)}")
    print(as_markdown(carry_out(config, folder)))
    print(f"the classifier is in {folder / MODEL}; transformers reads it, and so does "
          f"load_pretrained\nthe report is in {folder / 'report.md'}, with report.png and "
          f"report.json\npython -m pretrain_lib predict {folder} FILE --output answers.csv asks it about "
          "other texts")


def reserve(folder: Path, config: FinetuneConfig) -> None:
    """Makes the folder of a run, before anything is computed that it could not keep.

    Raises:
        ValueError: if it holds the model to start from, or what another model or other texts gave,
            or cannot be written to.
        FileExistsError: if something else stands where the classifier is to go.
    """
    if (folder / MODEL).resolve() == find(config.model).resolve():
        raise ValueError(f"the classifier would take the place of {config.model} in {folder}: "
                         "choose another --folder")
    if (folder / "report.json").is_file():
        before = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        for field in ("model", "data", "text", "label", "labels"):
            if before.get(field, mine := getattr(config, field)) != mine:
                raise ValueError(f"{folder} holds what {field} {before[field]!r} gave, and this is "
                                 f"{mine!r}: choose another --folder")
    require_room(folder / MODEL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to ({error.strerror}): "
                         "choose another --folder") from error


def as_folder_name(name: str) -> str:
    """A folder's name for the name of a model or a data set, or a path to it."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(name).name).strip("-.")


def carry_out(config: FinetuneConfig, folder: Path) -> dict:
    """Fine-tunes, compares, and writes the classifier and its report into a folder.

    Args:
        config: what to do.
        folder: gets `model`, `report.json`, `report.md` and `report.png`.

    Returns:
        What `report.json` holds.

    Raises:
        FileNotFoundError: if there is no such model, or no tokenizer with it.
        ValueError: if the model reads no text, the data cannot be learned from and tested on, or
            the folder is another run's.
    """
    start = time.perf_counter()
    model = load_pretrained(config.model)
    check_model(model, config.model, config.length)
    tokenizer = load_tokenizer(find(config.model))
    text = load_labelled_text(config.data, column=config.text, label=config.label,
                              labels=config.labels or None, dialect=config.dialect())
    check_classes(text, config.label)
    reserve(folder, config)
    parts = [sample(part, size, config.seed)
             for part, size in zip(parted(text, config.seed),
                                   (config.examples, config.test_examples), strict=True)]
    training, test = (encode_labelled(part, tokenizer, config.length) for part in parts)
    unknown = unknown_share(training.token_counts(), special_ids(tokenizer))
    print(about_unknown(unknown))
    learner = FineTuning(model, len(text.classes), lambda n: train_config(n, config),
                         rates(model, config.trials))
    rate = choose_setting(learner, training, config.seed, rounds=1, groups=parts[0].sources)
    classifier = learner.classifier(training, rate, config.seed)
    counted = TfidfClassifier(words_and_characters(STRENGTHS[: config.trials]))
    setting = choose_setting(counted, training, config.seed, rounds=1, groups=parts[0].sources)
    predicted = {
        "fine-tuned": logits(classifier, test).argmax(1),
        "TF-IDF": counted.fit(training, setting, config.seed)(test),
        "majority class": torch.full_like(test.labels, majority_class(training.labels)),
    }
    report = {
        "model": config.model, "data": config.data, "text": config.text, "label": config.label,
        "labels": config.labels,
        "classes": list(text.classes),
        "training_texts": len(training), "test_texts": len(test), "left_out": text.left_out,
        "unused": len(text) - len(training) - len(test), "repeated": repeated(text),
        "learning_rate": rate, "trials": config.trials, "length": config.length,
        "tfidf": {"strength": setting[0], "terms": setting[1]},
        "cut_off": [cut_off(part, tokenizer, config.length) for part in parts], "unknown": unknown,
        "seed": config.seed,
        **compare(predicted, test.labels, parts[1].sources, len(text.classes)),
        "curve": learning_curve({"fine-tuned": (learner, rate), "TF-IDF": (counted, setting)},
                                predicted, training, test, config),
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip
    save_pretrained(classifier, folder / MODEL, tokenizer, max_length=config.length)
    write_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.md", as_markdown(report))
    draw_report(report, folder / "report.png")
    return report


# ------------------------------------------------------------------------------------ what is given


def check_model(model: nn.Module, name: str, length: int) -> None:
    """Raises unless the model reads texts of that length."""
    if not isinstance(model, TextEncoder):
        raise ValueError(f"{name} holds {type(model).__name__}, which reads no text: "
                         "give a BERT or a ModernBERT")
    longest = vars(model.encoder.config).get("max_position_embeddings", length)
    if length > longest:
        raise ValueError(f"length must be at most {longest}, the positions of {name}, got {length}")


def check_classes(text: LabelledText, column: str) -> None:
    """Raises unless every class can stand in every part."""
    if len(text.classes) > MOST_CLASSES:
        first, second, *_ = map(repr, text.classes)
        raise ValueError(f"{text.name} has {len(text.classes)} different values in {column!r}, "
                         f"such as {first} and {second}: a column of classes has at most "
                         f"{MOST_CLASSES}. Choose another, or sum numbers up in ranges")
    _, classes = text.class_of_source()  # a text that is there twice counts once
    texts_of = np.bincount(classes, minlength=len(text.classes))
    few = [name for i, name in enumerate(text.classes) if texts_of[i] < FEWEST]
    if len(few) > 1 and 2 * len(few) > len(text.classes):
        raise ValueError(f"most of the {len(text.classes)} values in {column!r} of {text.name}, such "
                         f"as {few[0]!r} and {few[1]!r}, have fewer than {FEWEST} texts: this is no "
                         "column of classes. Choose another, or sum numbers up in ranges")
    if few:
        count = texts_of[text.classes.index(few[0])]
        texts = "1 text" if count == 1 else f"{count} different texts"
        raise ValueError(f"{text.name} has {texts} of class {few[0]!r}, and needs at least {FEWEST} "
                         "to train and to test (a text that has several classes counts for its "
                         "commonest): find more, or leave the class out")


def parted(text: LabelledText, seed: int) -> tuple[LabelledText, LabelledText]:
    """Texts to train on and to test on, with no source in common; addresses held out stay so."""
    if text.name in ADDRESSES:
        return text.hold_out(held_out_sources(HELD_OUT), seed)
    return text.split(TEST_SHARE, seed)


def sample(text: LabelledText, size: int, seed: int) -> LabelledText:
    """At most `size` of the texts; 0 is all."""
    if not size or size >= len(text):
        return text
    return text.subset(stratified_sample(text.labels, size, seed))


def rates(model: nn.Module, trials: int) -> tuple[float, ...]:
    """Learning rates to try, the likeliest first: the wider a model, the smaller."""
    likeliest = 0.13 / model.feature_size  # 1e-3 at 128, 1.7e-4 at 768
    return tuple(round(likeliest * factor, 7) for factor in FACTORS[:trials])


def train_config(examples: int, config: FinetuneConfig) -> TrainConfig:
    """Some epochs, and no fewer than 60 updates."""
    steps = max(60, config.epochs * examples // config.batch_size)
    return TrainConfig(steps=steps, batch_size=config.batch_size, warmup_steps=steps // 10,
                       schedule="linear", gradient_clipping=1.0)


# ----------------------------------------------------------------------------------- what came out


def compare(predicted: dict[str, Tensor], labels: Tensor, sources: list[str],
            num_classes: int) -> dict:
    """Scores of the classifier, of counted words and of guessing, on the same texts."""
    lead = None
    if len(set(sources)) >= FEWEST_FOR_A_LEAD:
        right = {name: answer == labels for name, answer in predicted.items()}
        lead = paired_bootstrap(right["fine-tuned"], right["TF-IDF"], sources)._asdict()
    matrix = confusion_matrix(predicted["fine-tuned"], labels, num_classes)
    return {"scores": {name: scores(answer, labels) for name, answer in predicted.items()},
            "lead_over_tfidf": lead, "confusion_matrix": matrix.tolist()}


def learning_curve(learners: dict, predicted: dict[str, Tensor], training: EncodedText,
                   test: EncodedText, config: FinetuneConfig) -> dict:
    """Accuracy against the number of labels, which are parts of each other.

    Args:
        learners: each way to learn and its setting, by name, as chosen with all labels.
        predicted: what was predicted with all labels, and by guessing.

    Returns:
        "labels", and a list of accuracies for each name of `predicted`.
    """
    numbers = [len(training) // 3**k for k in reversed(range(config.curve))]
    fewest = max(FEWEST_OF_CURVE, 2 * len(training.labels.unique()))
    numbers = [n for n in numbers[:-1] if n >= fewest] + [len(training)]
    curve = {"labels": numbers}
    for name, answer in predicted.items():
        curve[name] = [accuracy(answer, test.labels)] * len(numbers)
    for i, number in enumerate(numbers[:-1]):
        part = training.subset(stratified_sample(training.labels.numpy(), number, config.seed))
        for name, (learner, setting) in learners.items():
            curve[name][i] = accuracy(learner.fit(part, setting, config.seed)(test), test.labels)
    return curve


def scores(predicted: Tensor, labels: Tensor) -> dict[str, float]:
    return {"accuracy": accuracy(predicted, labels), "macro_f1": macro_f1(predicted, labels)}


def repeated(text: LabelledText) -> int:
    """How many texts say the same as one before them."""
    return len(text) - len(set(text.sentences))


def cut_off(text: LabelledText, tokenizer, length: int) -> int:
    """How many texts have more tokens than are read."""
    return sum(bool(e.overflowing) for e in encode_batch(text.sentences, tokenizer, length))
