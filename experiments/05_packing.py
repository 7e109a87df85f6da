"""Padding: how much of a batch is empty, with one text a row, sorted by length, and packed."""

from __future__ import annotations

from bisect import bisect_left, insort
from statistics import mean

import numpy as np
import torch

from pretrain_lib import Keys, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks, TokenDataset
from pretrain_lib import load_text, load_tokenizer
from pretrain_lib.data.text.document import split_sentences
from pretrain_lib.data.text.tokenizer import special_ids

TITLE = "Padding wasted and won back by packing (after Krell et al. 2021, abstract and Figure 1)"

PREDICTION = """\
(Written after a first look at two of the numbers, one text a row and packed, on the whole text;
before anything else.) Three samples of a third of the documents each. With one text a row, more
than half of all places are padding for sentences in rows of 128, 30 to 40 % for the docstrings of
a module in rows of 512, under 15 % for those in rows of 128; Krell et al. report up to 50 % for
common data sets and up to 89 % for short texts.
Filling up only to the longest text of a batch of 32 saves a third of the padding or less; sorting
by length first brings it under 10 %. Packing whole texts (first fit, longest first) leaves under
2 %, packing that cuts texts at the end of a block under 0.1 %. So packing makes a row carry at
least 3 times as many tokens for sentences. With the block-diagonal mask and positions that start
again, every text's outputs equal those of the text alone, within 1e-5 of the largest in fp32 and
1e-12 in float64; with an ordinary mask they do not, by more than 1 %."""

SEEDS = (0, 1, 2)
AROUND = 2  # [CLS] and [SEP]
BATCH, BUCKET = 32, 50  # texts a batch; batches that are sorted together


def pieces_of(tokens: np.ndarray, most: int) -> list[np.ndarray]:
    """A text cut into pieces that fit into a row."""
    return [tokens[i : i + most] for i in range(0, len(tokens), most)]


def first_fit_decreasing(lengths: np.ndarray, length: int) -> int:
    """How many rows whole texts need: the longest first, each into the fullest row with room."""
    rows, room = 0, []  # what is left of each open row, sorted
    for size in sorted(lengths.tolist(), reverse=True):
        place = bisect_left(room, size)
        if place == len(room):
            rows += 1
            left = length - size
        else:
            left = room.pop(place) - size
        insort(room, left)
    return rows


def longest_of_batch(lengths: np.ndarray) -> int:
    """The places of all batches, each as long as its longest text."""
    return sum(int(b.max()) * len(b) for b in np.split(lengths, range(BATCH, len(lengths), BATCH)))


def sorted_in_buckets(lengths: np.ndarray) -> np.ndarray:
    size = BATCH * BUCKET
    parts = np.split(lengths, range(size, len(lengths), size))
    return np.concatenate([np.sort(part) for part in parts])


def padding(texts: list[np.ndarray], length: int, vocab_size: int, special, seed: int) -> dict:
    """The share of all places that is padding, by way of making rows."""
    pieces = [piece for text in texts for piece in pieces_of(text, length - AROUND)]
    order = Keys.of(seed, [1]).permutation("rows", len(pieces))[0].numpy()
    lengths = np.array([len(piece) + AROUND for piece in pieces])[order]
    used = int(lengths.sum())
    places = {
        "one text a row": len(lengths) * length,
        "to the longest of the batch": longest_of_batch(lengths),
        "sorted by length first": longest_of_batch(sorted_in_buckets(lengths)),
        "packed, texts whole": first_fit_decreasing(lengths, length) * length,
    }
    blocks = PackedBlocks(TokenDataset.in_memory(texts, vocab_size), length, special)
    return {name: 1 - used / total for name, total in places.items()} | {
        "packed, texts cut": 1 - blocks.fullness
    }


def difference(vocab_size: int, blocks: PackedBlocks, seed: int, dtype: torch.dtype) -> dict:
    """Largest difference between outputs in a block and alone, relative to the largest output."""
    torch.manual_seed(seed)
    shape = ModernBertConfig(vocab_size=vocab_size, hidden_size=64, intermediate_size=128,
                             num_hidden_layers=3, num_attention_heads=4, local_attention=16,
                             max_position_embeddings=blocks.length, initializer_range=0.1)
    model = ModernBertForMaskedLM(shape).to(dtype).eval()
    samples = blocks.take(Keys.of(seed, Keys.of(seed, [0]).permutation("b", len(blocks))[0][:4]))
    ids, piece, places = (samples[k] for k in ("input_ids", "attention_mask", "position_ids"))
    with torch.no_grad():
        packed = model(ids, attention_mask=piece, position_ids=places)
        mixed = model(ids, attention_mask=(piece > 0).long())
        gaps = {"block-diagonal": 0.0, "ordinary mask": 0.0}
        for row, number in {(r, int(k)) for r in range(len(ids)) for k in piece[r].unique() if k}:
            here = piece[row] == number
            alone = model(ids[row, here][None])[0]
            for name, outputs in (("block-diagonal", packed), ("ordinary mask", mixed)):
                gap = ((outputs[row, here] - alone).abs().max() / alone.abs().max()).item()
                gaps[name] = max(gaps[name], gap)
    return gaps


def run(scale: str) -> dict:
    """Padding for each setting and sample; differences of outputs for each seed."""
    tokenizer = load_tokenizer("sotu-8192")
    special, vocab_size = special_ids(tokenizer), tokenizer.get_vocab_size()

    def encode(texts: list[str]) -> list[np.ndarray]:
        cut = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids) for one in cut if one.ids]

    names = ["sotu"] if scale == "smoke" else ["sotu", "docstrings"]
    measured = {"padding": {}, "texts": {}, "difference": []}
    for name in names:
        documents = list(load_text(name))[:: 20 if scale == "smoke" else 1]
        for seed in SEEDS:
            order = Keys.of(seed, [0]).permutation("third", len(documents))[0].tolist()
            third = [documents[i] for i in order[: len(documents) // 3]]
            sentences = encode([s for document in third for s in split_sentences(document.text)])
            settings = {(f"{name}, sentences", 128): sentences}
            if name == "docstrings":
                modules = encode([document.text for document in third])
                settings |= {(f"{name}, modules", 512): modules, (f"{name}, modules", 128): modules}
            for (text, length), texts in settings.items():
                key = f"{text}, rows of {length}"
                shares = padding(texts, length, vocab_size, special, seed)
                measured["padding"].setdefault(key, []).append(shares)
                measured["texts"].setdefault(key, []).append(len(texts))
            if name == "sotu":
                short = [sentence[:60] for sentence in sentences[:200]]
                blocks = PackedBlocks(TokenDataset.in_memory(short, vocab_size), 128, special)
                measured["difference"].append({
                    "fp32": difference(vocab_size, blocks, seed, torch.float32),
                    "float64": difference(vocab_size, blocks, seed, torch.float64),
                })
    return measured


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said = {True: "held", False: "failed"}
    average = {
        key: {way: mean(run[way] for run in runs) for way in runs[0]}
        for key, runs in measured["padding"].items()
    }
    alone = {key: ways["one text a row"] for key, ways in average.items()}
    sentences = {key: share for key, share in alone.items() if "sentences" in key}
    modules = alone.get("docstrings, modules, rows of 512", 0)
    saved = {key: 1 - ways["to the longest of the batch"] / ways["one text a row"]
             for key, ways in average.items()}
    by_length = max(ways["sorted by length first"] for ways in average.values())
    whole = max(ways["packed, texts whole"] for ways in average.values())
    cut = max(ways["packed, texts cut"] for ways in average.values())
    factor = min((1 - average[key]["packed, texts cut"]) / (1 - alone[key]) for key in sentences)
    gap = {kind: {mask: max(run[kind][mask] for run in measured["difference"])
                  for mask in ("block-diagonal", "ordinary mask")} for kind in ("fp32", "float64")}
    modules_128 = alone.get("docstrings, modules, rows of 128", 0)
    return (
        f"One text a row, sentences over half padding: {said[min(sentences.values()) > 0.5]}; "
        + "; ".join(f"{key}: {share:.1%}" for key, share in alone.items())
        + f"; modules in rows of 512 within 30 to 40 %: {said[0.3 <= modules <= 0.4]}, of 128 "
        f"under 15 %: {said[modules_128 < 0.15]}. The longest "
        f"of a batch saves {min(saved.values()):.0%} to {max(saved.values()):.0%} of it "
        f"({said[max(saved.values()) <= 1 / 3]}); sorted first, at most {by_length:.1%} remain "
        f"({said[by_length < 0.1]}). Packed: at most {whole:.2%} with texts whole "
        f"({said[whole < 0.02]}), {cut:.3%} with texts cut ({said[cut < 0.001]}); a row carries at "
        f"least {factor:.2f} times as many tokens for sentences ({said[factor >= 3]}). Outputs of "
        f"packed texts against alone: {gap['fp32']['block-diagonal']:.1e} in fp32 "
        f"({said[gap['fp32']['block-diagonal'] < 1e-5]}), {gap['float64']['block-diagonal']:.1e} "
        f"in float64 ({said[gap['float64']['block-diagonal'] < 1e-12]}); with an ordinary mask "
        f"{gap['float64']['ordinary mask']:.0%} ({said[gap['float64']['ordinary mask'] > 0.01]})."
    )
