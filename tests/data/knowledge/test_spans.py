"""Spans of characters, and the tokens in them, against the tokens' own offsets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.knowledge.spans import Span, SpannedText, encode_spans, spans_of
from pretrain_lib.data.text.tokenizer import train_tokenizer

WORDS = "gold silver coins armies war forts united nations"
TOKENIZERS = {kind: train_tokenizer([WORDS] * 3, 290 if kind == "bpe" else 60, kind=kind) for kind in ("wordpiece", "bpe")}


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(words=st.lists(st.sampled_from(WORDS.split()), min_size=2, max_size=8), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_tokens_of_a_span_spell_it(kind, words, data):
    text, tokenizer = " ".join(words), TOKENIZERS[kind]
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = len(" ".join(words[:first])) + (first > 0)
    span = Span(start, start + len(" ".join(words[first : last + 1])), 7)
    encoded = encode_spans([SpannedText(text, (span,)), SpannedText("war", ())], tokenizer)
    assert encoded.entities.shape == encoded.input_ids.shape and (encoded.entities[1] == -1).all()
    inside = encoded.input_ids[0][encoded.entities[0] == 7].tolist()
    assert tokenizer.decode(inside).strip() == text[span.start : span.end]
    assert set(encoded.entities[0].tolist()) == {-1, 7}


def test_a_batch_is_as_narrow_as_its_longest_text():
    texts = [SpannedText("gold", (Span(0, 4, 0),)), SpannedText("gold coins of war", ())]
    samples = encode_spans(texts, TOKENIZERS["wordpiece"]).take(Keys.of(0, [0]))
    assert samples["entities"].shape == samples["input_ids"].shape and samples["entities"][0, 0] == -1


def test_names_are_found_as_whole_words_and_the_longest_first():
    names = {"United Nations": 0, "United": 1, "war": 2}
    assert list(spans_of("United Nations, United, warlike war", names)) == [(0, 14, 0), (16, 22, 1), (32, 35, 2)]


@pytest.mark.parametrize("spans, message", [
    ([Span(2, 9, 0)], r"\(2, 9, 0\) is no span of a text of 8 characters"),
    ([Span(-1, 2, 0)], "is no span"),
    ([Span(3, 3, 0)], "must begin before it ends"),
    ([Span(0, 4, -2)], "must have a number from 0 on, got -2"),
    ([Span(0, 5, 0), Span(4, 8, 1)], "have the character 4 in common"),
])  # fmt: skip
def test_what_is_no_span_is_refused(spans, message):
    with pytest.raises(ValueError, match=message):
        encode_spans([SpannedText("gold war", tuple(spans))], TOKENIZERS["wordpiece"])
