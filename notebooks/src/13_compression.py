# %% [markdown]
# # 13 · Smaller models
#
# A model is pretrained once and asked a million times. All chapters so far spent their care on the first half of that sentence. This one is about the second: a fine-tuned encoder
# that is right often enough, but too large for the disk of a phone or too slow for the person who waits. There are three ways to make it smaller, and they can be combined: **distillation**
# teaches a small model what the large one knows; **pruning** takes out what the large one can do without; **quantisation** writes the same numbers in fewer bits.
# Each is derived, built, checked and measured in the same three currencies: bytes on disk, milliseconds, accuracy. In the end they stand in one picture, Figure 13.4.
#
# **You will be able to**
#
# 1. derive the soft-target loss of distillation, and say why it carries a factor $T^2$;
# 2. teach a small classifier with sentences that nobody has labelled;
# 3. find the attention heads that matter by the slope of a gate, cut out the others, and prove that nothing else has changed;
# 4. quantise a matrix to eight bits, state how far off each weight can be, and multiply whole numbers;
# 5. read a claim about a compressed model, and see which of the three currencies it is silent about.
#
# **You need** chapter 06 for the parts of an encoder, chapter 08 for the pretrained model, chapter 09 for floating-point formats, of chapters 02 and 11 the principal components and the paired bootstrap, and for the second teacher section 5 of chapter 12. *Fine-tuning* means what it meant in chapter 01: a new layer for the classes on top,
# and all weights trained on a few labels.
#
# **Time** about 2½ hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import copy
import tempfile
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from scipy.stats import ttest_rel
from torch.nn import functional as F

from pretrain_lib import Classification, ModernBertConfig, ModernBertModel, TrainConfig, Trainer
from pretrain_lib import distill, fine_tune, load_labelled_text, load_pretrained, load_tokenizer, prune, quantize
from pretrain_lib.bench.timing import interleaved
from pretrain_lib.compression.distill import inherit_words
from pretrain_lib.compression.importance import Gates, gated, importance
from pretrain_lib.compression.prune import Kept, cut, prune_weights, sparsity
from pretrain_lib.compression.quantise import SIGNED, UNSIGNED, usable_kernels
from pretrain_lib.compression.saved import bytes_on_disk, load_compressed, save_compressed
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch13 import DIAGNOSES, REPORTS
from pretrain_lib.course.results import hardware, machine
from pretrain_lib.data.tasks.encoded import encode_labelled, encode_texts
from pretrain_lib.evaluation.classification import accuracy
from pretrain_lib.evaluation.correlation import spearman
from pretrain_lib.transfer.encoders import text_classifier
from pretrain_lib.transfer.features import logits
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.zoo import held_out_sources

# %% [markdown]
# ## 1 · What a model weighs
#
# Our example asks when a sentence of a State of the Union address was spoken: before 1861, up to 1945, or since. Some sentences have labels; of the others we know the words only. Those to test on are
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
# Two things are worth knowing before anything is compressed. The **word vectors** take a large part of the bytes of a small model and almost none of the time: looking one up multiplies nothing. And
# attention and feed-forward layers take the rest of the bytes and nearly all of the time. So a method that leaves the word vectors alone cannot make the *file* small, and one that touches only them cannot make
# the model *fast*. Whoever reports "parameters" without saying whether the word vectors count can make either look good.
#
# ## 2 · Distillation
#
# A small model trained on few labels is poor. But we have a teacher that can label anything, and sentences without labels cost nothing. So let it label thousands, and train a **student** on what it says
# (Hinton, Vinyals and Dean 2015).
#
# The teacher says more than a label. It gives a probability to each class, and that "before 1861, but it might be 1900, and surely not 1980" tells the student which classes are alike. To let it
# speak up, both models' logits are divided by a **temperature** $T$ before the softmax:
#
# $$p_c = \frac{e^{v_c / T}}{\sum_k e^{v_k / T}} \qquad q_c = \frac{e^{z_c / T}}{\sum_k e^{z_k / T}}$$
#
# with the teacher's logits $v$ and the student's $z$. At $T = 1$ these are the usual probabilities, and a high temperature makes them more even (Figure 13.1).

# %%
v = torch.tensor([4.0, 2.0, -2.0])
fig, ax = plots.figure(width=6, height=3)
temperatures = torch.linspace(0.5, 8, 60)
for c, (name, colour) in enumerate(zip(era.classes, plots.COLOURS)):
    p = [(v / T).softmax(-1)[c].item() for T in temperatures]
    ax.plot(temperatures, p, color=colour)
    plots.label_line(ax, temperatures, p, name, colour)
ax.set(xlabel="temperature T", ylabel="probability that the teacher gives", xlim=(0.5, 8), ylim=(0, 1))
plots.show(fig, alt="The softmax of three logits, 4, 2 and −2, against temperature. At 0.5 the first class has nearly everything; at 8 the three are much closer, in the same order.", number="13.1")

# %% [markdown]
# The loss is how far the two distributions are apart, the Kullback–Leibler divergence $\sum_c p_c \log (p_c / q_c)$, times $T^2$. The divergence is 0 where the two agree and positive elsewhere. The factor will be clear in a moment.

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

# %% [markdown]
# ### Why $T^2$
#
# The $p_c$ do not depend on the student, so the derivative is that of $-\sum_c p_c \log q_c$. Write $\log q_c = z_c/T - \log \sum_k e^{z_k/T}$. Its derivative by $z_j$ is $\frac1T(\mathbb 1[c=j] - q_j)$, and since
# the $p_c$ sum to 1,
#
# $$\frac{\partial}{\partial z_j}\Big(-\sum_c p_c \log q_c\Big) = \frac1T\,(q_j - p_j).$$
#
# (At $T = 1$ it is equation (7.1), the gradient that every masked language model of this course has learned by.)
#
# That is small for two reasons when $T$ is large: $1/T$ is, and so is the difference of two distributions that are both nearly even (the lines of Figure 13.1 go on drawing together). For large $T$, $e^{x/T} \approx 1 + x/T$. With $N$ classes and logits that sum to 0, $q_j - p_j \approx (z_j - v_j)/(N T)$. So the gradient falls as $1/T^2$
# (Hinton et al. 2015, equations 2 to 4). The factor $T^2$ takes that back: the temperature may be changed without changing the learning rate, or the weight against other terms of the loss. And the limit tells what a
# hot teacher asks for: $(z_j - v_j)/N$ is the gradient of a squared error. The student should match the *logits* (up to a number that is added to all of them, which no softmax sees).

# %% [markdown] tags=["exercise"]
# **Exercise 13.2 · the gradient (★★☆, 15 min)**
#
# Return the derivative of `soft_loss` by the student's logits, in closed form.


# %% tags=["exercise"]
def soft_gradient(student, teacher, T):
    """∂ soft_loss / ∂ student, (B, C)."""
    ### BEGIN SOLUTION
    return T * ((student / T).softmax(-1) - (teacher / T).softmax(-1))
    ### END SOLUTION


soft_gradient = check("13.2", soft_gradient)

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
# Ours has two layers of width 128 where the teacher has four of width 256. It starts with the word vectors of the pretrained model, squeezed from 256 numbers to 128 by keeping the directions in which the words differ most (the principal components
# of chapter 02); everything else in it starts at random. `distill` freezes a copy of the teacher, asks it about each batch and trains the student on its answers. It is the objective `Distillation` in the one training loop: read its `forward`,
# twenty lines in `pretrain_lib/objectives/distillation.py`.
#
# Two students start alike. One learns from the labels, the other from the teacher's answers to the sentences *without* labels. Each goes through its sentences twice; but there are more of those without labels, so
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
# One seed, and a few hundred test sentences, prove little. The ledger has two tasks (the second asks which of eight libraries a docstring is from), several seeds, more labels and more text. It also has the student that is taught on the
# *labelled* sentences only, which tells whether it is the teacher's softness that helps or the additional text (with the additional updates that more text brings). There is little to expect of softness alone:
# on sentences that it has learned by heart a teacher is nearly sure, and its answer says hardly more than the label did. (The student alone takes the better of two learning rates, those with a teacher have one.) The interval is the paired bootstrap of chapter 11, where whole documents are drawn: for `era`, addresses.

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
plots.show(fig, alt=f"Accuracy of a teacher and three students on two tasks, a dot a seed. Bars of the means: {described}.", number="13.2")
for task, found in tasks.items():
    kept = mean(found["accuracy"]["student"]) / mean(found["accuracy"]["teacher"])
    print(f"{task}: the student keeps {kept:.1%} of the teacher's accuracy, with {found['bytes']['student'] / found['bytes']['teacher']:.0%} of its bytes")
    for other in ("student without teacher", "student on the labelled texts"):
        lead = found["lead"][f"student over {other}"]
        sure = "" if lead["low"] > 0 or lead["high"] < 0 else ": not to be told from chance"
        print(f"   over '{other}': {100 * lead['difference']:+.1f} points ({100 * lead['low']:+.1f} to {100 * lead['high']:+.1f}){sure}")

# %% [markdown]
# How was it predicted, and what came of it? The ledger keeps the sentence that was written before the measurement:

# %%
print(ledger["prediction"], "\n\nFound, over", len(ledger["seeds"]), "seeds:", ledger["verdict"])

# %% [markdown]
# Two measurements are in that text. In the *first* the teacher had seen its labels once and knew hardly anything about docstrings: it was pretrained on presidents, and chapter 08 found that this is of little use there. A student copies such a teacher faithfully, and did far worse than the same student on the labels alone. In the *second*, that of Figure 13.2,
# the teacher saw more labels, and three times. On docstrings it is now no better than the student alone, so there is nothing to teach. On era it is, and there the student with a teacher is ahead in every seed; the interval of the lead is wide all the same, because the test sentences are from few addresses, and addresses differ.
# Taught on the labelled sentences alone, the student is behind itself with the labels there: softness without new text gave nothing.
# **A student learns what its teacher says, right or wrong.** Whoever reports "keeps 95 %" of a teacher must say how good the teacher is, and what the student can do without it.
#
# So give the second task a teacher who knows. Chapter 12 had a way, without one label more: the model goes on with filling blanks on docstrings, and is fine-tuned then. And test it twice, for "is it really better?" has two meanings. *Would it be, with other labels and another seed?* The seeds say that, by a paired $t$-test: the mean of the five differences, divided by its standard error, beside what chance gives with five (Student's $t$ with four degrees of freedom).
# *Would it be, on other documents?* The bootstrap over documents says that.

# %%
era_runs = tasks["era"]["accuracy"]
claim(all(a > b for a, b in zip(era_runs["student"], era_runs["student without teacher"])), "on era the student with a teacher is ahead in every seed")
ledger = results("13-adapted-teacher")
print("Predicted:", ledger["prediction"], "\n\nFound, over", len(ledger["seeds"]), "seeds:", ledger["verdict"], "\n")
adapted = ledger["measured"]
for name, found in (*tasks.items(), ("docstring-library, adapted", adapted)):
    runs, lead = found["accuracy"], found["lead"]["student over student without teacher"]
    p = ttest_rel(runs["student"], runs["student without teacher"]).pvalue
    print(f"{name:30s}teacher {mean(runs['teacher']):.3f}   student {mean(runs['student']):.3f}   without teacher {mean(runs['student without teacher']):.3f}   "
          f"lead {100 * lead['difference']:+.1f} points: p = {p:.3f} over seeds, {lead['p']:.4f} over {found['test_sources']} documents")

claim(adapted["lead"]["student over student without teacher"]["low"] > 0, "with a teacher who has read docstrings, the lead is more than chance, over documents")
claim(all(a > b for a, b in zip(adapted["accuracy"]["student"], adapted["accuracy"]["student without teacher"])), "and the student is ahead in every seed")
headline("of the adapted teacher's accuracy, the share that its student keeps", mean(adapted["accuracy"]["student"]) / mean(adapted["accuracy"]["teacher"]), 0.95, at_most=False)

# %% [markdown]
# Now there is something to teach, and it arrives: the student is nearly as accurate as its teacher, and ahead of the same student without one, in every seed and by both tests. (That the teacher would be five points ahead of the student alone was too bold; it is four and a bit. The student alone has gained as well, which may be because it, too, starts with the adapted model's word vectors. All
# seeds share one adapted model and one set of test sentences.)
#
# On era the two tests part. Other labels would probably show the lead again, says the first; that other addresses would, says the second, is not certain, for there are few. Both are true, and a report that gives one of them has chosen which doubt to hide.
#
# DistilBERT did it at the scale of BERT, during pre-training: 40 % smaller, 60 % faster, 97 % of the language understanding kept (Sanh et al. 2019, abstract). There the student took every second layer of its
# teacher, and its loss had three terms: the soft targets at the blanks, the hidden tokens themselves, and the cosine between the two models' hidden states. TinyBERT compares hidden states layer by layer, after a linear map, and matrices of attention besides
# (Jiao et al. 2020, section 3.1). `distill(…, layers=[(0, 1), (1, 3)])` compares hidden states in that way, and `task=MaskedLM(…)` distils a masked language model at its blanks.
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
# Whatever the two times differ by, it is not the zeros: measured with nothing else running, the ledger's ratio stands beside. A matrix with zeros in it has the same shape, and a processor multiplies by zero as patiently as by anything else. The file can be packed, there is hardware for zeros in a fixed pattern, and code that pays for matrices of hardly anything else. On a plain processor
# this is a smaller *archive*, not a faster model. To be faster, something must go as a whole: an attention head, a unit of a feed-forward layer, a layer.
#
# The accuracy above is that of zeros and nothing more. Han et al. trained on after each round of zeros, and so did without eight of nine weights of AlexNet at no loss (2015, abstract): where a report says "half zeros", ask whether it trained on. Ours did not,
# here and in the ledger; `prune_weights` lets you, and under a `Trainer` the zeros stay zero.
#
# ### Which heads matter
#
# Put a **gate** $\xi_h$ on what every head gives to the output matrix, a factor that is 1. Closing the gate, from 1 to 0, is removing the head. How much would the loss change? To first order by its slope, $|\partial L / \partial \xi_h|$, and that costs a single
# backward pass for *all* heads, where trying them out costs one forward pass each (Michel, Levy and Neubig 2019, section 4.1; for the channels of convolutions Molchanov et al. 2017, section 2.2). Since the gate multiplies the head's output $y_h$, the chain rule says
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
# The library gives each text its own gates, so that one backward pass of the summed loss leaves one slope a text in each: `importance` in `pretrain_lib/compression/importance.py`, for heads, feed-forward units and layers. We compare it with your
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
plots.show(fig, alt=f"Sixteen heads: the change of the loss when a head is closed against its importance by the slope. Rank correlation {rank:.2f}.", number="13.3")
print(f"rank correlation of the two over 16 heads: {rank:.2f}")

# %% [markdown]
# The slope is a linear guess, good for gates that close a little, and a head is closed all the way. It also measures each head with all the others in place. So it ranks; it does not predict: the dots of Figure 13.3 go up together, but not along one line. That is why pruned models are trained a little afterwards.
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
# Now the teacher without 30 % of its heads and units. It has 16 heads in all, so five of them go, 31 %; which ones, the importance says (divided by its norm in each layer, so that layers can be compared, as Michel et al. do), and each layer keeps at least one. Every layer loses as many units. Then half a pass over the labels, to let the rest make up for it.
# Half a pass more does the whole teacher good, too, so we give it one beside: the comparison of the two trained on is the one that is about pruning. ("As cut" says what pruning alone costs.)

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
for name, found in (*tasks.items(), ("docstring-library, adapted teacher", adapted)):
    lost = [f"{100 * (mean(found['accuracy']['teacher']) - mean(found['accuracy'][arm])):.1f}" for arm in ("as cut", "pruned")]
    print(f"ledger, {name}: {lost[0]} points lost as cut, {lost[1]} after training on")

# %% [markdown]
# Training on makes up for some of what was cut on era, and for none of it under the teacher that has read docstrings: that one lost little by the cut, and something by half a pass more.

# %% [markdown]
# ## 4 · Eight bits
#
# Chapter 09 went from 32 bits to 16. To *train* in eight bits takes special hardware and care, but a weight that is trained can be written as a whole number from −127 to 127, times a scale. For a row of weights $w$, those of one output,
#
# $$s = \frac{\max_i |w_i|}{127}, \qquad q_i = \mathrm{round}(w_i / s), \qquad w_i \approx s\, q_i .$$
#
# A float keeps its number of significant bits (the level lines in Figure 9.1 of chapter 09), so its spacing grows with the number, by equation (9.2); here it is $s$ everywhere.
# Rounding moves a number by at most ½, so no weight is off by more than $s/2$. Each row has its own scale: one large weight somewhere would otherwise make all rows coarse. And 0 stays 0, since there is no offset.
# In the field's words this is quantisation *after training*, *symmetric* (no offset), *per channel* (a scale for each output). Jacob et al. (2018, section 2.1) have an offset as well, their *zero-point*, and one scale for a whole array.

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
# `quantize` puts such layers in the place of every linear layer and every table of vectors. How do they multiply? That a processor can multiply eight bits does not say how
# well. Older ones add pairs of products in 16 bits, and overflow. Newer ones have an instruction for *unsigned* numbers times signed ones; where there is none for signed times signed, the library below PyTorch multiplies those one by one, hundreds of times slower than
# floats. (Activations become unsigned by adding 128 to each; what that adds to a sum is taken off again.) So it is chapter 09's lesson once more: our layers try both products, once for each shape, and take one only where it is exact and clearly faster than floats. Elsewhere the same whole numbers are multiplied as floats,
# whose sums are exact as well while they stay below $2^{24}$: the answers are the same, and the time is a little worse than without int8. How much accuracy goes, and how much time?

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
# The accuracy hardly notices: rounding is small noise, and it falls on both sides. (That is so for encoders of this size. In language models of billions of weights a few activations are far larger than all others, and Dettmers et al.
# (2022, abstract) keep those in 16 bits.) Whether int8 is *faster* depends on the machine and on the size. Rounding activations is work of its own, many small calls for little arithmetic; it pays where products are long, and
# where the processor has a fast product for them. So times are worth nothing without the processor they were measured on:

# %%
ledger = results("13-latency")
latency = ledger["measured"]
print(f"{machine(ledger['hardware'])}, {latency['threads']} thread, {ledger['date']}\n")
print(f"{'':14s}  {latency['sentences']} sentences          1 sentence")
for form in latency["batch"]["milliseconds"]:
    cells = [f"{median(latency[size]['milliseconds'][form]):6.1f} ms {median(latency[size]['speedup'][form]):5.2f}×" for size in ("batch", "one sentence")]
    print(f"{form:14s}  " + "       ".join(cells))
print("\nPredicted:", ledger["prediction"], "\n\nFound:", ledger["verdict"])

# %% [markdown]
# `python -m pretrain_lib bench int8` sets both sizes side by side on your machine, and with the instructions of older processors as well.
#
# Look at the last row. Where a processor multiplies in bf16, `model.bfloat16()` is one call, needs no scheme and no tables of scales, and halves the bytes. Int8 must be compared with *that*, not with float32 alone. (And where a processor cannot, bf16 is many times slower: measure, as in chapter 09.)
#
# What is kept on disk? `save_compressed` writes the whole numbers and scales. A model that has lost whole layers, or the same number of feed-forward units everywhere, is still one that `transformers` can describe, and `save_pretrained` saves it as such. One that has lost heads, or is in int8, it cannot describe: that is said, and such a model is kept in a format of our own.

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
    "A": "zeros in a matrix of the same shape",
    "B": "one scale for all",
    "C": "the teacher is sure of what it has learned",
    "D": "calls cost more than products",
}
### END SOLUTION
explained = check("13.7", explained)

# %% [markdown]
# ## 6 · The frontier
#
# All in one picture, Figure 13.4: how large, how fast, how right. Better is up and to the left, and larger dots are faster. The filled dots are the ledger's means over seeds, with a standard deviation up and
# down, and the speed of a batch in `13-latency`; the rings, on the left, are what you have just measured, with fewer labels and a weaker teacher. (That the ring of "pruned" may lie *above* the teacher's is no merit of pruning: it was trained on, and the teacher trained on as long stands in section 3's printed line.) "Pruned" was trained on afterwards, "half zeros" was not, and its file is not packed.

# %%
fig, axes = plots.figure(columns=2, width=11, height=4)
colours = {"teacher": plots.BLACK, "student": plots.BLUE, "pruned": plots.GREEN, "int8": plots.ORANGE, "half zeros": plots.GREY}
places = {"teacher": (-44, 18), "student": (10, -12), "pruned": (-24, -30), "int8": (-4, 12)}
seen_by = []
for ax, (task_name, found) in zip(axes, {"era": tasks["era"], "docstring-library, adapted teacher": adapted}.items()):
    for form, colour in colours.items():
        speed = median(latency["batch"]["speedup"][form])
        at = found["bytes"][form] / 1e6, 100 * mean(found["accuracy"][form])
        seen_by.append(f"{task_name}, {form}: {at[0]:.1f} MB, {at[1]:.0f} %, {speed:.1f} times as fast")
        if form == "half zeros":
            continue
        ax.errorbar(*at, yerr=100 * np.std(found["accuracy"][form]), color=colour, linewidth=1)
        ax.plot(*at, "o", color=colour, markersize=6 * speed**0.5)
        ax.annotate(f"{form}, {speed:.1f}×", at, xytext=places[form], textcoords="offset points", color=colour)
        if task_name == "era":
            ax.plot(size[form] / 1e6, 100 * right[form], "o", markerfacecolor="none", color=colour, markersize=6 * faster[form] ** 0.5)
    near = [100 * run for form in colours if form != "half zeros" for run in found["accuracy"][form]] + [100 * right[form] for form in colours if form != "half zeros" and ax is axes[0]]
    low, high = min(near) - 4, max(near) + 4
    ax.annotate("half zeros,\nfar below", (found["bytes"]["half zeros"] / 1e6, low), xytext=(0, 4), textcoords="offset points", color=plots.GREY, ha="center", fontsize=9)
    ax.set(xlabel="bytes on disk, MB", ylabel="accuracy, %" if ax is axes[0] else "", title=task_name, xlim=(0, 23), ylim=(low, high))
rings = ", ".join(f"{form} {100 * right[form]:.0f} %" for form in colours if form != "half zeros")
plots.show(fig, alt="Accuracy against bytes for each form of the model, on two tasks; dots are larger where the model is faster. Means over seeds: " + "; ".join(seen_by) + f". On the left, rings of this run: {rings}.", number="13.4")

# %% [markdown]
# No form is best in everything. A few rules survive most changes of model and machine:
#
# | you need | begin with | because |
# |---|---|---|
# | fewer bytes, no training | int8, the word vectors too | a quarter of the bytes, and next to no accuracy lost |
# | a much faster model, and there is text and a good teacher | a student | the only one of the three that can change depth and width freely |
# | some speed, and there are labels but little text | structured pruning, then a little training | starts from what is there |
# | a smaller archive only | zeros, training on, packing | nothing else is gained |
# | speed on a processor with bf16 | bf16 | one call; then see whether int8 adds anything |
#
# ### What compression does not do
#
# The article that this course began with is right that compression makes inference faster. But in its list of questions it also recommends it, beside distributed training and mixed precision, for speeding up *pre-training*. It does not do that: each method needs a trained
# model to begin with, and adds work. Count it, in products of a weight and a number (a forward pass does one a weight and token; a backward pass two more):

# %%
body = {name: numbers_in(model) - numbers_in(model.encoder.embeddings) for name, model in (("teacher", teacher), ("student", student))}
tokens = 32 * dial(smoke=2, laptop=150) * 32
alone, taught = 3 * body["student"] * tokens, (3 * body["student"] + body["teacher"]) * tokens
print(f"a student's pass over these texts: {alone / 1e9:.0f} billion products with labels, {taught / 1e9:.0f} with a teacher: {taught / alone:.1f} times as many")
claim(taught > alone, "distilling costs more than training the same student, and the teacher had to be trained before")

# %% [markdown]
# (Answers can be kept: a second pass over the same texts need not ask the teacher again. And DistilBERT is "cheaper to pre-train" than BERT, says its abstract: the student is, with the teacher's own pre-training left out of the bill.)
#
# What is gained is gained at each of the million questions afterwards. (There are methods that do train a smaller thing, and they are other ones: LoRA in chapter 12 trains few numbers, mixed precision trains in fewer bits, and a small model trained from the start is simply a small model.)
#
# ## Summary
#
# * Report all three: bytes on disk (with the word vectors), milliseconds (for one and for many), accuracy. Each method is good at some and silent about others.
# * Distillation: soft targets at temperature $T$, times $T^2$ so that the gradient does not shrink with $T$. A teacher turns text without labels into training data, as good as the teacher is: where it was no better than the student alone there was nothing to gain, and once it had read the domain there was. Say which doubt a p-value is about, other labels or other documents.
# * Zeros do not make a matrix smaller. Heads, units and layers that are cut out do, and what is left is exactly the model with those parts at zero.
# * The slope of a gate, one text at a time, ranks all heads in one backward pass (Figure 13.3).
# * Int8: one scale a row, an error of at most half of it, sums in 32 bits. A quarter of the bytes; speed only where the processor and the size allow.
#
# **What we measured**: the gradient against its closed form; a live teacher, student, pruned and int8 model; `13-frontier` (two tasks, several seeds), `13-adapted-teacher` and `13-latency` in the ledger: `python course.py reproduce 13-frontier` measures it again.
#
# ## Going further
#
# * Distil with `layers=[(0, 1), (1, 3)]`. Do hidden states help when there is little text? Write down what you expect first.
# * Prune in three rounds of 10 %, measuring importance anew each time, against 30 % at once.
# * Distil at temperatures 1 and 8: does the student care?
# * Teach the student for five times as long. Where does it stop?
# * Next, chapter 14: the same ideas of pre-training, with images.
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
