"""Tokenizers of whole words: for captions, whose words are few and come again and again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .tokenizer import SPECIAL_TOKENS, UNK, framed

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer that knows the words of some texts, each as one token, and no others.

    Case is ignored, and every punctuation mark is a word of its own. As in `train_tokenizer`, the
    special tokens are [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3 and [MASK] 4, and encoding adds [CLS] and
    [SEP]. The words follow in alphabetical order.

    Args:
        texts: strings with every word that is to be known: training captions, and prompts.

    Raises:
        ValueError: if they hold no word.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    if isinstance(texts, str):
        raise ValueError("texts must be several texts, got a single string: put it in a list")
    normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.BertNormalizer(lowercase=True, strip_accents=False)])
    cut = pre_tokenizers.BertPreTokenizer()
    words = {word for text in set(texts)
             for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text))}
    if not words:
        raise ValueError("the texts hold no word to learn a vocabulary from")
    known = [*SPECIAL_TOKENS, *sorted(words - set(SPECIAL_TOKENS))]
    numbers = {word: number for number, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNK))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return framed(tokenizer)
