"""How a field of a configuration is checked, and the one error that a wrong one gives."""

from __future__ import annotations

import math
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Literal, get_args, get_origin, get_type_hints

KINDS = {bool: "True or False", int: "an int", float: "a finite number", str: "a string"}


def require(holds: bool, field: str, value, allowed: str) -> None:
    """Raises the one-line error that every wrong field of a configuration gets."""
    if not holds:
        raise ValueError(f"{field} must be {allowed}, got {value!r}")


def is_a(kind: type, value) -> bool:
    """Whether a value is of a kind of `KINDS`; an int is also a number, True and False are not."""
    if kind is float:
        return is_a(int, value) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def require_kinds(config) -> None:
    """Each field of a configuration is of the kind that its annotation says."""
    for name, hint in get_type_hints(type(config)).items():
        require_kind(name, getattr(config, name), hint)


def require_kind(name: str, value, hint) -> None:
    """A value is of the kind of an annotation: a number, a text, one of some, a configuration.

    Where the annotation ends in "| None", it may be None as well.
    """
    if type(None) in get_args(hint):
        if value is not None:
            require_kind(name, value, get_args(hint)[0])
        return
    if hint in KINDS:
        require(is_a(hint, value), name, value, KINDS[hint])
    elif is_dataclass(hint):
        require(isinstance(value, hint), name, value, f"a {hint.__name__}")
    elif get_origin(hint) is Literal:
        require(value in get_args(hint), name, value, "one of " + ", ".join(get_args(hint)))


def require_at_least(config, least: int, *fields: str) -> None:
    """Each of the fields is an integer of at least `least`."""
    for field in fields:
        value = getattr(config, field)
        require(is_a(int, value) and value >= least, field, value,
                f"an integer of at least {least}")


def require_share(config, *fields: str) -> None:
    """Each of the fields is at least 0 and below 1."""
    for field in fields:
        value = getattr(config, field)
        require(0 <= value < 1, field, value, "at least 0 and below 1")


def require_positive(config, *fields: str) -> None:
    """Each of the fields is above 0."""
    for field in fields:
        value = getattr(config, field)
        require(value > 0, field, value, "above 0")


def require_pad_token(config) -> None:
    """The padding token is one of the vocabulary."""
    require(0 <= config.pad_token_id < config.vocab_size, "pad_token_id", config.pad_token_id,
            f"an id below vocab_size={config.vocab_size}")


def nearest(name, known) -> str:
    """What may have been meant by an unknown name, as the end of an error."""
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def unknown_field(name: str, known, where: str) -> ValueError:
    """The error for a field that does not exist, with the nearest that does."""
    return ValueError(f"{where}: unknown field {name!r}; {nearest(name, known)}")
