# %% [markdown]
# # 13 · Smaller models
#
# A model is pretrained once and asked a million times. This chapter is about the second half of that sentence: a fine-tuned encoder
# that is right often enough, but too large for the disk of a phone or too slow for the person who waits. There are three ways to make it smaller, and they can be combined: **distillation**
# teaches a small model what the large one knows; **pruning** takes out what the large one can do without; **quantisation** writes the same numbers in fewer bits.
# Each is derived, built and measured in three currencies: bytes on disk, milliseconds, accuracy. In the end they stand in one picture, Figure 13.7.
#
# **You will be able to**
#
# 1. derive the soft-target loss of distillation, and say why it carries a factor $T^2$;
# 2. teach a small classifier with sentences that nobody has labelled;
# 3. find the attention heads that matter by the slope of a gate, cut out the others, and prove that nothing else has changed;
# 4. quantise a matrix to eight bits, state how far off each weight can be, and multiply whole numbers;
# 5. scan a model for its sensitive parts, and spend a budget of bits accordingly;
# 6. read a claim about a compressed model, and see which of the three currencies it is silent about.
#
# **You need** chapter 06 for the parts of an encoder, chapter 08 for the pretrained model, chapter 09 for floating-point formats, from chapters 01 and 02 the two uncertainties of a lead and the principal components, and for the second teacher section 5 of chapter 12.
#
# **Time** about 3½ hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import copy
import tempfile
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from torch.nn import functional as F

from pretrain_lib import Classification, ModernBertConfig, ModernBertModel, TrainConfig, Trainer
from pretrain_lib import distill, fine_tune, load_labelled_text, load_pretrained, load_tokenizer, prune, quantize
from pretrain_lib.bench.timing import interleaved
from pretrain_lib.compression.distill import inherit_words
from pretrain_lib.compression.importance import Gates, gated, importance
from pretrain_lib.compression.prune import Kept, cut, prune_weights, sparsity
from pretrain_lib.compression.quantise import SIGNED, UNSIGNED, usable_kernels
from pretrain_lib.compression.saved import bytes_on_disk, load_compressed, save_compressed
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch13 import DIAGNOSES, REPORTS
from pretrain_lib.course.results import hardware, machine, verdict_table
from pretrain_lib.data.tasks.encoded import encode_labelled, encode_texts
from pretrain_lib.evaluation.classification import Comparison, accuracy
from pretrain_lib.evaluation.correlation import spearman
from pretrain_lib.evaluation.uncertainty import Lead, over_seeds
from pretrain_lib.transfer.encoders import text_classifier
from pretrain_lib.transfer.features import logits
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.zoo import held_out_sources

# %% [markdown]
# ## 1 · What a model weighs
#
# Our example asks when a sentence of a State of the Union address was spoken: before 1861, up to 1945, or since. Some sentences have labels; of the others we know the words only. The test sentences are
# from addresses that neither pre-training nor fine-tuning has seen.

# %%
tokenizer = load_tokenizer("sotu-8192")
era = load_labelled_text("era")
unseen = np.isin(era.sources, list(held_out_sources("sotu-8192")))
training, testing = era.subset(np.flatnonzero(~unseen)), era.subset(np.flatnonzero(unseen))
random = np.random.default_rng(0)
test = encode_labelled(testing.subset(random.permutation(len(testing))[: dial(smoke=32, laptop=500)]), tokenizer, 32)
chosen = balanced_ids(training.labels, dial(smoke=48, laptop=600), seed=0)
labelled = encode_labelled(training.subset(chosen), tokenizer, 32)
others = random.permutation(np.setdiff1d(np.arange(len(training)), chosen))[: dial(smoke=64, laptop=2400)]
texts = encode_texts(training.subset(others).sentences, tokenizer, 32)
print(f"{len(labelled)} sentences with a label, {len(texts)} without, {len(test)} to test on")
print(f"columns of the latter: {', '.join(texts.columns)}")


# %% [markdown]
# The large model is the one of chapter 08, fine-tuned on the labels. We call it the **teacher**.

# %%
def recipe(steps, rate, batch=16):
    """The rate rises for a tenth of the steps, then falls to 0."""
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, warmup_steps=steps // 10, schedule="linear", device="cpu")


pretrained = load_pretrained("modernbert-mini-sotu")
teacher = fine_tune(pretrained, labelled, 3, recipe(dial(smoke=2, laptop=50), 1e-3)).eval()
right = {"teacher": accuracy(logits(teacher, test, 64), test.labels)}
print(f"the teacher is right about {right['teacher']:.1%} of the test sentences")

# %% tags=["NBVAL_CHECK_OUTPUT"]
def numbers_in(model):
    return sum(p.numel() for p in model.parameters())


encoder = teacher.encoder
parts = {"word vectors": encoder.embeddings.word, "attention": [layer.attention for layer in encoder.layers],
         "feed-forward layers": [layer.feed_forward for layer in encoder.layers]}
for name, part in parts.items():
    share = sum(map(numbers_in, part)) if isinstance(part, list) else numbers_in(part)
    print(f"{name:20s} {share:9,d} numbers, {share / numbers_in(teacher):.0%}")
print(f"{'the whole':20s} {numbers_in(teacher):9,d} numbers, {4 * numbers_in(teacher) / 1e6:.1f} MB in float32")

# %% [markdown]
# The **word vectors** take a large part of the bytes of a small model and almost none of the time: looking one up multiplies nothing.
# Attention and feed-forward layers take the rest of the bytes and nearly all of the time. So a method that leaves the word vectors alone leaves their share of the *file*, and one that touches only them cannot make
# the model *fast*. A report of "parameters" must say whether the word vectors count.
#
# ## 2 · Distillation
#
# A small model trained on few labels is poor. But a teacher can label anything, and sentences without labels cost nothing. So let it label thousands, and train a **student** on what it says
# (Hinton, Vinyals and Dean 2015).

# %%
plots.show(diagrams.distillation(), "A frozen teacher and a student read the same text, and only the student learns. Both logits are divided by a temperature T; the loss is T² times the divergence of the student's probabilities from the teacher's, plus a cross-entropy at T = 1 where there are labels.", number="13.1")

# %% [markdown]
# The teacher says more than a label: "before 1861, perhaps 1900, surely not 1980" tells the student which classes are alike. To make such differences visible, both models' logits are divided by a **temperature** $T$ before the softmax:
#
# $$p_c = \frac{e^{v_c / T}}{\sum_k e^{v_k / T}} \qquad q_c = \frac{e^{z_c / T}}{\sum_k e^{z_k / T}}$$
#
# with the teacher's logits $v$ and the student's $z$. At $T = 1$ these are the usual probabilities, and a high temperature makes them more even (Figure 13.2).

# %%
v = torch.tensor([4.0, 2.0, -2.0])
fig, ax = plots.figure(width=6, height=3)
temperatures = torch.linspace(0.5, 8, 60)
for c, (name, colour) in enumerate(zip(era.classes, plots.COLOURS)):
    p = [(v / T).softmax(-1)[c].item() for T in temperatures]
    ax.plot(temperatures, p, color=colour)
    plots.label_line(ax, temperatures, p, name, colour)
ax.set(xlabel="temperature T", ylabel="probability that the teacher gives", xlim=(0.5, 8), ylim=(0, 1))
plots.show(fig, alt="A high temperature evens probabilities out and keeps their order. The softmax of three logits, 4, 2 and −2, against temperature: at 0.5 the first class has nearly everything, at 8 the three are much closer.", number="13.2")

# %% [markdown]
# The loss is how far the two distributions are apart, the Kullback–Leibler divergence $\sum_c p_c \log (p_c / q_c)$, times $T^2$. The divergence is 0 where the two agree and positive elsewhere.

# %% [markdown] tags=["exercise"]
# **Exercise 13.1 · soft targets (★☆☆, 10 min)**
#
# Return $T^2 \sum_c p_c \log (p_c / q_c)$ for each row. Mind large logits: a softmax can be exactly 0 in floating point, and then its logarithm is no number.


# %% tags=["exercise"]
def soft_loss(student, teacher, T):
    """T² · KL(teacher ‖ student) at temperature T: logits (B, C), (B, C) to (B,)."""
    ### BEGIN SOLUTION
    ours, theirs = (F.log_softmax(x / T, dim=-1) for x in (student, teacher))
    return T**2 * (theirs.exp() * (theirs - ours)).sum(-1)
    ### END SOLUTION


soft_loss = check("13.1", soft_loss)

# %% [markdown] tags=["exercise"]
# **Exercise 13.2 · the gradient (★★☆, 15 min)**
#
# Derive on paper the derivative of `soft_loss` by the student's logits, and return it in closed form. Autograd judges it. What becomes of it when $T$ grows?


# %% tags=["exercise"]
def soft_gradient(student, teacher, T):
    """∂ soft_loss / ∂ student, (B, C)."""
    ### BEGIN SOLUTION
    return T * ((student / T).softmax(-1) - (teacher / T).softmax(-1))
    ### END SOLUTION


soft_gradient = check("13.2", soft_gradient)

# %% [markdown]
# ### Why $T^2$
#
# Here is the derivation. The $p_c$ do not depend on the student, so the derivative is that of $-\sum_c p_c \log q_c$. Write $\log q_c = z_c/T - \log \sum_k e^{z_k/T}$. Its derivative by $z_j$ is $\frac1T(\mathbb 1[c=j] - q_j)$, and since
# the $p_c$ sum to 1,
#
# $$\frac{\partial}{\partial z_j}\Big(-\sum_c p_c \log q_c\Big) = \frac1T\,(q_j - p_j).$$
#
# (At $T = 1$ it is equation (7.1), the gradient of every masked language model of this course.)
#
# That is small for two reasons when $T$ is large: $1/T$ is, and so is the difference of two distributions that are both nearly even (Figure 13.2). For large $T$, $e^{x/T} \approx 1 + x/T$. With $N$ classes and logits that sum to 0, $q_j - p_j \approx (z_j - v_j)/(N T)$. So the gradient falls as $1/T^2$
# (Hinton et al. 2015, equations 2 to 4). The factor $T^2$ takes that back: the temperature may be changed without changing the learning rate. And $(z_j - v_j)/N$ is the gradient of a squared error: at high temperature the student should match the *logits* (up to a number that is added to all of them).

# %%
z, v = torch.randn(2, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
z, v = z - z.mean(), v - v.mean()
z.requires_grad_()
print(" T    |gradient| with T²   without   distance from (z − v) / N")
for T in (1, 2, 4, 16, 64):
    (slope,) = torch.autograd.grad(soft_loss(z, v, T).sum(), z)
    limit = (z - v).detach() / 3
    print(f"{T:2d}    {slope.norm():.4f}             {slope.norm() / T**2:.5f}   {(slope - limit).norm():.4f}")
    claim((slope - soft_gradient(z, v, T)).abs().max() < 1e-9, f"the closed form is autograd's at T = {T}")

# %% [markdown]
# ### A student
#
# Ours has two layers of width 128 where the teacher has four of width 256. It starts with the word vectors of the pretrained model, reduced from 256 numbers to 128 by keeping the principal components
# (chapter 02); everything else in it starts at random. `distill` freezes a copy of the teacher, asks it about each batch and trains the student on its answers (`forward` in `pretrain_lib/objectives/distillation.py` is twenty lines).
#
# Two students start alike. One learns from the labels, the other from the teacher's answers to the sentences *without* labels. Each goes through its sentences twice; there are more of those without labels, so
# the taught student also makes more updates. Which is better, and by how much?

# %%
predict("13.student", ..., unit="points of accuracy (taught minus untaught)")

# %%
shape = ModernBertConfig(vocab_size=8192, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256,
                         max_position_embeddings=512, layer_types=("sliding_attention", "full_attention"), local_attention=2)
start = text_classifier(ModernBertModel(shape, seed=0), 3)
inherit_words(start, pretrained)
untaught = fine_tune(start, labelled, 3, recipe(dial(smoke=2, laptop=75), 3e-3))
student = distill(teacher, start, texts, recipe(dial(smoke=2, laptop=150), 3e-3, batch=32), temperature=2.0)
right["student"], right["student without teacher"] = (accuracy(logits(model, test), test.labels) for model in (student, untaught))
print(f"the student has {numbers_in(student) / numbers_in(teacher):.0%} of the teacher's numbers")
print(f"taught {right['student']:.1%}, on the labels alone {right['student without teacher']:.1%}, the teacher {right['teacher']:.1%}")
reveal("13.student", 100 * (right["student"] - right["student without teacher"]))

# %% [markdown]
# One seed and a few hundred test sentences prove little. The ledger has two tasks (the second asks which of eight libraries a docstring is from), five seeds, more labels and more text. It also has a student that is taught on the
# *labelled* sentences only. Softness alone can help little there: on sentences that it has learned by heart a teacher is nearly sure. (The student alone takes the better of two learning rates, those with a teacher have one.)

# %%
ledger = results("13-frontier")
tasks = ledger["measured"]["tasks"]
arms = ["teacher", "student", "student on the labelled texts", "student without teacher"]
names = ["teacher", "student, taught on text without labels", "student, taught on the labelled text", "student, labels alone"]
fig, axes = plots.figure(columns=2, width=11, height=2.7)
for ax, (task, found) in zip(axes, tasks.items()):
    plots.bars(ax, names if ax is axes[0] else [""] * 4, 100 * np.array([found["accuracy"][arm] for arm in arms]),
               colours=[plots.GREY, plots.BLUE, plots.SKY, plots.ORANGE])
    ax.set(xlabel="accuracy, %", title=task, xlim=(0, 100))
described = "; ".join(f"{task}: " + ", ".join(f"{arm} {100 * mean(found['accuracy'][arm]):.0f} %" for arm in arms) for task, found in tasks.items())
plots.show(fig, alt=f"On era the taught student is ahead of itself without a teacher, on docstrings it is not. Accuracy of a teacher and three students, a dot per seed. Means: {described}.", number="13.3")
for task, found in tasks.items():
    kept = mean(found["accuracy"]["student"]) / mean(found["accuracy"]["teacher"])
    print(f"{task}: the student keeps {kept:.1%} of the teacher's accuracy, with {found['bytes']['student'] / found['bytes']['teacher']:.0%} of its bytes")

# %% [markdown]
# A first measurement had gone badly: there the teacher had seen its labels once and knew hardly anything about docstrings, and its student did far worse than the same student on the labels alone. For Figure 13.3
# the teacher saw more labels, and three times. On docstrings it is now no better than the student alone, so there is nothing to teach.
# **A student learns what its teacher says, right or wrong.** A report of "keeps 95 %" must say how good the teacher is, and what the student can do without it.
#
# So give the second task a teacher who knows. Chapter 12 had a way, without one label more: the model goes on with masked language modelling on docstrings, and is fine-tuned then.

# %%
ledger = results("13-adapted-teacher")
adapted = ledger["measured"]
measured = {"era": tasks["era"], "docstrings": tasks["docstring-library"], "docstrings, adapted teacher": adapted}
print(verdict_table(ledger))


def lead_of(found, ours, theirs):
    """The lead of one form over another, with both uncertainties."""
    over_documents = Comparison(**found["lead"][f"{ours} over {theirs}"])
    return Lead(over_documents, over_seeds(found["accuracy"][ours], found["accuracy"][theirs]))


rivals = {"labels alone": "student without teacher", "labelled texts": "student on the labelled texts"}
rows = {f"{task}, over {short}": lead_of(found, "student", other) for task, found in measured.items() for short, other in rivals.items()}
fig, ax = plots.figure(width=8.5, height=3.6)
plots.leads(ax, rows)
taught_better = [f"{name} {100 * one.difference:+.1f}" for name, one in rows.items() if one.is_clear]
plots.show(fig, alt=f"With a teacher who knows, the taught student leads by both uncertainties. Its lead over the student on the labels alone and over the one taught on the labelled texts, each with two intervals. Clear by both: {'; '.join(taught_better)} points.", number="13.4")
claim(rows["docstrings, adapted teacher, over labels alone"].is_clear, "with a teacher who has read docstrings, the lead is told from chance by both uncertainties")
headline("of the adapted teacher's accuracy, the share that its student keeps", mean(adapted["accuracy"]["student"]) / mean(adapted["accuracy"]["teacher"]), 0.95, at_most=False)

# %% [markdown]
# Now there is something to teach, and it arrives (Figure 13.4). All seeds share one adapted model and one set of test sentences. On era, over labels alone, the two uncertainties part: over draws of labels the lead is told from chance; over addresses, of which there are few, it is not.
#
# One thing these arms do not tell apart: the softness of the answers, and the new text that they are given on. A student of the teacher's *hard* answers does: it reads the same text and learns the most probable class.

# %%
found = results("13-hard-labels")["measured"]["tasks"]
hard = {"era": found["era"], "docstrings, adapted teacher": found["docstring-library"]}  # by the names above


def second_lead(task, pair):
    """Points, and p for other test texts and for other seeds."""
    over_texts, seeds = (Comparison(**hard[task]["lead"][pair][kind]) for kind in ("over_samples", "over_seeds"))
    return f"{100 * seeds.difference:+.1f} points (p = {over_texts.p:.2f} over texts, {seeds.p:.2f} over seeds)"


for task, found in hard.items():
    alone = mean(measured[task]["accuracy"]["student without teacher"])
    print(f"{task}: labels alone {alone:.1%}, hard answers {mean(found['accuracy']['hard']):.1%}, soft {mean(found['accuracy']['soft']):.1%}; soft over hard {second_lead(task, 'soft over hard')}")
    claim(mean(found["accuracy"]["hard"]) - alone > mean(found["accuracy"]["soft"]) - mean(found["accuracy"]["hard"]), "hard answers on new text bring more than softness does")

# %% [markdown]
# **In the mean, hard answers on new text bring most of it** (and more updates come with them). What softness adds is not told from chance. (Three seeds. Both students did best at the lower of two rates; lower ones were not tried.)
#
#
# DistilBERT did it at the scale of BERT, during pre-training: 40 % smaller, 60 % faster, 97 % of the language understanding kept (Sanh et al. 2019, abstract). Its loss had three terms: the soft targets at masked tokens, the hidden tokens themselves, and the cosine between the two models' hidden states. TinyBERT compares hidden states layer by layer, after a linear map, and matrices of attention besides
# (Jiao et al. 2020, section 3.1). `distill(…, layers=[(0, 1), (1, 3)])` compares hidden states in that way, and `task=MaskedLM(…)` distils a masked language model.
#
# ## 3 · Pruning
#
# ### Single weights
#
# The plainest idea: the smallest weights matter least, so set them to zero (Han et al. 2015). What does a model gain, half of whose weights are zeros?

# %%
predict("13.zeros", ..., unit="times as fast")

# %%
zeros = prune_weights(teacher, 0.5)
right["half zeros"] = accuracy(logits(zeros, test, 64), test.labels)
sentences = {name: column[: dial(smoke=4, laptop=32)] for name, column in test.columns.items() if name != "labels"}


@torch.inference_mode()
def milliseconds(models, batch, rounds):
    """The median time of each, in turns on the same core; and how many times as fast as the first."""
    times = interleaved({name: (lambda model=model: model(**batch)) for name, model in models.items()}, rounds)
    first, *_ = times
    return {name: 1000 * median(t) for name, t in times.items()}, {
        name: median(a / b for a, b in zip(times[first], t)) for name, t in times.items()}


ms, faster = milliseconds({"teacher": teacher, "half zeros": zeros}, sentences, dial(smoke=2, laptop=7))
print(f"{sparsity(zeros):.0%} of the weights of its matrices are zero; accuracy {right['half zeros']:.1%}")
print(f"a batch of {len(sentences['input_ids'])} sentences: {ms['teacher']:.0f} ms before, {ms['half zeros']:.0f} ms after")
print(f"ledger, {machine(results('13-latency')['hardware'])}, nothing else running: {median(results('13-latency')['measured']['batch']['speedup']['half zeros']):.2f} times as fast")
reveal("13.zeros", faster["half zeros"])

# %% [markdown]
# Whatever the two times differ by, it is not the zeros: see the ledger's ratio. A matrix with zeros in it has the same shape, and a processor multiplies by zero as patiently as by anything else. The file can be packed, there is hardware for zeros in a fixed pattern, and code that is faster once nearly all of a matrix is zero. On a plain processor
# this is a smaller *archive*, not a faster model. To be faster, something must go as a whole: an attention head, a unit of a feed-forward layer, a layer.
#
# Han et al. trained on after each round of zeros, and so did without eight of nine weights of AlexNet at no loss (2015, abstract). Ours was not trained on,
# here and in the ledger; under a `Trainer` the zeros of `prune_weights` stay zero.
#
# ### Which heads matter
#
# Put a **gate** $\xi_h$ on what every head gives to the output matrix, a factor that is 1. Closing the gate, from 1 to 0, is removing the head. How much would the loss change? To first order by its slope, $|\partial L / \partial \xi_h|$, and that costs a single
# backward pass for *all* heads, where trying them out costs one forward pass per head (Michel, Levy and Neubig 2019, section 4.1; for the channels of convolutions Molchanov et al. 2017, section 2.2). Since the gate multiplies the head's output $y_h$, the chain rule says
#
# $$\frac{\partial L}{\partial \xi_h} = \sum_{t}\sum_{e} y_{h,t,e} \frac{\partial L}{\partial y_{h,t,e}},$$
#
# a sum over the tokens of a text and over the numbers of the head. The importance is the mean over texts of its absolute value. The order matters: one text may want the head stronger and another weaker, and both *use* it. Taking the mean first, they would cancel.

# %% [markdown] tags=["exercise"]
# **Exercise 13.3 · the slope of a gate (★★☆, 15 min)**
#
# `y` $(B, T, D)$ holds the outputs of all heads side by side, head 0 in the first $D/H$ numbers, and `gradient` the loss's gradient there, of each text's own loss. Return the importance of each head, $(H,)$.


# %% tags=["exercise"]
def head_importance(y, gradient, heads):
    """The mean over texts of |∂L/∂ξ|, for each head: (B, T, D), (B, T, D) to (H,)."""
    ### BEGIN SOLUTION
    slope = (y * gradient).sum(1).unflatten(-1, (heads, -1)).sum(-1)  # (B, H)
    return slope.abs().mean(0)
    ### END SOLUTION


head_importance = check("13.3", head_importance)

# %% [markdown]
# The library gives each text its own gates, so one backward pass of the summed loss leaves one slope per text in each (`pretrain_lib/compression/importance.py`). We compare it with your
# function, then with what is really lost when a head is closed.

# %%
task = Classification("input_ids", "attention_mask", num_classes=3)
few = labelled.subset(range(dial(smoke=12, laptop=96)))
scores = importance(teacher, task, few)
seen = []
hook = encoder.layers[0].attention.output.register_forward_pre_hook(lambda part, read: seen.append(read[0]) or read[0].retain_grad())
F.cross_entropy(teacher(few.input_ids, few.attention_mask), few.labels, reduction="sum").backward()
hook.remove()
mine = head_importance(seen[0].detach(), seen[0].grad, 4)
print("heads of layer 0, by your function:", [f"{x:.4f}" for x in mine.tolist()])
print("by the library:                    ", [f"{x:.4f}" for x in scores.heads[0].tolist()])
claim((mine - scores.heads[0]).abs().max() < 1e-4, "both are the same")
teacher.zero_grad()

# %%
@torch.no_grad()
def loss_without(layer, head):
    """The mean loss with one head's gate closed."""
    open_but_one = torch.ones(1, 4)
    open_but_one[0, head] = 0
    with gated(encoder, Gates(heads={layer: open_but_one})):
        return F.cross_entropy(teacher(few.input_ids, few.attention_mask), few.labels).item()


whole = F.cross_entropy(teacher(few.input_ids, few.attention_mask), few.labels).item()
change = torch.tensor([[abs(loss_without(layer, head) - whole) for head in range(4)] for layer in range(4)])
slopes = torch.stack(scores.heads)
fig, ax = plots.figure(width=6, height=3.4)
for layer, colour in zip(range(4), plots.COLOURS):
    ax.plot(slopes[layer], change[layer], "o", color=colour)
    best = int(slopes[layer].argmax())
    ax.annotate(f"layer {layer}", (slopes[layer, best], change[layer, best]), xytext=(6, 3), textcoords="offset points", color=colour)
ax.margins(x=0.15)
ax.set(xlabel="importance, mean |slope of the gate|, nats", ylabel="|change of the loss|\nwithout the head, nats")
rank = spearman(slopes.flatten(), change.flatten())
plots.show(fig, alt=f"The slope ranks heads, roughly. For sixteen heads the change of the loss when a head is closed against its importance by the slope; rank correlation {rank:.2f}.", number="13.5")
print(f"rank correlation of the two over 16 heads: {rank:.2f}")

# %% [markdown]
# The slope is a linear guess, and a head is closed all the way. It also measures each head with all the others in place. So it ranks; it does not predict (Figure 13.5). That is why pruned models are trained a little afterwards.
#
# ### Cutting
#
# A head that is set to zero still costs its products. To gain anything it must be *cut out*: its rows in the matrix of queries, keys and values, and its columns in the output.

# %% [markdown] tags=["exercise"]
# **Exercise 13.4 · take out a head (★★☆, 20 min)**
#
# `qkv` is $(3D, D)$: the rows that make the queries of head 0, head 1, …, then the keys in the same order, then the values. `output` is $(D, D)$ and reads the heads' outputs side by side. Return both without one head. What is left must compute exactly what the whole
# attention does with that head's part set to zero.


# %% tags=["exercise"]
def without_head(qkv, output, head, heads):
    """The two matrices without a head: (3(D − D/H), D) and (D, D − D/H)."""
    ### BEGIN SOLUTION
    width = output.shape[1]
    keep = [i for i in range(width) if i // (width // heads) != head]
    return qkv[[third * width + i for third in range(3) for i in keep]], output[:, keep]
    ### END SOLUTION


without_head = check("13.4", without_head)

# %% [markdown]
# The library does that for any set of heads and units in any layer. Is the smaller model really the same function as the whole one with those parts at zero? In float64 we can ask for ten digits.

# %%
double = copy.deepcopy(teacher).double()
kept = Kept([0, 1, 2, 3], [[0, 1, 2], [1, 3], [0, 1, 2, 3], [2]], [list(range(300))] * 4)
smaller = cut(double, kept)
before = numbers_in(double)
for layer, heads, units in zip(double.encoder.layers, kept.heads, kept.units):
    for head in {0, 1, 2, 3} - set(heads):
        layer.attention.output.weight.data[:, 64 * head : 64 * head + 64] = 0
    layer.feed_forward.down.weight.data[:, len(units):] = 0
gap = (smaller(**sentences) - double(**sentences)).abs().max().item()
print(f"{before:,} numbers before, {numbers_in(smaller):,} after; answers differ by at most {gap:.0e}")
claim(gap < 1e-10, "cutting out is setting to zero, and nothing else")

# %% [markdown]
# Now the teacher without 30 % of its heads and units. Of its 16 heads five go, 31 %; the importance says which (divided by its norm in each layer, as Michel et al. do), and each layer keeps at least one. Every layer loses as many units. Then half a pass over the labels lets the rest make up for it.
# Half a pass more may do the whole teacher good, too. So it gets one as well: the comparison of the two that were trained on is the one about pruning.

# %%
cut_down = prune(teacher, scores, heads=0.3, units=0.3)
right["as cut"] = accuracy(logits(cut_down, test, 64), test.labels)
pruned = copy.deepcopy(cut_down)
Trainer(pruned, task, labelled, recipe(dial(smoke=2, laptop=20), 5e-4)).fit()
pruned.eval()
longer = copy.deepcopy(teacher)
Trainer(longer, task, labelled, recipe(dial(smoke=2, laptop=20), 5e-4)).fit()
right["pruned"], whole_longer = (accuracy(logits(model, test, 64), test.labels) for model in (pruned, longer.eval()))
print("heads left in each layer:", [layer.attention.num_heads for layer in pruned.encoder.layers])
print(f"accuracy {right['as cut']:.1%} as cut, {right['pruned']:.1%} trained on; the teacher {right['teacher']:.1%}, trained on as long {whole_longer:.1%}")
for name, found in measured.items():
    lost = lead_of(found, "as cut", "teacher")
    made_up = over_seeds(found["accuracy"]["pruned"], found["accuracy"]["as cut"])
    print(f"ledger, {name}: as cut {100 * lost.difference:+.1f} points (p = {lost.over_seeds.p:.3f} over seeds); training on {100 * made_up.difference:+.1f} (p = {made_up.p:.2f})")
for task in hard:
    print(f"ledger, {task}: the teacher, trained on, gains {second_lead(task, 'teacher, trained on over teacher')}")
    print(f"{'':9}and is ahead of the pruned one by {second_lead(task, 'teacher, trained on over pruned')}")

# %% [markdown]
# Whether training on makes up for the cut, five seeds do not tell: two of the three rows rise, one falls, and none is clear. Nor does the ledger's teacher gain clearly by half a pass more (ours may, in one run). There it stays ahead of the pruned one: told from chance over test texts, not over three seeds.

# %% [markdown]
# ## 4 · Eight bits
#
# Chapter 09 went from 32 bits to 16. To *train* in eight bits takes special hardware and care, but a weight that is trained can be written as a whole number from −127 to 127, times a scale. For a row of weights $w$, those of one output,
#
# $$s = \frac{\max_i |w_i|}{127}, \qquad q_i = \mathrm{round}(w_i / s), \qquad w_i \approx s\, q_i .$$
#
# A float's spacing grows with the number, by equation (9.2); here it is $s$ everywhere.
# Rounding moves a number by at most ½, so no weight is off by more than $s/2$. Each row has its own scale: one large weight somewhere would otherwise make all rows coarse. And 0 stays 0, since there is no offset.
# In the field's words this is quantisation *after training*, *symmetric* (no offset), *per channel* (a scale for each output). Jacob et al. (2018, section 2.1) have an offset as well, their *zero-point*, and one scale for a whole array; Zafrir et al. (2019) train BERT for it.

# %% [markdown] tags=["exercise"]
# **Exercise 13.5 · whole numbers and their error (★☆☆, 10 min)**
#
# Return the whole numbers as `torch.int8`, the scales $(N, 1)$, and for each row how far off a weight with that scale can be at worst, $(N, 1)$: the smallest bound that follows from the scale alone, whatever the weights are.


# %% tags=["exercise"]
def quantise_rows(w):
    """(N, K) to int8 (N, K), scales (N, 1), bounds (N, 1)."""
    ### BEGIN SOLUTION
    scale = w.abs().amax(1, keepdim=True) / 127
    return (w / scale).round().to(torch.int8), scale, scale / 2
    ### END SOLUTION


quantise_rows = check("13.5", quantise_rows)

# %%
w = encoder.layers[1].attention.qkv.weight.detach()
q, scale, bound = quantise_rows(w)
off = (q * scale - w).abs()
one = w.abs().max() / 127
print(f"largest error, as a share of the bound: {(off / bound).max():.4f}; average error {off.mean():.1e}")
print(f"with one scale for the whole matrix:    average error {((w / one).round() * one - w).abs().mean():.1e}")
claim(bool((off <= bound * 1.001).all()), "no weight is off by more than half a scale")

# %% [markdown]
# Memory is a quarter now. For speed the product itself must be one of whole numbers, so the activations are quantised too, as they come: each token's vector $x$ gets the scale $\max|x|/127$ (*dynamic* quantisation). Scales of rows and of tokens stand outside the sum,
#
# $$\sum_i x_i w_i \approx s_x s_w \sum_i q^x_i q^w_i,$$
#
# so all that is left inside is multiplying and adding whole numbers, which is exact. (If the scales belonged to the columns $i$, they could not be taken out.)

# %% [markdown] tags=["exercise"]
# **Exercise 13.6 · a product of whole numbers (★☆☆, 10 min)**
#
# Return $x W^\top$ from the two pairs of whole numbers and scales. Mind where the sum is kept: $127 \cdot 127$ does not fit into eight bits.


# %% tags=["exercise"]
def int8_product(q, q_scale, w, w_scale):
    """q (B, K) int8 with scales (B, 1), w (N, K) int8 with scales (N, 1) to (B, N)."""
    ### BEGIN SOLUTION
    return (q.int() @ w.int().T) * q_scale * w_scale.T
    ### END SOLUTION


int8_product = check("13.6", int8_product)

# %%
x = torch.randn(50, 256, generator=torch.Generator().manual_seed(1))
qx, sx, _ = quantise_rows(x)
y = int8_product(qx, sx, q, scale)
print(f"an output of the layer is off by {((y - x @ w.T).norm() / (x @ w.T).norm()).item():.2%}")

# %% [markdown]
# `quantize` replaces every linear layer and every table of vectors by such layers. How well a processor multiplies eight bits differs.
# Older ones add pairs of products in 16 bits, and overflow. Newer ones have an instruction for *unsigned* numbers times signed ones; where there is none for signed times signed, the library below PyTorch is hundreds of times slower than
# floats. So our layers try both products, once for each shape, and take one only where it is exact and clearly faster than floats. Elsewhere the same whole numbers are multiplied as floats,
# whose sums are exact as well below $2^{24}$: the answers are the same, and nothing is gained in time. How much accuracy goes, and how much time?

# %%
predict("13.int8", ..., unit="times as fast, for a batch")

# %%
int8 = quantize(teacher)
before, after = (logits(model, test, 64) for model in (teacher, int8))
right["int8"] = accuracy(after, test.labels)
one_sentence = {name: column[:1] for name, column in sentences.items()}
forms = {"teacher": teacher, "student": student, "pruned": pruned, "int8": int8, "student, int8": quantize(student),
         "pruned, int8": quantize(pruned), "half zeros": zeros}
ms, faster = milliseconds(forms, sentences, dial(smoke=2, laptop=7))
ms_one, faster_one = milliseconds(forms, one_sentence, dial(smoke=2, laptop=15))
print(f"accuracy {right['int8']:.1%}, the teacher {right['teacher']:.1%}; the same answer to {(after.argmax(1) == before.argmax(1)).float().mean():.1%} of the sentences")
kernels = [{SIGNED: "signed", UNSIGNED: "unsigned"}[kernel] for kernel in usable_kernels()]
print(f"on {machine(hardware())}, products of int8 that are exact and not hopelessly slow: {', '.join(kernels) or 'none'}")
print(f"times as fast here: {faster['int8']:.2f} for a batch, {faster_one['int8']:.2f} for one")
reveal("13.int8", faster["int8"])

# %% [markdown]
# The accuracy hardly changes. (In language models of billions of weights a few activations are far larger than all others, and Dettmers et al.
# (2022, abstract) keep those in 16 bits.) Whether int8 is *faster* depends on the machine and on the size. Rounding activations is work of its own; it pays where products are long, and
# where the processor has a fast product for them. So a time needs its processor next to it:

# %%
ledger = results("13-latency")
latency = ledger["measured"]
print(f"{machine(ledger['hardware'])}, {latency['threads']} thread, {ledger['date']}\n")
print(f"{'':14s}  {latency['sentences']} sentences          1 sentence")
for form in latency["batch"]["milliseconds"]:
    cells = [f"{median(latency[size]['milliseconds'][form]):6.1f} ms {median(latency[size]['speedup'][form]):5.2f}×" for size in ("batch", "one sentence")]
    print(f"{form:14s}  " + "       ".join(cells))

# %% [markdown]
# (`python -m pretrain_lib bench int8` measures both on your machine.) Look at the last row. Where a processor multiplies in bf16, `model.bfloat16()` is one call and halves the bytes. Int8 must be compared with *that*, not with float32 alone. (Where a processor cannot, bf16 is many times slower: measure, as in chapter 09.)
#
# What is kept on disk? `save_compressed` writes the whole numbers and scales. A model that has lost heads, or is in int8, is none that `transformers` can describe, and is kept in a format of our own.

# %%
size = {}
with tempfile.TemporaryDirectory() as folder:
    for name, model in forms.items():
        save_compressed(model, Path(folder) / name)
        size[name] = bytes_on_disk(Path(folder) / name)
    back = load_compressed(Path(folder) / "pruned, int8")
claim(torch.equal(back(**one_sentence), forms["pruned, int8"](**one_sentence)), "what was saved answers as before, bit by bit")
for name in forms:
    print(f"{name:14s} {size[name] / 1e6:6.2f} MB, {size[name] / size['teacher']:.0%}")
headline("bytes of the int8 model, of those in float32", size["int8"] / size["teacher"], 0.35)

# %% [markdown]
# ### Where do eight bits break?
#
# Eight bits cost hardly anything, so why not four, or two? Parts differ: one bears it, another does not. A **sensitivity scan** damages one part at a time and leaves all else whole. The harm is how far the answers move, by your `soft_loss` at $T = 1$, on texts without labels.

# %% [markdown] tags=["exercise"]
# **Exercise 13.8 · a sensitivity scan (★★★, 30 min)**
#
# `parts` is a list of lists of matrices (parameters of one model, to be changed in place), `damages` a list of functions from a matrix to a damaged one, and `measure()` says a number about the model as it is at that moment. Return a tensor (parts, damages): what `measure()` says with all matrices of one part damaged in one way and all else whole. Afterwards the model is as it was.


# %% tags=["exercise"]
@torch.no_grad()
def scan(parts, damages, measure):
    """(parts, damages)"""
    ### BEGIN SOLUTION
    found = torch.empty(len(parts), len(damages))
    for i, matrices in enumerate(parts):
        whole = [matrix.clone() for matrix in matrices]
        for j, damage in enumerate(damages):
            for matrix, old in zip(matrices, whole):
                matrix.copy_(damage(old))
            found[i, j] = measure()
        for matrix, old in zip(matrices, whole):
            matrix.copy_(old)
    return found
    ### END SOLUTION


scan = check("13.8", scan)

# %%
predict("13.scan", ..., unit="times (harm to the most sensitive of nine parts, of that to the least, at 3 bits)")

# %%
WIDTHS = [8, 6, 5, 4, 3, 2]


def coarse(w, bits):
    """The matrix in so many bits per weight, with one scale per row."""
    largest = 2 ** (bits - 1) - 1
    one = (w.abs().amax(1, keepdim=True) / largest).clamp(min=1e-12)
    return (w / one).round() * one


def matrices_of(model):
    """The nine parts: the word vectors, and of each layer attention and feed-forward layer."""
    body = {f"{kind} {n}": [p for p in getattr(layer, kind.replace("-", "_")).parameters() if p.ndim == 2]
            for n, layer in enumerate(model.encoder.layers) for kind in ("attention", "feed-forward")}
    return {"word vectors": [model.encoder.embeddings.word.weight]} | body


def harm_to(model, some, whole):
    """How far its answers to some texts are from those of the whole teacher, in nats."""
    return soft_loss(logits(model, some), whole, 1.0).mean().item()


tried = copy.deepcopy(teacher)
parts = matrices_of(tried)
looked_at, others_yet = texts.subset(range(dial(smoke=8, laptop=48))), texts.subset(range(len(texts) - dial(smoke=8, laptop=100), len(texts)))
whole_looked, whole_others = (logits(teacher, some) for some in (looked_at, others_yet))
harm = scan(list(parts.values()), [lambda w, bits=bits: coarse(w, bits) for bits in WIDTHS], lambda: harm_to(tried, looked_at, whole_looked))
at_three = harm[:, WIDTHS.index(3)]
reveal("13.scan", (at_three.max() / at_three.min()).item())
fig, axes = plots.figure(columns=2, width=9, height=4)
for ax, kind in zip(axes, ("attention", "feed-forward")):
    shown = [(name.replace(kind, "layer"), line) for name, line in zip(parts, harm.clamp(min=1e-7)) if name.startswith((kind, "word"))]
    for (name, line), colour in zip(shown, (plots.BLACK, plots.BLUE, plots.ORANGE, plots.GREEN, plots.RED)):
        ax.plot(WIDTHS, line, "o-", color=colour, markersize=4)
        plots.label_line(ax, WIDTHS, line, name, colour)
    ax.set(xlabel="bits per weight of one part", yscale="log", xlim=(8.2, 1.8), xticks=WIDTHS, ylim=(5e-8, 2 * harm.max()), title=f"{kind} of a layer")
axes[0].set_ylabel("harm to the answers (nats)")
worst, least = (list(parts)[int(pick(at_three))] for pick in (torch.argmax, torch.argmin))
plots.show(fig, alt=f"Parts bear few bits unequally. Harm to the answers against bits per weight, a line per part, the others whole. At 3 bits the most sensitive part ({worst}) does {at_three.max() / at_three.min():.0f} times as much harm as the least ({least}).", number="13.6")
claim(max((a - b).abs().max().item() for a, b in zip(teacher.parameters(), tried.parameters())) == 0, "after the scan the model is as it was")

# %% [markdown] tags=["exercise"]
# **Exercise 13.9 · the decision (★★☆, 20 min)**
#
# `harm` (parts, widths) is such a scan, `sizes` the number of weights of each part, `bits` the widths, the widest first. Return the bits of each part, such that all weights together take at most `budget` bits and the summed harm is small (the check allows 1.5 times the harm of the best choice).


# %% tags=["exercise"]
def choose_bits(harm, sizes, bits, budget):
    """A list with the bits of each part."""
    ### BEGIN SOLUTION
    column = [0] * len(sizes)

    def price(part, to):
        """The harm of a step down, per bit that it saves."""
        return float(harm[part, to] - harm[part, column[part]]) / (sizes[part] * (bits[column[part]] - bits[to]))

    while sum(size * bits[k] for size, k in zip(sizes, column)) > budget:
        _, part, to = min((price(part, to), part, to) for part in range(len(sizes)) for to in range(column[part] + 1, len(bits)))
        column[part] = to
    return [bits[k] for k in column]
    ### END SOLUTION


choose_bits = check("13.9", choose_bits)

# %% [markdown]
# Harms were measured one at a time, so their sum is a guess about all damages at once. And the simple rival is the same width everywhere. So both are measured, at the same number of bits, on *other* texts and on the test sentences:

# %%
sizes = [sum(matrix.numel() for matrix in matrices) for matrices in parts.values()]


@torch.no_grad()
def in_bits(widths):
    """A copy of the teacher with so many bits in each part."""
    model = copy.deepcopy(teacher)
    for matrices, bits in zip(matrices_of(model).values(), widths):
        for matrix in matrices:
            matrix.copy_(coarse(matrix, bits))
    return model


print(f"{'bits per weight':28s}{'guessed':>9s}{'measured':>10s}{'accuracy':>10s}")
for bits in (4, 3):
    for name, widths in [(f"{bits} everywhere", [bits] * len(sizes)), (f"{bits} on average, chosen", choose_bits(harm, sizes, WIDTHS, bits * sum(sizes)))]:
        model = in_bits(widths)
        guessed = sum(harm[part, WIDTHS.index(width)].item() for part, width in enumerate(widths))
        print(f"{name:28s}{guessed:9.3f}{harm_to(model, others_yet, whole_others):10.3f}{accuracy(logits(model, test, 64), test.labels):10.1%}   " + ", ".join(map(str, widths)))

# %% [markdown]
# The scan was right that parts differ, and the sum of its harms guessed the order of magnitude. Yet measured, the choice gains nothing over one width everywhere. Among the most sensitive parts are the word vectors, the largest of all: what the feed-forward layers save does not pay for them. And some hundred sentences cannot tell such accuracies apart. **A scan says where to look; the rival says whether it paid.**

# %% [markdown] tags=["exercise"]
# ## 5 · Reading what others report
#
# **Exercise 13.7 · read four reports (★★☆, 10 min)**
#
# Invented, but typical. What explains each? Answer with a dictionary from letter to explanation.

# %% tags=["exercise"]
for letter, report in REPORTS.items():
    print(f"{letter}\n{report}\n")
print("choose from:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
explained = {
    "A": "zeros in a matrix of the same shape",  # only the packed file is smaller, and the time is the same
    "B": "one scale for all",  # one text with large activations makes the whole batch's scale coarse
    "C": "the teacher is sure of what it has learned",  # at 0.998 its answers are hardly softer than labels
    "D": "calls cost more than products",  # with one sentence there is little to multiply, and rounding takes as many calls
}
### END SOLUTION
explained = check("13.7", explained)

# %% [markdown]
# ## 6 · The frontier
#
# All in one picture, Figure 13.7: how large, how fast, how accurate. Better is up and to the left, and larger dots are faster. The filled dots are the ledger's means over five seeds, with a standard deviation up and
# down, and the speed of a batch in `13-latency`; the rings are yours, with fewer labels and a weaker teacher. "Pruned" was trained on afterwards, and the teacher was not: so the picture may flatter pruning. "Half zeros" was not trained on, and its file is not packed.

# %%
fig, axes = plots.figure(columns=2, width=11, height=4)
colours = {"teacher": plots.BLACK, "student": plots.BLUE, "pruned": plots.GREEN, "int8": plots.ORANGE, "half zeros": plots.GREY}
places = {"teacher": (0, 6, "center"), "student": (14, -4, "left"), "pruned": (0, -14, "center"), "int8": (-8, -4, "right")}
seen_by = []
for ax, (task_name, found) in zip(axes, {"era": tasks["era"], "docstring-library, adapted teacher": adapted}.items()):
    for form, colour in colours.items():
        speed = median(latency["batch"]["speedup"][form])
        at = found["bytes"][form] / 1e6, 100 * mean(found["accuracy"][form])
        seen_by.append(f"{task_name}, {form}: {at[0]:.1f} MB, {at[1]:.0f} %, {speed:.1f} times as fast")
        if form == "half zeros":
            continue
        deviation, (right_by, up_by, side) = 100 * np.std(found["accuracy"][form], ddof=1), places[form]
        ax.errorbar(*at, yerr=deviation, color=colour, linewidth=1)
        ax.plot(*at, "o", color=colour, markersize=6 * speed**0.5)
        end = at[0], at[1] + (side == "center") * np.sign(up_by) * deviation  # of the error bar
        ax.annotate(f"{form}, {speed:.1f}×", end, xytext=(right_by, up_by), textcoords="offset points", ha=side, color=colour)
        if task_name == "era":
            ax.plot(size[form] / 1e6, 100 * right[form], "o", markerfacecolor="none", color=colour, markersize=6 * faster[form] ** 0.5)
    near = [100 * run for form in colours if form != "half zeros" for run in found["accuracy"][form]] + [100 * right[form] for form in colours if form != "half zeros" and ax is axes[0]]
    low, high = min(near) - 4, max(near) + 4
    ax.annotate("half zeros,\nfar below", (found["bytes"]["half zeros"] / 1e6, low), xytext=(0, 4), textcoords="offset points", color=plots.GREY, ha="center", fontsize=9)
    ax.set(xlabel="size on disk (MB)", ylabel="accuracy (%)", title=task_name, xlim=(0, 23), ylim=(low, high))
axes[0].plot([], [], "o", color=plots.GREY, label="ledger, five seeds")
axes[0].plot([], [], "o", color=plots.GREY, markerfacecolor="none", label="this run")
fig.legend(loc="outside upper center", ncols=2, frameon=False)
rings = ", ".join(f"{form} {100 * right[form]:.0f} %" for form in colours if form != "half zeros")
plots.show(fig, alt="Int8 keeps the accuracy with a quarter of the bytes, and the student is the fastest. Accuracy against bytes for each form of the model, on two tasks; dots are larger where the model is faster. Means over seeds: " + "; ".join(seen_by) + f". On the left, rings of this run: {rings}.", number="13.7")

# %% [markdown]
# No form is best in everything. A few rules survive most changes of model and machine:
#
# | you need | begin with | because |
# |---|---|---|
# | fewer bytes, no training | int8, the word vectors too | a quarter of the bytes, and hardly any accuracy lost |
# | a much faster model, and there is text and a good teacher | a student | the only one of the three that can change depth and width freely |
# | some speed, and there are labels but little text | structured pruning, then a little training | starts from what is there |
# | a smaller archive only | zeros, training on, packing | nothing else is gained |
# | speed on a processor with bf16 | bf16 | one call; then see whether int8 adds anything |
#
# ### What compression does not do
#
# The article that this course began with is right that compression makes inference faster. But in its list of questions it also recommends it, next to distributed training and mixed precision, for speeding up *pre-training*. It does not do that: each method needs a trained
# model to begin with, and adds work. Count it, in products of a weight and a number (a forward pass does one per weight and token; a backward pass two more):

# %%
body = {name: numbers_in(model) - numbers_in(model.encoder.embeddings) for name, model in (("teacher", teacher), ("student", student))}
tokens = 32 * dial(smoke=2, laptop=150) * 32
alone, taught = 3 * body["student"] * tokens, (3 * body["student"] + body["teacher"]) * tokens
print(f"a student's pass over these texts: {alone / 1e9:.0f} billion products with labels, {taught / 1e9:.0f} with a teacher: {taught / alone:.1f} times as many")
claim(taught > alone, "distilling costs more than training the same student, and the teacher had to be trained before")

# %% [markdown]
# (DistilBERT is "cheaper to pre-train" than BERT, says its abstract: the student is, with the teacher's own pre-training left out of the bill.)
#
# What is gained is gained at each of the million questions afterwards.
#
# ## Summary
#
# * Report all three: bytes on disk (with the word vectors), milliseconds (for one and for many), accuracy. Each method is good at some and silent about others.
# * Distillation: soft targets at temperature $T$, times $T^2$ so that the gradient does not shrink with $T$. A teacher turns text without labels into training data, as good as the teacher is: where it was no better than the student alone there was nothing to gain, and once it had read the domain there was.
# * Zeros do not make a matrix smaller. Heads, units and layers that are cut out do, and what is left is exactly the model with those parts at zero.
# * The slope of a gate, one text at a time, ranks all heads in one backward pass (Figure 13.5).
# * Int8: one scale per row, an error of at most half of it, sums in 32 bits. A quarter of the bytes; speed only where the processor and the size allow. Parts differ in the bits they need: scan, then compare with one width everywhere (Figure 13.6).
#
# **What we measured**: the gradient against its closed form; a live teacher, student, pruned and int8 model; `13-frontier` (two tasks, several seeds), `13-adapted-teacher` and `13-latency` in the ledger: `python course.py reproduce 13-frontier` measures it again.
#
# ## Going further
#
# * Distil with `layers=[(0, 1), (1, 3)]`. Do hidden states help when there is little text? Write down what you expect first.
# * Prune in three rounds of 10 %, measuring importance anew each time, against 30 % at once.
# * Distil at temperatures 1 and 8: does the student care? (We have not measured it.)
# * Teach the student for five times as long. Where does it stop?
# * Take a task of your own, and carry a model to it. Chapter 14 goes on with images.
#
# ## References
#
# * G. Hinton, O. Vinyals and J. Dean (2015), *Distilling the knowledge in a neural network*; arXiv 1503.02531, sections 2 and 2.1, equations 2 to 4.
# * V. Sanh, L. Debut, J. Chaumond and T. Wolf (2019), *DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter*; arXiv 1910.01108, abstract.
# * X. Jiao et al. (2020), *TinyBERT: distilling BERT for natural language understanding*, Findings of EMNLP; arXiv 1909.10351, section 3.1.
# * P. Michel, O. Levy and G. Neubig (2019), *Are sixteen heads really better than one?*, NeurIPS; arXiv 1905.10650, section 4.1.
# * P. Molchanov, S. Tyree, T. Karras, T. Aila and J. Kautz (2017), *Pruning convolutional neural networks for resource efficient inference*, ICLR; arXiv 1611.06440, section 2.2.
# * S. Han, J. Pool, J. Tran and W. Dally (2015), *Learning both weights and connections for efficient neural networks*, NeurIPS; arXiv 1506.02626, abstract.
# * B. Jacob et al. (2018), *Quantization and training of neural networks for efficient integer-arithmetic-only inference*, CVPR; arXiv 1712.05877, section 2.1.
# * T. Dettmers, M. Lewis, Y. Belkada and L. Zettlemoyer (2022), *LLM.int8(): 8-bit matrix multiplication for transformers at scale*, NeurIPS; arXiv 2208.07339, abstract.
# * O. Zafrir, G. Boudoukh, P. Izsak and M. Wasserblat (2019), *Q8BERT: quantized 8bit BERT*; arXiv 1910.06188. BERT in eight bits, trained for it.
