"""Heads for tags, pairs and numbers: they learn, keep the model, and are transformers' own."""

import numpy as np
import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.tasks.encoded import encode_labelled, encode_text_pairs, encode_texts
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.tasks.labelled import LabelledText
from pretrain_lib.data.text.pairs import SentencePairs
from pretrain_lib.data.tasks.tagged import TaggedText, encode_tagged
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import special_ids, train_tokenizer
from pretrain_lib.evaluation.correlation import spearman
from pretrain_lib.evaluation.spans import span_scores
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.transfer.encoders import text_classifier, text_tagger
from pretrain_lib.transfer.fine_tune import fine_tune
from pretrain_lib.transfer.heads import (
    fine_tune_pairs,
    fine_tune_regressor,
    fine_tune_tagger,
    pair_logits,
    predicted_scores,
    predicted_tags,
)

COUNTRIES = "spain cuba china".split()
OTHERS = "gold silver coin army war peace".split()
TOKENIZER = train_tokenizer([" ".join(COUNTRIES), " ".join(OTHERS), "countrys name"], 200)
SIZES = {"vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32}  # fmt: skip
CONFIG = TrainConfig(steps=120, batch_size=16, learning_rate=0.01, device="cpu")
MODELS = [
    lambda: pl.BertForMaskedLM(pl.BertConfig(**SIZES)),
    lambda: pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SIZES, local_attention=4)),
]
NAMES = ["O", "B-COUNTRY", "I-COUNTRY"]


def sentences(n, seed):
    """n sentences of 3 to 6 words; "name" behind a country's name belongs to it."""
    generator = np.random.default_rng(seed)
    words, tags = [], []
    for _ in range(n):
        row = []
        for word in generator.choice(COUNTRIES + OTHERS, generator.integers(3, 7)):
            row.append((str(word), int(word in COUNTRIES)))
            if word in COUNTRIES and generator.random() < 0.5:
                row.append(("name", 2))
        words.append([word for word, _ in row])
        tags.append([tag for _, tag in row])
    return TaggedText("made", words, tags, NAMES, [str(i) for i in range(n)], [frozenset()] * n)


@pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])
def test_tagging_is_learned_and_the_model_stays(make):
    model, training, test = make(), sentences(80, 0), sentences(40, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tagger = fine_tune_tagger(model, encode_tagged(training, TOKENIZER, 32), 3, CONFIG)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    found = predicted_tags(tagger, encode_tagged(test, TOKENIZER, 32), batch_size=7)
    assert [len(row) for row in found] == [len(row) for row in test.tags]
    named = [[[NAMES[tag] for tag in row] for row in rows] for rows in (found, test.tags)]
    assert span_scores(*named).f1 > 0.9


def test_a_perfect_tagger_is_right_behind_a_word_without_a_token():
    class Perfect(torch.nn.Embedding):
        """One score for each of two tags, looked up by token."""

        def forward(self, ids, mask):
            return super().forward(ids)

    is_spain = torch.arange(200) == TOKENIZER.token_to_id("spain")
    tagger = Perfect.from_pretrained(torch.stack([~is_spain, is_spain], 1).float())
    row = ["gold", "\u200b", "spain", "war"]
    text = TaggedText("made", [row], [[0, 0, 1, 0]], NAMES[:2], ["s"], [frozenset()])
    assert predicted_tags(tagger, encode_tagged(text, TOKENIZER, 32)) == text.tags


@pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])
def test_a_new_tagger_finds_every_tag_as_likely(make):
    tagger = text_tagger(make(), 3)
    encoded = encode_tagged(sentences(5, 0), TOKENIZER, 32)
    assert torch.equal(
        tagger(encoded.input_ids, encoded.attention_mask), torch.zeros(*encoded.input_ids.shape, 3)
    )


def test_a_pretrained_head_is_kept():
    model = MODELS[1]()
    kept, new = model.head.dense.weight, text_tagger(model, 3, seed=9).head.dense.weight
    assert torch.equal(kept, new) and kept.data_ptr() != new.data_ptr()


@pytest.mark.parametrize("head", [text_tagger, text_classifier])
def test_a_model_of_images_has_no_head_for_text(head):
    with pytest.raises(ValueError, match="Autoencoder reads no text: give a BERT or a ModernBERT"):
        head(pl.Autoencoder(pl.AutoencoderConfig()), 2)


@pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])
def test_pairs_are_learned_by_what_stands_where(make):
    """Label 1 if it is the second text that speaks of war: the words alone do not tell."""

    def pairs(n, seed):
        generator = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        texts = [" ".join(generator.choice(OTHERS[:4], 2)) for _ in range(2 * n)]
        for i, label in enumerate(labels):
            texts[2 * i + label] += " war"
            texts[2 * i + 1 - label] += " peace"
        return encode_text_pairs(texts[::2], texts[1::2], TOKENIZER, 16, labels=labels)

    classifier = fine_tune_pairs(make(), pairs(64, 0), 2, CONFIG)
    test = pairs(40, 1)
    assert (pair_logits(classifier, test).argmax(1) == test.labels).float().mean() > 0.9


def test_pairs_are_those_of_the_tokenizer():
    encoded = encode_text_pairs(["gold coin", "war"], ["peace", "army army silver"], TOKENIZER, 32)
    for row, pair in enumerate([("gold coin", "peace"), ("war", "army army silver")]):
        expected = TOKENIZER.encode(*pair)
        size = len(expected.ids)
        assert encoded.input_ids[row, :size].tolist() == expected.ids
        assert encoded.token_type_ids[row, :size].tolist() == expected.type_ids
        assert encoded.attention_mask[row].sum() == size and 1 in expected.type_ids
    alone = encoded.subset([0]).take(Keys.of(0, 1))
    assert {tensor.shape[1] for tensor in alone.values()} == {
        len(TOKENIZER.encode("gold coin", "peace").ids)
    }
    with pytest.raises(ValueError, match="2 first texts do not fit 1 second ones"):
        encode_text_pairs(["a", "b"], ["c"], TOKENIZER)


def test_the_order_of_two_parts_of_a_document_is_a_pair_task():
    """Documents open with one token and close with another."""
    documents = [
        [np.array([20, 30 + i]), np.array([31 + i]), np.array([32 + i, 25])] for i in range(40)
    ]
    pairs = SentencePairs(
        TokenDataset.in_memory(documents, 200), 16, special_ids(TOKENIZER), task="order"
    )
    classifier = fine_tune_pairs(MODELS[0](), pairs, 2, CONFIG, labels="next_sentence_label")
    labels = pairs.take(Keys.of(0, len(pairs)))["next_sentence_label"]
    assert (pair_logits(classifier, pairs).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])
def test_a_number_is_learned(make):
    def texts(n, seed):
        generator = np.random.default_rng(seed)
        words = [generator.choice(OTHERS, 5) for _ in range(n)]
        labels = np.array([sum(w == "peace" for w in row) - 2.0 for row in words])
        return encode_texts([" ".join(row) for row in words], TOKENIZER, 16, labels=labels)

    test = texts(50, 1)
    regressor = fine_tune_regressor(make(), texts(100, 0), CONFIG)
    found = predicted_scores(regressor, test)
    assert found.shape == (50,) and spearman(found, test.labels) > 0.8
    assert (found - test.labels).square().mean() < 0.5 * test.labels.var()


@pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])
def test_transformers_reads_taggers_and_regressors(make, tmp_path):
    import transformers

    tagged = encode_tagged(sentences(12, 0), TOKENIZER, 32)
    short = TrainConfig(steps=3, batch_size=4, device="cpu")
    tagger = fine_tune_tagger(make(), tagged, 3, short)
    tagger.label_names = NAMES
    pl.save_pretrained(tagger, tmp_path / "tagger", TOKENIZER)
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path / "tagger"
    ).eval()
    assert theirs.config.id2label == dict(enumerate(NAMES))
    inputs = {"input_ids": tagged.input_ids, "attention_mask": tagged.attention_mask}
    real = tagged.attention_mask == 1
    with torch.no_grad():
        difference = theirs(**inputs).logits - tagger.eval()(**inputs)
    assert difference[real].abs().max() < 1e-5
    scored = encode_texts(["gold coin", "war"], TOKENIZER, 8, labels=np.array([1.0, -1.0]))
    regressor = fine_tune_regressor(make(), scored, short)
    pl.save_pretrained(regressor, tmp_path / "regressor", TOKENIZER)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "regressor"
    ).eval()
    with torch.no_grad():
        assert (theirs(**inputs).logits - regressor.eval()(**inputs)).abs().max() < 1e-5
    assert theirs.config.num_labels == 1


def test_what_is_fine_tuned_answers_and_is_named_at_once():
    """No dropout: one text has one answer. And a pipeline says the class, not its number."""
    model, short = MODELS[1](), TrainConfig(steps=2, batch_size=4, device="cpu")
    text = LabelledText("made", ["gold coin", "war", "peace", "silver"], np.array([0, 1, 1, 0]), ["money", "states"],
                        list("abcd"))
    labelled = encode_labelled(text, TOKENIZER, 8)
    classifier = fine_tune(model, labelled, 2, short)
    part = fine_tune(model, labelled.subset([0, 1]), 2, short)
    tagger = fine_tune_tagger(model, encode_tagged(sentences(6, 0), TOKENIZER, 32), 3, short)
    regressor = fine_tune_regressor(model, encode_texts(["gold", "war"], TOKENIZER, 8, labels=np.array([1.0, -1.0])),
                                    TrainConfig(steps=1, batch_size=2, device="cpu"))
    pairs = fine_tune_pairs(model, encode_text_pairs(["gold", "war"], ["coin", "peace"], TOKENIZER, 8, labels=np.array([0, 1])),
                            2, TrainConfig(steps=1, batch_size=2, device="cpu"))
    for tuned in (classifier, part, tagger, regressor, pairs):
        assert not any(module.training for module in tuned.modules())
    assert classifier.label_names == part.label_names == ["money", "states"]
    assert tagger.label_names == NAMES
    assert regressor.label_names is None and pairs.label_names is None


def test_a_wrong_number_of_names_is_none():
    model = MODELS[0]()
    labelled = encode_texts(["gold", "war", "peace"], TOKENIZER, 8, labels=np.array([0, 1, 0]), classes=["a", "b"])
    assert fine_tune(model, labelled, 3, TrainConfig(steps=1, batch_size=2, device="cpu")).label_names is None
