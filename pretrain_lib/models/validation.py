"""What every configuration of a model asks of its fields, and the one error they all give."""

from __future__ import annotations


def require(holds: bool, field: str, value, allowed: str) -> None:
    """Raises the one-line error that every wrong field of a configuration gets."""
    if not holds:
        raise ValueError(f"{field} must be {allowed}, got {value!r}")


def require_at_least(config, least: int, *fields: str) -> None:
    """Each of the fields is an integer of at least `least`."""
    for field in fields:
        value = getattr(config, field)
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and value >= least, field, value, f"an integer of at least {least}")


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
