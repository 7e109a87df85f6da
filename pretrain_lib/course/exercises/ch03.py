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
    images = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
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
        raise Mistake("whole images are set to 0: draw one number a pixel, not one an image")
    other = answer(original.clone(), Keys.of(3, 40, epoch=1), level)
    if torch.equal(noisy, other):
        raise Mistake("epoch 1 has the noise of epoch 0: use the keys you are given")
    return f"{rate:.1%} of the pixels are 0, the others untouched, and the key alone decides"


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


EXERCISES = [
    Exercise("03.1", "masking noise from keys", 1, 10, mask_pixels, grade_mask_pixels),
    Exercise("03.2", "the best denoiser of two points", 2, 15, best_guess, grade_best_guess),
    Exercise("03.3", "read three logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("03.4", "a mask of patches", 2, 10, hide_patches, grade_hide_patches),
    Exercise("03.5", "a loss that counts hidden pixels only", 2, 10, masked_loss, grade_masked_loss),
    Exercise("03.6", "which controls does the claim need?", 2, 10, {"a", "b", "c", "d"}, grade_design),
]
