"""[UNK]: how much of a text a tokenizer cannot read."""

from __future__ import annotations

import numpy as np

from .tokenizer import SpecialIds

MOST = 0.02  # above it, a text is hardly this tokenizer's
REMEDY = ("such a text needs a tokenizer of its own, and a model trained with it: python -m "
          "pretrain_lib pretrain recipes/modernbert-mini-laptop.toml --data.corpus YOUR_TEXT.txt")


def unknown_share(counts: np.ndarray, special: SpecialIds) -> float:
    """The share of [UNK] among the tokens of a text.

    Args:
        counts: how often each token occurs; other special tokens than [UNK] do not count.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
    """
    is_text = np.isin(np.arange(len(counts)), [i for i in special if i != special.unk], invert=True)
    return float(counts[special.unk:special.unk + 1].sum() / max(1, counts[is_text].sum()))


def about_unknown(share: float) -> str:
    """A line for people, which warns where a tokenizer does not suit a text."""
    said = f"{share:.2%} of the tokens are [UNK], what the tokenizer cannot read"
    return said if share <= MOST else f"Warning: {said}: {REMEDY}"
