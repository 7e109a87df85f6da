"""The command `fill`."""

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.evaluation.cloze import cloze_log_probabilities
from pretrain_lib.programs.fill import FillConfig, fill, guesses

TOKENIZER = train_tokenizer(["gold silver coin bank tax army soldier fort enemy peace"], 120)
SHAPE = dict(vocab_size=120, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
             max_position_embeddings=32)


@pytest.fixture(scope="module", params=["Bert", "ModernBert"])
def folder(request, tmp_path_factory):
    kind, config = getattr(pl, f"{request.param}ForMaskedLM"), getattr(pl, f"{request.param}Config")
    folder = tmp_path_factory.mktemp("masked") / "model"
    pl.save_pretrained(kind(config(**SHAPE, initializer_range=0.3)), folder, TOKENIZER)
    return str(folder)


def test_the_likeliest_tokens_are_those_of_the_cloze(folder):
    found = guesses(FillConfig(folder, "gold [MASK] peace", 120))
    words = [guess.token for guess in found[0]]
    truth = cloze_log_probabilities(pl.load_pretrained(folder), TOKENIZER, ["gold [MASK] peace"], words)[0].exp()
    assert len(found) == 1 and sorted(words) == sorted(TOKENIZER.get_vocab())
    assert torch.allclose(torch.tensor([guess.probability for guess in found[0]]), truth, atol=1e-6)
    assert (truth.diff() <= 1e-7).all()


def test_each_blank_has_a_line(folder, capsys):
    fill([folder, "[MASK] gold [MASK]", "--top", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["blank 1", "blank 2"] and lines[0].count("%") == 2


def test_the_zoo_fills_a_blank_as_its_texts_do():
    words = [guess.token for guess in guesses(FillConfig("modernbert-mini-sotu", "the congress of the united [MASK]"))[0]]
    assert "states" in words


def test_mistakes_are_told(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no \[MASK\] among its first 32 tokens: 'gold'"):
        guesses(FillConfig(folder, "gold"))
    pl.save_pretrained(pl.BertModel(pl.BertConfig(**SHAPE)), tmp_path / "headless", TOKENIZER)
    with pytest.raises(ValueError, match="has no head that predicts tokens"):
        guesses(FillConfig(str(tmp_path / "headless"), "gold [MASK]"))
    with pytest.raises(ValueError, match="top must be an integer of at least 1, got 0"):
        FillConfig(folder, "gold [MASK]", 0)
