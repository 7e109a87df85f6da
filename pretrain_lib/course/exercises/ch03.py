"""Exercises of chapter 03: denoising and masked autoencoders."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...data.keys import Keys
from ...objectives.masked_image import patch_mask
from . import Exercise, Mistake, grade_letters


def as_tensor(value, shape: tuple[int, ...]) -> Tensor:
    """The answer as a tensor of that shape."""
    if not isinstance(value, Tensor):
        raise Mistake(f"return a tensor, not {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Mistake(f"the answer should have shape {shape}, yours has {tuple(value.shape)}")
    return value


# 03.1


def mask_pixels(images: Tensor, keys: Keys, level: float) -> Tensor:
    """Images with each pixel set to 0 with probability `level`; the key decides which."""
    chosen = keys.uniform("noise", tuple(images.shape[1:])) < level  # (B, C, H, W)
    return images.masked_fill(chosen, 0.0)


def grade_mask_pixels(answer) -> str:
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    keys, level = Keys.of(3, 40), 0.25
    original = images.clone()
    noisy = as_tensor(answer(images, keys, level), tuple(images.shape))
    if not torch.equal(images, original):
        raise Mistake("your function changes the images it was given: work on a new tensor, "
                      "the loss still needs the clean one")
    if not torch.equal(noisy, answer(original.clone(), keys, level)):
        raise Mistake("the same key gave other noise the second time: draw it with keys.uniform, not with torch.rand")
    zero = noisy == 0
    rate = zero.float().mean().item()
    if abs(rate - (1 - level)) < 0.03:
        raise Mistake("you keep a fraction `level` of the pixels; that is the fraction to set to 0")
    kept = noisy[~zero]
    if torch.allclose(kept, original[~zero] / (1 - level)):
        raise Mistake("kept pixels were scaled up, as dropout does; here they stay as they are")
    if not torch.equal(kept, original[~zero]):
        raise Mistake("pixels that are not set to 0 should be exactly those of the clean image")
    if abs(rate - level) > 0.03:
        raise Mistake(f"with level {level} a fraction {rate:.2f} of the pixels is 0")
    if (zero == zero[:1]).all():
        raise Mistake("every image lost the same pixels: each sample's key has noise of its own")
    columns = zero.float().mean(dim=(1, 2, 3))
    if (columns * (1 - columns)).max() < 1e-6:
        raise Mistake("whole images are set to 0: draw one number per pixel, not one per image")
    if (zero == zero[:, :1]).all():
        raise Mistake("all channels of a pixel are lost together: each value has a number of its own, so draw them for (C, H, W)")
    other = answer(original.clone(), Keys.of(3, 40, epoch=1), level)
    if torch.equal(noisy, other):
        raise Mistake("epoch 1 has the noise of epoch 0: use the keys you are given")
    return f"{rate:.1%} of the values are 0, the others untouched, and the key alone decides"


# 03.2


def best_guess(noisy: Tensor, a: float, sigma: float, p: float) -> Tensor:
    """E[x | noisy] where x is +a with probability p and −a otherwise, and noisy = x + σ ε."""
    return a * torch.tanh(a * noisy / sigma**2 + 0.5 * math.log(p / (1 - p)))


def grade_best_guess(answer) -> str:
    noisy = torch.linspace(-3, 3, 61, dtype=torch.float64)
    for a, sigma, p in [(1.0, 0.7, 0.5), (2.0, 1.5, 0.5), (1.5, 0.8, 0.2)]:
        guess = as_tensor(answer(noisy.clone(), a, sigma, p), tuple(noisy.shape)).double()
        right = best_guess(noisy, a, sigma, p)
        if torch.allclose(guess, right, atol=1e-6):
            continue
        prior = 0.5 * math.log(p / (1 - p))
        weight = torch.sigmoid(2 * (a * noisy / sigma**2 + prior))
        variance = 4 * a**2 * p * (1 - p)
        centre = a * (2 * p - 1)
        likely = {
            "that is the more probable of the two points; the squared error asks for the mean, which lies between them":
                a * torch.sign(a * noisy / sigma**2 + prior),
            "that is the probability of +a; the mean weighs +a with it and −a with the rest": weight,
            "you left out the prior p: a point that is rare needs more evidence": a * torch.tanh(a * noisy / sigma**2),
            "the exponent of the normal density has σ², you have σ":
                a * torch.tanh(a * noisy / sigma + prior),
            "the normal density has ½ in its exponent: (x̃ − x)² / (2σ²)":
                a * torch.tanh(2 * a * noisy / sigma**2 + prior),
            "that is the best straight line; the mean of two points is not a straight line in x̃":
                centre + variance / (variance + sigma**2) * (noisy - centre),
        }
        for message, wrong in likely.items():
            if torch.allclose(guess, wrong, atol=1e-6):
                raise Mistake(message)
        if guess.abs().max() > a + 1e-6:
            raise Mistake(f"a mean of +{a} and −{a} lies between them; yours reaches {guess.abs().max():.3g}")
        raise Mistake(f"for a={a}, σ={sigma}, p={p} and x̃=0.5 the mean is {right[35]:.4f}, yours {guess[35]:.4f}: "
                      "weigh each point with prior times density, and divide by the sum of the weights")
    return "the posterior mean, at three settings and 61 noisy values each"


# 03.3

CONDITIONS = ("copying", "over-fitting", "visible pixels")
RIGHT_LOGS = {"A": "visible pixels", "B": "copying", "C": "over-fitting"}
CLUES = {
    "A": "in A the loss on hidden pixels stays where filling in the mean image puts it, while the loss over all pixels is small: "
         "which pixels make up the average?",
    "B": "in B held-out loss is as tiny as the training loss, so nothing was memorised, and yet the code serves no better than "
         "untrained weights: what solves the task for any image at all?",
    "C": "in C the training loss is far below the held-out loss: what was learned holds for these images only",
}


def printed_logs() -> dict[str, dict[str, float]]:
    """Three invented, but typical, ends of training logs: losses in ½Σ(x−y)² a sample, accuracies of probes."""
    return {
        "A": {"training loss": 2.3, "held-out loss": 2.4, "held-out loss on hidden pixels": 21.0,
              "the mean image's": 21.4, "probe": 0.79, "untrained probe": 0.78},
        "B": {"training loss": 0.006, "held-out loss": 0.007, "probe": 0.88, "untrained probe": 0.88},
        "C": {"training loss": 0.9, "held-out loss": 7.6, "probe": 0.83, "untrained probe": 0.78},
    }


def grade_logs(answer) -> str:
    if not isinstance(answer, dict) or set(answer) != set(RIGHT_LOGS):
        raise Mistake("answer with a dictionary that has the keys 'A', 'B' and 'C'")
    for log, condition in answer.items():
        if condition is None or condition is Ellipsis:
            raise Mistake(f"log {log} has no diagnosis yet")
        if condition not in CONDITIONS:
            raise Mistake(f"{condition!r} is not among the diagnoses: {', '.join(CONDITIONS)}")
    for log, condition in RIGHT_LOGS.items():
        if answer[log] != condition:
            raise Mistake(CLUES[log])
    return "three different illnesses, told apart by one more number each"


# 03.4


def hide_patches(keys: Keys, size: int, patch: int, ratio: float) -> Tensor:
    """A mask (B, 1, size, size), 1 where hidden: round(ratio · patches) patches of each image."""
    return patch_mask(keys, size, size, patch, ratio)


def grade_hide_patches(answer) -> str:
    keys, size, patch = Keys.of(5, 30), 12, 3
    for ratio in (0.25, 0.75):
        mask = as_tensor(answer(keys, size, patch, ratio), (30, 1, size, size)).float()
        if not ((mask == 0) | (mask == 1)).all():
            raise Mistake("a mask holds 0 and 1 only")
        if not torch.equal(mask, answer(keys, size, patch, ratio).float()):
            raise Mistake("the same keys gave another mask the second time: draw it from the keys")
        rows = size // patch
        blocks = mask.reshape(30, rows, patch, rows, patch).transpose(2, 3).flatten(3)  # (B, rows, rows, patch²)
        if not (blocks == blocks[..., :1]).all():
            raise Mistake("patches are torn apart: a patch must be hidden as a whole. "
                          "repeat_interleave stretches each entry to a block, repeat tiles the whole grid")
        hidden = blocks[..., 0].flatten(1).sum(1)  # (B,)
        wanted = round(ratio * rows**2)
        if (hidden != hidden[0]).any():
            raise Mistake("the number of hidden patches varies from image to image: hide an exact number, "
                          "the first of a random order")
        if hidden[0] == rows**2 - wanted:
            raise Mistake("1 should mean hidden: yours is 1 where the image stays visible")
        if hidden[0] != wanted:
            raise Mistake(f"at ratio {ratio} of {rows**2} patches, {wanted} should be hidden, not {int(hidden[0])}")
        if (mask == mask[:1]).all():
            raise Mistake("every image hides the same patches: use a row of the permutation for each")
    return "whole patches, an exact number of them, and others in every image"


# 03.5


def masked_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of ½(x − y)² over the hidden pixels of all images and channels."""
    squared = 0.5 * (target - prediction).square() * mask  # (B, C, H, W)
    return squared.sum() / (mask.sum() * target.shape[1])


def grade_masked_loss(answer) -> str:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    prediction = torch.rand(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    share = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.8, 0.9])[:, None, None, None]
    mask = (torch.rand(6, 1, 8, 8, generator=generator) < share).double()
    value = torch.as_tensor(answer(prediction.clone(), target.clone(), mask.clone()))
    if value.ndim:
        raise Mistake(f"return one number for the batch, not a tensor of shape {tuple(value.shape)}")
    half = 0.5 * (target - prediction).square()
    right = masked_loss(prediction, target, mask)
    likely = {
        "you averaged over all pixels: divide by the number of hidden ones": (half * mask).mean(),
        "visible pixels are counted: copying them should earn nothing": half.mean(),
        "those are the visible pixels: 1 in the mask means hidden": (half * (1 - mask)).sum() / ((1 - mask).sum() * 3),
        "you took a mean in each image and then a mean of those: images with few hidden pixels weigh too much":
            ((half * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * 3)).mean(),
        "the mask has one channel and the image three: count a hidden pixel once a channel":
            (half * mask).sum() / mask.sum(),
        "the ½ is missing": 2 * right,
        "that is the sum: divide by the number of hidden pixels": (half * mask).sum(),
    }
    if not torch.isclose(value.double(), right):
        for message, wrong in likely.items():
            if torch.isclose(value.double(), wrong):
                raise Mistake(message)
        raise Mistake(f"on a random batch the loss is {right:.5f}, yours {value.item():.5f}")
    return "only hidden pixels count, and each counts the same"


# 03.6

CHOICES = {
    "a": "a probe on the raw pixels",
    "b": "a probe on the same network, untrained",
    "c": "a probe on the same network, pretrained for as long with nothing hidden",
    "d": "several seeds, and for each several draws of the labelled images",
    "e": "a lower reconstruction loss",
    "f": "twice the training steps for the masked network, since its task is harder",
    "g": "choosing the probe's regularisation on the test images, so that nobody is at a disadvantage",
}
NEEDED = {
    "a": "without raw pixels (a) nobody knows whether the network adds anything to its input",
    "b": "without the untrained network (b) the architecture alone may explain it: random convolutions are features, too",
    "c": "without the network that was shown everything (c) you know that pretraining helps, not that hiding does",
    "d": "without repeats (d) a lucky start or lucky labels may explain it",
}
HARMFUL = {
    "e": "a lower loss (e) says nothing about features: a copier has the lowest loss of all",
    "f": "with twice the steps (f) for one arm, the steps explain the difference",
    "g": "tuning on the test images (g) leaks them: every arm is tuned on its labelled images alone",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL,
                             "input, architecture, pretraining without hiding, and luck: each has its control")


# 03.7


def iterate(denoise, x: Tensor, sigmas) -> Tensor:
    """Points x (N, D) at noise sigmas[0], taken down to sigmas[-1]: each step keeps the share σ'/σ of the noise."""
    for sigma, less in zip(sigmas, sigmas[1:]):
        guess = denoise(x, sigma)
        x = guess + less / sigma * (x - guess)
    return x


CENTRE, SPREAD = 1.5, 0.5


def normal_denoiser(x: Tensor, sigma: float) -> Tensor:
    """E[x | x̃] where clean points are normal around `CENTRE`."""
    return CENTRE + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - CENTRE)


def grade_iterate(answer) -> str:
    start = CENTRE + math.hypot(SPREAD, 5) * torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigmas = [5.0, 3.0, 1.0, 0.4, 0.0]
    kept = start.clone()
    found = as_tensor(answer(normal_denoiser, start, sigmas), tuple(start.shape))
    if not torch.equal(start, kept):
        raise Mistake("your function changes the points it was given: make new ones in each step")
    if not found.isfinite().all():
        raise Mistake("the points became infinite: the share of the noise that stays is the next σ over this one, not the other way round")
    steps = list(zip(sigmas, sigmas[1:]))

    def variant(step) -> Tensor:
        x = start
        for sigma, less in steps:
            x = step(x, sigma, less)
        return x

    def partly(x, guess, share):
        return guess + share * (x - guess)

    likely = {
        "every step jumps to the best guess, so the cloud shrinks to a point: keep the share σ'/σ of the noise":
            lambda x, sigma, less: normal_denoiser(x, sigma),
        "the denoiser is told the same σ in every step: as noise leaves, σ falls":
            lambda x, sigma, less: partly(x, normal_denoiser(x, sigmas[0]), less / sigma),
        "the denoiser is told the noise that the points will have: tell it the noise that they have":
            lambda x, sigma, less: partly(x, normal_denoiser(x, less), less / sigma),
        "the shares are swapped: σ'/σ of the noise stays, the rest goes":
            lambda x, sigma, less: partly(x, normal_denoiser(x, sigma), 1 - less / sigma),
        "the share is σ'/σ of the noise, not of its square: you took variances":
            lambda x, sigma, less: partly(x, normal_denoiser(x, sigma), (less / sigma) ** 2),
    }
    right = variant(lambda x, sigma, less: partly(x, normal_denoiser(x, sigma), less / sigma))
    if not torch.allclose(found, right):
        for message, step in likely.items():
            if torch.allclose(found, variant(step)):
                raise Mistake(message)
        if torch.equal(found, start):
            raise Mistake("the points did not move")
        raise Mistake(f"after {len(steps)} steps a point that began at {start[0, 0]:.3f} should be at {right[0, 0]:.4f}, yours is at {found[0, 0]:.4f}")
    fine = [5 * 0.99**i for i in range(900)] + [0.0]
    spread = math.hypot(SPREAD, 5) * answer(normal_denoiser, start, fine).std().item() / start.std().item()
    if abs(spread - SPREAD) > 0.02:
        raise Mistake(f"many small steps should end with the spread of the clean points, {SPREAD}; yours end with {spread:.3f}")
    return f"equals the formula step by step, and 900 small steps end with the clean points' spread: {spread:.3f} for {SPREAD}"


# 03.8


def masked_step(model, optimizer, images: Tensor, keys: Keys, ratio: float, patch: int) -> float:
    """One update of a masked autoencoder on images (B, C, H, W); the loss before it."""
    mask = hide_patches(keys, images.shape[-1], patch, ratio)
    loss = masked_loss(model(images * (1 - mask), mask), images, mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class Watched(torch.nn.Module):
    """A model of a few weights that remembers with what it was called."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.8, 0.3]))
        self.picture = torch.nn.Parameter(torch.full((1, 8, 8), 0.2))
        self.calls = []

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            raise Mistake("the model was called without the mask: black and hidden would look the same to it")
        self.calls.append((images.detach().clone(), mask.detach().clone()))
        return self.weight[0] * images + self.weight[1] * mask + self.picture


def updated(calls, images: list[Tensor], rate: float, where, keeps_gradients: bool = False) -> list[Tensor]:
    """The watched model's weights after plain gradient steps on the same masks, by autograd."""
    model = Watched()
    parameters, total = list(model.parameters()), None
    for (shown, mask), clean in zip(calls, images):
        weight = where(mask)
        squared = 0.5 * (clean - model(shown, mask)).square() * weight
        gradients = torch.autograd.grad(squared.sum() / weight.expand_as(clean).sum(), parameters)
        total = [g + t for g, t in zip(gradients, total)] if keeps_gradients and total else gradients
        with torch.no_grad():
            for p, g in zip(parameters, total):
                p -= rate * g
    return [p.detach() for p in parameters]


def grade_masked_step(answer) -> str:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(6, 1, 8, 8, generator=generator) * 0.9 + 0.1 for _ in range(3)]
    rate, ratio, hidden = 0.5, 0.75, 12
    model = Watched()
    optimizer, losses, moved = torch.optim.SGD(model.parameters(), lr=rate), [], []
    for epoch, batch in enumerate(images):
        before = [p.detach().clone() for p in model.parameters()]
        clean = batch.clone()
        losses.append(answer(model, optimizer, batch, Keys.of(4, 6, epoch=epoch), ratio, 2))
        if not torch.equal(clean, batch):
            raise Mistake("your function changes the images: the loss needs the clean ones")
        if len(model.calls) != epoch + 1:
            raise Mistake(f"one step calls the model once; yours called it {len(model.calls) - epoch} times")
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, model.parameters())))
    for (shown, mask), batch in zip(model.calls, images):
        as_mask(mask, shown, batch, hidden)
    masks = [mask for _, mask in model.calls]
    repeated = Watched()
    answer(repeated, torch.optim.SGD(repeated.parameters(), lr=rate), images[0], Keys.of(4, 6, epoch=0), ratio, 2)
    if not torch.equal(repeated.calls[0][1], masks[0]):
        raise Mistake("the same keys gave another mask: draw it with hide_patches from the keys you are given")
    if torch.equal(masks[0], masks[1]):
        raise Mistake("epoch 1 hides what epoch 0 hid: use the keys you are given")
    if not any(moved):
        raise Mistake("no weight moved: after loss.backward(), call optimizer.step()")
    if not moved[0]:
        raise Mistake("the first step moved nothing: optimizer.step() comes after loss.backward()")
    hidden_only, everywhere, visible = (lambda m: m), torch.ones_like, (lambda m: 1 - m)
    ours = [p.detach() for p in model.parameters()]
    if not same(ours, updated(model.calls, images, rate, hidden_only)):
        for message, change in {
            "gradients of earlier steps are still there: call optimizer.zero_grad() in each step": (hidden_only, True),
            "visible pixels are counted in the loss: copying them should earn nothing": (everywhere, False),
            "the loss is that of the visible pixels": (visible, False),
        }.items():
            if same(ours, updated(model.calls, images, rate, *change)):
                raise Mistake(message)
        raise Mistake("after three steps the weights differ from those that autograd and plain descent give on the mean over hidden pixels")
    if any(isinstance(loss, Tensor) and loss.requires_grad for loss in losses):
        raise Mistake("the loss you return still holds its graph, and with it memory: return loss.item()")
    first = masked_loss(Watched()(*model.calls[0]), images[0], masks[0]).item()
    if abs(float(losses[0]) - first) > 1e-5:
        raise Mistake(f"the loss of the first step is {first:.4f}, you return {float(losses[0]):.4f}: it is the one before the update")
    return "three steps equal autograd's, on hidden pixels only, with masks that the keys decide"


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs))


def as_mask(mask: Tensor, shown: Tensor, images: Tensor, hidden: int):
    """What the model was shown must be the images, with 0 where the mask is 1."""
    mask = as_tensor(mask, (len(images), 1, *images.shape[2:]))
    if torch.equal(shown, images):
        raise Mistake("the model was shown the hidden pixels: set them to 0 before it sees them")
    if torch.equal(shown, images * mask):
        raise Mistake("the model was shown what should be hidden, and not the rest: 1 in the mask means hidden")
    if not torch.allclose(shown, images * (1 - mask)):
        raise Mistake("what the model is shown should be the images, with 0 where the mask is 1")
    counts = mask.flatten(1).sum(1) / 4
    if (counts != hidden).any():
        raise Mistake(f"of 16 patches {hidden} should be hidden, not {counts[0]:.0f}: pass ratio and patch on to hide_patches")


EXERCISES = [
    Exercise("03.1", "masking noise from keys", 1, 10, mask_pixels, grade_mask_pixels),
    Exercise("03.2", "the best denoiser of two points", 2, 15, best_guess, grade_best_guess),
    Exercise("03.3", "read three logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("03.4", "a mask of patches", 2, 10, hide_patches, grade_hide_patches),
    Exercise("03.5", "a loss that counts hidden pixels only", 2, 10, masked_loss, grade_masked_loss),
    Exercise("03.6", "which controls does the claim need?", 2, 10, {"a", "b", "c", "d"}, grade_design),
    Exercise("03.7", "the iterated denoiser", 1, 10, iterate, grade_iterate),
    Exercise("03.8", "one step of a masked autoencoder", 2, 20, masked_step, grade_masked_step),
]
