# %% [markdown]
# # 07 · Masked language modelling
#
# Hide some words of a text, and let a model say what stood there. Nobody has to label anything: the
# text holds its own answers. In 1953 Taylor tested with such blanks how readable a text is to
# *people*, and called it the cloze procedure. Devlin et al. (2019) trained BERT on it. This
# chapter asks what a model must know to fill a blank, and always beside a rival that only counts.
# At the end stands something rare in this field: a language in which the best possible answer is
# known, so that we can say not only which model is better but how far it is from perfect.
#
# **You will be able to**
#
# 1. say what a masked language model predicts, why it is no vector, and derive its loss;
# 2. write BERT's 80/10/10 corruption from one random number per token, and tell what each tenth is
#    for, and what it gives away; and write the update that trains on it;
# 3. compare counts, Bengio's network of 2003, a BLSTM and transformers fairly, at equal compute;
# 4. compute the Bayes-optimal answer in a hidden-Markov language, and measure how near a
#    transformer comes to it;
# 5. read from a training log that a model sits on the unigram plateau, or that the answer leaks.
#
# **You need** chapters 00 to 06, above all cross-entropy, tokens and the transformer encoder.
#
# **Time** about 3 hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import math
from collections import Counter

import torch
from torch.nn import functional as F

from pretrain_lib import (
    BidirectionalLSTM,
    HiddenMarkovLanguage,
    Keys,
    MaskedLM,
    ModernBertConfig,
    ModernBertForCausalLM,
    ModernBertForMaskedLM,
    NeuralProbabilisticLM,
    TwoSidedBigram,
    Unigram,
    load_pretrained,
    load_text,
)
from pretrain_lib.course import check, claim, diagrams, dial, explore, headline, plots, predict, results, reveal
from pretrain_lib.course.results import verdict_table
from pretrain_lib.course.exercises.ch07 import CHOICES, printed_logs, tiny_language
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.evaluation.counting import WithOwnToken, own_evidence, token_counts
from pretrain_lib.data.text.hidden_markov import SPECIAL
from pretrain_lib.evaluation.bayes import BayesOptimal, bayes_loss
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import masked_scores
from pretrain_lib.evaluation.common_blanks import load_common_blanks
from pretrain_lib.models.before_transformers import (
    BidirectionalLSTMConfig,
    NeuralProbabilisticLMConfig,
)

# %% [markdown]
# ## 1 · What is predicted
#
# The article that this course starts from describes masked language modelling in its section 4.3
# like this: 随机掩码输入文本中的部分词，并预测这些词的词向量, "mask some words of the
# input text at random, and predict the *word vectors* of these words". The second half is wrong, and
# worth a look. Suppose a model did predict a vector, and was scored by the squared distance to the vector
# of the right word. Here is a language with five words and a blank that two of them fill equally
# often: "the wind blows from the …".

# %% tags=["NBVAL_CHECK_OUTPUT"]
words = ["north", "south", "east", "west", "here"]
vectors = torch.tensor([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])  # (V, 2)
p = torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0])  # what fills this blank, and how often
best = p @ vectors  # the mean has the smallest expected squared distance
nearest = words[(vectors - best).square().sum(1).argmin()]
print("the best vector", best.tolist(), "is nearest to", repr(nearest))

# %% [markdown]
# The vector that is best on average is one that *nobody ever said*. (You know this mean from
# chapter 02: it is what squared error always finds.) A blank has many possible fillings, and what
# can be known about it is **how probable each of them is**. So a masked language model answers
# with a distribution over the whole vocabulary: one number per token, the *logits* $z$, made into
# probabilities by a softmax, $q_w = e^{z_w} / \sum_v e^{z_v}$. In `transformers`, in our library and
# in BERT's paper ("fed into an output softmax over the vocabulary", section 3.1) alike.

# %% tags=["NBVAL_CHECK_OUTPUT"]
V = 8192
small = ModernBertConfig(vocab_size=V, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, max_position_embeddings=128)
ids = Keys.of(0, 2).permutation("tokens", V)[:, :16]  # (B, T)
blanks = torch.tensor([[3, 9, 12], [1, 2, 14]])  # (B, S): where the blanks are
logits = ModernBertForMaskedLM(small)(ids, positions=blanks)
print("logits (batch, blanks, vocabulary):", tuple(logits.shape))
claim(torch.allclose(logits.softmax(-1).sum(-1), torch.ones(2, 3)), "each blank's probabilities sum to 1")

# %% [markdown]
# (Only the blanks are projected onto the vocabulary. In a small model that projection is the
# most expensive product of all, as we shall see in section 4.)
#
# ### The loss, and what it is zero for
#
# The loss of one blank is the surprise at the right word, $-\ln q_w$. If the blank is filled by $w$
# with probability $p_w$, the expected loss is the cross-entropy, and it splits into two parts:
#
# $$-\sum_w p_w \ln q_w = \underbrace{-\sum_w p_w \ln p_w}_{\text{entropy } H(p)} + \underbrace{\sum_w p_w \ln \frac{p_w}{q_w}}_{\mathrm{KL}(p\,\|\,q)\;\ge\;0}.$$
#
# The second part is 0 only for $q = p$. So the loss is lowest for the *true distribution*, and even
# there it is not zero: $H(p)$ is left, the uncertainty of the language itself. For the gradient,
# $\partial \ln q_w / \partial z_v = [v = w] - q_v$, hence
#
# $$\frac{\partial}{\partial z_v}\Bigl(-\sum_w p_w \ln q_w\Bigr) = q_v - p_v : \tag{7.1}$$
#
# each logit is pushed up where the model says too little, and down where it says too much.

# %%
z = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
p = torch.tensor([0.4, 0.3, 0.2, 0.07, 0.03], dtype=torch.float64)
q = z.softmax(0)
loss = -(p * q.log()).sum()
loss.backward()
entropy, divergence = -(p * p.log()).sum(), (p * (p / q).log()).sum()
claim(abs(loss - entropy - divergence) < 1e-12, "cross-entropy = entropy + divergence")
claim(torch.allclose(z.grad, q - p), "and its gradient is q − p")

# %% [markdown]
# For real text nobody knows $H(p)$: a loss of 4 nats may be poor or perfect (section 6). To picture a loss, take $e^{\text{loss}}$, the **perplexity**: a model with a
# loss of $\ln 100$ is as unsure as if it had to choose among 100 equally probable words.
#
# ## 2 · What counting knows
#
# Now real blanks. The library comes with a fixed set of them: twelve speeches of each era that
# no model of this chapter is trained on; a tokenizer of 8,192 WordPieces that was learned on the
# others; and in blocks of 128 tokens 15 % of the tokens, chosen once and for all and hidden by the
# rule of section 3. Every model is scored on these. Here is a part of one block.

# %%
apart, tokenizer, blanks = load_common_blanks()
special = special_ids(tokenizer)
row = 700
truth = blanks.input_ids[row].clone()
used = blanks.labels[row] != -100
truth[blanks.positions[row][used]] = blanks.labels[row][used]
print(len(apart), "speeches,", len(blanks), "blocks,", f"{blanks.blanks:,}", "blanks\n")
print("shown:", tokenizer.decode(blanks.input_ids[row, 60:100].tolist(), skip_special_tokens=False))
print("truth:", tokenizer.decode(truth[60:100].tolist(), skip_special_tokens=False))

# %% [markdown]
# The simplest predictor looks at nothing. The **unigram** says of every blank what the training
# text says on average: how often each token occurs. How surprised is it? Guess its perplexity:
# among how many equally probable tokens might it as well choose, out of 8,192?

# %%
predict("07.unigram", ..., unit="(perplexity of the unigram)")

# %%
documents = [document for document in load_text("sotu") if document.source not in apart]
documents = documents[:: dial(smoke=12, laptop=1)]
tokens = [tokenizer.encode(document.text, add_special_tokens=False).ids for document in documents]
some = blanks.every(dial(smoke=64, laptop=8))
unigram = Unigram(token_counts(tokens, V))
lines = {"unigram": masked_scores(unigram, some)}
reveal("07.unigram", math.exp(lines["unigram"].loss))
print(f"{sum(map(len, tokens)):,} tokens counted; a loss of {lines['unigram'].loss:.2f} nats on {some.blanks:,} blanks")

# %% [markdown]
# The next predictor looks at the two neighbours, left $l$ and right $r$. Counting how often each
# *triple* occurs is hopeless: nearly all are new. Counting pairs is not. If the neighbours were
# independent given the word between them, Bayes' rule would give all we want from pairs:
#
# $$P(w \mid l, r) \;\propto\; P(w)\,P(l \mid w)\,P(r \mid w) \;\propto\; \frac{P(w \mid l)\,P(w \mid r)}{P(w)} .$$
#
# In logarithms: start from $\ln P(w)$, and add for each neighbour how much more probable it makes
# $w$, the *association* $\ln P(w \mid n)/P(w)$. They are not independent, of course, so what both say
# is counted twice; one weight on the associations, fitted on documents set apart, mends most of
# it. Pairs that were never seen fall back to the unigram (the docstrings in `evaluation/counting.py` have
# the details). Where a neighbour is itself hidden, it says nothing.

# %%
bigram = TwoSidedBigram(tokens, V, special)
lines["bigram"] = masked_scores(bigram, some)
for name, scores in lines.items():
    print(f"{name:8s} {scores.loss:.2f} nats, perplexity {math.exp(scores.loss):5.0f}, accuracy {scores.accuracy:.1%}")
claim(lines["bigram"].loss < lines["unigram"].loss - 1, "two neighbours are worth more than a nat")

# %% [markdown]
# It takes seconds, and it is **hard to beat**: many a small network that was trained for minutes never gets
# there, and its falling loss looks like success all the same. So this course draws the two losses as lines
# wherever a network learns English. A loss above the unigram's is worse than knowing only how frequent
# words are. Between the two a model may or may not use context. Below the bigram's it knows something that
# neighbours don't say.
#
# ## 3 · 80/10/10
#
# How are the blanks made? Choose 15 % of the tokens, and of the chosen ones replace 80 % by
# `[MASK]`, 10 % by a random token, and leave 10 % as they are (Devlin et al., section 3.1). The
# model must predict all of the chosen ones, whatever they show.

# %%
plots.show(diagrams.masked_language_model(), "Only chosen positions are scored, whatever they show. Of 20 tokens 3 are chosen: \"union\" becomes [MASK], \"of\" "
           "becomes the random \"river\", \"law\" is kept. The encoder reads all 20; the loss is the mean of −ln q at the 3.", number="7.1")

# %% [markdown] tags=["exercise"]
# **Exercise 07.1 · choose and corrupt, from one draw (★★☆, 15 min)**
#
# Write it. `u` holds **one** uniform number in $[0, 1)$ for each token, and it suffices: a token is
# chosen if it is below `rate`, and where in the interval it falls decides the rest. (One may draw again,
# as Hugging Face's collator does: 80 % become `[MASK]`, and *half of the rest* random. The mistake is to
# draw the two tenths *independently*: one token in a hundred is both, and 80/10/10 comes out as
# 81/10/9.) Where nothing is chosen, the label is −100.


# %% tags=["exercise"]
def corrupt(ids, allowed, u, random_ids, rate, mask):
    """(corrupted, labels), (B, T) each.

    ids: (B, T) tokens. allowed: (B, T) bool, False for special tokens, which are never chosen.
    u: (B, T) uniform in [0, 1). random_ids: (B, T) a random token for each position.
    rate: the share of tokens to choose. mask: the id of [MASK].
    """
    ### BEGIN SOLUTION
    chosen = (u < rate) & allowed
    corrupted = torch.where(chosen & (u < 0.9 * rate), random_ids, ids)
    corrupted = torch.where(chosen & (u < 0.8 * rate), mask, corrupted)
    return corrupted, torch.where(chosen, ids, -100)
    ### END SOLUTION


corrupt = check("07.1", corrupt)

# %% [markdown]
# The library's `MaskedLM` does the same with one difference: of a sequence of $n$ tokens it chooses
# $0.15\,n$, rounded up or down, and not a number that is itself random. So all batches have the
# same shape. Let us watch it on a thousand blocks.

# %%
objective = MaskedLM.of(tokenizer)
keys = Keys.of(0, dial(smoke=100, laptop=1000))
text = 5 + (keys.uniform("text", (128,)) * (V - 5)).long()  # any tokens will do
masked = objective.mask(text, keys)
used = masked.labels != -100
shown = masked.input_ids.gather(1, masked.positions)
shares = [(shown == special.mask)[used].double().mean(), (shown == masked.labels)[used].double().mean()]
print(f"chosen {used.sum() / text.numel():.2%} of the tokens; of these [MASK] {shares[0]:.1%}, as they were {shares[1]:.1%}")
claim(abs(shares[0] - 0.8) < 0.02 and abs(shares[1] - 0.1) < 0.02, "of the chosen tokens 80/10/10")

# %% [markdown]
# ### Hide, and ask
#
# Now one sentence, so that you see what becomes of each token. It is from a speech that no model here was trained on, and
# the answers are those of `modernbert-mini-sotu`, the small model that filled the blank in chapter 00.

# %%
reader = load_pretrained("modernbert-mini-sotu")
SHARES = {"80/10/10": (0.8, 0.1, 0.1), "all [MASK]": (1.0, 0.0, 0.0)}


@torch.no_grad()
def hide_and_ask(ids, rate, kind, shares, seed=0):
    """Of the N tokens of texts (B, T) that are chosen: (text, position), what is shown, what stood there, logits (N, V)."""
    hiding = MaskedLM.of(tokenizer, rate=rate / 100, unit=kind, replace=SHARES[shares])
    hidden = hiding.mask(ids, Keys.of(seed, len(ids)))
    text, slot = (hidden.labels != -100).nonzero(as_tuple=True)  # (N,) each
    where = text, hidden.positions[text, slot]
    return where, hidden.input_ids[where], ids[where], reader(hidden.input_ids, positions=hidden.positions)[text, slot]


# %%
def print_columns(names, columns, width=88):
    """Columns of words side by side, over several lines, about equally long, if one can't hold them."""
    sizes = [max(map(len, column)) + 1 for column in columns]
    line_length = sum(sizes) / math.ceil(sum(sizes) / width)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    for line in range(math.ceil(ends[-1] / line_length)):
        inside = [i for i, end in enumerate(ends) if line < end / line_length <= line + 1]
        for row, name in enumerate(names):
            print((name.ljust(12) + "".join(columns[i][row].ljust(sizes[i]) for i in inside)).rstrip())
        print()


def show_hiding(sentence, rate, kind, shares, seed):
    code = tokenizer.encode(sentence)
    columns = [[token, token, "-100", "", "", ""] for token in code.tokens]
    (_, positions), shown, truth, logits = hide_and_ask(torch.tensor([code.ids]), rate, kind, shares, seed)
    p, best = logits.softmax(-1), logits.argmax(-1)
    for i, position in enumerate(positions):
        columns[position][1:] = [tokenizer.id_to_token(shown[i]), str(truth[i].item()), tokenizer.id_to_token(best[i]),
                                 f"{p[i, best[i]]:.0%}", f"{p[i, truth[i]]:.0%}"]
    print(f"{rate} % hidden, kind {kind}, {shares}: {len(positions)} tokens chosen, {(best == truth).sum()} answered right\n")
    print_columns(["text", "shown", "label", "answer", "its chance", "the text's"], columns)


carter = "These actions should help our Nation's cities and counties to continue the progress they have made in the last three years."


def two_settings():
    show_hiding(carter, 15, "token", "80/10/10", seed=4)
    show_hiding(carter, 50, "span", "all [MASK]", seed=0)


# %% [markdown]
# You may hide single tokens, whole words, or *spans*, runs of up to ten words. Which kind of hiding is the hardest at
# the same rate? And what does the model say at a position that shows a random token, or the right one? (This cell is to
# be touched: run it, and move what you like. The sentence can be your own.)

# %%
explore(show_hiding, still=two_settings, sentence=carter, rate=(5, 95, 15, "chosen (% of the tokens)"),
        kind=["token", "word", "span"], shares=list(SHARES), seed=(0, 20, 4))

# %% [markdown]
# (The labels are the tokens' ids; −100 is not asked. `##` marks a piece that continues a word.) To compare with: all
# held-out sentences of 24 tokens, hidden under `[MASK]` in each way and at five rates, and the share of the hidden
# tokens that the model finds. Then 80/10/10 at 15 %, and what it says where it is shown a token.

# %%
held = [sentence for document in load_text("sotu") if document.source in apart for sentence in document.text.split(". ")]
coded = [code.ids for code in tokenizer.encode_batch(held[:: dial(smoke=4, laptop=1)])]
ids = torch.tensor([one for one in coded if len(one) == 26])  # 24 and the special two
found = {}
print(f"{len(ids)} sentences;  hidden:", "".join(f"{rate:6d} %" for rate in (5, 15, 30, 60, 90)))
for kind in ("token", "word", "span"):
    for rate in (5, 15, 30, 60, 90):
        _, _, truth, logits = hide_and_ask(ids, rate, kind, "all [MASK]")
        right = logits.argmax(-1) == truth
        found[kind, rate] = right.double().mean().item()
    print(f"found, kind {kind}".ljust(24), "".join(f"{found[kind, rate]:8.0%}" for rate in (5, 15, 30, 60, 90)))
common = [tokenizer.id_to_token(i) for i, _ in Counter(truth[right].tolist()).most_common(4)]
print("found most often at 90 %, in spans:", *common)
claim(found["token", 5] > found["token", 60] > found["token", 90], "the more is hidden, the less is found")
claim(all(found["token", rate] > found["span", rate] for rate in (5, 15, 30)), "and less in spans than in single tokens")

# %%
_, shown, truth, logits = hide_and_ask(ids.repeat(4, 1), 15, "token", "80/10/10")  # each sentence hidden in four ways
said, again = logits.argmax(-1), {}
for name, those in [("[MASK]", shown == special.mask), ("right", shown == truth), ("random", (shown != truth) & (shown != special.mask))]:
    again[name] = (said == shown)[those].double().mean().item()
    print(f"shown {name:7s} {those.sum():5d} times: says the text's token {(said == truth)[those].double().mean():.0%}, "
          f"says what it is shown {again[name]:.0%}")
claim(again["right"] > 0.8 and again["random"] < 0.3, "a right token is mostly said again, a random one seldom")

# %% [markdown]
# It gets worse bit by bit, as context goes, and what is found in the end are punctuation marks and the most frequent
# words. A span takes a word's neighbours away with it, so at the same rate it asks harder questions: a loss belongs to a
# rate and to a way of hiding. Where the model is shown a token, it says it again if that is the text's, and hardly ever
# if it is a random one: it has learned to ask the context.
#
# **What is each part for?** With `[MASK]` alone two things would be off. The model would be used on
# texts that hold no `[MASK]` at all, and it would have learned that a token it *sees* is never in
# question: what it computes above visible tokens could be anything, since nothing is ever asked
# there.
#
# * The **kept** tenth asks about tokens that are shown, so that there is a reason to represent a
#   visible token as what it is.
# * The **random** tenth makes that answer uncertain: copying is no longer always right, and context must
#   be used at every position. Only 1.5 % of all tokens are spoiled in this way, and "this does not seem
#   to harm the model's language understanding capability" (ibid., appendix A.1).
# * The **masked** eight tenths are where the learning happens.
#
# How much it matters is disputed. In BERT's own ablation (appendix C.2) fine-tuning hardly
# noticed; Wettig et al. (2023) revisit the recipe at higher rates.
#
# ### What the tenths give away
#
# Fairness first. In a blank that shows a token, a network **sees** that token. Counts of neighbours,
# as we scored them above, did not look. How much is the look worth? Let $m, r, k$ be the three
# shares. If the true word is $w$, a blank shows $v \ne$ `[MASK]` with probability
#
# $$P(\text{shows } v \mid w) = \frac{r}{V} + k\,[v = w],$$
#
# and `[MASK]` with probability $m$ whatever $w$ is, which says nothing. By Bayes' rule a shown token
# $v$ multiplies the odds of $w = v$ by
#
# $$\frac{r/V + k}{r/V} = 1 + \frac{kV}{r}, \qquad\text{with } r = k:\quad 1 + V.$$
#
# With 8,192 tokens, seeing a word in a blank multiplies its odds by 8,193. Say the context gives
# it one chance in 1,000. What is its probability, once it is seen in the blank?

# %%
predict("07.own", ..., unit="(probability of the token that is shown)")

# %%
replace = (0.8, 0.1, 0.1)
prior = torch.full((1, 1, V), (1 - 0.001) / (V - 1)).double()
prior[..., 77] = 0.001  # what the context says of token 77 …
after = own_evidence(prior.log(), torch.tensor([[77]]), special.mask, replace).softmax(-1)[0, 0, 77].item()
reveal("07.own", after)
odds = 0.001 / 0.999 * (1 + V)
claim(abs(after - odds / (1 + odds)) < 1e-6, "the odds are multiplied by 1 + V")

# %% [markdown]
# So about half of the blanks that show a token are nearly given away (the kept half). A network can
# find this out by itself. To compare it with counting one must allow counting the same: `WithOwnToken`
# does what the formula says.

# %%
lines["unigram, own token"] = masked_scores(WithOwnToken(unigram, special.mask), some)
lines["bigram, own token"] = masked_scores(WithOwnToken(bigram, special.mask), some)
for name in ("unigram", "bigram"):
    plain, seeing = lines[name].loss, lines[f"{name}, own token"].loss
    print(f"{name:8s} {plain:.2f} nats; looking at the blank itself {seeing:.2f}")
claim(all(lines[f"{n}, own token"].loss < lines[n].loss - 0.2 for n in ("unigram", "bigram")), "the look is worth tenths of a nat")

# %% [markdown]
# A network that has learned *nothing but that trick* would fall from the unigram's line to the one
# below it, and one might take that for understanding. We draw both lines from now on.

# %% [markdown] tags=["exercise"]
# **Exercise 07.2 · an honest mean (★☆☆, 10 min)**
#
# The blanks of a batch come in slots, $(B, S)$; rows with fewer blanks leave slots empty, with label
# −100. Write the loss: the mean over **blanks**. Neither empty slots nor the number of rows may
# count. A row without any blank must not make it NaN, and a *batch* without any has loss 0.


# %% tags=["exercise"]
def masked_loss(logits, labels):
    """The mean surprise, in nats, over all blanks: logits (B, S, V), labels (B, S), -100 if unused."""
    ### BEGIN SOLUTION
    used = labels != -100
    surprise = -logits[used].log_softmax(-1).gather(1, labels[used][:, None])  # (blanks, 1)
    return surprise.sum() / used.sum().clamp(min=1)
    ### END SOLUTION


masked_loss = check("07.2", masked_loss)

# %% [markdown]
# The trap is the mean of means: to average within each row or batch first, and then over these. Two
# micro-batches, one with a single hard blank, one with 99 easy ones:

# %% tags=["NBVAL_CHECK_OUTPUT"]
hard, easy = torch.tensor([8.0]), torch.full((99,), 2.0)
of_means, of_all = (hard.mean() + easy.mean()) / 2, torch.cat([hard, easy]).mean()
print(f"mean of the two means {of_means:.2f}   mean of all blanks {of_all:.2f}")

# %% [markdown]
# That is why objectives in this library return *sums and counts*, and the trainer divides once, over
# everything that an update saw (chapter 03).
#
# ## 4 · From counting to context
#
# Counts of pairs can't be stretched: five words of context already have more combinations than
# there are texts. In 2003 Bengio, Ducharme, Vincent and Jauvin found the way out. Give each token a vector, learned;
# put the vectors of the $n - 1$ tokens before the next one in a row, $x$; and compute
#
# $$y = b + W x + U \tanh(d + H x)$$
#
# (their equation 1), a logit for each token. $H$, $d$, $U$ and $b$ are learned as well; so is $W$, a direct
# way from the vectors to the logits, which is optional and which we leave out. "cat" and "dog" come to have
# similar vectors because they are used alike, and what was learned of one holds for the other. (The article
# dates this paper 2006 and gives it to Hinton.) It won 24 % in perplexity against the best counts of
# *n-grams*, runs of $n$ tokens, on one corpus and 8 % on another (their section 4.2). And it is *the*
# ancestor: embeddings, a network, a softmax over the vocabulary, trained on text alone.
#
# What came after widened the view:
#
# * An *LSTM* (Hochreiter and Schmidhuber 1997) reads one token after another and carries a summary of
#   what it has read along, a vector that it learns to update. A **BLSTM** (Graves and Schmidhuber 2005, after the
#   bidirectional networks of Schuster and Paliwal 1997) has two of them, which read the text from both ends.
#   At a blank two summaries meet, of everything before and of everything after.
# * A **causal transformer** looks at all tokens before. Since it never sees what it predicts,
#   it needs no blanks: *every* token of the text is a question, more than six times as many as with 15 %.
# * A **masked transformer** looks at everything, so questions must be hidden.
#
# Let us measure it. Change one token of a sentence of fifteen, and look whether the answer at position 7
# changes. (The networks are untrained: what they *can* see is a matter of their wiring.) On how many of
# the fifteen does the causal transformer's answer depend?

# %%
predict("07.sees", ..., unit="tokens of 15")

# %%
def sees(model, length=15, position=7):
    """For each token, whether the answer at `position` depends on it."""
    ids = torch.tensor([tokens[0][40 : 40 + length]])
    with torch.no_grad():
        before = model(ids)[0, position]
        changed = [torch.where(torch.arange(length) == j, 1000 + j, ids) for j in range(length)]
        return [not torch.equal(model(other)[0, position], before) for other in changed]


history = {"vocab_size": V, "embedding_size": 16, "hidden_size": 16, "direct": False}
models = {
    "unigram": unigram,
    "bigram, both sides": bigram,
    "Bengio 2003": NeuralProbabilisticLM(NeuralProbabilisticLMConfig(**history)),
    "Bengio, both sides": NeuralProbabilisticLM(NeuralProbabilisticLMConfig(**history, two_sided=True)),
    "BLSTM": BidirectionalLSTM(BidirectionalLSTMConfig(V, 16, 16)),
    "causal transformer": ModernBertForCausalLM(small),
    "masked transformer": ModernBertForMaskedLM(small),
}
view = {name: sees(model) for name, model in models.items()}
reveal("07.sees", sum(view["causal transformer"]))

# %%
fig, ax = plots.figure(width=7.5, height=2.8)
for y, (name, seen) in enumerate(view.items()):
    for x, yes in enumerate(seen):
        ax.plot(x - 7, -y, "s", markersize=13, color=plots.BLUE if yes else "#E5E5E5")
ax.set_yticks([-y for y in range(len(view))], list(view))
ax.set(xlabel="position of the token, from the blank", xticks=range(-7, 8), ylim=(-6.6, 0.6),
       title="blue: the answer depends on it")
ax.grid(visible=False)
plots.show(fig, alt="Only a BLSTM and an encoder see the token that they predict. A grid: on which of 15 tokens the answer in the middle depends. Unigram: none. "
           "Bigram: one on either side. Bengio's: four before; both sides: four on either side. Causal transformer: all "
           "before. BLSTM and masked transformer: all, the one in the middle included.", number="7.2")
claim(not any(view["causal transformer"][7:]), "a causal model sees nothing at or after the position it predicts")
claim(all(view["masked transformer"]) and all(view["BLSTM"]), "a BLSTM and an encoder see everything, the blank included")

# %% [markdown]
# Note the middle column of Figure 7.2. BLSTM and encoder *see the token at the position they predict*.
# Unhidden, it would be the answer: such a model learns to copy, and its loss falls to nothing.

# %% [markdown] tags=["exercise"]
# **Exercise 07.3 · design the comparison (★★☆, 10 min)**
#
# Which of these networks gets most out of a given amount of *computing*? Choose what belongs in
# the experiment, and leave out what would spoil it. Answer with a set of letters.

# %% tags=["exercise"]
for letter, text in CHOICES.items():
    print(f"{letter}: {text}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# a: no. Equal data is not equal compute: an update of a transformer costs more than one of a small network.
# b: yes. Something must be equal, and the question asks for computing.
# c: yes. Losses on different blanks cannot be compared.
# d: no. The next token is a harder question than a token with both neighbours.
# e: yes. A model with a badly chosen learning rate loses, whatever it is.
# f: no. What suits a transformer may be far too large or too small for an LSTM.
# g: yes. With one seed a difference can't be told from luck.
# h: yes. Without counting there is no telling whether any of them has learned from context.
# i: no. The more seeds, the better the best of them gets.
design = {"b", "c", "e", "g", "h"}
### END SOLUTION
design = check("07.3", design)

# %% [markdown]
# **What is equal, then?** The training FLOPs, counted by the rule of chapter 06: two for each entry
# of a matrix that a token is multiplied with, twice as many going back. A token that is read costs
# the encoder; a token that is *predicted* costs the projection onto 8,192 tokens. Five networks are trained
# by AdamW, each at the best of four learning rates, and each rate was tried in a run of the *full*
# length. 40 % of the tokens are hidden; networks that look back read the same damaged text, and are
# asked for every token of it. For the transformer of our experiment, 4 layers of width 128:

# %% tags=["NBVAL_CHECK_OUTPUT"]
D, inner, layers, T = 128, 256, 4, 128
read = 6 * layers * (4 * D**2 + 3 * D * inner + 2 * T * D)
predicted = 6 * (D**2 + D * V)
print(f"to read a token: {read / 1e6:.1f} MFLOP   to predict one: {predicted / 1e6:.1f} MFLOP")
print(f"a block of 128, 40 % masked: {T * (read + 0.4 * predicted) / 1e9:.2f} GFLOP; causal, all predicted: {T * (read + predicted) / 1e9:.2f}")

# %% [markdown]
# So at equal compute the masked transformer reads more text, and the causal one is asked more
# questions about what it reads. A sixth run asks what an optimiser is worth: *Muon*, which chapter 08
# takes apart, multiplies matrices of its own, and these products are counted, too. Which network will
# be the best, and will any of them beat counting? Our predictions were written first.

# %%
measured = results("07-counting-to-context")["measured"]
networks, counted = measured["networks"], measured["lines"]
mean = {name: sum(network["losses"]) / len(network["losses"]) for name, network in networks.items()}
ranked = sorted(networks, key=mean.get, reverse=True)
fig, ax = plots.figure(width=8, height=3.6)
heights = range(len(ranked))[::-1]
for height, name in zip(heights, ranked):
    ax.plot(networks[name]["losses"], [height] * len(networks[name]["losses"]), "o", color=plots.BLUE, markersize=5)
    ax.annotate(f"{mean[name]:.2f}", (mean[name], height), xytext=(-10, 0), textcoords="offset points", ha="right", va="center")
for name, colour in [("unigram", plots.RED), ("bigram", plots.GREEN)]:
    for line, style in [(name, "-"), (f"{name}, own token", "--")]:
        ax.axvline(counted[line], color=colour, ls=style, lw=1.5)
        ax.annotate(line.replace(", ", ",\n"), (counted[line], len(ranked) - 0.4), color=colour, ha="center", annotation_clip=False)
ax.set_yticks(heights, ranked)
ax.set(xlabel=f"held-out loss (nats), after {measured['flops'] / 1e12:g} · 10¹² training FLOPs", ylim=(-0.5, len(ranked) - 0.5))
plots.show(fig, alt=f"At equal compute the {ranked[-1]} has the lowest loss, and none reaches the counts of neighbours. Held-out loss of six networks, from the "
           f"highest to the lowest: {', '.join(ranked)}. A dot per seed, the mean beside; vertical lines for unigram and bigram counts, "
           "dashed where counting also sees the token in the blank.", number="7.3")

# %%
print("network                   rate   tokens read  optimiser's FLOPs  CPU s   loss (seeds)          accuracy")
for name in ranked:
    network = networks[name]
    losses = "  ".join(f"{loss:.3f}" for loss in network["losses"])
    print(f"{name:25s} {network['learning_rate']:g} {network['tokens']:13,} {network['optimizer_share']:18.0%} "
          f"{sum(network['cpu_seconds']) / len(network['cpu_seconds']):6.0f}   {losses}  {sum(network['accuracies']) / len(network['accuracies']):8.1%}")
print("\nloss in the search, on other speeches:", "".join(f"{rate:>8s}" for rate in networks["BLSTM"]["search"]))
for name in ranked:
    print(f"{name:30s}", "".join(f"{loss:8.3f}" for loss in networks[name]["search"].values()))

# %% [markdown]
# Is a difference larger than chance? Two things were drawn (chapter 01): the seeds, and the speeches that we
# score on. Neighbouring blanks stand in one speech, so they are drawn again a stretch at a time.

# %%
pairs = {"BLSTM before masked transformer": ("BLSTM", "masked transformer"),
         "BLSTM before that with Muon": ("BLSTM", "masked transformer, Muon"),
         "masked transformer before causal": ("masked transformer", "causal transformer"),
         "Muon before AdamW": ("masked transformer, Muon", "masked transformer")}
gains = {name: lead(*(-torch.tensor(networks[one]["stretches"]).T.double() for one in pair)) for name, pair in pairs.items()}
fig, ax = plots.figure(width=8, height=3)
plots.leads(ax, gains, unit="hundredths of a nat")
plots.show(fig, alt="All leads but that over Muon's transformer are clear in both ways. Differences with both uncertainties. " + " ".join(
    f"{name}: {100 * gain.difference:.0f} hundredths of a nat; other speeches {100 * gain.over_samples.low:.0f} to {100 * gain.over_samples.high:.0f}, "
    f"other seeds {100 * gain.over_seeds.low:.0f} to {100 * gain.over_seeds.high:.0f}." for name, gain in gains.items()), number="7.4")

# %%
alike = {name: network["losses"] for name, network in networks.items() if "Muon" not in name}
firsts = sum(min(losses) == losses[-1] for losses in zip(*alike.values()))
print("predicted                                        found")
for what, found, held in [
    ("masked transformer first of those with AdamW", f"in {firsts} of 3 seeds", firsts == 3),
    ("two-sided before one-sided: Bengio's, transformers", f"{mean['Bengio 2003'] - mean['Bengio, both sides']:.2f}, "
     f"{mean['causal transformer'] - mean['masked transformer']:.2f} nats", mean["Bengio, both sides"] < mean["Bengio 2003"]
     and mean["masked transformer"] < mean["causal transformer"]),
    ("every network below the unigram", f"highest {max(mean.values()):.2f}", max(map(max, alike.values())) < counted["unigram"]),
    ("no network below the bigram", f"lowest {min(mean.values()):.2f}", min(min(n["losses"]) for n in networks.values()) > counted["bigram"]),
    ("Muon is worth its FLOPs", f"{gains['Muon before AdamW'].difference:.2f} nats", gains["Muon before AdamW"].difference > 0)]:
    print(f"{what:48s} {found:20s} {'held' if held else 'failed'}")

masked, first = networks["masked transformer"]["losses"], networks["BLSTM"]["losses"]
claim(all(min(losses) == blstm for blstm, losses in zip(first, zip(*(network["losses"] for network in networks.values())))), "the BLSTM leads in every seed")
claim(all(gain.is_clear for name, gain in gains.items() if "that with Muon" not in name), "three of the four leads are clear, over samples and over seeds")
claim(max(networks["Bengio, both sides"]["losses"]) < min(networks["Bengio 2003"]["losses"]), "Bengio's network gains from the words after the blank")
claim(max(masked) < counted["unigram, own token"] - 0.4, "the masked transformer gained more than a look at the blank's own token gives")

# %% [markdown]
# * **The BLSTM leads** in every seed, though not clearly before the transformer with Muon. What an LSTM knows at
#   a position was handed to it by the neighbour, so we think that neighbours are the first thing that it can use.
#   Attention starts out looking everywhere about alike, and must *find out* that neighbours matter.
# * **Looking both ways beats looking back**, within each kind, though at equal compute the ones that look back
#   were asked more questions.
# * Only the BLSTM and the masked transformers see what stands *in* the blank (Figure 7.2). For them the dashed
#   lines are the ones to pass.
# * Muon spends more than a third of its FLOPs on itself, reads less text, and still ends lower than AdamW.
# * **No network reaches the green lines**: counts of neighbours, made in seconds, by a rule that was told where
#   to look.
#
# **We fell into our own trap here.** An earlier version of this experiment chose rates in runs of a fifth of the
# length. For the masked transformer that chose the highest rate, its full runs ended behind the causal ones, and our
# prediction that looking both ways pays counted as failed. The search in the table shows what went wrong:
# in full runs neither the highest rate nor the lowest is ever best. **What is best for a short run need not be best for a
# long one**, and a comparison of architectures is no better than the tuning of each.
#
# How a small transformer gets past the bigram in minutes is the story of chapter 08.
#
# ## 5 · Reading a training log
#
# Here are four logs, invented but typical, of models with 8,192 tokens, on a corpus with the unigram at
# 6.50 and the bigram at 4.30 nats.

# %% [markdown] tags=["exercise"]
# **Exercise 07.4 · read four logs (★★☆, 10 min)**
#
# Name what each log shows: `"plateau"` (the context is not used), `"leak"` (the answer is in the input),
# `"scores visible tokens"` (the training loss is a mean over all tokens, also those that are shown),
# `"sees one side"`, or `"healthy"`. Answer with a dictionary, `{"A": "…", "B": "…", …}`; a name may be left
# over.

# %% tags=["exercise"]
print("     step   training   held-out, on blanks")
for name, log in printed_logs().items():
    for step, training, held in log:
        print(f"{name}  {step:6d} {training:10.2f} {held:12.2f}")

# %% tags=["exercise"]
### BEGIN SOLUTION
# A: no reader of English reaches 0.01 nats, in training and on held-out text alike, and at once: the answer is in the input.
# B: it rests above the unigram, falls again, passes the bigram, and both losses agree.
# C: it stays at the unigram's 6.50: frequencies are learned, the context is not used.
# D: training is far below held-out from the start: its mean runs over tokens that are shown, too.
diagnosis = {"A": "leak", "B": "healthy", "C": "plateau", "D": "scores visible tokens"}
### END SOLUTION
diagnosis = check("07.4", diagnosis)

# %% [markdown]
# Why do models *rest* at the unigram? The output's biases can learn the frequencies at once, on
# their own: their gradient, $q - p$ averaged over blanks, needs nothing from the layers below. To use
# context, attention must first find the right positions *and* the layers above must make use of what
# they find, and as long as neither does, neither has much of a gradient. (Our networks start there on
# purpose: `start_at_unigram` sets the biases, and saves that part of the way.)
#
# ## 6 · How far from perfect?
#
# On real text we can rank models, but not say how good they are: nobody knows the entropy that is
# left. So let us **make** a language in which everything is known.
#
# It is a *hidden Markov model*. Behind every token stands a hidden **state**; the next state depends
# on the present one alone (`transition`), and the token on its state alone (`emission`). Our states are pairs
# of a topic and a role. Roles mostly alternate between function words, which all topics share,
# and content words, of which each topic has its own. A topic lasts for many tokens.

# %% tags=["NBVAL_CHECK_OUTPUT"]
language = HiddenMarkovLanguage(seed=2026)
states, vocabulary = language.model.emission.shape
sentence = language.take(Keys.of(0, 1))["input_ids"][0]
print(f"{states} states, {vocabulary} tokens with the special ones, sentences of {language.length}")
print(sentence[:24].tolist())
print("topics behind them", (language.hidden_states(Keys.of(0, 1))[0, :24] // 2).tolist())
stays = language.model.transition[0, :2].sum().item()  # from state 0 to either state of its own topic
print(f"a topic lasts for {1 / (1 - stays):.0f} tokens on average")

# %% [markdown]
# The neighbours of a content word are mostly function words, which don't tell the topic. Content
# words further away do, and better together, since now and then one is a stray from another topic.
# To fill a blank well, one must *collect evidence from the whole sentence*: just what pairs can't.
#
# **The best possible answer.** Fix a blank at position $t$. Everything that can be known about its
# token passes through its state $s_t$; and given the state, what stands before and what stands
# after are independent. So
#
# $$P(s_t \mid \text{visible}) \;\propto\; \underbrace{P(s_t,\ \text{visible before } t)}_{\alpha_t(s_t)}\;\underbrace{P(\text{visible after } t \mid s_t)}_{\beta_t(s_t)},
# \qquad P(w \mid \text{visible}) = \sum_s P(s \mid \text{visible})\,P(w \mid s),$$
#
# and both messages are passed on from position to position. With $e_t(s) = P(x_t \mid s)$ for a visible token,
# and $e_t(s) = 1$ for a hidden one, which is no evidence,
#
# $$\alpha_{t+1} = (\alpha_t \odot e_t)\,A, \qquad \beta_{t-1} = A\,(e_t \odot \beta_t),$$
#
# with $A$ the matrix of transitions, $\alpha_1$ the initial distribution and $\beta_T = 1$. This is the **forward–backward algorithm**
# (Rabiner 1989, section III). It adds up all paths of states, and there are $K^T$ of them, in
# $T K^2$ steps.

# %% [markdown] tags=["exercise"]
# **Exercise 07.5 · the best possible answer (★★★, 25 min)**
#
# Write it for one blank. `tokens` is a list of ids, with `None` for what is hidden (there may be
# several), `blank` the position asked for. Return $(V,)$ probabilities. Your answer is compared with
# adding up every path, one by one.


# %% tags=["exercise"]
def fill_blank(initial, transition, emission, tokens, blank):
    """P(token at `blank` | the visible ones), (V,).

    initial: (K,). transition: (K, K), one row per state. emission: (K, V), one row per state.
    """
    ### BEGIN SOLUTION
    evidence = [torch.ones_like(initial) if token is None else emission[:, token] for token in tokens]
    alpha = initial
    for e in evidence[:blank]:
        alpha = (alpha * e) @ transition
    beta = torch.ones_like(initial)
    for e in reversed(evidence[blank + 1 :]):
        beta = transition @ (e * beta)
    state = alpha * beta
    return state / state.sum() @ emission
    ### END SOLUTION


fill_blank = check("07.5", fill_blank)

# %%
tiny = tiny_language(states=2, vocab_size=3, seed=5)
for tokens_seen in ([None], [0, None], [0, None, 2], [0, None, 2, 2]):
    blank = tokens_seen.index(None)
    print(f"{str(tokens_seen):20s}", [round(p, 3) for p in fill_blank(*tiny, tokens_seen, blank).tolist()])

# %% [markdown]
# Every visible token moves the answer. The library's `BayesOptimal` does the same for whole batches
# (normalised at each step, so that long sentences don't underflow), and answers to the same call as
# a network. Does it agree with your function on a sentence of the big language?

# %%
hidden = [5, 20, 21, 50]
ids = sentence.clone()
ids[hidden] = SPECIAL.mask
theirs = BayesOptimal(language)(ids[None], positions=torch.tensor([hidden]))[0].exp()  # (S, V)
listed = [None if i == SPECIAL.mask else i for i in ids.tolist()]
parts = language.model.initial, language.model.transition, language.model.emission
yours = torch.stack([fill_blank(*parts, listed, position) for position in hidden])
claim(torch.allclose(yours, theirs, atol=1e-9), "the library's optimum is yours")

# %% [markdown]
# **No predictor can expect a smaller loss on these blanks**, whatever its size: this is $H(p)$ of section
# 1, made visible. Now the blanks: 15 % of the tokens of new sentences, all of them shown as
# `[MASK]`, and three lines to draw. From the better of the two counts down to the optimum we call *the way*.

# %%
ALL_MASK = (1.0, 0.0, 0.0)
keys = Keys.of(7, dial(smoke=100, laptop=600))
questions = MaskedLM(SPECIAL, vocabulary, 0.15, replace=ALL_MASK).batch(language.held_out(len(keys)).take(keys), keys)
labels = questions.targets["labels"]


@torch.no_grad()
def losses(model):
    """The loss of each blank, in nats, (N,)."""
    return F.cross_entropy(model(**questions.inputs)[labels != -100].double(), labels[labels != -100], reduction="none")


corpus = language.take(Keys.of(1, dial(smoke=1000, laptop=10_000), epoch=1))["input_ids"].numpy()
bounds = {"unigram": losses(Unigram(token_counts(corpus, vocabulary))),
          "bigram": losses(TwoSidedBigram(corpus, vocabulary, SPECIAL)), "optimum": losses(BayesOptimal(language))}
bounds = {name: loss.mean().item() for name, loss in bounds.items()}
way = min(bounds["unigram"], bounds["bigram"]) - bounds["optimum"]
print(", ".join(f"{name} {loss:.3f}" for name, loss in bounds.items()), f" → the way is {way:.2f} nats long")
claim(way > 1, "from counting to the optimum it is more than a nat")

# %% [markdown]
# And a transformer: two layers of width 64. The first layer looks at the neighbours only, the second at everything.
# Nobody tells it that there are states, topics or roles. You train it yourself, on sentences that never repeat.

# %% [markdown] tags=["exercise"]
# **Exercise 07.6 · train a masked language model (★★☆, 25 min)**
#
# Write one update, with your `corrupt` and your `masked_loss`. `model(tokens)` answers with logits $(B, T, V)$, at all
# positions. `optimizer` is one of PyTorch's: `zero_grad()` empties the gradients, `step()` moves the parameters against them.
# The check compares three updates in a row, loss and gradient, with autograd's.


# %% tags=["exercise"]
def masked_lm_step(model, optimizer, ids, allowed, u, random_ids, rate, mask):
    """One update; returns the loss that it went down from, a number. The last six are what `corrupt` takes."""
    ### BEGIN SOLUTION
    corrupted, labels = corrupt(ids, allowed, u, random_ids, rate, mask)
    loss = masked_loss(model(corrupted), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


masked_lm_step = check("07.6", masked_lm_step)

# %% [markdown]
# Now call it some hundred times. The optimiser is AdamW, its rate rises over the first updates and falls to 0. Training
# chooses 30 % of the tokens; the questions choose 15 %, and stay the same. What part of the way will it go, in half a minute?

# %%
predict("07.way", ..., unit="(share of the way from counting to the optimum)")

# %%
shape = ModernBertConfig(vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, max_position_embeddings=64, local_attention=2, initializer_range=0.125,
                         global_rope_theta=10_000.0, layer_types=("sliding_attention", "full_attention"))
model = ModernBertForMaskedLM(shape, seed=0)
steps, batch = dial(smoke=30, laptop=400, gpu=2000), 32
optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
curve = {}  # held-out loss after so many updates
for step in range(steps + 1):
    if step % 10 == 0 and step <= 60 or step % 50 == 0:
        curve[step] = losses(model).mean().item()
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * min((step + 1) / (steps / 20), 1 - step / (steps + 1))
    keys_now = Keys.of(0, range(batch * step, batch * (step + 1)))  # which sentences
    ids = language.take(keys_now)["input_ids"]
    random_ids = (keys_now.uniform("random", (language.length,)) * vocabulary).long()
    masked_lm_step(model, optimizer, ids, ids >= 5, keys_now.uniform("u", (language.length,)), random_ids, 0.3, SPECIAL.mask)

above = losses(model) - losses(BayesOptimal(language))  # of each blank
went = 1 - above.mean().item() / way
reveal("07.way", went)
error = above.std().item() / len(above) ** 0.5
print(f"{bounds['optimum'] + above.mean().item():.3f} nats, {above.mean().item():.3f} ± {error:.3f} (standard error) "
      "above the optimum")
passed = {name: min(step for step, loss in curve.items() if loss < bounds[name]) for name in ("unigram", "bigram")}
print(f"below the unigram line after {passed['unigram']} updates or fewer, below the bigram line after {passed['bigram']}")
claim(went > 0.9, "your transformer goes most of the way in half a minute")
claim(above.mean().item() > -3 * error, "and it is not below the optimum by more than chance allows")

# %% [markdown]
# The experiment trains longer, with the library's trainer, draws three languages afresh, and had to go at least 95 % of
# the way in each.

# %%
languages = results("07-bayes-optimal")["measured"]["languages"]
fig, axes = plots.figure(columns=2, width=10, height=3.6)
axes[0].plot(list(curve), list(curve.values()), "o-", color=plots.BLUE, markersize=4)
for name, colour in [("unigram", plots.ORANGE), ("bigram", plots.GREEN), ("optimum", plots.BLACK)]:
    axes[0].axhline(bounds[name], color=colour, lw=1.3)
    axes[0].annotate(name, (steps, bounds[name]), xytext=(0, -9 if name == "optimum" else 8), textcoords="offset points", ha="right", va="center", color=colour)
axes[0].set(xlabel="updates", ylabel="held-out loss (nats)", title="your transformer", ylim=(bounds["optimum"] - 0.4, None))
for one, colour, style in zip(languages, [plots.BLUE, plots.RED, plots.BLACK], "o^s"):
    start = min(one["unigram"], one["bigram"])
    axes[1].plot(*zip(*[(read, 100 * (start - loss) / one["way"]) for read, loss in one["curve"]]), style + "-", color=colour, lw=1.2, markersize=5)
axes[1].axhline(100, color=plots.BLACK, lw=1.3)
axes[1].axhline(95, color=plots.GREY, lw=1, ls="--")
for text, height in [("optimum", 100), ("predicted: at least this", 95)]:
    axes[1].annotate(text, (one["curve"][-1][0], height), xytext=(0, -9), textcoords="offset points", ha="right", va="center",
                     color=plots.BLACK if height == 100 else plots.GREY)
axes[1].set(xlabel="sentences read", ylabel="way from counting to the optimum (%)", title="three languages, longer runs", ylim=(84, 101))
axes[1].xaxis.set_major_formatter("{x:,.0f}")
plots.show(fig, alt="From nothing but text with holes a transformer comes close to the best possible answer. Left, your run: the held-out loss "
           "against the updates, with lines for counting and for the optimum. Right, a line per language: how much of the way from counting (0) to the "
           "optimum (100) is gone; all end above the 95 that were predicted.", number="7.5")

# %%
print(verdict_table([
    ("a way of at least 1 nat", ", ".join(f"{one['way']:.2f}" for one in languages), min(one["way"] for one in languages) >= 1),
    ("at least 95 % of it is gone", ", ".join(f"{one['closed']:.1%}" for one in languages), min(one["closed"] for one in languages) >= 0.95),
    ("not below the optimum", ", ".join(f"{one['above']:.3f} ± {one['standard_error']:.3f}" for one in languages),
     all(one["above"] > -3 * one["standard_error"] for one in languages)),
]))  # fmt: skip
closed = min(one["closed"] for one in languages)
headline("the way from counting to the Bayes optimum that a masked transformer goes, worst of 3 languages", closed, 0.95, at_most=False)
claim(closed >= 0.95 and min(one["way"] for one in languages) >= 1, "at least 95 % of at least a nat, in three languages")

# %% [markdown]
# That is what "learning a language from blanks" can mean, in the one case where it can be checked.
# On the left of Figure 7.5 the blue curve all but touches the black line: the network has come to
# answer nearly as forward–backward does, an algorithm that was *given* the states and all their
# probabilities. Chapter 11 will look inside for the states.
#
# **And under 80/10/10?** The optimum changes, and in two directions. Some blanks show their token,
# which helps. But now any visible token may be a lie, which harms. The same algorithm covers it,
# with softer evidence: for a token that is shown at another position, $e(s) = P(\text{shows } v \mid s)$ through the
# corruption. On the same sentences, is the best possible loss higher or lower than with `[MASK]` alone?

# %%
predict("07.channel", ..., unit="nats (optimum under 80/10/10 less that under 100/0/0)")

# %%
both = MaskedLM(SPECIAL, vocabulary, 0.15).batch(language.held_out(len(keys)).take(keys), keys)
channel = bayes_loss(language, both.inputs["input_ids"], both.inputs["positions"], both.targets["labels"], 0.15, replace)
reveal("07.channel", channel - bounds["optimum"])
blind = BayesOptimal(language, 0.15, replace)
blind.replace = ALL_MASK  # expects lies elsewhere, but does not look at the blank's own token
logits = blind(both.inputs["input_ids"], positions=both.inputs["positions"])
used = both.targets["labels"] != -100
not_looking = F.cross_entropy(logits[used], both.targets["labels"][used]).item()
print(f"100/0/0 {bounds['optimum']:.3f}   80/10/10 {channel:.3f}   without looking at the blank itself {not_looking:.3f}")
claim(channel < not_looking - 0.1, "the look at the blank is worth a tenth of a nat and more, to the best predictor, too")
claim(abs(not_looking - bounds["optimum"]) < 0.1, "lies and kept tokens at other positions change little for the best predictor")

# %% [markdown]
# Without the look, the loss equals that of 100/0/0: damage at *other*
# positions does next to nothing. The rest is what the look gains. A bound holds for its own corruption
# only: never compare a loss under 80/10/10 with an optimum for `[MASK]`.
#
# ## 7 · How much to hide?
#
# 15 % was a choice, not a law. Hiding more gives more questions per sentence, and takes away context that
# answers them. Wettig et al. (2023) find that 40 % is better than 15 % for models of the size of BERT-large.
# To compare rates one must not compare training losses: a model trained at 60 % is *asked harder
# questions*. So all are scored at one common rate, on the same blanks. And a model must live on context, or
# hiding it costs nothing. So we train in three hidden-Markov languages, where 100 updates lead past the bigram:

# %%
ledger = results("07-masking-below-the-bigram")
languages = [language["above"] for language in ledger["measured"]["languages"]]
rates = list(languages[0]["100"])
fig, ax = plots.figure(width=6.5, height=3)
for updates, colour in zip(languages[0], (plots.SKY, plots.BLUE)):
    above = [[language[updates][rate][0] for rate in rates] for language in languages]
    for losses in above:
        ax.plot([100 * float(rate) for rate in rates], losses, "o-", color=colour, markersize=4, lw=0.6)
    middle = [sum(losses) / len(losses) for losses in zip(*above)]
    ax.plot([100 * float(rate) for rate in rates], middle, color=colour, lw=2.5)
    ax.annotate(f"{updates} updates", (82, middle[-1]), color=colour, va="center")
ax.set(xlabel="masked in training (%)", ylabel="nats above the optimum", ylim=(0, None), xlim=(10, 100))
plots.show(fig, "15 % and 80 % are worse than what lies between. Loss above the optimum, scored at 15 %, against the masking rate in training; "
           "a thin line per language, thick lines are means.", number="7.6")
print(verdict_table(ledger))
claim(all(max(run[rate][0] for rate in ("0.3", "0.4", "0.6")) < min(run["0.15"][0], run["0.8"][0]) for language in languages for run in language.values()),
      "in each language and length, 30, 40 and 60 % are better than 15 and 80 %")

# %% [markdown]
# Between 30 and 60 % the curves are flat: the best rate of the longer runs is not the same in all languages. (All have one
# learning rate; one for each might move the curves.) A first measurement, on speeches, could not tell:

# %%
runs = results("07-masking-rate")["measured"]["losses"]["4 × 128"]
own = lines["unigram, own token"].loss
print(f"120 updates on speeches, scored at 15 %: {min(map(min, runs.values())):.3f} to {max(map(max, runs.values())):.3f}; the unigram that sees the blank's own token: {own:.3f}")
claim(min(map(min, runs.values())) > own, "no run is below the unigram that sees the blank's own token")

# %% [markdown]
# Nothing shows that those models use context at all.
# Chapter 08 asks once more on speeches, with a model of the same size that reads four times as much, and is well below that
# line. How many nats is 40 % worth there?

# %%
predict("07.rate", ..., unit="nats (loss at 15 % less loss at 40 %, in chapter 08)")

# %%
rungs = results("08-ladder")["measured"]["rungs"]
gains = [before - after for before, after in zip(rungs["Muon"]["losses"], rungs["40 % hidden"]["losses"])]
reveal("07.rate", sum(gains) / len(gains))
print("each seed:", "  ".join(f"{gain:.2f}" for gain in gains))
claim(min(gains) > 0 and max(rungs["Muon"]["losses"]) < own - 0.2, "there, where context is used, 40 % is better in every seed")

# %% [markdown]
# The best rate belongs to a model, a budget and a corpus, and is measured, not copied.
#
# ## Summary
#
# * A masked language model answers with a *distribution over the vocabulary*. Its loss is entropy plus
#   divergence, and lowest for the true distribution, where it is not zero.
# * Unigram and two-sided bigram counts are made in seconds and are hard to beat. No loss means
#   anything without them.
# * 80/10/10 comes from one draw per token. The kept and random tenths make visible tokens worth
#   representing, and give away part of the blanks: allow counting the same look.
# * Take sums and counts; divide once.
# * One-sided models learn from every token and see half; two-sided ones see all and learn from the
#   hidden. Compare them at equal compute, on the same blanks, tuned alike, in runs of the full
#   length. After a short training none had reached the counts of neighbours (Figure 7.3).
# * A step of masked language modelling is six: corrupt, forward, loss, zero, backward, step.
# * In a hidden-Markov language the best possible loss is known. A small transformer, trained on
#   blanks alone, comes close to it (Figure 7.5).
# * The best masking rate belongs to a model, a budget and a corpus, and is measured, not copied.
#
# **What we measured**: here, counts on real blanks, who sees what, and a transformer that you trained; in
# `results/`, `07-counting-to-context`, `07-bayes-optimal`, `07-masking-rate` and
# `07-masking-below-the-bigram`, three seeds each.
#
# ## Going further
#
# * Give `experiments/07_counting_to_context.py` ten times the budget. Which network passes the
#   bigram first? Write your guess down before.
# * Train Bengio's network, four words on either side, on the hidden-Markov language. How much of the
#   way can it go with eight tokens of context? Compute the optimum for a reader who sees only these eight.
# * Mask whole words instead of tokens (`MaskedLM.of(tokenizer, unit="word")`). The loss goes *up*. Is
#   the model worse?
#
# ## References
#
# * W. L. Taylor, "Cloze procedure": a new tool for measuring readability, *Journalism Quarterly* 30,
#   1953.
# * L. R. Rabiner, A tutorial on hidden Markov models and selected applications in speech
#   recognition, *Proceedings of the IEEE* 77, 1989, section III.
# * S. Hochreiter, J. Schmidhuber, Long short-term memory, *Neural Computation* 9, 1997; M. Schuster,
#   K. K. Paliwal, Bidirectional recurrent neural networks, *IEEE Transactions on Signal Processing* 45, 1997;
#   A. Graves, J. Schmidhuber, Framewise phoneme classification with bidirectional LSTM and other neural network
#   architectures, *Neural Networks* 18, 2005.
# * Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, A neural probabilistic language model, *Journal of
#   Machine Learning Research* 3, 2003, equation 1 and section 4.2.
# * J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, BERT: pre-training of deep bidirectional
#   transformers for language understanding, *NAACL* 2019, sections 3.1 and 5.1, appendices A.1 and C.2.
# * A. Wettig, T. Gao, Z. Zhong, D. Chen, Should you mask 15% in masked language modeling?, *EACL*
#   2023.
# * The article: 《预训练 (Pre-training)》, section 4.3.
