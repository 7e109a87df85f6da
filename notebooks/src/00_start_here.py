# %% [markdown]
# # 00 · Start here
#
# Fifty images of handwritten digits have labels, five of each digit. Thousands more have none: they cost nothing
# but the scanning. **Can a network learn from images that nobody has labelled, and how much does that help once
# the fifty labels come?** Run the next cells and see.

# %% tags=["setup"]
import torch

from pretrain_lib import Augmented, ConvAutoencoder, ConvAutoencoderConfig, FineTuning, LinearProbe, Reconstruction
from pretrain_lib import TrainConfig, Trainer, few_label_curve, load_images, load_pretrained, load_tokenizer
from pretrain_lib.course import SCALE, check, claim, diagrams, dial, headline, plots, predict, reveal
from pretrain_lib.data.images.augment import RandomCrop, RandomRotate, RandomScale

# %% [markdown]
# There are ten classes, so guessing has an accuracy of 0.1. What is the accuracy of a network that was pretrained
# without labels and then trained on fifty? Commit to a number before you look: replace the dots, then run.

# %%
predict("00.pretrained", ..., unit="of accuracy, from 0 to 1")

# %%
plots.show(diagrams.transfer(), "Pre-training leaves an encoder, and the task with few labels starts from a copy of it. Above: much data without "
           "labels, an encoder, a pretext task whose head is discarded. Below: few samples with labels go through the encoder, frozen "
           "for a linear probe or trained for fine-tuning, into a new head.", number="0.1")

# %% [markdown]
# **Pretraining.** The network below squeezes each image into 16 numbers and must give the image back. It sees
# the training images turned, scaled and shifted at random; it never sees a label.

# %%
images, test = load_images("mnist"), load_images("mnist", "test")  # step 1: samples


def moves(source):
    return Augmented(source, [RandomRotate(15), RandomScale(0.85, 1.15), RandomCrop(2)])


def fresh_network(seed=0):
    torch.manual_seed(seed)
    return ConvAutoencoder(ConvAutoencoderConfig(channels=(16, 32), hidden_size=128, code_size=16))


network = fresh_network()  # step 2: a model, its weights drawn at random
task = Reconstruction()  # step 3: a task that needs no labels
config = TrainConfig(steps=dial(smoke=60, laptop=1000), batch_size=100, learning_rate=2e-3, warmup_steps=20)
history = Trainer(network, task, moves(images), config).fit()  # step 4: training
first, last = history.losses[0], history.losses[-1]
print(f"{len(images)} images, no labels, {history.steps[-1]} updates: loss {first:.1f} → {last:.1f}")

# %% [markdown]
# **Fifty labels.** Now five ways to use them. Three know nothing of the pretraining: a linear classifier on the
# raw pixels; the same on the code of the network *untrained*; and the whole network trained from scratch. Two
# start from the pretrained network: a linear classifier on its code as it is (frozen), and the whole network
# trained further (fine-tuned). All see the same fifty. Wherever a network is trained, it gets the same number of
# updates, the same learning rate, and images moved in the same way. (`grid` holds what may be chosen: penalties of a
# linear classifier, learning rates of a network. Here it holds one. The 10 is the number of classes.)

# %%
updates = TrainConfig(steps=dial(smoke=10, laptop=150), batch_size=32, warmup_steps=10)
ways = {  # step 5: transfer
    "raw pixels": LinearProbe(grid=(1.0,)),
    "untrained, frozen": LinearProbe(fresh_network(), grid=(1.0,)),
    "from scratch": FineTuning(fresh_network, 10, updates, grid=(1e-2,), view=moves),
    "pretrained, frozen": LinearProbe(network, grid=(1.0,)),
    "pretrained, fine-tuned": FineTuning(network, 10, updates, grid=(1e-2,), view=moves),
}
seeds = range(dial(smoke=1, laptop=5))
accuracy = few_label_curve(ways, images, test, per_class=[5], seeds=seeds)  # {way: (1, seeds)}

# %%
fig, ax = plots.figure(width=7, height=2.8)
colours = [plots.GREY, plots.SKY, plots.ORANGE, plots.BLUE, plots.GREEN]
plots.bars(ax, list(ways), [accuracy[way][0].tolist() for way in ways], colours)
ax.set(xlim=(0, 1), title="Fifty labels, five of each digit, 150 updates", xlabel="test accuracy; guessing gives 0.1")
plots.show(fig, alt="With fifty labels and 150 updates, fine-tuning a pretrained network is the most accurate of five ways. The untrained "
                    "code is lowest; raw pixels, the frozen code and training from scratch lie between. One dot per seed.",
           number="0.2")

# %%
mean = {way: values.mean().item() for way, values in accuracy.items()}
reveal("00.pretrained", mean["pretrained, fine-tuned"])
without = max(mean["raw pixels"], mean["untrained, frozen"], mean["from scratch"])
gain = mean["pretrained, fine-tuned"] - without
headline("fifty labels, 150 updates: pretrained and fine-tuned, over the best way without", gain, 0.02,
         at_most=False, unit="of accuracy")
claim(gain > 0.02, "with fifty labels and as many updates, fine-tuning a pretrained network beats every way without pretraining")

# %% [markdown]
# That is pre-training, and the whole course is about why it works, when it does not, and how to do it well. Each
# dot is another draw of the fifty labels. Look how far luck alone moves a bar, and distrust a comparison that shows
# one dot.
#
# The chart holds what you should ask of every such chart: **the rivals that could explain the gain away**. Perhaps
# any network of this shape would do? The untrained code says no. Perhaps the fifty labels alone would do, if the
# network is also told that a turned 3 is still a 3? From scratch comes much closer. And perhaps
# scratch was merely not finished after 150 updates? Chapter 01 gives both sides more, and in the mean most of the lead
# goes: what pretraining saved was mostly training.

# %% [markdown]
# ## What you will be able to do after this chapter
#
# 1. name the five steps of pre-training and find each in the library;
# 2. choose your way through the course;
# 3. use its three tools: the dial, a prediction, an exercise that answers back;
# 4. work without internet.
#
# **You need** Python and a little PyTorch. **Time**: 15 minutes of reading; the computing takes less than a
# minute on a laptop with two cores, and seconds on a GPU.

# %% [markdown]
# ## Five steps, five folders
#
# The article that this course grew from (预训练, "Pre-training", in Chinese; its author signs as *Zen and the Art
# of Computer Programming*) names five steps. You have just run all five; look for their numbers in the comments
# above. The library's folders are these steps, in this order.
#
# | step | folder of `pretrain_lib` | what lives there | in the cells above |
# |---|---|---|---|
# | 1 data preprocessing (数据预处理) | `data/` | where samples come from, how they are changed and ordered | `load_images`, `Augmented` |
# | 2 model initialisation (模型初始化) | `models/` | architectures and their first weights | `ConvAutoencoder` |
# | 3 pretraining task (预训练任务设计) | `objectives/` | corrupt a sample, let the model answer, score it | `Reconstruction` |
# | 4 training (预训练模型训练) | `training/` | the one loop, the optimiser, checkpoints | `TrainConfig`, `Trainer` |
# | 5 transfer (下游任务迁移) | `transfer/` | probes, fine-tuning, few-label curves | `LinearProbe`, `FineTuning` |
#
# Two more folders matter here: `evaluation/` asks what a trained model knows, and `course/` holds what only these
# notebooks need. The article is a good map with some wrong turnings; `docs/article.md` says which, with the evidence.

# %% [markdown]
# ## The map
#
# Four tracks. Everyone begins with the core. Chapters with a link are here; the others are planned.
#
# | track | for | chapters |
# |---|---|---|
# | **core** | everyone | 00 Start here · [01 Why pre-train?](01_why_pretrain.ipynb) · [02 The mathematics of autoencoders](02_autoencoder_math.ipynb) · [03 Denoising and masked autoencoders](03_denoising_and_masked_autoencoders.ipynb) · [06 The transformer encoder](06_transformer_encoder.ipynb) · [07 Masked language modelling](07_masked_language_modeling.ipynb) · [08 BERT](08_bert_pretraining.ipynb) · [11 Evaluating pre-training](11_evaluating_pretraining.ipynb) · [12 Transfer](12_transfer.ipynb) |
# | **engineer** | who must make it fast and cheap | [04 Tokenization](04_tokenization.ipynb) · [05 Data pipeline](05_data_pipeline.ipynb) · [09 Mixed precision and speed](09_mixed_precision_and_speed.ipynb) · [10 Distributed training](10_distributed_training.ipynb) · [13 Compression](13_compression.ipynb) |
# | **modalities** | who works with more than text | [14 Images](14_images.ipynb) · [15 Speech](15_speech.ipynb) · 16 Many modalities · 17 Many tasks, and knowledge |
# | **research** | who wants to know why | 18 Scaling and interpretability · 19 Capstone |
#
# The pay-off above is told in images. Text joins with chapters 04 to 08. Here is a first taste of it: a small
# model that comes with the course has read speeches, and fills blanks.

# %%
reader, tokenizer = load_pretrained("modernbert-mini-sotu"), load_tokenizer("modernbert-mini-sotu")
for sentence in ("The [MASK] of the treasury will report on the public debt.",
                 "We must defend our [MASK] and our way of life."):
    ids = torch.tensor([tokenizer.encode(sentence).ids])  # (1, T)
    blank = (ids[0] == tokenizer.token_to_id("[MASK]")).nonzero()[0]
    words = reader(ids, positions=blank[None])[0, 0].softmax(0).topk(4)  # (V,) to the 4 likeliest
    print(sentence, *(f"{tokenizer.id_to_token(int(i))} {p:.0%}" for p, i in zip(*words)), sep="   ")

# %% [markdown]
# Nobody labelled a word of what it read. Chapter 04 begins with how such a sentence becomes numbers.

# %% [markdown]
# ## The dial
#
# One notebook runs at three scales: `smoke` shows that everything works, `laptop` is what you read here, and
# `gpu` is chosen by itself where there is one. Code says `dial(...)` wherever the scale matters, and nothing
# else differs. To turn it, set `COURSE_SCALE` before Jupyter starts, or run `python course.py run 00 --scale
# smoke`.

# %%
print(f"this run is at the scale {SCALE!r}, so the pretraining above took {dial(smoke=60, laptop=1000)} updates")

# %% [markdown]
# ## Predict, then look
#
# You met `predict` and `reveal` at the top. A guess that you wrote down can surprise you, and surprise is what
# stays. Nobody marks it. Try one more: with a single label per class, ten in all, what is the accuracy of a linear
# classifier on the pretrained code?

# %%
predict("00.ten labels", ..., unit="of accuracy, from 0 to 1")

# %%
probes = {way: ways[way] for way in ("raw pixels", "pretrained, frozen")}
ten = few_label_curve(probes, images, test, per_class=[1], seeds=range(dial(smoke=1, laptop=5)))
reveal("00.ten labels", ten["pretrained, frozen"].mean().item())
low, high = ten["pretrained, frozen"].min().item(), ten["pretrained, frozen"].max().item()
print(f"from {low:.2f} to {high:.2f}, as luck has it with which ten")
print(f"raw pixels: {ten['raw pixels'].mean():.2f} on average")

# %% [markdown]
# ## Exercises answer back
#
# Each exercise gives you a stub and ends in `check`. (Numbers are names: 01.7 may stand before 01.1.) It tells three
# things apart. Here is a stub that nobody has filled in:

# %% tags=["NBVAL_CHECK_OUTPUT"]
def share_right(predicted, labels):
    ...


check("00.1", share_right);

# %% [markdown]
# And here is an answer that is wrong in a way that many are. `check` does not say "wrong": it says what likely
# happened.

# %% tags=["NBVAL_CHECK_OUTPUT"]
def share_right(predicted, labels):
    return (predicted == labels).sum().item()


check("00.1", share_right);

# %% [markdown] tags=["exercise"]
# ### Exercise 00.1 · how often a prediction is right (★☆☆, 3 min)
#
# Your turn. `predicted` and `labels` are tensors of shape `(N,)`. Return the **fraction** of predictions that
# are right, as a Python number between 0 and 1.

# %% tags=["exercise"]
def share_right(predicted, labels):
    """The fraction of samples whose label was predicted; both (N,)."""
    ### BEGIN SOLUTION
    return (predicted == labels).float().mean().item()
    ### END SOLUTION


share_right = check("00.1", share_right)

# %% [markdown]
# Nothing breaks when an exercise is still open: `check` hands back the library's function until yours passes,
# and yours from then on, so the cells below always run. This one uses whichever it is. (Solutions are in
# `notebooks/solutions/`. Look once you have tried.)

# %%
labelled = images.subset(range(dial(smoke=100, laptop=1000)))
predicted = LinearProbe(network).fit(labelled, setting=1.0)(test)
by_yours, by_hand = share_right(predicted, test.labels), sum(predicted == test.labels).item() / len(test)
claim(abs(by_yours - by_hand) < 1e-6, "the checked function counts as one counts by hand")
print(f"{len(labelled):,} labels and the pretrained code: an accuracy of {by_yours:.3f}")

# %% [markdown]
# ## Without internet
#
# Everything that the chapters need arrives when the course is installed: the images come inside Python
# packages, and nothing is downloaded while a notebook runs. Before a class in a room without a network, run
# `python course.py setup` once on each machine. Where these images come from, and under which terms:

# %%
for name in ("mnist", "digits"):
    print(load_images(name, "all").about)

# %% [markdown]
# ## Summary
#
# * Pre-training is five steps: samples, a model, a task that needs no labels, training, transfer. The library
#   has a folder for each.
# * With fifty labels and 150 updates, fine-tuning a pretrained network beat raw pixels, the untrained network, and
#   training from scratch. With more updates scratch comes closer.
# * A claim about pre-training stands next to the rivals that could explain it away, over several seeds.
# * The dial chooses the scale, `predict` asks before it tells, and `check` names the likely mistake.
#
# ## What we measured
#
# One chart: accuracy on test images with fifty labels, five ways, live on this machine. The long version, with
# a network pretrained anew for every seed, is in `results/01-few-labels.json`; chapter 01 draws it.
#
# ## Going further
#
# Change one thing in the first cells and run them again: pretrain for a tenth of the updates; give scratch and
# fine-tuning twice as many; leave the moves out; make the code 4 numbers. Write your guess down first.
#
# ## References
#
# * 禅与计算机程序设计艺术, 预训练 (Pre-training): the article whose steps, claims and program this course follows and checks.
# * Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
#   *Proceedings of the IEEE* 86(11), 1998: the source of MNIST, section III.A.
#
# **Next**: [01 · Why pretrain?](01_why_pretrain.ipynb)
