"""Counted words and characters, in scripts with spaces and without."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from pretrain_lib.data.tasks.encoded import EncodedText
from pretrain_lib.transfer.tfidf import TfidfClassifier, word_pattern
from pretrain_lib.transfer.tuning import choose_setting


def texts(sentences, labels):
    """Texts without ids: counting needs none."""
    return EncodedText(sentences, labels=torch.tensor(labels))


def chinese_strings(fewest=60):
    """The strings of JupyterLab's Chinese interface, each with the number of the extension that shows it."""
    spec = find_spec("jupyterlab_language_pack_zh_CN")
    if spec is None:
        pytest.skip("jupyterlab-language-pack-zh-CN is not installed")
    owners = {}
    for path in sorted(Path(spec.origin).parent.glob("locale/zh_CN/LC_MESSAGES/*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        for original, (translation, *_) in table.items():
            if original and re.search(r"[\u4e00-\u9fff]", translation):
                owners.setdefault(translation, set()).add(path.stem)
    only = {text: owner for text, (owner, *others) in owners.items() if not others}
    extensions = sorted(set(only.values()))
    large = [name for name in extensions if list(only.values()).count(name) >= fewest]
    pairs = [(text, large.index(owner)) for text, owner in only.items() if owner in large]
    return [text for text, _ in pairs], np.array([label for _, label in pairs])


@pytest.mark.slow
def test_on_chinese_it_is_as_good_as_characters_tuned_with_scikit_learn():
    sentences, labels = chinese_strings()
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = order[: len(order) // 3], order[len(order) // 3:]
    train, test = (([sentences[i] for i in part], labels[part]) for part in (train, test))
    strengths = (10.0, 1.0, 100.0)
    search = GridSearchCV(
        make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": strengths}, cv=StratifiedKFold(3))
    theirs = search.fit(*train).score(*test)

    learner, labelled = TfidfClassifier(), texts(*train)
    setting = choose_setting(learner, labelled, seed=0)
    ours = (learner.fit(labelled, setting)(texts(*test)).numpy() == test[1]).mean()
    words = choose_setting(TfidfClassifier(strengths), labelled, seed=0)
    words = (learner.fit(labelled, words)(texts(*test)).numpy() == test[1]).mean()
    assert ours > theirs - 0.01
    assert setting[1] == "characters" and ours > words + 0.03


@pytest.mark.parametrize("text, words", [
    ("हिन्दी में लिखा।", ["हिन्दी", "में", "लिखा", "।"]),
    ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    ("cafe\u0301 and naïve", ["cafe\u0301", "and", "naïve"]),
    ("می\u200cخواهم", ["می\u200cخواهم"]),
    ("don't pay $3.50_!", ["don", "'", "t", "pay", "$", "3", ".", "50_", "!"]),
])  # fmt: skip
def test_a_word_keeps_its_marks(text, words):
    assert re.findall(word_pattern(), text) == words


def test_of_text_without_marks_words_are_what_they_were():
    printable = "".join(map(chr, range(32, 0x250))) + " 中文,日本語。 Привет, мир!"
    assert re.findall(word_pattern(), printable) == re.findall(r"\w+|[^\w\s]", printable)


def test_characters_are_chosen_where_the_labels_hang_on_them_and_words_where_nothing_tells():
    generator = np.random.default_rng(0)
    letters = list("abcdefghij")
    within = ["".join(generator.permutation([*letters, "XY"[k]])) for k in range(2) for _ in range(30)]
    labels = [0] * 30 + [1] * 30  # every text is one new word, which has X or Y in it
    setting = choose_setting(TfidfClassifier(), texts(within, labels), seed=0)
    assert setting[1] == "characters"
    assert choose_setting(TfidfClassifier(), texts(["one word", "two words"], [0, 1]), seed=0) == (10.0, "words")


def test_terms_that_are_neither_are_named():
    with pytest.raises(ValueError, match="terms must be 'words' or 'characters', got 'chars'"):
        TfidfClassifier().fit(texts(["a", "b"], [0, 1]), (1.0, "chars"))
