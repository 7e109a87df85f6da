"""Texts that repeat themselves after a random number of tokens: what comes next, came before.

A token of the first copy tells nothing of the next. From the second copy on all are known to who
finds the last place of the present token and looks one further, and to nobody else. With one length
for all texts a model need not find anything: it looks back by that many places.
"""

from __future__ import annotations

import torch

from ..keys import Keys
from ..source import Samples
from .hidden_markov import SPECIAL


class RepeatedSegments:
    """Rows of random tokens, in which from a random start on one segment comes again and again.

    The rows are a function of their keys: other epochs, other rows. Ids 0 to 4 are the special
    tokens, which never occur in them.

    Args:
        vocab_size: V, with the five special tokens.
        length: T, tokens in a row.
        periods: shortest and longest segment, in tokens; each length is as likely.
        latest_start: the start is any of 0 to this, each as likely.
        rows: how many are counted as one epoch.

    Raises:
        ValueError: if there are no words, a segment could be shorter than 2 tokens, or one could
            be too long to come a second time.
    """

    special = SPECIAL

    def __init__(self, vocab_size: int = 55, length: int = 48, periods: tuple[int, int] = (6, 20),
                 latest_start: int = 8, rows: int = 100_000):
        shortest, longest = periods
        if vocab_size <= len(SPECIAL) or rows < 1 or latest_start < 0:
            raise ValueError(f"vocab_size must be above {len(SPECIAL)}, rows at least 1 and latest_"
                             f"start at least 0, got {vocab_size}, {rows} and {latest_start}")
        if not 2 <= shortest <= longest or latest_start + longest >= length:
            raise ValueError("periods must be 2 or more, shortest first, and a row longer than "
                             f"start and period together: got periods {periods}, latest_start "
                             f"{latest_start}, length {length}")
        self.vocab_size = vocab_size
        self.length = length
        self.periods = periods
        self.latest_start = latest_start
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name.

        Returns:
            "input_ids", (B, T); "start", (B,), where the first copy begins; "period", (B,), tokens
            from one copy to the next.
        """
        shortest, longest = self.periods
        start = (keys.uniform("start") * (self.latest_start + 1)).long()
        period = shortest + (keys.uniform("period") * (longest - shortest + 1)).long()
        words = keys.uniform("words", (self.length,)) * (self.vocab_size - len(SPECIAL))
        words = words.long() + len(SPECIAL)  # (B, T), of which a row uses its first start + period
        place = torch.arange(self.length)
        within = (place - start[:, None]) % period[:, None] + start[:, None]
        source = torch.where(place < start[:, None], place, within)  # (B, T)
        return {"input_ids": words.gather(1, source), "start": start, "period": period}
