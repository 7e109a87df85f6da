"""Classes as prompts, against a loop over everything."""

import math

import pytest
import torch
from torch import nn

import pretrain_lib as pl

COLOURS = ["red", "green", "blue"]
TOKENIZER = pl.train_tokenizer(["a red three and a green four or a blue five"] * 3, 60)


def encoded(*texts):
    return pl.encode_texts(texts, TOKENIZER, 12)


def made():
    image = pl.ViTModel(pl.ViTConfig(image_size=8, patch_size=4, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=16, initializer_range=0.3))
    return pl.TwoTowers(image, pl.BagOfWords(pl.BagOfWordsConfig(60, 10)), 5).eval()


def images(n=7):
    return pl.Columns(images=torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


def unit(vector):
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


@torch.no_grad()
def vectors(tower, source):
    return [tower(*(source.columns[name][i:i + 1] for name in tower.columns))[0].tolist() for i in range(len(source))]


def written_out(model, prompts, source):
    """(N, classes) cosines, one after the other."""
    classes = []
    for encoded in prompts.values():
        each = [unit(vector) for vector in vectors(model.towers["text"], encoded)]
        classes.append(unit([sum(xs) / len(each) for xs in zip(*each)]))
    found = [unit(vector) for vector in vectors(model.towers["image"], source)]
    return [[sum(a * b for a, b in zip(image, c)) for c in classes] for image in found]


PROMPTS = {
    "one prompt a class": {name: encoded(f"a {name} three") for name in COLOURS},
    "several": {name: encoded(*(text.format(name) for text in ("a {}", "a {} three", "a {} four"))) for name in COLOURS},
    "unequal numbers": {"red": encoded("red"), "blue": encoded("a blue five", "blue", "five or four")},
    "one class": {"red": encoded("a red three", "red")},
}


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_scores_are_cosines_with_the_mean_of_each_classs_prompts(prompts):
    model, source = made(), images()
    classifier = pl.ZeroShot(model, prompts)
    scores = classifier.scores(source)
    torch.testing.assert_close(scores, torch.tensor(written_out(model, prompts, source)), rtol=0, atol=1e-6)
    assert classifier.classes == list(prompts) and torch.equal(classifier(source), scores.argmax(1))
    torch.testing.assert_close(classifier.vectors.norm(dim=1), torch.ones(len(prompts)))


class Given(nn.Module):
    """A tower that answers what it is given."""

    feature_size = 2

    def __init__(self, column):
        super().__init__()
        self.columns, self.one = (column,), nn.Parameter(torch.ones(()))

    def encode(self, given):
        return given * self.one

    def with_classifier(self, num_labels, seed=0):
        raise NotImplementedError

    def to_config(self):
        return {}

    @classmethod
    def from_config(cls, fields):
        return cls(**fields)


def test_long_vectors_of_prompts_weigh_no_more_than_short_ones():
    """Any model with towers will do. (0, 1) and 100 (1, 0) lie on both sides of (1, 1); their plain mean does not."""
    model = nn.Module()
    model.towers = nn.ModuleDict({"image": Given("images"), "text": Given("said")})
    classifier = pl.ZeroShot(model, {"both": pl.Columns(said=torch.tensor([[0.0, 1.0], [100.0, 0.0]])),
                                     "one": pl.Columns(said=torch.tensor([[3.0, 0.0]]))})
    source = pl.Columns(images=torch.tensor([[2.0, 2.0], [0.1, 0.0]]))
    expected = torch.tensor([[1.0, 0.5 ** 0.5], [0.5 ** 0.5, 1.0]])
    torch.testing.assert_close(classifier.scores(source), expected)
    assert classifier(source).tolist() == [0, 1]


def test_what_is_missing_is_told():
    model = made()
    with pytest.raises(ValueError, match="prompts must hold at least one class, got none"):
        pl.ZeroShot(model, {})
    with pytest.raises(ValueError, match="class 'green' has no prompt: give it at least one text"):
        pl.ZeroShot(model, {"red": encoded("red"), "green": []})
    with pytest.raises(ValueError, match="ViTModel has no tower 'image'"):
        pl.ZeroShot(model.towers["image"].encoder, {"red": encoded("red")})
