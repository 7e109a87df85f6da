"""Transfer of BERTs and ModernBERTs to labelled texts, and counted words beside them."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import pretrain_lib as pl
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.models.modern import ModernBertForCausalLM
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.transfer.encoders import text_classifier
from pretrain_lib.transfer.features import features, logits
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.transfer.fine_tune import FineTuning, fine_tune
from pretrain_lib.transfer.probe import LinearProbe
from pretrain_lib.transfer.tfidf import TfidfClassifier
from pretrain_lib.data.splits import stratified_hold_out
from pretrain_lib.transfer.tuning import choose_setting, fit_tuned

TOPICS = ["gold silver coin bank money tax", "army war soldier fort enemy peace",
          "river canal road rail bridge land"]  # fmt: skip
TOKENIZER = train_tokenizer(TOPICS, 200)
SIZES = {"vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32}  # fmt: skip
CONFIG = TrainConfig(steps=60, batch_size=15, learning_rate=0.01, device="cpu")


def bert(kind=pl.BertForMaskedLM):
    return kind(pl.BertConfig(**SIZES))


def modern(kind=pl.ModernBertForMaskedLM):
    return kind(pl.ModernBertConfig(**SIZES, local_attention=4))


def topics(n=45, seed=0):
    """n sentences of 3 to 8 words, each about one of three topics."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    sentences = [" ".join(generator.choice(TOPICS[k].split(), generator.integers(3, 9))) for k in labels]
    return encode_texts(sentences, TOKENIZER, 32, labels=labels)


@pytest.mark.parametrize("model", [
    bert(), bert(pl.BertModel), bert(pl.BertForPreTraining), modern(), modern(pl.ModernBertModel),
    modern(ModernBertForCausalLM),
], ids=lambda model: type(model).__name__)  # fmt: skip
def test_features_are_the_mean_hidden_state_of_each_text_alone(model):
    texts = topics(10)
    model.train()
    found = features(model, texts, batch_size=4)
    assert model.training
    model.eval()
    encoder = getattr(model, "encoder", model)
    for row, mask, code in zip(texts.input_ids, texts.attention_mask, found, strict=True):
        with torch.no_grad():
            alone = encoder(row[mask == 1][None])[0].mean(0)
        torch.testing.assert_close(code, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make, kind", [(bert, pl.BertForSequenceClassification),
                                        (modern, pl.ModernBertForSequenceClassification)])  # fmt: skip
def test_fine_tuning_learns_and_leaves_the_given_model_alone(make, kind):
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier = fine_tune(model, topics(), 3, CONFIG)
    assert type(classifier) is kind
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.equal(classifier.encoder.embeddings.word.weight, model.encoder.embeddings.word.weight)
    test = topics(60, seed=1)
    assert (logits(classifier, test).argmax(1) == test.labels).float().mean() > 0.9


@pytest.mark.parametrize("model, part", [(bert(pl.BertForPreTraining), "pooler"), (modern(), "head")])
def test_a_new_classifier_predicts_every_class_alike_and_keeps_what_was_pretrained(model, part):
    texts = topics(6)
    classifier = text_classifier(model, 3, seed=5)
    assert torch.equal(logits(classifier, texts), torch.zeros(6, 3))
    assert torch.equal(features(classifier, texts), features(model, texts))
    kept, new = getattr(model, part).dense.weight, getattr(classifier, part).dense.weight
    assert torch.equal(kept, new) and kept.data_ptr() != new.data_ptr()


def test_padding_changes_no_logit():
    classifier = fine_tune(modern(), topics(15), 3, TrainConfig(steps=5, batch_size=5, device="cpu"))
    texts = topics(12)
    together, alone = logits(classifier, texts), logits(classifier, texts, batch_size=1)
    assert (together - alone).abs().max() < 1e-5


@pytest.mark.parametrize("make", [bert, modern])
def test_a_label_beyond_the_classes_is_named(make):
    with pytest.raises(ValueError, match="labels must be 0 to 1, one for each of the 2 classes, got 2"):
        fine_tune(make(), topics(), 2, CONFIG)


def test_a_probe_reads_the_features():
    model, train, test = modern(), topics(), topics(60, seed=1)
    codes = [pl.Columns(codes=features(model, part), labels=part.labels) for part in (train, test)]
    expected = LinearProbe(None, "codes").fit(codes[0], 1.0)(codes[1])
    assert torch.equal(LinearProbe(model).fit(train, 1.0)(test), expected)


def test_tfidf_is_scikit_learns_and_learns():
    train, test = topics(), topics(60, seed=1)
    terms = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]")
    reference = LogisticRegression(C=10.0, max_iter=1000)
    reference.fit(terms.fit_transform(train.sentences), train.labels)
    expected = reference.predict(terms.transform(test.sentences))
    predicted = TfidfClassifier().fit(train, 10.0)(test)
    assert (predicted.numpy() == expected).all()
    assert (predicted == test.labels).float().mean() > 0.9


def test_tfidf_sees_no_text_but_the_labelled():
    train = topics(6)
    unseen = encode_texts(["zebra zebra"], TOKENIZER, 32)
    one = TfidfClassifier().fit(train, 1.0)(unseen)
    assert one.shape == (1,) and one.item() in (0, 1, 2)


def test_all_ways_are_tuned_and_fitted_alike():
    train, test = topics(24), topics(9, seed=1)
    for learner in (TfidfClassifier(), LinearProbe(modern(), grid=(1.0, 0.1)),
                    FineTuning(modern(), 3, TrainConfig(steps=2, batch_size=4, device="cpu"), (1e-2, 1e-3))):
        assert fit_tuned(learner, train, 0, rounds=1)(test).shape == (9,)


class Recorder:
    """Records how many samples it was fitted on."""

    grid = (1.0, 2.0)

    def __init__(self):
        self.fitted = []

    def fit(self, labelled, setting, seed):
        self.fitted.append((setting, len(labelled)))
        return lambda samples: samples.labels


def test_one_round_fits_each_setting_once():
    recorder = Recorder()
    choose_setting(recorder, topics(30), 0, rounds=1)
    assert recorder.fitted == [(1.0, 20), (2.0, 20)]


def test_the_config_may_depend_on_the_number_of_labels():
    asked = []

    def config(number):
        asked.append(number)
        return TrainConfig(steps=1, batch_size=2, device="cpu")

    FineTuning(modern(), 3, config).fit(topics(9), 1e-3)
    assert asked == [9]


def test_early_stopping_holds_out_a_part_of_the_same_labels(monkeypatch):
    import pretrain_lib.transfer.fine_tune as module

    seen = []
    fitted = module.fine_tune
    monkeypatch.setattr(module, "fine_tune", lambda *a: seen.append(a) or fitted(*a))
    config = TrainConfig(steps=4, batch_size=4, evaluate_every=2, patience=1, device="cpu")
    labelled = topics(30)
    FineTuning(modern(), 3, config, (1e-3,)).fit(labelled, 1e-3)
    training, held_out = seen[0][1], seen[0][4]
    assert (len(training), len(held_out)) == (24, 6)
    assert sorted(training.sentences + held_out.sentences) == sorted(labelled.sentences)
    assert torch.bincount(held_out.labels).tolist() == [2, 2, 2]


def test_holding_out_takes_a_share_of_every_class_that_has_two():
    labelled = pl.Columns(x=torch.arange(13), labels=torch.tensor([0] * 10 + [1] * 3))
    first, second = stratified_hold_out(labelled, 0.2)
    assert torch.bincount(second.labels).tolist() == [2, 1]
    assert sorted(torch.cat([first.x, second.x]).tolist()) == list(range(13))
    assert stratified_hold_out(labelled.subset(range(11)), 0.2)[1].labels.tolist() == [0, 0]
    with pytest.raises(ValueError, match="every class has one sample"):
        stratified_hold_out(labelled.subset([0, 10]), 0.2)


@pytest.mark.parametrize("number", [20, 50])
def test_few_labels_are_balanced_nested_and_drawn_by_the_seed(number):
    labels = np.repeat(np.arange(8), [9, 40, 40, 40, 40, 40, 40, 300])
    ids = balanced_ids(labels, number, seed=3)
    counts = np.bincount(labels[ids], minlength=8)
    assert len(set(ids)) == number and counts.max() - counts.min() <= 1
    assert (balanced_ids(labels, 10, seed=3) == ids[:10]).all()
    assert set(balanced_ids(labels, number, seed=4)) != set(ids)


def test_too_few_labels_are_named():
    with pytest.raises(ValueError, match="number must be between 1 and 4.*class 1.*got 5"):
        balanced_ids(np.array([0, 0, 0, 0, 1, 1]), 5)


def test_a_fine_tuned_classifier_is_one_of_transformers_with_its_label_names(tmp_path):
    import transformers

    texts = topics(12)
    for make in (bert, modern):
        classifier = fine_tune(make(), texts, 3, TrainConfig(steps=3, batch_size=4, device="cpu"))
        classifier.label_names = ["money", "war", "roads"]
        folder = tmp_path / make.__name__
        pl.save_pretrained(classifier, folder, TOKENIZER)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        assert theirs.config.id2label == {0: "money", 1: "war", 2: "roads"}
        samples = texts.take(Keys.of(0, 12))
        inputs = {name: samples[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            assert (theirs(**inputs).logits - logits(classifier, texts)).abs().max() < 1e-5
        ours = pl.load_pretrained(folder)
        assert ours.label_names == classifier.label_names
        assert torch.equal(logits(ours, texts), logits(classifier, texts))
    classifier.label_names = ["money", "war"]
    with pytest.raises(ValueError, match="label_names must be 3 different names"):
        pl.save_pretrained(classifier, tmp_path / "wrong")
