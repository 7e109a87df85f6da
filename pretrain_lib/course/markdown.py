"""Plain texts as Markdown shows them."""

import re


def escaped(text: str) -> str:
    """Text in which Markdown finds nothing to do."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~^])", r"\\\1", text)


def caption(alt: str) -> str:
    """What stands below a figure: the first sentence of its alternative text."""
    return escaped(re.split(r"(?<=[a-z)\d]\.) (?=[A-Z])", " ".join(alt.split()), maxsplit=1)[0])
