"""Bits per byte: the spans, what a tokenizer loses, and scores across tokenizers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pretrain_lib as pl
from pretrain_lib.data.text.tokenizer import train_tokenizer
from pretrain_lib.evaluation.bits_per_byte import bits_per_byte, in_parts, lost_bytes, text_spans

ENGLISH = ["The quick brown fox jumps over the lazy dog, and the dog sleeps on.", "A second line: of other words!"] * 5
HINDI = ["कल सुबह पल भर में नदी के पुल पर बहुत लोग आए थे।", "दिन में सुर और ताल के साथ समाचार पढ़े गए।"] * 5


def sized(tokenizer, kind=pl.ModernBertForMaskedLM):
    """A network that has learned nothing, for a tokenizer."""
    config = pl.ModernBertConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=64)  # fmt: skip
    return kind(config)


def test_a_tokenizer_that_makes_everything_unknown_comes_last():
    spans = text_spans(HINDI, characters=40)
    scores = {}
    for name, texts, kind in (("its own", HINDI, "wordpiece"), ("bytes", HINDI, "bpe"), ("foreign", ENGLISH, "wordpiece")):
        tokenizer = train_tokenizer(texts, 300, kind=kind)
        scores[name] = bits_per_byte(sized(tokenizer), tokenizer, spans)
    unknown = tokenizer.token_to_id("[UNK]")
    assert set(tokenizer.encode(HINDI[0], add_special_tokens=False).ids) == {unknown}
    assert scores["foreign"].value >= 8 and scores["foreign"].lost == 1
    assert max(scores["its own"].value, scores["bytes"].value) < 8
    assert scores["bytes"].lost == 0


@pytest.mark.parametrize("kind, orders", [(pl.ModernBertForMaskedLM, 4), (pl.ModernBertForCausalLM, 0)])
def test_a_network_that_knows_nothing_costs_the_logarithm_of_its_vocabulary(kind, orders):
    tokenizer = train_tokenizer(ENGLISH, 300, kind="bpe", lowercase=False)
    model = sized(tokenizer, kind)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    spans = text_spans(ENGLISH, characters=50)
    tokens = sum(len(tokenizer.encode(span, add_special_tokens=False)) for span in spans)
    size = sum(len(span.encode()) for span in spans)
    for length in (None, 8):  # read as one, or in parts
        found = bits_per_byte(model, tokenizer, spans, length=length)
        assert found.orders == orders
        assert found.value == pytest.approx(tokens * math.log2(tokenizer.get_vocab_size()) / size + 8 * found.lost, rel=1e-5)


@pytest.mark.parametrize("text, again, lost", [
    ("same", "same", 0), ("Two Words", "two words", 2), ("a\n\nb", "a b", 2), ("naïve", "naive", 2),
    ("读 book", "book", 4), ("don't", "don ' t", 0), ("भर", "", 6),
])  # fmt: skip
def test_bytes_that_are_not_given_back_are_counted(text, again, lost):
    assert lost_bytes(text, again) == lost


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6), st.integers(1, 9))
def test_spans_are_the_text(texts, characters):
    spans = [t[i:i + characters] for t in texts for i in range(0, len(t), characters)]
    spans = [span for span in spans if not span.isspace()]
    if not spans:
        with pytest.raises(ValueError, match="there is no text to score"):
            text_spans(texts, characters=characters)
    else:
        assert text_spans(texts, len(spans), characters) == spans
        kept = text_spans(texts, 2, characters)
        assert len(kept) == min(2, len(spans)) and set(kept) <= set(spans)


@given(st.integers(0, 40), st.integers(3, 12))
def test_parts_are_the_whole_and_fit(n, length):
    parts = in_parts(range(n), length)
    assert [i for part in parts for i in part] == list(range(n))
    assert all(0 < len(part) <= length - 2 for part in parts)
    assert in_parts(range(n), None) == ([range(n)] if n else [])
