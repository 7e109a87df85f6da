# %% [markdown]
# # 04 · Tokenization
#
# A network computes with numbers; a text is a row of characters. Between the two stands the
# **tokenizer**. It decides what the pieces of the text are, and gives each piece a number, its
# *id*. It is learned from text, before the model, and then never changes: what it cuts badly,
# pre-training cannot bring back. In this chapter you write the tokenizers that most pretrained text
# models use, and compare them with the library `tokenizers`, merge for merge and id for id.
#
# **You will be able to**
#
# 1. say, with Zipf's and Heaps' laws measured on real text, why neither words nor characters make
#    a good vocabulary;
# 2. write BPE on characters, and its encoding on bytes, such that every merge and every token
#    equals those of `tokenizers`, down to the rule for ties;
# 3. write WordPiece encoding, say when it fails, and tell its published training criterion from
#    what libraries really do;
# 4. assemble `[CLS] A [SEP] B [SEP]` by hand, and say what each special token is for;
# 5. measure what a vocabulary costs: tokens per word, unknown words, parameters, and how unequally
#    languages are treated.
#
# **You need** Python and chapter 00. No network is trained here.
#
# **Time** about 3½ hours of reading and exercises. Computing takes a minute on a laptop.

# %% tags=["setup"]
import ast
import json
import math
import re
import string
import sys
import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import zip_longest

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from pretrain_lib import Keys, load_text, train_tokenizer
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results
from pretrain_lib.course import reveal
from pretrain_lib.course.results import verdict_table
from pretrain_lib.course.exercises.ch04 import CHOICES, our_ids, reports
from pretrain_lib.data.text.document import split_sentences

# %% [markdown]
# ## 1 · From text to ids
#
# The program of the article that this course starts from loads the tokenizer of
# `bert-base-uncased`. Here are its lines from there to the end of the training loop, copied from
# section 5.2 without their comments. Python can parse a program without running it: which names are
# given a value, and which of them are never read?

# %% tags=["NBVAL_CHECK_OUTPUT"]
article = """
tokenizer = BertTokenizer.from_pretrained('bert-base-uncased')
train_data = [[torch.randn(128), torch.randn(128)] for _ in range(1000)]
train_loader = DataLoader(train_data, batch_size=10, shuffle=True)
model = Autoencoder(128, 64)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(10):
    for batch in train_loader:
        input_data, target_data = batch
        optimizer.zero_grad()
        output_data = model(input_data)
        loss = nn.functional.mse_loss(output_data, target_data)
        loss.backward()
        optimizer.step()
    print(f"Epoch {epoch+1}, loss: {loss.item()}")
"""
names = [node for node in ast.walk(ast.parse(article)) if isinstance(node, ast.Name)]
stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
read = {name.id for name in names if isinstance(name.ctx, ast.Load)}
print("given a value and never read:", sorted(stored - read - {"_"}))

# %% [markdown]
# The tokenizer is loaded and never used; no text enters the program. Nor could its network take
# what a tokenizer makes: it takes 128 real numbers, and ids are not quantities. Id 2,000 isn't
# twice id 1,000. **An id is a name.** A network learns a row of numbers for each id, its
# *embedding*, and computes with that. Written as linear algebra, the id is a *one-hot* vector, 1 at
# its own index and 0 elsewhere, and looking up a row is a product with the matrix $E$ of all rows.

# %% tags=["NBVAL_CHECK_OUTPUT"]
ids = torch.tensor([3, 0, 3])  # a text of three tokens, two of them the same
E = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))  # 5 tokens, 4 numbers for each
one_hot = torch.nn.functional.one_hot(ids, 5).float()  # (3, 5)
print("one-hot", tuple(one_hot.shape), " embedded", tuple(E[ids].shape))
claim(torch.equal(one_hot @ E, E[ids]), "a product with one-hot rows is a look-up")

# %% [markdown]
# A tokenizer is a list of strings, the **vocabulary**, with a rule that cuts any text into strings
# of that list (Figure 4.1). The list is fixed before training, since each entry owns a row of $E$.
# This chapter is about which strings to put on the list.

# %%
plots.show(diagrams.tokenization(), "A text becomes words, the words become tokens, and each token "
           "an id. The id picks a row of the embedding matrix.", number="4.1")

# %% [markdown]
# Our text: the addresses of the presidents of the United States to Congress, 1790 to today. These
# are historical documents, in the language of their times, also where they speak of slavery and of
# the removal of Indian nations. We hold out a tenth of the speeches of each era. Tokenizers are
# learned from the others, and measured on those held out. (`Keys` draws the random order as a
# function of the seed, so that the same speeches are held out every time; chapter 03 explains it.)

# %%
documents = list(load_text("sotu"))[:: dial(smoke=6, laptop=1)]


def hold_out(documents, seed, share=0.1):
    """Speeches to learn from and speeches to measure on: the same share of each era."""
    chosen = set()
    eras = sorted({document.labels["era"] for document in documents})
    for number, era in enumerate(eras):
        sources = [document.source for document in documents if document.labels["era"] == era]
        order = Keys.of(seed, [number]).permutation("held out", len(sources))[0].tolist()
        chosen |= {sources[i] for i in order[: round(share * len(sources))]}
    parts = [], []
    for document in documents:
        parts[document.source in chosen].append(document)
    return parts


train, test = hold_out(documents, seed=0)
print(len(train), "speeches to learn from,", len(test), "held out, such as", test[0].source)

# %% [markdown]
# ## 2 · Normalise, then cut into words
#
# Two steps come before any vocabulary, and both throw something away.
#
# **Normalisation** makes strings equal that should count as equal. BERT's "uncased" models
# lower-case, and remove accents: Unicode's form *NFD* splits "é" into "e" and a combining accent
# (of Unicode's category `Mn`), and then accents are dropped. What is gone stays gone: *Polish* the
# people and *polish* the verb have become one.

# %%
def normalise(text):
    """Lower case without accents."""
    apart = unicodedata.normalize("NFD", text)
    accents = {ord(c): None for c in set(apart) if unicodedata.category(c) == "Mn"}
    return apart.translate(accents).lower()


print(normalise("The Élysée, Curaçao and Dürer's POLISH"))

# %% [markdown]
# **Pre-tokenization** cuts the text where no token may reach across. BERT cuts at white space
# and makes each punctuation mark a word of its own. Punctuation is whatever Unicode calls so, and
# all of ASCII's symbols, such as `$`.

# %%
@lru_cache(maxsize=None)
def is_punctuation(character):
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def words_of(text):
    """The words of a text, normalised; each punctuation mark is one."""
    text = normalise(text)
    apart = {ord(c): f" {c} " for c in set(text) if is_punctuation(c)}
    return text.translate(apart).split()


print(words_of("Nothing's free: $3 a day (or so)."))

# %%
bert_normalizer = normalizers.BertNormalizer(lowercase=True)
bert_cutter = pre_tokenizers.BertPreTokenizer()


def their_words(text):
    """The same by `tokenizers`."""
    pieces = bert_cutter.pre_tokenize_str(bert_normalizer.normalize_str(text))
    return [word for word, span in pieces]


words = {document.source: words_of(document.text) for document in documents}
equal = sum(words[document.source] == their_words(document.text) for document in test)
print(f"{equal} of {len(test)} held-out speeches are cut exactly as `tokenizers` cuts them")
claim(equal == len(test), "our normalisation and cutting are BERT's, on every held-out speech")

# %% [markdown]
# From here on, all we need of a text is how often each word occurs: two million words of text
# become a table of some tens of thousands.

# %%
def count(part):
    """The words of some speeches, with their counts, most frequent first."""
    total = Counter(word for document in part for word in words[document.source])
    return Counter(dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))))


train_words, test_words = count(train), count(test)
print(f"{train_words.total():,} words, {len(train_words):,} different ones:", end=" ")
print(", ".join(f"{word} {n:,}" for word, n in train_words.most_common(6)))

# %% [markdown]
# (A *type* is an entry of that table, a *running word* one of its occurrences. Punctuation marks
# count as words.)
#
# ## 3 · Why not words? Why not characters?
#
# The obvious vocabulary is the table itself: a token for each word. What share of the types in the
# table occurs only *once* in all those speeches?

# %%
predict("04.once", ..., unit="(share of the types that occur once)")

# %%
frequencies = np.array(list(train_words.values()))
ranks = np.arange(1, len(frequencies) + 1)
once = (frequencies == 1).mean()
reveal("04.once", once)
in_text = frequencies / frequencies.sum()
print(f"the 100 most frequent types make up {in_text[:100].sum():.1%} of the text;")
print(f"those that occur once {in_text[frequencies == 1].sum():.2%}, but {once:.1%} of the table")

# %% [markdown]
# **Zipf's law** (1949): the frequency of a word is roughly inversely proportional to its rank,
# $f(r) \propto r^{-a}$ with $a$ near 1, a straight line on double logarithmic axes. **Heaps' law**
# (Herdan 1960; Heaps 1978): a text of $n$ words holds $V(n) \approx K n^{\beta}$ types, with
# $\beta$ clearly between 0 and 1. The table grows ever more slowly, and **never stops**: doubling
# the text multiplies it by $2^{\beta}$, however much has been read already.
#
# We read the speeches in a random order, and count types as we go. Guess the exponent.

# %%
predict("04.heaps", ..., unit="(Heaps' exponent β)")

# %%
def growth(part, seed=0):
    """(words read, types met) after each speech, in a random order."""
    seen, read, points = set(), 0, []
    for i in Keys.of(seed, [0]).permutation("reading", len(part))[0].tolist():
        seen |= set(words[part[i].source])
        read += len(words[part[i].source])
        points.append((read, len(seen)))
    return np.array(points).T  # (2, speeches)


read, types = growth(train)
late = read > read[-1] / 20  # the law is about large texts: leave the first speeches out
beta, log_k = np.polyfit(np.log(read[late]), np.log(types[late]), 1)
middle = slice(9, 2000)
zipf, log_c = np.polyfit(np.log(ranks[middle]), np.log(frequencies[middle]), 1)
reveal("04.heaps", beta)
print(f"Zipf: f(r) ∝ r^{zipf:.2f} between ranks 10 and 2000")
print(f"reading twice as much text would multiply the table by about 2^β = {2**beta:.2f}")
claim(0.3 < beta < 0.8, "the fitted exponent lies well between 0 and 1")

# %%
fig, axes = plots.figure(columns=2, width=9.5, height=3.4)
axes[0].loglog(ranks, frequencies, color=plots.BLUE)
axes[0].loglog(ranks, np.exp(log_c) * ranks**zipf, color=plots.GREY, ls="--", lw=1)
axes[0].annotate("the", (1, frequencies[0]), xytext=(0, -14), textcoords="offset points")
axes[0].set(title=f"Zipf: dashed, a power of {zipf:.2f}", xlabel="rank", ylabel="occurrences")
axes[1].loglog(read, types, "o", color=plots.BLUE, markersize=3)
axes[1].loglog(read, np.exp(log_k) * read**beta, color=plots.GREY, ls="--", lw=1)
axes[1].set(title=f"Heaps: dashed, a power of {beta:.2f}", xlabel="words read", ylabel="types met")
plots.show(fig, alt="Frequency falls like a power of the rank, and new words never stop coming. "
           "Left: occurrences of a word against its rank, on logarithmic axes nearly a straight line "
           "that bends down at the rare end. Right: types met against words read, dots that rise and "
           "bend a little, without a plateau.", number="4.2")

# %% [markdown]
# Such laws are rough. In Figure 4.2, on the left, the rarest words are rarer than Zipf's line says.
# Heaps' line, on the right, is fitted without the first twentieth of the text, where the dots lie
# below it: the exponent depends on where one fits it. But there is no plateau. For vocabularies
# this means two things. Most entries of a table of words are rare, so their embeddings hardly ever
# get a gradient. And the next text will hold words that aren't on the list. One special token
# replaces them, `[UNK]`, *unknown*: for the model all unknown words are the same. How many are
# there in speeches held out?

# %%
def unknown_share(vocabulary):
    """The share of the held-out running words that are not in a vocabulary of words."""
    return sum(n for word, n in test_words.items() if word not in vocabulary) / test_words.total()


for size in (1000, 4000, 16000, len(train_words)):
    most_frequent = {word for word, n in train_words.most_common(size)}
    print(f"the {size:6,} most frequent words: {unknown_share(most_frequent):6.2%} unknown")
missing = [word for word, n in test_words.most_common() if word not in train_words]
print("unknown even with all training words:", ", ".join(missing[:24]))
claim(unknown_share(train_words) > 0, "even with all training words on the list, some are unknown")

# %% [markdown]
# Many are names, numbers, or forms of well-known words: often what a sentence is *about*.
#
# At the other end is a vocabulary of **characters**. There are few, and hardly any is ever
# unknown. The price is length. A transformer (chapter 06) reads a *block* of 128 tokens in this
# course, and its *attention* compares every token of a block with every other.

# %%
alphabet = sorted({character for word in train_words for character in word})
length = sum(len(word) * n for word, n in test_words.items()) / test_words.total()
print(f"{len(alphabet)} characters; {length:.2f} of them per word")
print(f"attention compares all pairs of tokens: {length**2:.0f} times as many as with words")
print(f"a block of 128 tokens holds {128 / length:.0f} words in place of 128")

# %% [markdown]
# And the model must learn to spell first. What we want lies in between: frequent words as single
# tokens, rare ones in pieces that recur, and nothing unknown. Compression finds it.
#
# ## 4 · Byte-pair encoding
#
# **BPE** began as a way to compress files (Gage 1994): find the most frequent pair of neighbouring
# bytes, put a new symbol in its place, repeat. Sennrich, Haddow and Birch (2016, section 3.2)
# made a tokenizer of it. Begin with characters, and
#
# 1. count all pairs of neighbouring symbols, inside words only, each word weighed by its count;
# 2. merge the most frequent pair into a new symbol, everywhere;
# 3. repeat until the vocabulary is as large as you want it.
#
# Here is their example, a language of four words. (Their Algorithm 1 also marks the end of a word;
# BERT's tokenizers mark what is *not* the beginning, see section 5.)

# %% tags=["exercise"]
def count_pairs(words):
    """How often each pair of neighbours occurs; words maps tuples of symbols to counts."""
    pairs = Counter()
    for symbols, n in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
    return pairs


tiny = {tuple("low"): 5, tuple("lower"): 2, tuple("newest"): 6, tuple("widest"): 3}
for pair, n in count_pairs(tiny).most_common(6):
    print(pair, n)

# %% [markdown] tags=["exercise"]
# **Exercise 04.1 · merge a pair (★☆☆, 10 min)**
#
# Replace every occurrence of a pair by a new symbol, from left to right; what is merged once isn't
# merged again in the same pass. Symbols may be strings or ids, so compare symbols, not text.

# %% tags=["exercise"]
def merge_pair(symbols, pair, new):
    """The list of symbols with each occurrence of the pair (a tuple of two) replaced by `new`."""
    ### BEGIN SOLUTION
    merged, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged
    ### END SOLUTION


merge_pair = check("04.1", merge_pair)

# %% [markdown]
# ### Ties
#
# In the tiny language two pairs are the most frequent, *e s* and *s t*. On real text ties are
# everywhere, since thousands of rare pairs share a few small counts. The paper's program takes
# whichever its dictionary met first. `tokenizers` has a fixed rule: **of equal counts, the pair
# with the smaller ids wins**, comparing first symbols first. Ids are given in order: the alphabet,
# then each new symbol.

# %% [markdown] tags=["exercise"]
# **Exercise 04.7 · learn BPE, ties included (★★★, 35 min)**
#
# Write all of training. Start from the tokens of `alphabet`. Until there are `size` tokens, or no
# pair is left: count, choose, merge. Use `count_pairs` and `merge_pair`. The check trains
# `tokenizers` on the same words, and compares merge for merge.

# %% tags=["exercise"]
def learn_bpe(words, alphabet, size):
    """The tokens, the alphabet first, and the merges, pairs of strings, in the order learned."""
    ### BEGIN SOLUTION
    tokens, merges = list(alphabet), []
    while len(tokens) < size and (pairs := count_pairs(words)):
        id_of = {token: id for id, token in enumerate(tokens)}
        best = min(pairs, key=lambda pair: (-pairs[pair], id_of[pair[0]], id_of[pair[1]]))
        merges.append(best)
        tokens.append("".join(best))
        words = {tuple(merge_pair(symbols, best, tokens[-1])): n for symbols, n in words.items()}
    return tokens, merges
    ### END SOLUTION


learn_bpe = check("04.7", learn_bpe)

# %% tags=["NBVAL_CHECK_OUTPUT"]
letters = sorted({symbol for word in tiny for symbol in word})
first_six = learn_bpe(tiny, letters, len(letters) + 6)[1]
print("merges:", ", ".join(" + ".join(pair) for pair in first_six))

# %% [markdown]
# Six merges, and *est*, *low* and *new* have appeared: endings and stems, found by counting alone.
# The word *lowest* never occurred, and would now be *low|est*.
#
# ### Fast enough for real text
#
# Your program recounts every word after every merge. But a merge changes only the words that hold
# the pair, for most pairs a few. So keep the counts, keep *where* each pair occurs, and correct
# only what changes. A *heap*, a list that hands out its smallest entry quickly, of (−count, pair)
# finds the largest count. Its entries may be out of date: one that comes out stale goes back with
# its true count. Symbols are ids now, so that the heap's own order, smallest first, *is* the rule
# for ties.

# %%
class Pairs:
    """How often each pair of neighbours occurs, in which words, and which comes first."""

    def __init__(self, words, counts):
        self.words, self.counts = words, counts  # lists of ids; how often each occurs
        self.total, self.where = Counter(), defaultdict(set)
        for i in range(len(words)):
            self.add(i)
        self.heap = [(-n, pair) for pair, n in self.total.items()]
        heapify(self.heap)

    def add(self, i, times=1):
        for pair in zip(self.words[i], self.words[i][1:]):
            self.total[pair] += times * self.counts[i]
            self.where[pair].add(i)

    def first(self):
        """The most frequent pair, of equal ones the smallest; None if there is none."""
        while self.heap:
            n, pair = heappop(self.heap)
            if -n == self.total[pair]:
                return pair
            if self.total[pair] > 0:
                heappush(self.heap, (-self.total[pair], pair))

    def merge(self, pair, new):
        """Merges a pair into the id `new` wherever it stands; how many merges that takes."""
        changed, times = set(), 0
        for i in self.where.pop(pair):
            self.add(i, times=-1)
            before = len(self.words[i])
            self.words[i] = merge_pair(self.words[i], pair, new)
            times += self.counts[i] * (before - len(self.words[i]))
            self.add(i)
            changed |= {p for p in zip(self.words[i], self.words[i][1:]) if new in p}
        for p in changed:
            heappush(self.heap, (-self.total[p], p))
        return times


# %% [markdown]
# Around it, the loop of training. (A `##` before the second symbol is dropped when two are joined;
# section 5 needs that.) We put `[UNK]` before the alphabet, for characters of later texts.

# %%
def learn_fast(words, alphabet, size):
    """What `learn_bpe` learns."""
    tokens, merges = list(alphabet), []
    id_of = {token: id for id, token in enumerate(alphabet)}
    pairs = Pairs([[id_of[symbol] for symbol in word] for word in words], list(words.values()))
    while len(tokens) < size and (pair := pairs.first()):
        a, b = tokens[pair[0]], tokens[pair[1]]
        pairs.merge(pair, len(tokens))
        merges.append((a, b))
        tokens.append(a + b.removeprefix("##"))
    return tokens, merges


SIZE = dial(smoke=1000, laptop=8192)
in_characters = {tuple(word): n for word, n in train_words.items()}
tokens, merges = learn_fast(in_characters, ["[UNK]", *alphabet], SIZE)
print(len(tokens), "tokens,", len(merges), "merges")
print("first:", " ".join("".join(merge) for merge in merges[:14]))
print("last: ", " ".join("".join(merge) for merge in merges[-8:]))

# %%
few = dict(list(in_characters.items())[:300])  # your program is slow: 300 words, 60 merges
small = sorted({character for word in few for character in word})
same = learn_bpe(few, small, len(small) + 60) == learn_fast(few, small, len(small) + 60)
claim(same, "the fast program and yours learn the same tokens and merges")

# %% [markdown]
# ### Merge for merge
#
# Now `tokenizers`' own trainer, written in Rust, reads the speeches. Predict how many of its merges
# differ from ours.

# %%
predict("04.merges", ..., unit="merges differ")

# %%
def train_theirs(trainer, model=models.BPE, part=train):
    """A tokenizer trained by `tokenizers` on the same speeches, or on some of them."""
    tokenizer = Tokenizer(model(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = bert_normalizer, bert_cutter
    tokenizer.train_from_iterator((document.text for document in part), trainer)
    return tokenizer


theirs = train_theirs(
    trainers.BpeTrainer(vocab_size=SIZE, special_tokens=["[UNK]"], show_progress=False)
)
their_merges = [tuple(merge) for merge in json.loads(theirs.to_str())["model"]["merges"]]
differing = sum(a != b for a, b in zip_longest(merges, their_merges))
reveal("04.merges", differing)
by_id = sorted(theirs.get_vocab(), key=theirs.get_vocab().get)
claim(differing == 0, f"all {len(merges):,} merges equal theirs, in order")
claim(by_id == tokens, "and so does every token's id")
headline("BPE from scratch: merges that differ from tokenizers'", differing, 0)

# %% [markdown]
# How much hangs on the rule for ties? Let us number the alphabet backwards, so that ties among
# characters go the other way, and learn again. Which share of the merges will move to another
# position in the order?

# %%
predict("04.ties", ..., unit="(share of the merges that stand elsewhere)")

# %%
other_tokens, other_merges = learn_fast(in_characters, ["[UNK]", *alphabet[::-1]], SIZE)
elsewhere = sum(a != b for a, b in zip(merges, other_merges)) / len(merges)
reveal("04.ties", elsewhere)
lost = sorted(set(tokens) - set(other_tokens), key=tokens.index)
print(f"tokens that the other vocabulary lacks: {len(lost)} of {SIZE:,}:", " ".join(lost[:8]))

# %% [markdown]
# As a *set*, the two vocabularies are nearly the same. As a *list* they aren't. Wherever a merge
# moved, its string has another id, and a model that was trained with one list reads a wrong token
# through the other, without any error. A tokenizer belongs to its model like its weights. So our
# library stores a checksum of the tokenizer with every tokenised corpus, and refuses to mix.
#
# ### Encoding
#
# A new word is cut by replaying the merges: start from characters; of all the pairs at hand,
# merge the one that was *learned earliest*; repeat until no pair is known.

# %% [markdown] tags=["exercise"]
# **Exercise 04.2 · replay the merges (★★☆, 15 min)**
#
# `ranks` maps each pair that was learned, a tuple of two strings, to its number in the order, 0 for
# the first. A merged pair is its two strings joined. Use `merge_pair`.

# %% tags=["exercise"]
def bpe_encode(symbols, ranks):
    """The list of tokens that a word, given as its characters, is cut into."""
    ### BEGIN SOLUTION
    symbols = list(symbols)
    while True:
        known = [pair for pair in zip(symbols, symbols[1:]) if pair in ranks]
        if not known:
            return symbols
        best = min(known, key=ranks.get)
        symbols = merge_pair(symbols, best, "".join(best))
    ### END SOLUTION


bpe_encode = check("04.2", bpe_encode)

# %%
rank = {pair: i for i, pair in enumerate(merges)}
for word in ["the", "pretraining", "internationalization", "tokenizers", "misrepresentations"]:
    print(f"{word:22s}", " ".join(bpe_encode(word, rank)))

# %% [markdown]
# Does it agree with theirs on text that neither has seen? Only characters that never occurred in
# training are still unknown.

# %%
known = set(tokens)


@lru_cache(maxsize=None)  # each different word is cut once
def cut_bpe(word):
    return [token if token in known else "[UNK]" for token in bpe_encode(word, rank)]


test_sentences = [sentence for document in test for sentence in split_sentences(document.text)]
ours = [[token for word in words_of(s) for token in cut_bpe(word)] for s in test_sentences]
equal = sum(a == b.tokens for a, b in zip(ours, theirs.encode_batch(test_sentences)))
print(f"{equal:,} of {len(test_sentences):,} held-out sentences are cut alike")
claim(equal == len(test_sentences), "our BPE encoding equals theirs on every held-out sentence")

# %% [markdown]
# Why replay, and not simply take the longest token that fits? One could. But the two rules cut some
# words differently, and a model that was trained on one cut has never seen the other. That other
# rule is the next section.
#
# ## 5 · WordPiece
#
# BERT's tokenizer goes back to a translation system (Wu et al. 2016, section 4.1). It looks
# different in three ways.
#
# * **Pieces inside a word are marked.** The *s* of *sun* and the *s* of *dogs* are different
#   tokens: `s` begins a word, `##s` continues one.
# * **Encoding is longest match first.** From the left, take the longest piece of the vocabulary
#   that fits, and go on behind it. No merges are stored.
# * **It can fail.** Where nothing fits, the *whole word* becomes one `[UNK]`.

# %% [markdown] tags=["exercise"]
# **Exercise 04.3 · the longest piece first (★★☆, 15 min)**
#
# Cut one word. `vocab` holds the pieces, those inside a word with `##` before them.

# %% tags=["exercise"]
def wordpiece(word, vocab):
    """The list of pieces of a word, or ["[UNK]"]."""
    ### BEGIN SOLUTION
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return ["[UNK]"]
        pieces.append(mark + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


wordpiece = check("04.3", wordpiece)

# %% [markdown]
# Our library's `train_tokenizer` makes such a vocabulary with `tokenizers`. We compare our encoding
# on **every sentence of all speeches**, training and held out. (`tokenizers` also gives up on words
# of more than 100 characters; these speeches have none.)

# %%
bert_like = train_tokenizer(train, vocab_size=SIZE, kind="wordpiece", strip_accents=True)  # as BERT's
vocab = bert_like.get_vocab()
cut_word = lru_cache(maxsize=None)(lambda word: [vocab[p] for p in wordpiece(word, vocab)])
sentences = [sentence for document in documents for sentence in split_sentences(document.text)]
encoded = bert_like.encode_batch_fast(sentences, add_special_tokens=False)
ours = [[id for word in words_of(s) for id in cut_word(word)] for s in sentences]
equal = sum(a == b.ids for a, b in zip(ours, encoded))
print(f"{equal:,} of {len(sentences):,} sentences have the same ids")
claim(equal == len(sentences), "our WordPiece gives the same ids as theirs on every sentence")

# %% [markdown]
# ### How the vocabulary is learned: what is said
#
# Schuster and Nakajima (2012) describe WordPiece's training for Japanese and Korean voice search:
# start with characters; build a language model on the text; join the two units that raise the
# **likelihood** of the training text most; repeat. The program was never published. As its score
# one often reads (Hugging Face's course gives it, as a best guess)
#
# $$\text{score}(a, b) = \frac{n_{ab}}{n_a\, n_b} .$$
#
# Is that the likelihood? We can work it out for the simplest language model, the *unigram* model,
# in which a symbol that occurs $n_s$ times among $N$ has probability $n_s/N$. The log-likelihood
# of the text is then
#
# $$\mathcal L = \sum_s n_s \log\frac{n_s}{N} = \sum_s n_s \log n_s \;-\; N \log N .$$
#
# Join $a$ and $b$ ($a \ne b$) wherever they are neighbours, $n$ times. Now the new symbol occurs
# $n$ times, $a$ only $n_a - n$ times, $b$ only $n_b - n$ times, and the text is $N - n$ symbols
# long.

# %% [markdown] tags=["exercise"]
# **Exercise 04.4 · what a merge gains (★★★, 20 min)**
#
# Write the difference of the log-likelihood, after minus before, in *nats* (natural logarithm). A
# count may become 0; $0 \log 0$ counts as 0. Open the derivation only after you have tried.

# %% tags=["exercise"]
def likelihood_gain(n, n_a, n_b, total):
    """How much joining a and b, n times, raises the log-likelihood of a unigram model."""
    ### BEGIN SOLUTION
    def xlogx(x):
        return x * math.log(x) if x else 0.0

    before = xlogx(n_a) + xlogx(n_b) - xlogx(total)
    after = xlogx(n) + xlogx(n_a - n) + xlogx(n_b - n) - xlogx(total - n)
    return after - before
    ### END SOLUTION


likelihood_gain = check("04.4", likelihood_gain)

# %% [markdown]
# <details><summary>The derivation, and what it says</summary>
#
# All other symbols keep their counts, so their terms $n_s \log n_s$ cancel. With
# $h(x) = x \log x$,
#
# $$\Delta\mathcal L = h(n) + h(n_a - n) + h(n_b - n) - h(N - n) \;-\; h(n_a) - h(n_b) + h(N) .$$
#
# If the pair is rare beside its parts, $n \ll n_a, n_b$, then $h(n_a - n) - h(n_a) \approx
# -n(\log n_a + 1)$, and likewise for $b$ and $N$. What remains is
#
# $$\Delta\mathcal L \approx n \Bigl(\log \frac{n\,N}{n_a\, n_b} - 1\Bigr) .$$
#
# The ratio is there, inside a logarithm: $\log\frac{n N}{n_a n_b}$ is the *pointwise mutual
# information* of $a$ and $b$, how much more often they meet than by chance. But 1 is taken off, and
# the rest is multiplied by $n$: the likelihood of the text sums over all occurrences.
# </details>
#
# First a check of the formula: join a pair in the real text, recount everything, compare.

# %%
def log_likelihood(words):
    """The log-likelihood of a unigram model with the counts of the text itself, in nats."""
    symbols = Counter()
    for word, n in words.items():
        for symbol in word:
            symbols[symbol] += n
    total = symbols.total()
    return sum(n * math.log(n / total) for n in symbols.values()), symbols


before, symbols = log_likelihood(in_characters)
for pair in [("t", "h"), ("q", "u"), ("e", "s")]:
    joined = {tuple(merge_pair(word, pair, "".join(pair))): n for word, n in in_characters.items()}
    recounted = log_likelihood(joined)[0] - before
    n = count_pairs(in_characters)[pair]
    formula = likelihood_gain(n, symbols[pair[0]], symbols[pair[1]], symbols.total())
    chance = symbols[pair[0]] * symbols[pair[1]] / symbols.total()
    print("+".join(pair), f"recounted {recounted:10.1f} nats, formula {formula:10.1f};", end=" ")
    print(f"they meet {n / chance:.1f} times as often as by chance")
    claim(abs(formula / recounted - 1) < 1e-6, "the formula is what a recount finds")

# %% [markdown]
# The gain of the last pair is negative. The −1 of the derivation says why. A pair that is rare
# beside both its parts gains only if it meets about $e \approx 2.7$ times as often as by chance,
# and *e* and *s* don't. Where it makes up a fair part of one, slightly less is enough:

# %%
less = []
for (a, b), n in count_pairs(in_characters).items():
    times = n * symbols.total() / (symbols[a] * symbols[b])
    if a != b and times < math.e and likelihood_gain(n, symbols[a], symbols[b], symbols.total()) > 0:
        less.append((n / min(symbols[a], symbols[b]), times, f"{a}+{b}"))
share, times, pair = max(less)
print(f"{len(less)} pairs gain with less than e, such as {pair},", end=" ")
print(f"{times:.2f} times chance and {share:.0%} of its rarer part")

# %% [markdown]
# Now three scores learn a vocabulary each, from the same characters: the count (BPE), the ratio,
# and the gain in likelihood. Every merge changes the scores of all pairs, so this is slow: two
# hundred merges, without the words that occur once. (For a doubled letter, *ll*, the formula holds
# only roughly, as it takes $a$ and $b$ to be different.)

# %%
def count_symbols(words, counts):
    """How often each symbol occurs."""
    symbols = Counter()
    for word, n in zip(words, counts):
        for symbol in word:
            symbols[symbol] += n
    return symbols


def learn_by(score, words, merges):
    """The merges that a score chooses, a function of n, n_a, n_b and N."""
    words, counts = [list(word) for word in words], list(words.values())
    pairs, learned, symbols = Pairs(words, counts), [], count_symbols(words, counts)
    for _ in range(merges):
        total = symbols.total()
        present = {pair: n for pair, n in pairs.total.items() if n > 0}
        scores = {(a, b): score(n, symbols[a], symbols[b], total) for (a, b), n in present.items()}
        best = min(scores, key=lambda pair: (-scores[pair], pair))
        times = pairs.merge(best, "".join(best))
        for symbol, change in ((best[0], -times), (best[1], -times), ("".join(best), times)):
            symbols[symbol] += change  # one after the other: in "ll" both are the same symbol
        learned.append(best)
    claim(+symbols == count_symbols(pairs.words, counts), "the counts kept are those of a recount")
    return learned


# %% [markdown]
# Predict: after the same number of merges, which of the three needs most tokens per word on
# held-out speeches, `"count"`, `"ratio"` or `"likelihood"`?

# %%
predict("04.score", ..., unit="(the count, the ratio, or the likelihood)")

# %%
STEPS = dial(smoke=20, laptop=200)
repeated = {word: n for word, n in in_characters.items() if n > 1}
scores = {
    "count": lambda n, n_a, n_b, total: n,
    "likelihood": likelihood_gain,
    "ratio": lambda n, n_a, n_b, total: n / (n_a * n_b),
}
by_score = {name: learn_by(score, repeated, STEPS) for name, score in scores.items()}


def tokens_per_word(merges):
    """The tokens that a held-out word takes, on average."""
    ranks = {pair: i for i, pair in enumerate(merges)}
    total = sum(n * len(bpe_encode(word, ranks)) for word, n in test_words.items())
    return total / test_words.total()


lengths = {name: tokens_per_word(chosen) for name, chosen in by_score.items()}
for name, chosen in by_score.items():
    first = " ".join("".join(pair) for pair in chosen[:12])
    print(f"{name:11s} {lengths[name]:.3f} tokens per word; first merges: {first}")
reveal("04.score", max(lengths, key=lengths.get))

# %%
shared = len(set(map("".join, by_score["count"])) & set(map("".join, by_score["likelihood"])))
print(f"of {STEPS} tokens, count and likelihood share {shared}")
far_worse = lengths["ratio"] > lengths["likelihood"] + 0.2
claim(far_worse, "the ratio alone compresses far worse than the likelihood")

# %% [markdown]
# The ratio prefers rarities: two symbols that occur almost only together score highest, even if
# they do so a handful of times. The vocabulary fills with splinters of rare words, and a word still
# takes nearly as many tokens as it has characters. The gain in likelihood weighs the surprise by
# how often it happens; more than half of its choices are BPE's. (The count compresses best, as each
# of its merges saves as many tokens of the training text as any merge can.) Whenever you read that
# "WordPiece's score is the ratio", remember what is missing: the logarithm, the −1 and the factor
# $n$.
#
# ### How the vocabulary is learned: what is done
#
# And `tokenizers`? Its WordPiece trainer *is* its BPE trainer, with marked pieces. Users have
# noticed (issues [570](https://github.com/huggingface/tokenizers/issues/570) and
# [1777](https://github.com/huggingface/tokenizers/issues/1777)), and Hugging Face's course says
# so. We can show it: give **our** BPE marked symbols, and ids in the same order (special tokens,
# sorted `##` characters, alphabet). Does it arrive at the vocabulary of `train_tokenizer`?

# %%
def marked(word):
    """A word's characters, all but the first with ## before them."""
    return (word[0], *("##" + character for character in word[1:]))


in_marked = {marked(word): n for word, n in train_words.items()}
specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
inner = sorted({symbol for word in in_marked for symbol in word[1:]})
our_pieces, piece_merges = learn_fast(in_marked, [*specials, *inner, *alphabet], SIZE)
by_id = sorted(vocab, key=vocab.get)
print("ours:  ", " ".join(our_pieces[-9:]))
print("theirs:", " ".join(by_id[-9:]))
claim(our_pieces == by_id, "WordPiece's trainer is BPE on marked pieces: all tokens and ids equal")

# %% [markdown]
# So "a WordPiece model trained with Hugging Face" is a vocabulary learned by BPE and used by
# longest match. The two rules do cut differently:

# %%
piece_rank = {pair: i for i, pair in enumerate(piece_merges)}


def replayed(word):
    """BPE's cut with the pieces of WordPiece."""
    symbols = list(marked(word))
    while known := [pair for pair in zip(symbols, symbols[1:]) if pair in piece_rank]:
        best = min(known, key=piece_rank.get)
        symbols = merge_pair(symbols, best, best[0] + best[1].removeprefix("##"))
    return symbols


seen = [word for word in test_words if set(marked(word)) <= set(our_pieces)]
differ = [word for word in seen if replayed(word) != wordpiece(word, vocab)]
share = sum(test_words[word] for word in differ) / test_words.total()
print(f"{len(differ):,} of {len(seen):,} types are cut differently, {share:.2%} of the words")
for word in differ[:4]:
    ours, longest = " ".join(replayed(word)), " ".join(wordpiece(word, vocab))
    print(f"   {word:14s} replayed: {ours:26s} longest first: {longest}")

# %% [markdown]
# ### A vocabulary that changes by itself
#
# One warning. The trainer of `tokenizers`, called twice on the same speeches (a quarter of them):

# %%
def train_plainly():
    """A vocabulary of `tokenizers`' WordPiece trainer: token to id."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=SIZE, special_tokens=specials, show_progress=False
    )
    return train_theirs(trainer, models.WordPiece, train[::4]).get_vocab()


first, second = train_plainly(), train_plainly()
moved = sum(first.get(token, id) != id for token, id in second.items())
print(f"tokens that only one of them has: {len(set(first) ^ set(second))}")
print(f"tokens of both that have another id: {moved:,} of {len(second):,}")
claim(moved > 0, "two trainings on the same text give the same strings other ids")

# %% [markdown]
# The `##` characters get their ids in the order of a randomly seeded hash table, and ids decide
# ties. `train_tokenizer` hands the sorted `##` characters over beforehand, so that the same text
# gives the same tokenizer. If you train a tokenizer, **save it**.
#
# ## 6 · Special tokens and templates
#
# A few tokens stand for no text. BERT has five (Devlin et al. 2019, section 3):
#
# | token | what for |
# |---|---|
# | `[PAD]` | fills a row of a batch up to its length; the model must ignore it |
# | `[UNK]` | replaces a word that cannot be cut |
# | `[CLS]` | stands first; its final vector represents the whole input |
# | `[SEP]` | ends a segment |
# | `[MASK]` | replaces a token that the model has to guess |
#
# One text becomes `[CLS] A [SEP]`; a pair, for tasks about two texts, `[CLS] A [SEP] B [SEP]`.
# Beside the ids, *token types* say which segment a token belongs to: 0 up to the first `[SEP]`,
# that one included, and 1 after it.

# %% tags=["NBVAL_CHECK_OUTPUT"]
a, b = "Fellow-citizens of the Senate", "The state of the Union is strong."
PAD, UNK, CLS, SEP, MASK = (bert_like.token_to_id(token) for token in specials)
plain_a, plain_b = (bert_like.encode(text, add_special_tokens=False).ids for text in (a, b))
by_hand = [CLS, *plain_a, SEP, *plain_b, SEP]
types_by_hand = [0] * (len(plain_a) + 2) + [1] * (len(plain_b) + 1)
pair = bert_like.encode(a, b)
print("special ids:", {token: bert_like.token_to_id(token) for token in specials})
same = pair.ids == by_hand and pair.type_ids == types_by_hand
claim(same, "the template gives what we assembled by hand")

# %%
print(" ".join(pair.tokens))
print(" ".join(map(str, pair.type_ids)))
print("read back:", bert_like.decode(pair.ids))

# %% [markdown]
# Read back, the text has lost its capitals, and each punctuation mark stands apart: what
# normalisation and cutting threw away stays lost. A batch needs rows of equal length: shorter ones
# are filled with `[PAD]`, and an **attention mask** says which tokens are real.

# %%
rows = [bert_like.encode("We the people").ids, bert_like.encode("We").ids]
longest = max(map(len, rows))
input_ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])  # (B, T)
attention_mask = (input_ids != PAD).long()  # (B, T)
print(tuple(input_ids.shape), "mask", attention_mask.tolist())

# %% [markdown]
# Two traps. The template is added *for* you, so text that already holds it gets it twice. And a
# special token that is typed as text **is** the special token: whoever can write into your model's
# input can write `[SEP]`, too. In users' text, put spaces inside such strings.

# %%
for text in ["a [MASK] in the text", "a [ mask ] in the text"]:
    ids = bert_like.encode(text).ids
    print(f"{text:24s} {'holds the special token' if MASK in ids else 'is only text'}")

# %% [markdown]
# ## 7 · Other scripts: bytes
#
# Our tokenizers have only seen English. Here is the same sentence, the first of Article 1 of the
# Universal Declaration of Human Rights, in eight languages, and a line of program text with emoji:

# %%
declaration = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता "
    "प्राप्त है।",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。",
    "emoji": "if ok: print('🎉👍')",
}
for language, text in declaration.items():
    cut = bert_like.encode(text, add_special_tokens=False).tokens
    print(f"{language:11s} {cut.count('[UNK]') / len(cut):4.0%} unknown:", " ".join(cut[:9]))

# %% [markdown]
# A script that isn't in the alphabet is `[UNK]` from end to end, but for a full stop. (Chinese
# writes no spaces between words. BERT's normaliser puts spaces around every Chinese character, so
# each is a word of its own, and here an unknown one.)
#
# Unicode has more than a hundred thousand characters, too many for an alphabet. **Byte-level BPE**
# (Radford et al. 2019, section 2.2) goes one level down. Any text in any script is, in UTF-8, a
# sequence of bytes, and there are 256 of those. Take the bytes for the alphabet, and merge from
# there.

# %% tags=["NBVAL_CHECK_OUTPUT"]
for character in ["e", "é", "国", "🎉"]:
    print(character, [f"{byte:02x}" for byte in character.encode("utf-8")])

# %% [markdown]
# Nothing can be unknown any more. And without normalisation nothing is lost: a space is a byte as
# well. Where may a token not reach across? BERT's cutter dropped the spaces. GPT-2 splits by a
# pattern that keeps them: a contraction such as *'s*; letters, with the space before them; numbers
# and other characters, likewise; white space, whose last space goes to the next word. (Python's
# `re` has no class for letters or for numbers such as ², so the cell spells them out.)

# %% tags=["exercise"]
every = map(chr, range(sys.maxunicode))
numerals = "".join(c for c in every if unicodedata.category(c) in ("Nl", "No"))
letter, number = rf"[^\W\d_{numerals}]", rf"[\d{numerals}]"
GPT2 = re.compile(rf"'(?:[stmd]|re|ve|ll)| ?{letter}+| ?{number}+"
                  rf"| ?(?:(?!{letter}|{number})\S)+|\s+(?!\S)|\s+")
print(GPT2.findall("It's 1790,  and they've  met."))

# %% [markdown] tags=["exercise"]
# **Exercise 04.8 · encode bytes (★★★, 25 min)**
#
# Ids 0 to 255 are the bytes. `merges` maps each pair of ids that was learned to its new id, 256 for
# the first merge, 257 for the next. Split by `GPT2`, turn each piece into its bytes in UTF-8, and
# replay the merges there. Use `merge_pair`. The check asks `tokenizers`.

# %% tags=["exercise"]
def byte_encode(text, merges):
    """The ids of a text."""
    ### BEGIN SOLUTION
    ids = []
    for piece in GPT2.findall(text):
        symbols = list(piece.encode("utf-8"))
        while known := [pair for pair in zip(symbols, symbols[1:]) if pair in merges]:
            best = min(known, key=merges.get)
            symbols = merge_pair(symbols, best, merges[best])
        ids += symbols
    return ids
    ### END SOLUTION


byte_encode = check("04.8", byte_encode)

# %% [markdown] tags=["exercise"]
# **Exercise 04.9 · decode bytes (★★☆, 10 min)**
#
# Give the text of some ids back. A model may answer with half a character: that must show as �,
# without an error.

# %% tags=["exercise"]
def byte_decode(ids, merges):
    """The text of some ids."""
    ### BEGIN SOLUTION
    pieces = {byte: bytes([byte]) for byte in range(256)}
    for (a, b), new in merges.items():
        pieces[new] = pieces[a] + pieces[b]
    return b"".join(pieces[id] for id in ids).decode("utf-8", errors="replace")
    ### END SOLUTION


byte_decode = check("04.9", byte_decode)

# %% [markdown]
# Now both run on a vocabulary that `tokenizers` learned from the speeches. (`tokenizers` numbers
# bytes differently; `our_ids` translates.)

# %%
byte_level = train_tokenizer(train, vocab_size=SIZE, kind="bpe", lowercase=False)
byte_merges, our_id = our_ids(byte_level)
asked = [*test_sentences[:: dial(smoke=20, laptop=4)], *declaration.values()]
ours = [byte_encode(text, byte_merges) for text in asked]
encoded = byte_level.encode_batch_fast(asked, add_special_tokens=False)
equal = sum(a == [our_id[id] for id in b.ids] for a, b in zip(ours, encoded))
restored = sum(byte_decode(ids, byte_merges) == text for ids, text in zip(ours, asked))
print(f"of {len(asked):,} texts {equal:,} have the ids of `tokenizers`, {restored:,} come back")
claim(equal == restored == len(asked), "bytes give back every text, character for character")

# %% [markdown]
# The price: learned on English only, how many times as many tokens does the *Hindi* sentence take
# as the English one?

# %%
predict("04.hindi", ..., unit="times as many tokens as English")

# %%
sentences = {name: text for name, text in declaration.items() if name != "emoji"}
in_bytes = {name: len(text.encode("utf-8")) for name, text in sentences.items()}
long = {name: len(byte_level.encode(text).ids) - 2 for name, text in sentences.items()}
reveal("04.hindi", long["Hindi"] / long["English"])
print("one token per byte:", ", ".join(name for name in sentences if long[name] == in_bytes[name]))
claim(all(long[name] <= in_bytes[name] for name in sentences), "never more tokens than bytes")

# %%
fig, ax = plots.figure(width=7, height=3)
order = sorted(sentences, key=long.get)
rows = np.arange(len(order))[::-1]
ax.barh(rows, [long[name] for name in order], color=plots.SKY)
ax.set_yticks(rows, order)
ax.grid(axis="y", visible=False)
ax.plot([in_bytes[name] for name in order], rows, "|", color=plots.BLACK,
        markersize=17, markeredgewidth=2)
ax.set(xlabel="tokens for the same sentence (upright tick: its bytes)",
       xlim=(0, 1.1 * max(long.values())))
plots.show(fig, alt="English takes the fewest tokens by far, and other scripts take one token for "
           "each byte. Bars: tokens of byte-level BPE for one sentence in eight languages; black "
           "ticks: its bytes. Hindi is the longest.", number="4.3")

# %% [markdown]
# Where no merge learned from English applies, a text falls apart into its bytes: in Figure 4.3 its
# bar reaches the tick. It takes many times the tokens, and may not fit into a block of 128. That is
# a property of the text that the vocabulary was *learned from*. Petrov et al. (2023) find the same
# content up to 15 times as long in one language as in another, in large commercial models too, and
# whoever pays by the token pays for it.

# %% [markdown] tags=["exercise"]
# **Exercise 04.5 · four broken set-ups (★★☆, 10 min)**
#
# Four programs hand a sentence to a model that was trained on lower-case English in the form
# `[CLS] A [SEP]`. Name what went wrong in each:
#
# * `"case"`: the text isn't normalised as the vocabulary was;
# * `"script"`: the vocabulary was learned on another writing system;
# * `"twice"`: special tokens are added to text that has them;
# * `"another vocabulary"`: ids made by one tokenizer are read with another's vocabulary.
#
# Answer with a dictionary, `{"A": "…", "B": "…", "C": "…", "D": "…"}`.

# %% tags=["exercise"]
for name, (text, what_arrives) in reports().items():
    print(f"{name}   {text}\n    {what_arrives}")

# %% tags=["exercise"]
### BEGIN SOLUTION
causes = {
    "A": "twice",  # [CLS] and [SEP] stand two times
    "B": "case",  # only the words with a capital letter are unknown
    "C": "another vocabulary",  # good words arrive, and not those that were sent
    "D": "script",  # every word is unknown, whatever its case
}
### END SOLUTION
causes = check("04.5", causes)

# %% [markdown]
# None of the four raises an error; the loss is merely bad. So *look at the tokens* before training:
# decode a few, and count `[UNK]`.
#
# ## 8 · Length against unknown words
#
# Now the trade-off of section 3, with all candidates on held-out speeches. Sennrich et al. (2016,
# Table 1) report it for German: with words as they are, 1,079 unknown tokens in their test set;
# with characters none, at 5.5 times the length; with BPE none, at 1.12 times the length.
#
# BPE vocabularies are **nested**: the first 1,000 merges of a long list are the list that one would
# have stopped at. So the list of section 4 holds a tokenizer of every smaller size. How many tokens
# per held-out word does BPE need with a vocabulary of 8,192?

# %%
predict("04.length", ..., unit="tokens per word")

# %%
def measure(size):
    """(tokens per word, share of the words with an unknown token) of BPE with that many tokens."""
    # 5 for the special tokens
    ranks = {pair: i for i, pair in enumerate(merges[: max(0, size - 5 - len(alphabet))])}
    length = sum(n * len(bpe_encode(word, ranks)) for word, n in test_words.items())
    strange = sum(n for word, n in test_words.items() if not set(word) <= set(alphabet))
    return length / test_words.total(), strange / test_words.total()


sizes = [512, 1024, 2048, 4096, 8192][: dial(smoke=1, laptop=5)]
live = {size: measure(size) for size in sizes}
reveal("04.length", live[sizes[-1]][0])
for size, (length, strange) in live.items():
    print(f"{size:5,} tokens: {length:.3f} per word, {strange:.4%} of the words unknown")

# %% [markdown]
# One split may be lucky. The **ledger**, a file that says what an experiment predicted and what it
# measured, holds three, with vocabularies learned afresh on each, and one in time: everything
# learned on speeches before 1946 and used on those since.

# %%
measured = results("04-length-and-unknowns")["measured"]
splits, later, at = measured["splits"], measured["since 1946"], measured["sizes"].index(8192)


def means(name):
    """(tokens per word, unknown share) at each size, means over the splits."""
    return np.array([split[name] for split in splits]).mean(axis=0)  # (sizes, 2)


words, bpe, chars = means("words"), means("bpe"), means("characters")[0]
rows = [("words, 8,192: unknown", "1 to 4 %", words[at, 1], 0.01, 0.04),
        ("all training words: unknown", "0.3 to 1 %", means("every word")[0, 1], 0.003, 0.01),
        ("characters: unknown", "under 0.01 %", chars[1], 0, 1e-4),
        ("BPE, all sizes: unknown", "under 0.01 %", bpe[:, 1].max(), 0, 1e-4),
        ("words learned before 1946", "twice as many", later["words"][at][1], 2 * words[at, 1], 1)]
length = bpe[at, 0]
print(verdict_table([(f"{what}, {predicted}", f"{found:.4%}", low <= found <= high) for what, predicted, found, low, high in rows]
                    + [("BPE, 8,192: tokens per word, 1.10 to 1.25", f"{length:.3f}", 1.1 <= length <= 1.25)]))

# %%
fig, ax = plots.figure(width=7.5, height=3.8)
for name, colour in [("words", plots.ORANGE), ("bpe", plots.BLUE), ("characters", plots.GREEN)]:
    for split in splits:
        length, unknown = np.array(split[name]).T  # (sizes,) each
        ax.plot(length, 100 * unknown, "o-", color=colour, markersize=4, lw=0.6)
x, y = means("words")[:, 0], 100 * means("words")[:, 1]
for i in (0, at, -1):
    ax.annotate(f"words, {measured['sizes'][i]:,}", (x[i], y[i]), xytext=(8, 0),
                textcoords="offset points", va="center")
ax.annotate("BPE, 16,384 to 512", (1.05, 4e-3), color=plots.BLUE)
ax.annotate("characters", (4.5, 4e-3), color=plots.GREEN, ha="center")
ax.set(xlabel="tokens per word", ylabel="words with an unknown token (%)", yscale="log")
ax.set_xlim(0.8, 5)
plots.show(fig, alt="At 8,192 tokens BPE is nearly as short as words and knows as much as "
           "characters. Unknown words, on a logarithmic axis, against tokens per word, one dot per "
           "split and size. Words form a column at one token, from nearly 30 down to 1 per cent "
           "unknown; BPE lies at the bottom, between one and two tokens; characters at four and a "
           "half.", number="4.4")

# %% [markdown]
# In Figure 4.4 the ideal is at the lower left: short, and nothing unknown. Words get down only by
# making the list longer. Characters are far to the right. BPE moves along the bottom: only a
# character that was never seen is unknown to it. The shape is that of the published table.

# %%
fig, ax = plots.figure(width=6.5, height=3.4)
for split in splits:
    ax.plot(measured["sizes"], [length for length, _ in split["bpe"]], "o-", color=plots.BLUE,
            markersize=3, lw=0.8)
ax.plot(measured["sizes"], [length for length, _ in later["bpe"]], "--", color=plots.PURPLE)
ax.annotate("learned before 1946,\nused since", (3000, 1.5), color=plots.PURPLE)
ax.annotate("random speeches\nheld out", (620, 1.2), color=plots.BLUE)
ax.axhline(1, color=plots.ORANGE, lw=1)
ax.annotate("words", (520, 1.015))
ax.set(xlabel="tokens in the BPE vocabulary", ylabel="tokens per word", xscale="log")
ax.set_xticks(measured["sizes"], [f"{size:,}" for size in measured["sizes"]])
ax.minorticks_off()
plots.show(fig, alt="The larger the vocabulary, the shorter the text, and later speeches take a few "
           "more tokens. BPE's tokens per word fall from almost 2 towards 1 between 512 and 16,384 "
           "tokens, in three close lines, one per split; a dashed line for later speeches "
           "runs a little above.", number="4.5")

# %%
shape = all(s["bpe"][at][1] == s["characters"][0][1] and s["bpe"][at][0] < 1.25 for s in splits)
claim(shape, "in every split BPE knows what characters know, at under 1.25 tokens per word")
headline("BPE at 8,192: tokens per held-out word, mean of 3 splits", bpe[at, 0], 1.25)

# %%
recorded = dict(zip(measured["sizes"], splits[0]["bpe"]))
same = all(abs(live[size][0] - recorded[size][0]) < 1e-9 for size in sizes)
claim(same, "with our own code we find what the ledger's first split found with `tokenizers`")

# %% [markdown]
# Later speeches need a few more tokens (Figure 4.5, dashed). **One
# part of our prediction failed**: BPE is *shorter* than we thought, so the bound of 1.25 holds. We
# had Sennrich's 1.12 in mind, for German with its long compounds. Counting punctuation marks as
# words of one token explains little of it (next cell). What happens to the words that a vocabulary
# of words would have lost?

# %%
spelled = {word: n for word, n in test_words.items() if word.isalpha()}
without = sum(n * len(cut_bpe(word)) for word, n in spelled.items()) / sum(spelled.values())
print(f"words of letters only: {without:.3f} tokens each with {len(tokens):,} tokens")
unseen = [word for word in test_words if word not in train_words and word.isalpha()]
pieces = sum(test_words[word] * len(cut_bpe(word)) for word in unseen)
times = sum(test_words[word] for word in unseen)
print(f"{len(unseen):,} unseen words, {pieces / times:.2f} tokens each, such as")
for word in sorted(unseen, key=lambda word: (-test_words[word], word))[:8]:
    print(f"   {word:16s}", " ".join(cut_bpe(word)))

# %% [markdown]
# Some pieces are sensible, some not: BPE knows frequencies, not meanings. But the words are
# *there*, made of pieces that a model has met in other words.
#
# ### How large?
#
# A larger vocabulary makes texts shorter and the model bigger: every token has a row of
# `hidden_size` numbers, $d$ for short, in the embedding. (The output uses the same matrix, *tied*,
# so it counts once.) One transformer layer of that width has about $12\, d^2$ parameters (chapter
# 06 counts them).

# %%
for vocabulary, hidden, layers in [(30522, 768, 12), (8192, 256, 4), (32768, 256, 4)]:
    table, body = vocabulary * hidden, layers * 12 * hidden**2
    share = table / (table + body)
    model = f"{layers:2d} layers × {hidden}, {vocabulary:6,} tokens"
    print(f"{model}: {table / 1e6:5.2f} M in the table, {share:.0%} of the model")

# %% [markdown]
# The first line is BERT-base. At 32,768 tokens the small model's table outweighs everything else,
# and on a small corpus its rare rows are hardly trained. The course uses 8,192 tokens.

# %% [markdown] tags=["exercise"]
# **Exercise 04.6 · a fair comparison (★★☆, 10 min)**
#
# Does a vocabulary of 2,048 or of 16,384 tokens serve a masked language model better, on speeches?
# Choose what belongs in the experiment. Answer with a set of letters.

# %% tags=["exercise"]
for letter, text in CHOICES.items():
    print(f"{letter}: {text}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# a: held-out speeches must be new to the vocabulary, too; b: with theirs, it leaks
# c: a token of a large vocabulary covers more text; d: the era is asked of both alike
# e: with more tokens the same text takes other compute; f: which names are held out is luck
# g: that tunes on the test speeches; h: unknown words are what the vocabularies differ in
design = {"a", "d", "e", "f"}
### END SOLUTION
design = check("04.6", design)

# %% [markdown]
# Letter (c) deserves a number. Here is the loss of the unigram model, which knows nothing but
# frequencies, on held-out speeches for several vocabularies, in nats per token and per word:

# %%
def unigram_loss(size):
    """Held-out cross-entropy under training frequencies plus one, in nats: (per token, per word)."""
    ranks = {pair: i for i, pair in enumerate(merges[: max(0, size - 5 - len(alphabet))])}
    cut = lru_cache(maxsize=None)(lambda word: bpe_encode(word, ranks))
    known = Counter()
    for word, n in train_words.items():
        for token in cut(word):
            known[token] += n
    total = known.total() + len(known) + 1  # one more for whatever is unknown
    nats, tokens = 0.0, 0
    for word, n in test_words.items():
        nats -= n * sum(math.log((known[token] + 1) / total) for token in cut(word))
        tokens += n * len(cut(word))
    return nats / tokens, nats / test_words.total()


losses = {size: unigram_loss(size) for size in (0, *sizes[::2])}
for size, (token, word) in losses.items():
    print(f"{size or len(alphabet):5,} tokens: {token:.2f} nats per token, {word:.2f} per word")
token, word = np.array(list(losses.values())).T
opposite = (np.diff(token) > 0).all() and (np.diff(word) < 0).all()
claim(opposite, "the larger the vocabulary, the worse per token and the better per word")

# %% [markdown]
# The two columns rank the vocabularies in opposite order. Compare losses of models with different
# tokenizers per word, per character or per byte; never per token.
#
# ## From here
#
# The chapters to come use a tokenizer made by `train_tokenizer` with 8,192 pieces, learned on
# training speeches only. It is stored as `sotu-8192`, with its own list of held-out speeches.
#
# ## Summary
#
# * A tokenizer is a fixed list of strings and a rule for cutting. An id is a name; the network
#   learns a row of numbers for it.
# * Words never suffice: their table never stops growing (Figure 4.2). Characters all but suffice,
#   at several times the length. Subwords get nearly the length of words and the safety of
#   characters (Figure 4.4).
# * BPE merges the most frequent pair, again and again; ties go to the smaller ids; a new word is
#   cut by replaying the merges in order.
# * WordPiece takes the longest piece first, and one missing character makes a whole word `[UNK]`.
#   Its published criterion is the likelihood of the text, not the ratio $n/(n_a n_b)$; what
#   `tokenizers` runs is BPE.
# * Bytes, split by a pattern that keeps spaces, make every text encodable and restorable. What is
#   rare in the training text is long.
# * A tokenizer belongs to its model. Learn it on training text only, save it, and look at tokens
#   before you train.
#
# ## What we measured
#
# In the notebook: every merge, id and cut that we compared equals that of `tokenizers`; three
# scores for a merge; the same sentence in eight languages. In
# `results/04-length-and-unknowns.json` (measure it again with
# `python course.py reproduce 04-length-and-unknowns`): length and unknown words for
# words, characters and BPE, over three splits of the speeches and one in time. The shape of
# Sennrich et al.'s Table 1 reproduces; the numbers are those of English speeches.
#
# ## Going further
#
# * Learn the vocabulary with a third rule, the *unigram language model* of Kudo (2018): start
#   large, and remove the tokens whose loss costs the likelihood least. `tokenizers` has it as
#   `trainers.UnigramTrainer`. Predict its length at 8,192 tokens first.
# * Cut each word at random among its possible cuts while training (subword regularisation, also
#   Kudo 2018). Which of your two encoders is easier to make random?
# * Put a language of your own into section 7, as one more bar of Figure 4.3. Then train
#   `train_tokenizer` on a text file in it. How much shorter does your sentence get?
# * Numbers: how does BPE cut 1789, 1790 and 17,901? What would you do about it?
#
# ## References
#
# * G. K. Zipf, *Human Behavior and the Principle of Least Effort*, Addison-Wesley, 1949.
# * G. Herdan, *Type-Token Mathematics*, Mouton, 1960; H. S. Heaps, *Information Retrieval:
#   Computational and Theoretical Aspects*, Academic Press, 1978.
# * P. Gage, A new algorithm for data compression, *The C Users Journal*, February 1994.
# * M. Schuster and K. Nakajima, Japanese and Korean voice search, *ICASSP* 2012.
# * R. Sennrich, B. Haddow, A. Birch, Neural machine translation of rare words with subword units,
#   *ACL* 2016, section 3.2 with Algorithm 1, and Table 1.
# * Y. Wu et al., Google's neural machine translation system: bridging the gap between human and
#   machine translation, arXiv 1609.08144, 2016, section 4.1.
# * T. Kudo, Subword regularization: improving neural network translation models with multiple
#   subword candidates, *ACL* 2018, section 3.2.
# * J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, BERT: pre-training of deep bidirectional
#   transformers for language understanding, *NAACL* 2019, section 3.
# * A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever, Language models are unsupervised
#   multitask learners, 2019, section 2.2.
# * A. Petrov, E. La Malfa, P. Torr, A. Bibi, Language model tokenizers introduce unfairness between
#   languages, *NeurIPS* 2023.
