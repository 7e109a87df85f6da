"""The blanks that every text model of the course is scored on, in held-out State of the Union addresses.

They were drawn once, by `programs.draw_common_blanks`.
"""

from __future__ import annotations

from ..data.text.tokenizer import load_tokenizer
from ..zoo import ZOO, held_out_sources
from .masked import MaskedSet

NAME = "sotu-8192"


def load_common_blanks() -> tuple[set[str], object, MaskedSet]:
    """The sources of the held-out addresses, the tokenizer, and the blanks."""
    return held_out_sources(NAME), load_tokenizer(NAME), MaskedSet.load(ZOO / NAME)
