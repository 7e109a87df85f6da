"""Subword tokenizers: trained here, kept as plain `tokenizers.Tokenizer`, saved for Hugging Face.

WordPiece is BERT's (Devlin et al., NAACL 2019). `tokenizers` trains it as byte-pair encoding
(Sennrich, Haddow and Birch, ACL 2016) over characters of which all but the first of a word carry
the prefix ##. Byte-level byte-pair encoding starts from the 256 bytes instead (Radford et al.,
"Language models are unsupervised multitask learners", 2019).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...files import write_text
from ...zoo import ZOO
from ..hub import is_of_the_hub, model_folder
from .document import lines_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
SPACE = "Ġ"  # how byte-level encoding writes a space
LINE_BREAK, TAB = "Ċ", "ĉ"
KINDS = ("wordpiece", "bpe")
BYTES = 256


class SpecialIds(NamedTuple):
    """The ids of the tokens that are not text."""

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


# --- Training -------------------------------------------------------------------------------


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 8192, kind: str = "wordpiece", lowercase: bool = True,
    strip_accents: bool = False, keep_lines: bool = False,
) -> Tokenizer:
    """Learns a vocabulary of subwords from texts; the same texts give the same tokenizer.

    The special tokens are [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3 and [MASK] 4. Encoding adds them:
    `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]` for a pair, unless `add_special_tokens=False`.

    Args:
        texts: strings or documents, such as a corpus. They are read twice for "wordpiece"; what
            can be read only once is therefore kept in memory meanwhile.
        vocab_size: number of tokens; less where the texts have no more to merge.
        kind: "wordpiece", as in BERT, where at most a third of the vocabulary are characters and
            rarer ones are unknown, or "bpe", which starts from bytes and never meets an unknown.
        lowercase: whether case is ignored.
        strip_accents: whether accents are, as in BERT uncased; with them go the vowel signs of
            Hindi and Thai, without which कल and कुल are one word.
        keep_lines: whether line breaks and indentation are tokens, for code and verse; "bpe" only.

    Raises:
        ValueError: for an unknown kind, a vocabulary too small, texts without a word, or lines
            that "wordpiece" should keep.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    smallest = len(SPECIAL_TOKENS) + (BYTES if kind == "bpe" else 10)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size must be at least {smallest} for {kind!r}, got {vocab_size}")
    if isinstance(texts, str):
        raise ValueError("texts must be several texts, got a single string: put it in a list")
    if kind == "bpe":
        tokenizer = _train_bpe(texts, vocab_size, lowercase, strip_accents, keep_lines)
    elif keep_lines:
        raise ValueError("keep_lines needs kind=\"bpe\": \"wordpiece\" knows no line breaks")
    else:
        tokenizer = _train_wordpiece(texts, vocab_size, lowercase, strip_accents)
    return framed(tokenizer)


def framed(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, which from now on adds [CLS] and [SEP] to what it encodes."""
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return tokenizer


def _train_wordpiece(texts: Iterable[str], vocab_size: int, lowercase: bool,
                     strip_accents: bool) -> Tokenizer:
    """WordPiece as in BERT, with an order of characters that does not depend on chance.

    The trainer numbers ##x when it meets it, in the order of a randomised hash table, and breaks
    ties between pairs by number. Giving it all ##x beforehand, sorted, makes it deterministic.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if iter(texts) is texts:
        texts = list(texts)
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    as_case = None if strip_accents == lowercase else strip_accents  # None, BERT's, follows case
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=as_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, later = _characters(tokenizer, texts)
    alphabet = [character for character, _ in _by_frequency(first + later)[: vocab_size // 3]]
    continuations = [CONTINUATION + character for character in sorted(set(alphabet) & set(later))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *continuations],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_strings(texts), trainer)
    # A new model, because the trainer's tokenizer takes ##x for special tokens.
    trained = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=UNK))
    trained.normalizer = tokenizer.normalizer
    trained.pre_tokenizer = tokenizer.pre_tokenizer
    trained.decoder = decoders.WordPiece(prefix=CONTINUATION)
    trained.add_special_tokens(list(SPECIAL_TOKENS))
    return trained


def _train_bpe(texts: Iterable[str], vocab_size: int, lowercase: bool, strip_accents: bool,
               keep_lines: bool) -> Tokenizer:
    """Byte-level byte-pair encoding; a space belongs to the word that it precedes.

    Where lines are kept, no token reaches across the beginning of a line break, so that lines can
    be encoded one by one.
    """
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    steps = [normalizers.NFD(), normalizers.StripAccents()] if strip_accents else []
    steps += [normalizers.Lowercase()] if lowercase else []
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if keep_lines:
        lines = pre_tokenizers.Split("\n", "merged_with_next")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, tokenizer.pre_tokenizer])
    tokenizer.decoder = decoders.ByteLevel()
    # The space before [MASK] belongs to it, or it would become a token of its own.
    special_tokens = [
        AddedToken(token, lstrip=token == MASK, special=True) for token in SPECIAL_TOKENS
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_strings(texts), trainer)
    return tokenizer


def _strings(texts: Iterable) -> Iterator[str]:
    """The texts of documents, and strings as they are; an error if none holds a word."""
    empty = True
    for item in texts:
        text = item if isinstance(item, str) else item.text
        empty = empty and not text.strip()
        yield text
    if empty:
        raise ValueError("the texts hold no word to learn a vocabulary from")


def _characters(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[Counter, Counter]:
    """How often each character begins a word, and how often it stands later in one."""
    words = Counter()
    for text in _strings(texts):
        words.update(tokenizer.normalizer.normalize_str(text).split())
    first, later = Counter(), Counter()
    for chunk, count in words.items():
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(chunk):
            first[word[0]] += count
            for character in word[1:]:
                later[character] += count
    return first, later


def _by_frequency(counts: Counter) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


# --- Folders --------------------------------------------------------------------------------


def save_tokenizer(
    tokenizer: Tokenizer,
    folder: str | Path,
    *,
    token_types: bool = True,
    max_length: int | None = None,
) -> None:
    """Writes `tokenizer_config.json`, which says what the tokenizer is, and then `tokenizer.json`.

    Each is written beside its place and renamed into it: where `tokenizer.json` is, all is there.
    Without the first file, transformers would take the second for a lower-casing BertTokenizer.
    `transformers.AutoTokenizer.from_pretrained(folder)` then gives the same ids.

    Args:
        tokenizer: what to save.
        folder: where; it is made if need be, and other files in it stay.
        token_types: whether the model tells the two texts of a pair apart, as BERT does and
            ModernBERT does not.
        max_length: tokens that the model reads at most; transformers truncates to it when asked.

    Raises:
        ValueError: if the tokenizer lacks a special token.
    """
    special_ids(tokenizer)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict(zip(names, SPECIAL_TOKENS, strict=True)),
        "model_input_names": [n for n in inputs if token_types or n != "token_type_ids"],
        "clean_up_tokenization_spaces": False,
    }
    if max_length is not None:
        config["model_max_length"] = max_length
    text = json.dumps(_plain(tokenizer), ensure_ascii=False, indent=1)
    write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2))
    write_text(folder / "tokenizer.json", text)


def load_tokenizer(name: str | Path) -> Tokenizer:
    """The tokenizer of a folder that holds `tokenizer.json`, or of a model.

    Args:
        name: a folder, a run's folder, a name of the zoo, or of the Hub, "hub:owner/name@revision".

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file does not describe a tokenizer.
    """
    from tokenizers import Tokenizer

    places = (Path(name), Path(name) / "model", ZOO / name)
    for folder in [model_folder(str(name))] if is_of_the_hub(name) else places:
        path = folder / "tokenizer.json"
        if path.is_file():
            try:
                return Tokenizer.from_str(path.read_text(encoding="utf-8"))
            except Exception as error:  # the only class that `tokenizers` raises
                raise ValueError(f"{path} describes no tokenizer: {error}") from None
    zoo = sorted(path.parent.name for path in ZOO.glob("*/tokenizer.json"))
    remedy = f"; the zoo has {', '.join(zoo)}" if zoo else ""
    if (Path(name) / "vocab.txt").is_file():
        remedy = (": from its vocab.txt, transformers' AutoTokenizer.from_pretrained(folder)"
                  ".save_pretrained(folder) writes one")
    raise FileNotFoundError(f"there is no tokenizer.json in {str(name)!r}{remedy}")


def most_tokens(folder: str | Path) -> int | None:
    """How many tokens of a text are read at most, as `save_tokenizer` wrote it; None if unsaid."""
    path = Path(folder) / "tokenizer_config.json"
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8")).get("model_max_length")


# --- What others ask of a tokenizer ---------------------------------------------------------


def special_ids(tokenizer: Tokenizer) -> SpecialIds:
    """The ids of [PAD], [UNK], [CLS], [SEP] and [MASK].

    Raises:
        ValueError: if the tokenizer lacks one of them.
    """
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    missing = [token for token, id in ids.items() if id is None]
    if missing:
        others = [token.content for token in tokenizer.get_added_tokens_decoder().values()
                  if token.special and token.content not in ids]
        remedy = f"; rename {', '.join(others)} in tokenizer.json" if others else ""
        raise ValueError(f"the tokenizer has no {', '.join(missing)}: masked models need all of "
                         f"{', '.join(SPECIAL_TOKENS)}{remedy}")
    return SpecialIds(*ids.values())


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """One more than the largest id: more than there are tokens where numbers are left out."""
    return 1 + max(tokenizer.get_vocab().values())


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 of the tokenizer: equal where the same text gives the same ids."""
    text = json.dumps(_plain(tokenizer), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def keeps_lines(tokenizer: Tokenizer) -> bool:
    """Whether line breaks and indentation come back, and lines can be encoded one by one."""
    text = "if a:  \n\n\n    b = 1\n\tc\n"
    if tokenizer.pre_tokenizer is None:
        return False

    def pieces(text: str) -> list[str]:
        return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    one_by_one = [piece for line in lines_of(text) for piece in pieces(line)]
    return one_by_one == pieces(text) and tokenizer.decode(tokenizer.encode(text).ids) == text


def _plain(tokenizer: Tokenizer) -> dict:
    """The tokenizer without padding and truncation, which belong to a use of it."""
    return json.loads(tokenizer.to_str()) | {"padding": None, "truncation": None}


def continues_word(tokenizer: Tokenizer) -> Tensor:
    """Which tokens continue the word of the token before them.

    In WordPiece, those with its prefix, such as ##: a word is what BERT's pre-tokenizer cuts out, a
    run without white space or punctuation, a single punctuation mark, or a single Chinese
    character. Where a space is a sign of its own, Ġ in byte-level encoding and ▁ in Metaspace,
    those that do not begin with it (nor with a line break or tab): a word is all from one space to
    the next, with its punctuation, and so a whole clause in Chinese, Japanese and Thai, which
    write none. Special tokens stand alone.

    Returns:
        (V,) bool.

    Raises:
        ValueError: if a token does not tell whether it begins a word.
    """
    prefix, begins = marks(tokenizer)
    continues = torch.zeros(vocabulary_size(tokenizer), dtype=torch.bool)
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= set(special_ids(tokenizer))
    for token, id in tokenizer.get_vocab().items():
        if id not in special:
            continues[id] = token.startswith(prefix) if prefix else not token.startswith(begins)
    return continues


def marks(tokenizer: Tokenizer) -> tuple[str, str | tuple[str, ...]]:
    """What tokens within words begin with, or else what those at their beginnings begin with.

    Raises:
        ValueError: if the tokenizer has neither.
    """
    parts = json.loads(tokenizer.to_str())
    model, steps = parts["model"], parts["pre_tokenizer"] or {}
    steps = {step["type"]: step for step in steps.get("pretokenizers", [steps]) if step}
    if model["type"] == "WordLevel":
        return "", ""  # every token begins a word
    if model.get("continuing_subword_prefix"):
        return model["continuing_subword_prefix"], ""
    if not model.get("end_of_word_suffix"):
        if "ByteLevel" in steps:
            return "", (SPACE, LINE_BREAK, TAB)
        if "Metaspace" in steps:
            return "", steps["Metaspace"]["replacement"]
    raise ValueError(f"a token of this {model['type']} tokenizer does not tell whether it begins a "
                     "word: known are a prefix within words, such as ##, byte-level Ġ and "
                     "Metaspace's ▁; hide single tokens, with unit=\"token\"")
