"""Wrong answers to the exercises of chapter 03, each with a word that its message must hold."""

import math

import torch

from pretrain_lib.course.exercises.ch03 import hide_patches, masked_loss


def keeps_level(images, keys, level):
    return images * (keys.uniform("noise", tuple(images.shape[1:])) < level)


def global_random_state(images, keys, level):
    return images * (torch.rand(images.shape) >= level)


def like_dropout(images, keys, level):
    return images * (keys.uniform("noise", tuple(images.shape[1:])) >= level) / (1 - level)


def one_mask_for_all(images, keys, level):
    return images * (keys.uniform("noise", tuple(images.shape[1:]))[:1] >= level)


def in_place(images, keys, level):
    images[keys.uniform("noise", tuple(images.shape[1:])) < level] = 0
    return images


def whole_images(images, keys, level):
    return images * (keys.uniform("noise", (1, 1, 1)) >= level)


def more_probable(noisy, a, sigma, p):
    return a * torch.sign(a * noisy / sigma**2 + 0.5 * math.log(p / (1 - p)))


def no_prior(noisy, a, sigma, p):
    return a * torch.tanh(a * noisy / sigma**2)


def probability(noisy, a, sigma, p):
    return torch.sigmoid(2 * a * noisy / sigma**2 + math.log(p / (1 - p)))


def sigma_not_squared(noisy, a, sigma, p):
    return a * torch.tanh(a * noisy / sigma + 0.5 * math.log(p / (1 - p)))


def straight_line(noisy, a, sigma, p):
    centre, variance = a * (2 * p - 1), 4 * a**2 * p * (1 - p)
    return centre + variance / (variance + sigma**2) * (noisy - centre)


def grid(flat, rows):
    return flat.reshape(len(flat), 1, rows, rows)


def stretch(mask, patch):
    return mask.repeat_interleave(patch, 2).repeat_interleave(patch, 3)


def each_by_chance(keys, size, patch, ratio):
    rows = size // patch
    return stretch(grid((keys.uniform("mask", (rows * rows,)) < ratio).float(), rows), patch)


def ranks(keys, size, patch):
    return keys.permutation("mask", (size // patch) ** 2)


def shows_instead(keys, size, patch, ratio):
    order = ranks(keys, size, patch)
    return stretch(grid((order >= round(ratio * order.shape[1])).float(), size // patch), patch)


def tiled(keys, size, patch, ratio):
    order = ranks(keys, size, patch)
    return grid((order < round(ratio * order.shape[1])).float(), size // patch).repeat(1, 1, patch, patch)


def same_for_all(keys, size, patch, ratio):
    order = ranks(keys, size, patch)[:1].expand(len(keys), -1)
    return stretch(grid((order < round(ratio * order.shape[1])).float(), size // patch), patch)


def over_all_pixels(prediction, target, mask):
    return (0.5 * (target - prediction) ** 2 * mask).mean()


def counts_visible(prediction, target, mask):
    return (0.5 * (target - prediction) ** 2).mean()


def mean_of_means(prediction, target, mask):
    squared = 0.5 * (target - prediction) ** 2 * mask
    return (squared.sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * target.shape[1])).mean()


def one_channel(prediction, target, mask):
    return (0.5 * (target - prediction) ** 2 * mask).sum() / mask.sum()


def only_visible(prediction, target, mask):
    return (0.5 * (target - prediction) ** 2 * (1 - mask)).sum() / ((1 - mask).sum() * target.shape[1])


def one_mask_for_channels(images, keys, level):
    return images * (keys.uniform("noise", (1, *images.shape[2:])) >= level)


def steps_down(step):
    def iterate(denoise, x, sigmas):
        for sigma, less in zip(sigmas, sigmas[1:]):
            x = step(denoise, x, sigma, less)
        return x

    return iterate


def always_the_first_sigma(denoise, x, sigmas):
    for sigma, less in zip(sigmas, sigmas[1:]):
        guess = denoise(x, sigmas[0])
        x = guess + less / sigma * (x - guess)
    return x


def one_step(model, optimizer, images, keys, ratio, patch, shown=None, counted=None, backward=True, zero=True, late=False, mask=None):
    """A right step, but for the parts given."""
    mask = hide_patches(keys, images.shape[-1], patch, ratio) if mask is None else mask
    prediction = model(images * (1 - mask) if shown is None else shown(images, mask), mask)
    loss = masked_loss(prediction, images, mask if counted is None else counted(mask))
    if zero:
        optimizer.zero_grad()
    if late:
        optimizer.step()
    if backward:
        loss.backward()
    if not late:
        optimizer.step()
    return loss.item()


def with_parts(**parts):
    return lambda *given: one_step(*given, **parts)


def without_mask(model, optimizer, images, keys, ratio, patch):
    mask = hide_patches(keys, images.shape[-1], patch, ratio)
    return masked_loss(model(images * (1 - mask)), images, mask).item()


def half_of_the_patches(model, optimizer, images, keys, ratio, patch):
    return one_step(model, optimizer, images, keys, 0.5, patch)


def random_mask(model, optimizer, images, keys, ratio, patch):
    chance = torch.rand(len(images), 16).argsort(1).argsort(1) < 12
    mask = chance.float().reshape(-1, 1, 4, 4).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return one_step(model, optimizer, images, keys, ratio, patch, mask=mask)


def with_its_graph(model, optimizer, images, keys, ratio, patch):
    mask = hide_patches(keys, images.shape[-1], patch, ratio)
    loss = masked_loss(model(images * (1 - mask), mask), images, mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


WRONG = {
    "03.1": [
        (keeps_level, "keep"),
        (global_random_state, "key"),
        (like_dropout, "dropout"),
        (one_mask_for_all, "same pixels"),
        (in_place, "changes the images"),
        (whole_images, "whole images"),
        (one_mask_for_channels, "channels"),
    ],
    "03.2": [
        (more_probable, "more probable"),
        (no_prior, "prior"),
        (probability, "probability"),
        (sigma_not_squared, "σ²"),
        (straight_line, "straight line"),
    ],
    "03.3": [
        ({"A": "copying", "B": "visible pixels", "C": "over-fitting"}, "hidden pixels"),
        ({"A": "visible pixels", "B": "over-fitting", "C": "copying"}, "memorised"),
        ({"A": "visible pixels", "B": "copying", "C": "a bug"}, "not among"),
    ],
    "03.4": [
        (each_by_chance, "varies"),
        (shows_instead, "hidden"),
        (tiled, "repeat_interleave"),
        (same_for_all, "same patches"),
    ],
    "03.5": [
        (over_all_pixels, "all pixels"),
        (counts_visible, "visible"),
        (mean_of_means, "each image"),
        (one_channel, "channel"),
        (only_visible, "means hidden"),
    ],
    "03.6": [
        ({"b", "d"}, "raw pixels"),
        ({"a", "b", "c", "d", "g"}, "leaks"),
        ({"a", "b", "d"}, "hiding"),
        ({"a", "c", "d"}, "architecture"),
        ({"a", "b", "c", "d", "e"}, "copier"),
    ],
    "03.7": [
        (steps_down(lambda denoise, x, sigma, less: denoise(x, sigma)), "jumps"),
        (always_the_first_sigma, "same σ"),
        (steps_down(lambda denoise, x, sigma, less: denoise(x, less) + less / sigma * (x - denoise(x, less))), "will have"),
        (steps_down(lambda denoise, x, sigma, less: x + less / sigma * (denoise(x, sigma) - x)), "swapped"),
        (steps_down(lambda denoise, x, sigma, less: denoise(x, sigma) + (less / sigma) ** 2 * (x - denoise(x, sigma))), "variances"),
        (steps_down(lambda denoise, x, sigma, less: denoise(x, sigma) + torch.tensor(sigma) / less * (x - denoise(x, sigma))), "infinite"),
    ],
    "03.8": [
        (without_mask, "without the mask"),
        (with_parts(shown=lambda images, mask: images), "shown the hidden"),
        (with_parts(shown=lambda images, mask: images * mask), "means hidden"),
        (with_parts(counted=torch.ones_like), "visible pixels are counted"),
        (with_parts(backward=False), "no weight moved"),
        (with_parts(zero=False), "zero_grad"),
        (with_parts(late=True, zero=False), "comes after"),
        (half_of_the_patches, "pass ratio"),
        (random_mask, "same keys"),
        (with_its_graph, "graph"),
    ],
}
