# %% [markdown]
# # 16 · Pictures, words, and what moves
#
# Nobody labels the pictures of the web. But beside many of them stands a sentence. It says more than a label: what there is, of which colour, and where. This chapter trains two networks at once, one that reads pictures and one that reads sentences, so that a picture and its sentence lie close together. After that, a *class is a sentence*: to tell apart things that nobody has labelled, one writes down what they are called.
#
# The same loss puts sentences beside sentences, which is how one searches by meaning. And a clip comes with something better than a caption: its frames have an order.
#
# **You will be able to**
#
# 1. write the symmetric contrastive loss, say what it costs at chance, and which way its temperature goes;
# 2. classify without labels, and state the pool that a retrieval number needs;
# 3. split data so that *combinations* are new, and say what a model that answers them has put together;
# 4. show what such a model does not hear, and find out where it was lost;
# 5. say what a task of order in time can teach, and prove that a single frame cannot give it away.
#
# **You need** chapter 12 for frozen and fine-tuned encoders and chapter 14, section 3, for contrastive learning.
#
# **Time** about 4 hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import math
from itertools import product
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.nn import functional as F

from pretrain_lib import BagOfWords, BagOfWordsConfig, Contrastive, FrameOrder, Keys, LinearProbe, ResNetConfig, ResNetModel, SentenceEmbedder, TrainConfig, Trainer
from pretrain_lib import TwoTowers, VideoMAEConfig, VideoMAEForPreTraining, ZeroShot, bm25_scores, cosine_scores, embed, features, labelled_subset
from pretrain_lib import load_captioned, load_clips, load_pretrained, load_text, measure_retrieval, neighbouring_texts, save_pretrained, tfidf_scores, wrong_captions
from pretrain_lib.course import check, claim, diagrams, dial, explore, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch16 import CHOICES
from pretrain_lib.course.results import verdict_table
from pretrain_lib.data.scenes.video import motions
from pretrain_lib.evaluation.classification import Comparison
from pretrain_lib.evaluation.uncertainty import Lead
from pretrain_lib.objectives.pairwise import info_nce

# %% [markdown]
# ## 1 · Pairs that cost nothing
#
# CLIP (Radford et al. 2021) read 400 million pictures with the sentences beside them. A course needs pairs that come with no download, and of which everything is known. There is such a collection on your disk. The fonts that matplotlib ships hold thousands of letters, and the Unicode standard has a name for each: *latin small letter e with circumflex*. A name is a sentence with parts: a case, a letter, a mark.

# %%
letters, fonts, new = (load_captioned("letters", split) for split in ("train", "test", "held out"))
print(letters, fonts, new, letters.about, sep="\n")

# %%
some = [letters.captions.index(f"latin {name}") for name in ("small letter e", "capital letter e with acute", "small letter o with circumflex", "capital letter o with stroke")]
rows = [[int(i) for i in torch.nonzero(letters.caption == number)[:6, 0]] for number in some]
fig = plots.image_grid([letters.images[row] for row in rows], row_labels=[letters.captions[number].removeprefix("latin ") for number in some])
plots.show(fig, alt="Letters and what Unicode calls them: one caption, several pictures. Four rows of six 32 × 32 pictures of one letter each in different fonts: " + "; ".join(letters.captions[number] for number in some) + ". (DejaVu fonts, Bitstream Vera's licence.)", number="16.1")

# %% [markdown]
# Look at a row of Figure 16.1: *one caption has several pictures*. That will matter twice. In a batch, two pictures of one caption are no rivals. And in a split it is the oldest trap of this kind of data: who holds out *pictures* at random will find the same letter, in another font, among those that were trained on.
#
# We want to know whether a model can put together what it knows. It has seen *é* and *ô*: does it know *ó*? For that, combinations of letter and mark have to be new, while every letter and every mark on its own is known.

# %% [markdown] tags=["exercise"]
# **Exercise 16.1 · hold out combinations (★★☆, 20 min)**
#
# `samples` is a list of combinations, such as `("e", "acute")`; the same one comes again with every font and case. `order` has each different combination once. Go through `order` and hold out the first `wanted` combinations that may be: one may, if its letter is still seen with another mark and its mark with another letter, among the combinations that are *not* held out. Return a list with True or False for each sample: True where it is held out.


# %% tags=["exercise"]
def hold_out(samples, order, wanted):
    """Whether each sample is held out: a list of True and False."""
    ### BEGIN SOLUTION
    held = set()
    for pair in order:
        rest = [other for other in order if other != pair and other not in held]
        if len(held) < wanted and any(other[0] == pair[0] for other in rest) and any(other[1] == pair[1] for other in rest):
            held.add(pair)
    return [sample in held for sample in samples]
    ### END SOLUTION


hold_out = check("16.1", hold_out)

# %% [markdown]
# Your split, of all letters with a mark, beside a split of pictures at random:

# %%
def combinations(source):
    """(letter, mark) of each picture, as numbers."""
    return list(zip(source.letter.tolist(), source.mark.tolist()))


marked = [pair for source in (letters, fonts, new) for pair in combinations(source) if letters.names["mark"][pair[1]]]
different = sorted(set(marked))
order = [different[i] for i in Keys.of(0, [0]).permutation("order", len(different))[0].tolist()]
yours = hold_out(marked, order, round(0.15 * len(different)))
at_random = (Keys.of(0, [0]).uniform("pictures", (len(marked),))[0] < 0.15).tolist()
for name, held in (("your split", yours), ("pictures at random", at_random)):
    known = {pair for pair, out in zip(marked, held) if not out}
    leaked = mean(pair in known for pair, out in zip(marked, held) if out)
    print(f"{name:20s} {sum(held)} of {len(held)} pictures held out, {leaked:.0%} of them with a combination that training has seen")
    claim((leaked == 0) == (name == "your split"), "only a split by combinations keeps combinations apart")
claim(not set(combinations(letters)) & set(combinations(new)), "the library's own split holds out combinations, too")

# %% [markdown]
# ## 2 · Two towers, one loss
#
# An encoder of pictures and one of texts each end in a linear projection to the same $D$ numbers, and their answers are brought to length 1. Let $a_i$ be picture $i$'s vector and $b_i$ its caption's. In a batch of $N$ pairs there are $N^2$ cosines $a_i^\top b_j$; the pairs that belong together are on the diagonal of Figure 16.2.

# %%
plots.show(diagrams.two_towers(), "Of every picture and every text a vector; each picture should find its text among the batch, and each text its picture. An image encoder and a text encoder, each under a projection to vectors of length 1; below, a table of all cosines, a row for each picture and a column for each text, the pairs on its diagonal.", number="16.2")

# %% [markdown]
# Each picture has to find its text among all texts of the batch, and each text its picture:
#
# $$\ell = \frac{1}{2N} \sum_i \left( -\log \frac{e^{s\, a_i^\top b_i}}{\sum_j e^{s\, a_i^\top b_j}} - \log \frac{e^{s\, b_i^\top a_i}}{\sum_j e^{s\, b_i^\top a_j}} \right) \tag{16.1}$$
#
# It is the loss of chapters 14 and 15, in both directions (Radford et al. 2021, Figure 3). Who knows nothing pays $\ln N$. The scale $s$ is one over the temperature.
#
# **Equal captions are not negatives.** If pictures $i$ and $j$ have the same caption, then text $j$ is a right answer for picture $i$. To punish it teaches the model to tell apart what is the same. Leave such $j \ne i$ out of the sums. How often does it happen?

# %%
for name, source in (("letters", letters), ("coloured digits", load_captioned("digits"))):
    share = torch.bincount(source.caption).double() / len(source)
    twins = 1 - ((1 - share) ** 255 * share).sum()
    print(f"{name:16s} {len(source.captions)} captions: in a batch of 256, {twins:.0%} of all pairs have another with their very caption")

# %% [markdown] tags=["exercise"]
# **Exercise 16.2 · the symmetric loss (★★☆, 25 min)**
#
# `images` and `texts` $(N, D)$ are the vectors of $N$ pairs, of any length. `caption` $(N,)$ has a number for each caption: equal numbers, equal captions. Return the loss (16.1) with the scale `scale`, where of the pairs with the same caption each looks for its own partner, and the others are left out of its sums.


# %% tags=["exercise"]
def clip_loss(images, texts, scale, caption):
    """Equation (16.1) without equal captions among the negatives: (N, D), (N, D) to a scalar in nats."""
    ### BEGIN SOLUTION
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    logits = scale * a @ b.T
    alike = (caption[:, None] == caption) & ~torch.eye(len(caption), dtype=torch.bool)
    logits = logits.masked_fill(alike, -math.inf)
    places = torch.arange(len(a))
    return (F.cross_entropy(logits, places) + F.cross_entropy(logits.T, places)) / 2
    ### END SOLUTION


clip_loss = check("16.2", clip_loss)

# %%
a, b, caption = torch.randn(12, 8), torch.randn(12, 8), torch.arange(12) // 2
theirs = info_nce(F.normalize(a, dim=1), F.normalize(b, dim=1), 5.0, same=caption) / 12
print(f"yours {clip_loss(a, b, 5.0, caption):.6f}, the library's {theirs:.6f}; all alike {clip_loss(torch.ones(12, 8), torch.ones(12, 8), 5.0, torch.arange(12)):.4f}, ln 12 = {math.log(12):.4f}")
claim((clip_loss(a, b, 5.0, caption) - theirs).abs() < 1e-5, "your loss is the library's")

# %% [markdown]
# ### Which way does the temperature go?
#
# The scale is learned, as $\ln s$, like any weight. Which way it goes can be read off. Let $p_{ij}$ be the shares of the softmax in row $i$. Differentiate one direction of (16.1), $\frac1N \sum_i \big( \ln \sum_j e^{s c_{ij}} - s c_{ii} \big)$ with the cosines $c_{ij}$, by $\ln s$, and what comes out is a difference of two cosines: the one that the model *expects*, $\sum_j p_{ij} c_{ij}$, and the one that is right, $c_{ii}$.

# %% [markdown] tags=["exercise"]
# **Exercise 16.3 · which way the temperature goes (★★☆, 20 min)**
#
# `cosines` $(N, N)$ has a row for each picture; the right text of row $i$ is column $i$. Return the derivative of the mean loss of the rows (one direction) by $\ln s$, without autograd.


# %% tags=["exercise"]
def scale_slope(cosines, scale):
    """How the mean loss of the rows changes with ln(scale): (N, N) to a scalar."""
    ### BEGIN SOLUTION
    shares = (scale * cosines).softmax(1)
    return scale * ((shares * cosines).sum(1) - cosines.diagonal()).mean()
    ### END SOLUTION


scale_slope = check("16.3", scale_slope)

# %%
def best_scale(cosines):
    """Where the slope is 0, within what CLIP allows."""
    low, high = 0.01, 100.0
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if scale_slope(cosines, middle) < 0 else (low, middle)
    return low


generator = torch.Generator().manual_seed(0)
noise = 0.15 * torch.randn(256, 256, generator=generator)
shown = {gap: best_scale(noise + gap * torch.eye(256)) for gap in (0.0, 0.2, 0.4, 0.6, 0.8)}
print("; ".join(f"right ones {gap:.1f} above the others: scale {scale:.1f}" for gap, scale in shown.items()))
claim(list(shown.values()) == sorted(shown.values()), "the further the right ones stand out, the larger the best scale")

# %% [markdown]
# While the right texts do not stand out, the best scale is small: cosines mean little, and a softmax that trusted them would be punished. The better the towers, the larger the scale. When every picture is nearest to its own text the slope stays negative however large $s$ is, and the scale would grow without end. That is why CLIP stops it at 100. (So the scale is a gauge: if it falls back to its start or below, ask what the model has found.)
#
# ### Live
#
# The image tower is a small ResNet (chapter 14). The text tower is as simple as can be, a **bag of words**: a vector for each word, and of a caption their mean.

# %%
def recipe(steps, batch, rate):
    """The rate rises for a tenth of the updates, then falls along half a cosine."""
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=1e-4, warmup_steps=steps // 10, precision="fp32", device="cpu", log_every=1)


VIEWS = {"image": ["images"], "text": ["input_ids", "attention_mask"]}
shape = ResNetConfig(num_channels=1, embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1))
words = letters.tokenizer.get_vocab_size()
towers = TwoTowers(ResNetModel(shape, seed=0), BagOfWords(BagOfWordsConfig(words), seed=0), projection_size=64)
objective = Contrastive(VIEWS, temperature=0.1, same="caption")
predict("16.letters", ..., unit="% right of combinations that were never seen, among all names (chance 0.15 %)")
history = Trainer(towers, objective, letters, recipe(dial(smoke=3, laptop=220), dial(smoke=32, laptop=256), 1e-2)).fit()
print(f"loss {mean(history.losses[-10:]):.2f} at the end, chance {math.log(256):.2f}; scale from 10 to {objective.log_scale.exp():.1f}; {sum(p.numel() for p in towers.parameters()):,} weights")

# %%
names = sorted({*letters.captions, *fonts.captions, *new.captions})


def vectors_of(source):
    """Each picture of a source as a vector of length 1."""
    return F.normalize(features(towers.towers["image"], source), dim=1)


def vectors_of_texts(texts):
    return F.normalize(features(towers.towers["text"], letters.encode(texts)), dim=1)


name_vectors = vectors_of_texts(names)
found, answers = {}, {}
for part, source in (("seen combinations, other fonts", fonts), ("new combinations, other fonts", new)):
    scores = vectors_of(source) @ name_vectors.T
    right = torch.tensor([names.index(source.captions[number]) for number in source.caption])
    found[part], answers[part] = measure_retrieval(scores, right), scores.argmax(1)
    print(f"{part}: {found[part]}")
reveal("16.letters", 100 * found["new combinations, other fonts"].hit[1].mean().item())
claim(found["new combinations, other fonts"].hit[1].mean() > 0.2, "combinations that were never seen are named")
headline("names found of combinations that were never seen, over a hundred times chance", found["new combinations, other fonts"].hit[1].mean().item() * len(names) / 100, 1.0, at_most=False)

# %% [markdown]
# Nothing in training ever showed these combinations, and no picture of these fonts. No caption was ever written for them. (One seed, one rate: a demonstration. The ledger of section 4 has rivals, seeds and tuned rates.)

# %%
fig, axes = plots.figure(columns=2, width=10, height=3.2)
axes[0].plot(history.steps, history.losses, color=plots.BLUE)
axes[0].axhline(math.log(256), color=plots.GREY, linestyle="--", linewidth=1)
axes[0].annotate("chance, ln 256", (history.steps[-1], math.log(256)), xytext=(0, 3), textcoords="offset points", color=plots.GREY, ha="right", va="bottom")
axes[0].set(xlabel="updates", ylabel="loss (nats)", ylim=(0, 6.3), title="each finds its other")
which = torch.arange(10) * 26 % len(new)
cosines = vectors_of(new.subset(which.tolist())) @ vectors_of_texts([new.captions[new.caption[i]] for i in which]).T
shown = axes[1].imshow(cosines, cmap="magma", vmin=-0.2, vmax=1)
axes[1].set(xlabel="their captions", ylabel="ten new pictures", title="cosines after training", xticks=[], yticks=[])
axes[1].grid(visible=False)
fig.colorbar(shown, ax=axes[1])
off = cosines[~torch.eye(10, dtype=torch.bool)]
plots.show(fig, alt=f"The loss falls far below chance, and pictures lie near their own captions even where the combination is new. Left, the live run, at the end {mean(history.losses[-10:]):.2f} nats. Right, cosines of ten pictures of the held-out part with their captions: on the diagonal {cosines.diagonal().mean():.2f} on average, elsewhere {off.mean():.2f}.", number="16.3")

# %% [markdown]
# ## 3 · Classes are texts
#
# A class is now a text. To tell digits apart, write down "a three" and "a four", and give each picture to the nearest. That is **zero-shot** classification: no label was read. And a class may be described by several texts. CLIP took the mean of 80 prompts, such as "a photo of a big three" (Radford et al. 2021, section 3.1.4). All vectors have length 1, so that a long one does not count for more; and the mean of several is shorter than 1, the more they differ.

# %% [markdown] tags=["exercise"]
# **Exercise 16.4 · classes are texts (★★☆, 20 min)**
#
# `images` $(N, D)$ are the pictures' vectors, and `prompts` is a list with one tensor $(P_k, D)$ for each class: the vectors of its prompts. None of them has length 1 yet. A class is the mean of its prompts, each of length 1, brought to length 1 again. Return for each picture the number of the class with the largest cosine.


# %% tags=["exercise"]
def zero_shot(images, prompts):
    """The number of each picture's class, (N,)."""
    ### BEGIN SOLUTION
    classes = torch.stack([F.normalize(F.normalize(own, dim=1).mean(0), dim=0) for own in prompts])
    return (F.normalize(images, dim=1) @ classes.T).argmax(1)
    ### END SOLUTION


zero_shot = check("16.4", zero_shot)

# %% [markdown]
# With it the same model becomes three classifiers of which nobody trained one: of the case, of the letter and of the mark. A class's prompts are all known names that have it.

# %%
known = letters.captions
kinds = {kind: (lambda text, kind=kind: letters.names[kind][getattr(letters, kind)[(letters.caption == known.index(text)).nonzero()[0, 0]]]) for kind in ("case", "letter", "mark")}
pictures = vectors_of(new)
for kind, kind_of in kinds.items():
    texts = {}
    for text in known:
        texts.setdefault(kind_of(text), []).append(text)
    classes = [name for name in letters.names[kind] if name in texts]
    mine = zero_shot(pictures, [vectors_of_texts(texts[name]) for name in classes])
    theirs = ZeroShot(towers, {name: letters.encode(texts[name]) for name in classes})(new)
    truth = torch.tensor([classes.index(letters.names[kind][number]) for number in getattr(new, kind)])
    print(f"{kind:6s} {len(classes):2d} classes: {(mine == truth).double().mean():.1%} right on new combinations; chance {1 / len(classes):.1%}")
    claim((mine == theirs).double().mean() > 0.999, "your classifier is the library's")

# %% [markdown]
# ### State the pool
#
# The retrieval numbers above came with a pool, the number of names among which the right one was to be found. The same model, the same pictures, and fewer names to choose from:

# %%
def hit_among(pool, seed=0):
    """How often the right name is first among `pool` names: the right one and others drawn for each picture."""
    scores = pictures @ name_vectors.T
    right = torch.tensor([names.index(new.captions[number]) for number in new.caption])
    own = scores.gather(1, right[:, None])
    rank = torch.argsort(torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).scatter(1, right[:, None], 2.0), dim=1)[:, : pool - 1]
    return (own > scores.gather(1, rank)).all(1).double().mean().item() if pool > 1 else 1.0


pools = [2, 5, 10, 30, 94, 300, len(names)]
fig, ax = plots.figure(width=6.5, height=3.2)
hits = [100 * hit_among(pool) for pool in pools]
ax.plot(pools, hits, marker="o", color=plots.BLUE)
ax.plot(pools, [100 / pool for pool in pools], color=plots.GREY, linestyle="--")
plots.label_line(ax, pools, hits, "two towers", plots.BLUE)
plots.label_line(ax, pools, [100 / pool for pool in pools], "chance", plots.GREY)
ax.set(xscale="log", xlabel="names to choose from", ylabel="right one first (%)", xlim=(1.8, 2500), ylim=(0, 105), xticks=pools, xticklabels=pools)
ax.minorticks_off()
plots.show(fig, alt="A retrieval number without its pool says nothing: the same model and pictures, with fewer names to choose from. How often the right name is first, by number of names: " + ", ".join(f"{pool}: {hit:.0f} %" for pool, hit in zip(pools, hits)) + "; dashed, chance.", number="16.4")

# %% [markdown]
# It matters, too, *which* names are in the pool. Where a model errs, it mostly answers with a name that it has seen. Ask only among new names, and all these errors vanish:

# %%
is_new = torch.tensor([name in set(new.captions) for name in names])
scores = pictures @ name_vectors.T
right = torch.tensor([names.index(new.captions[number]) for number in new.caption])
among_all = scores.argmax(1)
among_new = torch.nonzero(is_new)[:, 0][scores[:, is_new].argmax(1)]
wrong = among_all != right
print(f"among all {len(names)} names {(~wrong).double().mean():.1%} right; among the {int(is_new.sum())} new ones {(among_new == right).double().mean():.1%}; "
      f"of the wrong answers {1 - is_new[among_all[wrong]].double().mean():.0%} are names that were seen")
claim((among_new == right).double().mean() >= (~wrong).double().mean(), "a pool without the names that were seen flatters")

# %% [markdown]
# ### A search box
#
# The space works in both directions: a text finds pictures. Type what you look for; words that no caption has are refused by name. (Without controls the cell shows one search.)

# %%
everything = {part: vectors_of(source) for part, source in (("train", letters), ("new", new))}
shown_pictures, shown_vectors = torch.cat([letters.images, new.images]), torch.cat([everything["train"], everything["new"]])


def search(text="small letter o with acute"):
    """The eight pictures nearest to a text."""
    try:
        nearest = (vectors_of_texts([text]) @ shown_vectors.T)[0].argsort(descending=True)[:8]
    except ValueError as error:
        return print(error)
    fig = plots.image_grid([shown_pictures[nearest]], row_labels=[text])
    plots.show(fig, alt=f"What a text finds among {len(shown_pictures):,} pictures of letters. The eight pictures nearest to {text!r}.", number="16.5")


explore(search, text="small letter o with acute")
