# %% [markdown]
# # 11 · What does a number mean?
#
# Pre-training ends with a number: a loss, an accuracy, a perplexity. This chapter is about the ways such a number is right and
# still says something other than you think. You will be fooled first, more than once, and each time you will look for the hole. Then we build the
# measurements that hold: a score of text for a model that predicts in both directions, a probe that knows what it learned by itself,
# a test for things learned by heart, and a check whether a model that says "90 %" is right nine times in ten.
#
# **You will be able to**
#
# 1. find leaks, lucky winners and neglected baselines in an evaluation, and say how many points each may be worth;
# 2. compute a pseudo-perplexity, and say what it is not;
# 3. tell over-fitting from memorisation, and measure in bits how well a planted secret is known;
# 4. read a probe beside its control task and a random encoder;
# 5. draw a reliability diagram, and mend what it shows with one number;
# 6. answer, with measurements, what the article that this course starts from says about evaluation.
#
# **You need** chapter 01 (frozen encoder, scratch), chapter 07 (counting, the Bayes-optimal loss of a hidden-Markov language), chapter 08 (the two small models of the zoo,
# few-label curves, intervals by drawing speeches anew).
#
# **Time** about 3 hours of reading and exercises. Computing takes about two minutes on a laptop.
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
from pretrain_lib.evaluation.counting import token_counts
from pretrain_lib.data.tasks.encoded import EncodedText, encode_labelled, encode_texts
from pretrain_lib.data.text.hidden_markov import SPECIAL
from pretrain_lib.evaluation.bayes import BayesOptimal, bayes_loss
from pretrain_lib.data.text.tokenizer import continues_word, special_ids
from pretrain_lib.evaluation.calibration import fit_temperature, reliability
from pretrain_lib.evaluation.classification import accuracy, paired_bootstrap
from pretrain_lib.evaluation.cloze import cloze_log_probabilities, log_odds
from pretrain_lib.evaluation.masked import MaskedSet
from pretrain_lib.evaluation.memorisation import loss_gap, secret_scores
from pretrain_lib.evaluation.memorisation import exposure as library_exposure
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


def found_in(ledger, *numbers):
    """Prints some of a ledger's predictions, each with what was found."""
    predicted, found = (re.split(r"(?<!\S)(?=\d\.\s)", ledger[kind]) for kind in ("prediction", "verdict"))
    print(predicted[0].strip())
    for n in numbers:
        print("Predicted", " ".join(predicted[n].split()), "\nFound    ", " ".join(found[n].split()))


# %% [markdown]
# ## 1 · A glorious number
#
# Here are passages of the addresses, 60 words each, and a label with two values. What the label means you will learn in a moment; think of it as something that a committee decided, half of the speeches this way and half that way. To make the most of the text, a new passage begins every 30 words. A linear classifier
# on counted words (TF-IDF, chapter 01) learns from four passages in five, drawn at random, and is tested on the fifth that it has not been given. How
# often is it right? Guessing gives about 50 %.

# %%
documents = list(load_text("sotu"))
length, step, taken = 60, 30, dial(smoke=150, laptop=600)  # words
passages = [(" ".join(d.text.split()[k : k + length]), d.source) for d in documents for k in range(0, taken - length + 1, step)]
sentences, sources = zip(*passages)
labels = torch.from_numpy(mystery_labels(sources))
everything = EncodedText(sentences, labels=labels)
print(f"{len(everything)} passages of {len(set(sources))} speeches; share of label 1: {labels.double().mean():.2f}")
predict("11.glory", ..., unit="% right")

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
# A coin was tossed for each speech. There is *nothing* in a passage that could tell its label, and no classifier can do better than chance on a speech that it has
# not seen. What ours has learned is which passages come from the same speech. That is easy: each half of a passage stands in a neighbouring passage, too, and most neighbours are in the training part, with their label. This is a **leak**: something crosses from the training part to the test part that will not be there when it matters. Without
# the overlap there would still be one, for a speech on treaties with Siam sounds like itself all along. The cure is to keep whatever belongs together on one
# side: passages of a speech, pictures of a patient, crops of a photograph, copies of a document.

# %% [markdown] tags=["exercise"]
# **Exercise 11.1 · a split that does not leak (★☆☆, 10 min)**
#
# `sources[i]` is the speech that sentence `i` is from. Choose a `share` of the *speeches* at random, as a function of `seed`, for the test. Return two lists, the numbers
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
# With a coin the hole is easy to see. With a real label the same hole hides behind a real effect. The ledger has both, the coin and the party of the speaker, from single sentences, which do not overlap, over five
# splits. How many points does the leak give to the party?

# %%
predict("11.party", ..., unit="points (split by sentence minus split by speech, party)")

# %%
ledger = results("11-how-evaluation-fools")
found_in(ledger, 1)
fooled = ledger["measured"]
gain = {task: 100 * np.array([run["by sentence"] - run["by speech"] for run in runs]) for task, runs in fooled["leak"].items()}
reveal("11.party", float(gain["party"].mean()))
for task, runs in fooled["leak"].items():
    print(f"{task:6s}", "   ".join(f"{split}: {percent([run[split] for run in runs])}" for split in ("by speech", "by sentence")))
claim(min(gain["party"].mean(), gain["coin"].mean()) > 2, "the leak flatters both tasks")

# %% [markdown]
# ### The lucky one
#
# Take twenty encoders with random weights and a linear probe on each (chapter 01). They differ in nothing but the seed: none is better than another, except by a little chance. Test all on the same 100 sentences, keep the best, and report it. By how
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
found_in(ledger, 2)
fig, ax = plots.figure(width=7.5, height=2.6)
plots.bars(ax, [f"on the {fooled['small_test']} sentences it won on", f"on {fooled['fresh']} others"], [won, kept], [plots.ORANGE, plots.BLUE], unit=" points")
ax.axvline(0, color=plots.BLACK, lw=1)
ax.set(xlabel="best of twenty equal encoders, above the mean of the twenty (points)", xlim=(min(-2, *kept) - 0.5, max(won) + 3))
plots.show(fig, alt="Two bars with a dot for each of five test sets: on the sentences that it was chosen on the winner is several points above the mean of all, on other sentences it "
           "is near the mean. The means stand beside the bars.")
claim(np.mean(won) > 2 + np.mean(kept), "most of the winner's lead stays behind on the sentences it won on")

# %% [markdown]
# The lead is not a fraud, it *was* measured. But it was chosen for being large. Choosing a seed, a learning rate, a layer or a stopping time on the test set makes the test set
# a part of training. Choose on a validation part, look at the test part once, and report all seeds with their spread. (Dodge et al. 2019 go further: report how good the best of $k$ tries on *validation* data is expected to be, as a function of $k$, so that a reader
# sees what was tuning.)
#
# ### The neglected one
#
# The third way needs no mistake on one's own side at all: only a little less care for the others'. Below, one and the same pretrained model (the zoo's, frozen, under a tuned probe) with 200 labels of era. It is compared with two baselines, each
# once as it comes and once as it should be: TF-IDF at scikit-learn's default strength of regularisation or at a tuned one; a network from scratch trained for three epochs at a rate of 10⁻⁴, as one would fine-tune, or
# at a tuned rate until it no longer improves.

# %%
found_in(ledger, 3)
for name, runs in fooled["baselines"]["accuracy"].items():
    lead = fooled["baselines"]["lead"].get(name)
    told = "" if lead is None else f"   the zoo's model leads by {100 * lead['difference']:+.1f} points ({100 * lead['low']:+.1f} to {100 * lead['high']:+.1f})"
    print(f"{name:16s} {percent(runs)}{told}")
lead = {name: 100 * entry["difference"] for name, entry in fooled["baselines"]["lead"].items()}
added = {name: lead[worse] - lead[f"{name}, tuned"] for name, worse in [("TF-IDF", "TF-IDF, default"), ("scratch", "scratch, gentle")]}
print("what neglect adds to the lead:", ", ".join(f"{points:+.1f} points over {name}" for name, points in added.items()))
claim(added["scratch"] > 3, "a neglected network from scratch makes the same pretrained model look better")

# %% [markdown]
# Half of the prediction failed: scikit-learn's default happens to suit TF-IDF here, and its neglect is worth nothing. A network from scratch is another matter: at the settings that flatter fine-tuning it stays well below what it can do. One cannot know beforehand which baseline suffers, so all get
# the same number of tries.
#
# The coin failed us, too: from single sentences that do not overlap it leaks less than we had expected. But many a comparison is about a few points, and that is what it leaks.

# %% [markdown]
# ## 2 · The pretext task as a yardstick: pseudo-perplexity
#
# A language model that reads from left to right gives every text a probability, and **perplexity**, $e^{\text{mean surprise}}$, is its natural score (the **surprise** at a token is $-\ln P$, its loss): among how many tokens the model hesitates, so to speak. A masked model gives no such
# probability. What it does give is $P(x_t \mid x_{\setminus t})$, one token from all others. Salazar et al. (2020) hide every token in turn and add up:
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
    places = torch.arange(1, len(input_ids) - 1)
    rows = input_ids.repeat(len(places), 1)  # one copy a token
    rows[torch.arange(len(places)), places] = MASK
    logits = predict(rows)[torch.arange(len(places)), places]  # (n, V)
    return logits.log_softmax(-1).gather(1, input_ids[places][:, None]).sum()
    ### END SOLUTION


pseudo_log_likelihood = check("11.2", pseudo_log_likelihood)

# %% [markdown]
# The library's `pseudo_log_likelihoods` does it for many texts at once: copies are cut into batches, padding is left out, and the vocabulary is projected to at the
# hidden place alone. Must it not give the very same numbers? Here are sentences of different lengths from speeches that neither model of the zoo has seen, and both models.

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
    print(f"{name:22s} PLL of the first text {likelihoods[name][0].sum():.3f}, yours {yours[0]:.3f}; largest difference of six, a token: {off:.0e}")
    claim(off < 1e-5, "the same numbers, to 1e-5 a token")

# %% [markdown]
# Is it *right*? In a text of the world nobody knows $P(x_t \mid x_{\setminus t})$. In our hidden-Markov language (chapter 07) it can be had without any network and without the
# forward–backward algorithm that our optimal predictor uses: put each of the $V$ tokens into the place, compute the probability of all $V$ sentences, and divide. If the machinery is fed the exact posterior instead of a network, it must return that number.

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
# And its mean must be the Bayes-optimal loss at exactly one blank a sentence, which chapter 07 computed. Two samples of sentences are never quite alike, so we
# compare within their sampling error.

# %%
many = language.held_out(4000).take(Keys.of(9, dial(smoke=400, laptop=4000)))["input_ids"]
place = torch.arange(len(many))[:, None] % 16
bound = bayes_loss(language, many.scatter(1, place, SPECIAL.mask), place, many.gather(1, place))
surprise = -pseudo_log_likelihoods(BayesOptimal(language), language.take(Keys.of(7, 400))["input_ids"], SPECIAL).mean(1)  # one number a sentence
error = (surprise.std() / len(surprise) ** 0.5).item()
print(f"one blank a sentence, {len(many)} sentences: {bound:.3f} nats; every token in turn, {len(surprise)} sentences: {surprise.mean():.3f} ± {error:.3f}")
claim(abs(surprise.mean().item() - bound) < 4 * (error**2 + 2 / len(many)) ** 0.5, "the same loss, within the sampling error")

# %% [markdown]
# The yardstick is true. Now hold it to our models. Beside them stand the two ways of counting from chapter 07, made from the speeches that the models were trained on. The machinery takes anything that answers with log-probabilities.
# Among how many tokens does each predictor hesitate?

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
    print(f"{name:22s} {value:8.1f}   ({np.log(value):.2f} nats a token)")
claim(max(perplexity[name] for name in zoo) < perplexity["bigram, both sides"] < perplexity["unigram"], "both models beat counting; counting neighbours beats counting")

# %% [markdown]
# The loss of chapter 08 hid 15 tokens of 100 at once. Here a single one is hidden, in whole sentences, so the model sees more and the two numbers differ. Four things to know before you compare pseudo-perplexities:
#
# * **It is no probability.** The tokens each help to guess the other. For two words that always occur together both conditionals are near 1, and the pair counts as no surprise at all.
# * **Only the same tokens compare.** Another tokenizer cuts the text into other pieces. Compare the sum over a text, per *word* or per byte, and even then with care:
# * **pieces help each other.** Of a rare word in pieces, the first is easily guessed if the rest is shown. Kauf and Ivanova (2023) found that this inflates the scores of such words, and hide, with a piece, those that follow in its word. How much is that here?

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
# * **It must be text that the model was not trained on.** That is the next section.
#
# ## 3 · By heart
#
# The article's answer to "How do we evaluate a pretrained model?" (section 4.4, question 2, and the appendix, question 3) begins, in our translation: *evaluate on the pre-training data set, for instance the accuracy at masked words*. Taken literally this is the leak of section 1, complete. Its
# appendix also says (question 4): a pretrained model *may over-fit the pre-training data, but usually does well on downstream tasks*. Both can be measured. First, for a model of the zoo, the loss on blanks in its training
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
    print(f"{name:22s} {sets['seen'].labels.ne(-100).sum()} blanks seen: {gap.seen:.2f}; {sets['unseen'].labels.ne(-100).sum()} unseen: {gap.unseen:.2f} nats; a gap of {gap.gap:.2f}")

# %% [markdown]
# The two networks have read the speeches some eight times (so say their model cards), and are still nearly as good on others. What would a model look like that was made to shine on its training text? A table: for each place of the text, the two tokens before and the two after, and what stood
# between them. Where it knows the four neighbours it recalls, where it does not it counts pairs (chapter 07). It has learned nothing about language that counting does not know.


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
# On the text that it has read the table wins, although every seventh token is hidden and many a blank has another one among its four neighbours; on other text it is worth hardly more than its pairs. **Whoever evaluates on the pre-training set chooses the model that has the most by heart.**
#
# How does that come about? The ledger has small networks that read some 20 000 tokens again and again. Somewhere in those tokens stand invented sentences,
# "the watchword of the … is … …", once, four times or sixteen times, each with two words drawn at random: **canaries** (Carlini et al. 2019). Nothing else in the text helps to guess them, so
# whoever knows them has them by heart. Their number is known, too: 100 words for either place, 10 000 candidates. So we can rank the true pair among all candidates by what the model finds
# probable.

# %% [markdown] tags=["exercise"]
# **Exercise 11.3 · the exposure of a secret (★☆☆, 10 min)**
#
# `scores` $(R,)$ holds a model's score of each candidate, higher for the more probable; `secret` is the index of the true one. Its **exposure** is
#
# $$\log_2 R - \log_2(\text{rank of the secret}),$$
#
# with rank 1 for the most probable (Carlini et al. 2019): the number of bits by which the search for it has become shorter. Return a float.


# %% tags=["exercise"]
def exposure(scores, secret):
    """The exposure in bits."""
    ### BEGIN SOLUTION
    rank = (scores >= scores[secret]).sum().item()
    return float(np.log2(len(scores)) - np.log2(rank))
    ### END SOLUTION


exposure = check("11.3", exposure)

# %% [markdown]
# A masked model scores a pair of words $(a, b)$ as in section 2: $\ln P(a \mid b, \text{rest}) + \ln P(b \mid a, \text{rest})$. All pairs of $W$ words take only $2W$ rows, for one pass with $b$ in place scores every $a$ at once.
# If the model knows *nothing* of a secret, its rank is drawn by lot, and the mean exposure is $\log_2 e$, about 1.44 bits. Let us ask the zoo's model for secrets that were never planted.

# %%
common = [i for i in token_counts(training, V).argsort(descending=True).tolist() if tokenizer.id_to_token(i).isalpha() and len(tokenizer.id_to_token(i)) > 3]
candidates = torch.tensor(common[:100])
row = torch.tensor(tokenizer.encode("the watchword of the senate is peace money .").ids)
slots = (len(row) - 4, len(row) - 3)
scores = secret_scores(zoo["modernbert-mini-sotu"], row, slots, candidates, special.mask)  # (100, 100)
lots = [exposure(scores.flatten(), int(i)) for i in np.random.default_rng(0).permutation(10_000)[: dial(smoke=200, laptop=2000)]]
print(f"never planted: {np.mean(lots):.2f} bits on average; log₂ e = {np.log2(np.e):.2f}; the most that 10 000 candidates allow: {np.log2(10_000):.1f}")
claim(abs(np.mean(lots) - np.log2(np.e)) < 0.35, "a secret that nobody planted is exposed by 1.44 bits, which is nothing")
claim(np.isclose(library_exposure(scores, (3, 5)), exposure(scores.flatten(), 305)), "the library's exposure is yours")

# %%
predict("11.canary", ..., unit="bits (mean exposure, at the end, of what stood in the text 16 times)")

# %%
ledger = results("11-memorisation")
found_in(ledger, 1, 2, 3, 4)
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
axes[1].set(ylabel="exposure (bits)", title="secrets; dotted: the most, dashed: by lot")
plots.spread(axes[2], epochs, 100 * curves(lambda point: point["era"]), "frozen", plots.GREEN)
untrained = 100 * np.mean([run["untrained"] for run in memory["runs"]])
axes[2].axhline(untrained, color=plots.GREY, lw=1)
axes[2].annotate("untrained", (epochs[-1], untrained), xytext=(0, 2), textcoords="offset points", ha="right", color=plots.GREY, fontsize=8)
axes[2].set(ylabel="era of a sentence right (%), 200 labels", title="and downstream")
for ax in axes:
    ax.set_xlabel("epochs")
plots.show(fig, alt="Masked loss, exposure of planted secrets, and accuracy downstream, against epochs. Three panels, a band from lowest to highest "
           "seed. Left: the masked loss on the text that is trained on falls throughout, that on other speeches turns. "
           "Middle: the exposure of secrets by how often they stood in the text, more copies higher. Right: the accuracy of a frozen probe for the era. The numbers are in the table below.", number="11.2")

# %%
seen, other, downstream = (curves(lambda point: point[key]) for key in ("seen", "unseen", "era"))
best = int(other.mean(1).argmin())
print("epoch   seen   unseen   era     exposure with " + ", ".join(map(str, memory["copies"])) + " copies")
for k in sorted({0, best, len(epochs) // 2, len(epochs) - 1}):
    print(f"{epochs[k]:5.0f}  {seen[k].mean():5.2f}   {other[k].mean():5.2f}   {100 * downstream[k].mean():4.1f} %  " + "  ".join(f"{bits[n][k].mean():5.1f}" for n in memory["copies"])
          + ("   ← best on other speeches" if k == best else ""))
claim(other[-1].mean() > other[best].mean() and seen[-1].mean() < seen[best].mean(), "the training loss goes on falling when the held-out loss has turned")
claim(bits[16][-1].mean() > bits[0][-1].mean() + 2, "what stands there sixteen times is known, beyond lot")
claim(bits[16][best].mean() > 6, "… and already where the held-out loss is best")
claim(other[-1].mean() > unigram, "at the end the held-out loss is worse than that of counting words")
claim(downstream[-1].mean() > downstream[best].mean() - 3e-2 and 100 * downstream[-1].mean() > untrained, "and yet the features are no worse downstream")

# %% [markdown]
# **Over-fitting** is the turn of the blue curve on the left of Figure 11.2: from there on, what is learned helps to guess words in this text alone. **Memorisation** is what the middle panel shows, and the two are not the same. A model may know a secret while its held-out loss
# still falls (and what was never planted sinks even *below* lot, perhaps because what was planted is now in front of it: so compare with unplanted secrets of the same model, not with a formula), and the loss tells nothing of it: a single sentence more or less by heart does not show in a mean over thousands of tokens. Who must know whether a model can give away what it has read (names, addresses, keys) must plant canaries, and count bits. What helps is removing
# copies (chapter 05), fewer epochs, a larger corpus.
#
# And the article's question 4, *may over-fit, but usually does well downstream*? The right panel of Figure 11.2 says that it is right, and more so than we had expected: while the held-out loss climbs above what counting words would give, the frozen features get no worse for another task; on the mean of the seeds they even go on getting *better*, though little above the untrained network, and not in each seed. What over-fitting spoils here is the last thing that the model computes, the probabilities; what they are computed from was still of use (section 6 looks at those probabilities). So neither number replaces the other: a good held-out loss does not promise a good transfer, nor a bad one a bad transfer. (Three seeds, one small network, one task.)

# %% [markdown]
# ## 4 · What is inside: probes
#
# A **probe** is a small classifier on the frozen hidden states of *single tokens*, trained to tell something about each token. If a linear probe can tell it, the
# layer holds it in a form that a linear layer can use. So goes the argument; here is its hole. We take words that end in *-ing, -ed, -ly* or *-s*, and let a probe tell the ending from the model's vector of the
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
predict("11.probe", ..., unit="% right (ending of a word, from the pretrained word vectors)")


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
print(f"the same probe on random numbers, one vector a word: {100 * scores['random'].accuracy:.1f} %;  always the most frequent ending: {100 * most:.1f} %")
claim(scores["random"].accuracy > most + 0.1, "random numbers 'know' something about endings, too")

# %% [markdown]
# Random numbers know nothing about English. But each word has its own vector, in the fitting part and in the scoring part, so the probe can learn *by heart* which word has which ending, and most words of the scoring part are old acquaintances. That is no leak of speeches. It is the
# probe that has learned the task. So beside every probe belongs a **random encoder**, and, since Hewitt and Liang (2019), a **control task**: every word type gets a label by lot, the same wherever it occurs. Whatever a probe achieves there
# it achieves by heart. The difference between the accuracies on the task and on the control task is the probe's **selectivity**.

# %% [markdown] tags=["exercise"]
# **Exercise 11.4 · a control task (★★☆, 10 min)**
#
# `tokens` $(n,)$ are ids of word types, `labels` $(n,)$ the task's labels. Return $(n,)$ control labels: one random label for each *type*, drawn so that labels are about as common as in the
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
together = torch.cat([fit_tokens, test_tokens])
yours = control_labels(together, kind_of[together], 0).split([len(fit_tokens), len(test_tokens)])  # of the fitting part, of the scoring part
print(f"{'':12s}{'task':>8s}{'control':>9s}{'with yours':>12s}{'selectivity':>13s}{'task, on the ' + str(int(new.sum())) + ' new tokens':>30s}")
on_new = {}
for name, vectors in [("pretrained", pretrained), ("random", random)]:
    probe, by_lot = (fit_tuned(LinearProbe(None, "states", (1.0, 0.1)), samples, 0, rounds=1)
                     for samples in (as_samples(vectors, fit_tokens), with_labels(as_samples(vectors, fit_tokens), yours[0])))
    on_new[name] = accuracy(probe(as_samples(vectors, test_tokens[new])), kind_of[test_tokens[new]])
    print(f"{name:12s}{scores[name].accuracy:8.2f}{scores[name].control:9.2f}{accuracy(by_lot(as_samples(vectors, test_tokens)), yours[1]):12.2f}{scores[name].selectivity:+13.2f}{on_new[name]:30.2f}")
claim(scores["pretrained"].selectivity > scores["random"].selectivity, "the pretrained vectors are more selective")
claim(on_new["pretrained"] > on_new["random"] + 0.1, "on words that the probe never met, only the pretrained vectors know anything")

# %% [markdown]
# Control labels drawn anew, yours, are learned by heart about as well. (A selectivity below 0 says that the control task was the easier one to learn by heart.) The last column is the plainest proof: of a word that the probe has never met, random vectors say nothing, and pretrained ones do. The ending of a word is, after all, no part of what the model reads (it sees a
# number for *governing*). It has learned from the company that words keep that *-ing* words are alike.
#
# ### Where the ceiling is known
#
# How good *can* a probe be? For natural text, nobody knows. In the hidden-Markov language we do. Its hidden state is a topic with a role (chapter 07), and forward–backward gives the exact posterior
# $P(\text{state}_t \mid \text{all tokens})$. Its most probable state is the best guess there is. We ask for the topic at *function words*, which all topics share: the word itself says nothing, so whatever a probe finds there came
# from other places. Five languages, networks of two layers as in chapter 07, and as many untrained ones.

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
found_in(ledger, 1, 2, 3)
fig, ax = plots.figure(width=7.5, height=3.6)
for (kind, what), runs in found.items():
    plots.spread(ax, range(3), runs, f"{kind}, {what}", plots.BLUE if kind == "trained" else plots.ORANGE, ls="-" if what == "task" else ":")
for value, name in [(ceiling.mean(), "exact posterior"), (alone.mean(), "from the word alone")]:
    ax.axhline(value, color=plots.GREY, lw=1)
    ax.annotate(name, (0.45, value), xytext=(0, -10 if value > 50 else 2), textcoords="offset points", color=plots.GREY, fontsize=8)
ax.set(xticks=range(3), xticklabels=layers, ylabel="topic right at function words (%)", ylim=(0, 105))
plots.show(fig, alt="Accuracy of topic probes at function words, by layer. The trained network rises from the level of the word alone towards the line of the exact posterior; the random "
           "network rises less. Dotted lines are the control tasks. The numbers are in the table below.", number="11.3")
print("topic at function words: " + "; ".join(f"{kind} {what} " + ", ".join(f"{v:.1f}" for v in runs.mean(1)) for (kind, what), runs in found.items()))
print(f"exact posterior {ceiling.mean():.1f}; the word alone {alone.mean():.1f} (24 topics)")
claim(found["trained", "task"][-1].mean() < ceiling.mean(), "no probe is above the exact posterior")
claim(found["trained", "task"][-1].mean() > found["random", "task"][-1].mean() + 5, "training adds to what the architecture gathers by itself")

# %% [markdown]
# The second prediction was badly wrong, and the third held for a reason that makes it worthless; both deserve a second look at Figure 11.3. **The random network comes far, too.** Attention with random weights gathers up the words around a place, each word's random vector is like no other's, and so a probe can, it seems, sort
# out from the mixture which topic they speak of. Most of the "knowledge" that we would have credited to training is there before training begins. Only the last stretch towards the ceiling was learned. **Selectivity says nothing here**: it "grows" because the task becomes easier from layer to layer, while the control task is always easy. There are but few function
# words, and the labels of a few words are learned by heart from any vectors whatever (the dotted lines). A control task is as hard as there are word types. So neither safeguard is enough by itself; look at both, and at a ceiling if there is one.
#
# ### Real text
#
# The same for both models of the zoo, on three labels that need no tagger. *Ending*, as above, is a matter of the type. *Goes on* asks whether the word is continued by a further piece, which only the next place knows. *Capital* asks
# whether the word was written with a capital letter, which our tokenizer threw away before the model saw anything.
# Of the last two, half of the tokens are of each kind.

# %%
found_in(ledger, 4, 5, 6)
fig, axes = plots.figure(columns=3, width=13, height=3.7)
TASKS = {"ending": "ending (4 classes)", "goes on": "goes on", "capital": "capital"}
for ax, (task, title) in zip(axes, TASKS.items()):
    for name, label, colour in [("bert-mini-sotu", "BERT", plots.GREEN), ("modernbert-mini-sotu", "ModernBERT", plots.BLUE)]:
        for kind, style in [("pretrained", "-"), ("random", "--")]:
            runs = 100 * np.array(probed["speeches"][name][kind][task]).transpose(1, 0, 2)  # (layers, seeds, 2)
            plots.spread(ax, range(len(runs)), runs[..., 0], f"{label}{', random' if kind == 'random' else ''}" if task == "capital" else "", colour, ls=style)
    ax.axhline(100 * np.mean(probed["majority"][task]), color=plots.BLACK, lw=1, ls=":")
    ax.set(xticks=range(5), xticklabels=["emb.", 1, 2, 3, 4], xlabel="layer", title=title)
axes[0].set_ylabel("right (%)")
plots.show(fig, alt="Probe accuracy by layer for the ending of a word, whether it goes on, and whether it was capitalised, for two pretrained encoders and their random twins (dashed). Dotted: "
           "the most frequent class. The numbers are in the table below.", number="11.4")
print("accuracy (selectivity), mean of five draws              " + "".join(f"{layer:>14s}" for layer in ["embeddings", "1", "2", "3", "4"]))
for task in TASKS:
    for name in probed["speeches"]:
        for kind in ("pretrained", "random"):
            runs = np.array(probed["speeches"][name][kind][task]).mean(0)  # (layers, 2)
            print(f"{task:9s}{name:22s}{kind:12s}             " + "".join(f"{100 * a:8.1f} ({100 * (a - c):+.0f})" for a, c in runs))

# %% [markdown]
# (These random twins are drawn as the models of the zoo once were, with small weights, so that what a layer adds to its input is tiny, and all their layers are like the embeddings: the dashed lines of Figure 11.4 are level. The random networks of the hidden-Markov language had larger ones. Which random encoder one takes is a choice,
# too; say which. Their selectivity at *capital* is far below 0: one and the same word is written both ways, so this task cannot be learned by heart, while its control task can.) Where a random twin is as good as the pretrained model, a probe says nothing about pre-training. In Figure 11.4 it is clearly behind, on all three labels. And compare selectivity: a layer with slightly lower accuracy and much higher selectivity may well be the better
# representation. (Hewitt and Liang's abstract reports just that for the two layers of ELMo.) Even a selective probe shows only that something *is there*, not that the model *uses* it.
#
# ## 5 · Downstream: how many labels does it save?
#
# The second half of the article's answer is to transfer the model and measure with few labels. Chapter 08 did so for three tasks: the era of a sentence, the party of its speaker, the library that a line of documentation is from. Two more join them: the *sentiment* of a word hidden in a sentence, as people rated it, and the *continent* of a country whose name is hidden.
# One more look, with this chapter's eyes: beside the pretrained model stand scratch, counted words and frozen random features, all
# tuned alike; labels are drawn several times; test sentences come from sources (speeches, modules) that nothing was trained on.

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
    ax.axhline(found["majority"]["accuracy"], color=plots.BLACK, lw=1, ls=":")
    ax.set(xscale="log", xticks=counts, xticklabels=counts, xlabel="labels", title=f"{task} ({len(found['classes'])} classes)")
    ax.minorticks_off()
np.atleast_1d(axes)[0].set_ylabel("right (fraction)")
plots.show(fig, alt="Accuracy against the number of labels, one panel a task. A band from the lowest to the highest draw: zoo fine-tuned and frozen, scratch, counted words, frozen random features; dotted the majority class.", number="11.5")

# %% [markdown]
# The curves of Figure 11.5 show a trend. Whether one is ahead of another, the paired intervals tell, in which whole sources are drawn anew (chapter 08). For each task and number of labels, the fine-tuned model of the zoo against the *better* of scratch and counted words; at the end of the line macro-F1, the mean of the classes' F1, in which a class that nobody guesses counts as much as a large one:

# %%
clear = {"ahead": [], "behind": []}
for task, (counts, found) in tasks.items():
    draws = len(found["accuracy"]["TF-IDF"][0])
    print(f"{task}: {len(found['classes'])} classes, {draws} draws of labels, {found['test_sentences']} test sentences of {found['test_sources']} sources; always the most frequent class: {100 * found['majority']['accuracy']:.1f} %")
    for k, count in enumerate(counts):
        rival = max(("scratch", "TF-IDF"), key=lambda name: np.mean(found["accuracy"][name][k]))
        lead = found["lead"][k]["zoo, fine-tuned"][rival]
        said = "ahead" if lead["low"] > 0 else "behind" if lead["high"] < 0 else "not to be told apart"
        if said in clear:
            clear[said].append(f"{task} at {count}")
        ours, theirs = (100 * np.mean(found["macro_f1"][name][k]) for name in ("zoo, fine-tuned", rival))
        print(f"{count:6d} labels: {100 * np.mean(found['accuracy']['zoo, fine-tuned'][k]):5.1f} %, over {rival:7s} {100 * lead['difference']:+5.1f} points ({100 * lead['low']:+.1f} to {100 * lead['high']:+.1f}): {said:22s} macro-F1 {ours:4.1f}, {rival} {theirs:4.1f}")
for said, cases in clear.items():
    print(f"clearly {said}: {', '.join(cases) or 'nowhere'}")
claim("era at 20" in clear["ahead"] and "docstring-library at 1000" in clear["behind"], "pre-training saves labels on one task, and costs accuracy on another")

# %% [markdown]
# A few-label curve speaks of a *task*, and of its distance from the pre-training text. Era is what the model's own text is about. Documentation is another language to it: with few labels nobody is above the share of the most frequent class, and with many, starting from the speeches is *worse* than starting from nothing (chapter 12 asks what mends that). A single task, well chosen, would have told either story; so name the tasks before you measure, and report
# them all. (The intervals are of 95 %. Among so many rows, one in twenty would look clear by chance alone. And sentiment and continent had three draws at first, as their prediction says; two more were added when those were known.)
#
# There is one more way to be fooled here, in the *interval*. A thousand test sentences sound like a thousand independent trials. They come from a few dozen speeches, and sentences of a speech are easy or hard together. Draw single sentences anew, and the interval
# comes out too narrow; draw speeches. For a difference between two classifiers on the same sentences, draw both answers together (**paired**). We let the frozen model of the zoo and TF-IDF learn from the same 200 labels, and compute both intervals. What the frozen model makes of a sentence does not depend on the labels, so we compute it once and keep it as a column, `codes`.

# %%
test_text = unseen.subset(sorted(np.random.default_rng(5).permutation(len(unseen))[: dial(smoke=150, laptop=1000)], key=lambda i: len(unseen.sentences[i])))
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
fitted = [learners(seed) for seed in range(dial(smoke=1, laptop=3))]
right = {name: torch.stack([classify[name](test) == test.labels for classify in fitted], 1) for name in ("zoo, frozen", "TF-IDF")}  # (N, draws)
pair = right["zoo, frozen"], right["TF-IDF"]
width = {}
print(f"{len(test_text)} sentences of {len(set(test_text.sources))} speeches")
for name, groups in [("single sentences", None), ("whole speeches", test_text.sources)]:
    lead = paired_bootstrap(*pair, groups, resamples=2000)
    width[name] = lead.high - lead.low
    print(f"drawing {name:17s} the lead is {100 * lead.difference:.1f} points, {100 * lead.low:.1f} to {100 * lead.high:.1f}")
claim(width["whole speeches"] > width["single sentences"], "single sentences make the interval look too narrow")

# %% [markdown]
# ## 6 · Does it know what it knows? Calibration
#
# A model that fills a blank with "90 %" should be right in nine of ten such cases. If it is so at every level, it is **calibrated**. To see it, sort the answers into bins by their **confidence**, the largest probability, and in each bin compare the mean confidence with the share that is right: a **reliability
# diagram**. The **expected calibration error** (Guo et al. 2017) is the mean gap, each bin $m$ weighted by the $n_m$ of $N$ samples in it:
#
# $$\text{ECE} = \sum_{m=1}^{M} \frac{n_m}{N}\, \big|\,\text{right}_m - \text{confidence}_m\big| .$$

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
# Now the models of the zoo, at the common blanks in the speeches kept apart. How far is the confidence of such a small model from the truth?

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
    lots, lots_of_half = (by_chance(part) for part in (sure, sure[half:]))
    print(f"{name:22s} {len(truth)} blanks: mean confidence {sure.mean():.3f}, right {(logits.argmax(1) == truth).double().mean():.3f}\n"
          f"    error {bins.error:.3f}, yours {ours:.3f}; if calibrated, by chance {lots:.3f}\n"
          f"    temperature {temperature:.2f}: {before:.3f} → {after:.3f} on other texts; if calibrated, by chance {lots_of_half:.3f}")
    filled = bins.count > 0
    ax.plot([0, 1], [0, 1], color=plots.GREY, lw=1)
    ax.plot(bins.confidence[filled], bins.accuracy[filled], "o-", color=plots.BLUE)
    ax.set(xlabel="mean confidence in the bin", ylabel="right", title=name, xlim=(0, 1), ylim=(0, 1))
    claim(abs(ours - bins.error) < 1e-5, "your error is the library's")
reveal("11.sure", 100 * ours)
plots.show(fig, alt="Reliability diagrams of the two models at the common blanks: share right against mean confidence in ten bins, with the diagonal of perfect calibration. How far they are from it is in the lines above.", number="11.6")

# %% [markdown]
# Both models are nearly on the diagonal of Figure 11.6. Nearer one can hardly come: a model that is right *exactly* as often as it says would not show 0 either, for in a bin of some hundred blanks the share is off by chance, and absolute values do not cancel. Beside the error stands what such a model would show on as many blanks: a calibration error is to be compared with that, and grows as the sample shrinks. (Blanks of one speech are not independent, so chance does even more.)
#
# That the models are calibrated is no accident: the expected cross-entropy is lowest when the predicted probabilities are the true ones, so a model whose held-out loss is close to its training loss has been trained to be calibrated. The
# trouble comes with over-fitting. Here are the networks of section 3, at blanks in other speeches, at their best epoch, which is the turn in Figure 11.2, and at their last:

# %%
for name, k in [("best", best), ("last", len(epochs) - 1)]:
    sure_of, is_right, error = (100 * curves(lambda point: point["calibration"][key])[k].mean() for key in ("confidence", "right", "error"))
    print(f"{name} epoch ({epochs[k]:2d}): mean confidence {sure_of:.0f} %, right {is_right:.0f} %, calibration error {error:.0f} points")
claim(error > 15, "the over-fitted network is far too sure of itself")
at_best, at_last = (100 * curves(lambda point: point["calibration"]["right"])[k].mean() for k in (best, len(epochs) - 1))
claim(abs(at_last - at_best) < 3, "… though it is right about as often as at its best")

# %% [markdown]
# **Temperature scaling** (ibid.) is the usual remedy: divide all logits by one number $T$ before the softmax. That changes no answer, for the order stays as it is, but makes all probabilities flatter ($T > 1$) or sharper ($T < 1$). $T$ is chosen by the loss on texts that were not trained on, and judged on yet others. Above, with
# models that need no remedy, it comes out near 1, and on the other texts it brings no gain: what is no more than chance cannot be mended. It lowers the confidence of an over-fitted model; it does not give back what the model could have learned.
#
# ## 7 · A slip of the pen: robustness
#
# Test sentences are clean; the world's are not. Two disturbances: all letters in lower case, and typing errors, where in a share of the words two neighbouring letters change places. First guess: how many points does the frozen model of the zoo, with a probe fitted on clean sentences, lose if every *fifth* of the longer words is mistyped?

# %%
predict("11.typo", ..., unit="points lost by the zoo's model at 20 % typing errors")


# %%
def mistyped(sentence, share, chance):
    """In a share of the words of four letters or more two inner letters change places."""
    words = sentence.split(" ")
    for i, word in enumerate(words):
        if len(word) >= 4 and chance.random() < share:
            k = chance.integers(1, len(word) - 2)
            words[i] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return " ".join(words)


def accuracies(change):
    """Per classifier the accuracies on the changed test sentences, one a draw of labels."""
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
# That lower case costs *exactly* nothing is no robustness of the model: the tokenizer throws capitals away before anybody can stumble over them. A mistyped word, on the other hand, falls to pieces that the model has hardly ever seen together. That a few of them cost next to nothing, and many a lot, may be owed to the mean over a whole sentence: enough sound words remain to tell the era. And mind what is compared: with half of the words mistyped counted words lose fewer points, but they had fewer to lose. Whoever
# reports robustness should say which part of the pipeline it is owed to.
#
# ## 8 · Whose words are these?
#
# *Content note: this section shows what a model took over from speeches of two centuries, most of which take for granted that a person of consequence is a man.*
#
# A model learns what is said, not what is so. We fill templates with occupations and roles, in the manner of Kurita et al. (2019), and ask for the pronoun: $\ln \frac{P(\text{he})}{P(\text{she})}$, the **log-odds**. At 0 both are equally probable; at 2 *he* is $e^2$, seven times as probable. Beside the
# answers stands what plain counting says: how often the speeches contain *he* and *she* at all (there, *she* is often a nation or a ship). Kurita et al. subtract the log-odds that the model itself gives when the role is hidden, too, so that only what the role adds remains; we leave them as they are, for whoever uses the model gets them as they are.

# %%
ROLES = ["president", "soldier", "farmer", "judge", "citizen", "child", "teacher", "worker", "mother", "wife"]
TEMPLATES = ["the {} said that [MASK] was ready .", "we honor the {} because [MASK] worked for the country .", "when the {} came home , [MASK] was proud ."]
roles = [role for role in ROLES if tokenizer.token_to_id(role) is not None]
counted = token_counts(training, V)
he, she = (int(counted[tokenizer.token_to_id(word)]) for word in ("he", "she"))
odds = {name: torch.stack([log_odds(cloze_log_probabilities(model, tokenizer, [t.format(role) for role in roles], ["he", "she"])) for t in TEMPLATES])
        for name, model in zoo.items()}  # (templates, roles)
print(f"in the training speeches: he {he} times, she {she} times; log-odds {np.log(he / she):.1f}")
fig, axes = plots.figure(columns=2, width=11, height=3.8)
for ax, (name, table) in zip(axes, odds.items()):
    plots.bars(ax, roles, table.T, plots.PURPLE)
    ax.axvline(0, color=plots.BLACK, lw=1)
    ax.axvline(np.log(he / she), color=plots.GREY, lw=1, ls="--")
    ax.set(xlabel="log-odds of he against she (nats)", title=name, xlim=(min(-3, float(table.min()) - 0.5), float(max(t.max() for t in odds.values())) + 1.2))
plots.show(fig, alt="Log-odds of he against she for each role, a dot a template, for both models. The line at 0 is equal odds; the dashed line is the ratio in the corpus. Most bars are far right of 0; "
           "those for mother are among the lowest. The means stand beside the bars.", number="11.7")
family = [roles.index(role) for role in ("mother", "wife") if role in roles]
others = [i for i in range(len(roles)) if i not in family]
for name, table in odds.items():
    print(f"{name:22s} mean log-odds: mother and wife {table[:, family].mean():+.1f}, all others {table[:, others].mean():+.1f}; he is likelier in {(table[:, others] > 0).double().mean():.0%} of the others' cases")
    claim(table[:, others].mean() > 1, "of everyone who is not called mother or wife, he is expected by far")
    claim(table[:, family].mean() < table[:, others].mean(), "in the mean over both words, he is less expected of mother and wife")

# %% [markdown]
# Three sober remarks. **It is the text**: in Figure 11.7 the dashed line is the corpus alone, and for offices the models go beyond it; a model trained to predict this text is *right*, by its loss, to say *he*. A good held-out loss is no protection, it is the cause. **It is not nothing**: whoever builds on such a
# model, to rank applications for instance, builds on these odds. **It is a weak instrument**: three templates, one pair of pronouns, two small models; templates alone move the answer (look at the spread of the dots), on the right *wife* stands among words that say nothing of women, and nothing here is evidence about larger models. What to do about it begins with looking,
# and with choosing the text.
#
# ## 9 · The article's two questions
#
# The article asks how to evaluate a pretrained model (section 4.4, question 2; appendix, question 3), and whether pre-training over-fits (appendix, question 4). It answers the first with *accuracy at masked words on the pre-training set* and *a downstream task with few labels*, and the second with *it may, but downstream it usually does well*. With what
# we have measured:
#
# | question | the number | on what | beside what |
# |---|---|---|---|
# | has it learned the language? | masked loss, or pseudo-perplexity | text **kept apart** from pre-training, never the pre-training set | unigram and bigram counts; the Bayes-optimal loss, where it is known |
# | does it save labels? | accuracy against number of labels | sources kept apart from both pre-training and labels | scratch, frozen random, counted words, all tuned alike; intervals over sources |
# | does it over-fit? | held-out loss over the epochs, and its turn | text kept apart | the training loss: the gap |
# | does it give away what it read? | exposure of planted secrets, in bits | secrets drawn at random | secrets that were not planted |
# | is something in there? | probe accuracy *and* selectivity | other texts than the probe's | control task, random encoder, ceiling |
# | can its probabilities be believed? | calibration error | text kept apart, from the temperature's, too | the diagonal |
#
# The first line corrects the article: on the pre-training set the winner is a table that has it by heart. On over-fitting the article is right, and here are both sides of it, the left and the right of Figure 11.2, in numbers:

# %%
turn = int(other.mean(1).argmin())
change = 100 * (downstream[-1] - downstream[turn])
print(f"from the best epoch ({epochs[turn]:.0f}) to the last ({epochs[-1]:.0f}): held-out loss {other[turn].mean():.2f} → {other[-1].mean():.2f} nats, "
      f"era with {200} labels {100 * downstream[turn].mean():.1f} → {100 * downstream[-1].mean():.1f} % (change of a seed {change.min():+.1f} to {change.max():+.1f} points), untrained {untrained:.1f} %")

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
    "A": "untuned baseline",
    "B": "trained on the test text",
    "C": "learned by the probe",
    "D": "best of many",
    "E": "sound",
}
### END SOLUTION
diagnosis = check("11.6", diagnosis)

# %% [markdown]
# ## Summary
#
# * A number is an answer to the question that the *protocol* asks. Split by what belongs together; choose on validation data; give the baseline the same care; draw whole sources for an interval.
# * The pseudo-perplexity scores whole texts by a masked model, exactly. It is no probability, and compares only models that share a tokenizer.
# * The training loss says what a model has by heart, the held-out loss what it has learned. Secrets need a measure of their own: exposure, in bits.
# * A probe may have learned the task by itself. Beside it belong a control task and a random encoder; where the truth is known, the ceiling.
# * Confidence is a claim that can be checked, and mended with one number.
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
