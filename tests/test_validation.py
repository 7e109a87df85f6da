"""One error for every wrong field of a configuration: its name, what is allowed, what came."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from pretrain_lib.validation import (
    require_at_least,
    require_kinds,
    require_pad_token,
    require_positive,
    require_share,
)


@dataclass(frozen=True)
class Part:
    size: int = 1


@dataclass(frozen=True)
class Config:
    layers: int = 2
    rate: float = 0.1
    name: str = "a"
    fast: bool = False
    kind: Literal["x", "y"] = "x"
    part: Part = field(default_factory=Part)
    pad_token_id: int = 0
    vocab_size: int = 5


@pytest.mark.parametrize(("values", "message"), [
    ({"layers": 2.0}, "layers must be an int, got 2.0"),
    ({"layers": True}, "layers must be an int, got True"),
    ({"rate": float("nan")}, "rate must be a finite number, got nan"),
    ({"rate": "0.1"}, "rate must be a finite number, got '0.1'"),
    ({"name": 3}, "name must be a string, got 3"),
    ({"fast": 1}, "fast must be True or False, got 1"),
    ({"kind": "z"}, "kind must be one of x, y, got 'z'"),
    ({"part": 3}, "part must be a Part, got 3"),
])
def test_values_of_the_wrong_kind_are_named(values, message):
    with pytest.raises(ValueError) as error:
        require_kinds(Config(**values))
    assert str(error.value) == message


def test_an_int_is_a_number_and_defaults_are_of_their_kinds():
    require_kinds(Config(rate=1))


@pytest.mark.parametrize(("check", "values", "message"), [
    (lambda c: require_at_least(c, 1, "layers"), {"layers": 0}, "layers must be an integer of at least 1, got 0"),
    (lambda c: require_at_least(c, 1, "layers"), {"layers": True}, "layers must be an integer of at least 1, got True"),
    (lambda c: require_share(c, "rate"), {"rate": 1.0}, "rate must be at least 0 and below 1, got 1.0"),
    (lambda c: require_positive(c, "rate"), {"rate": 0.0}, "rate must be above 0, got 0.0"),
    (require_pad_token, {"pad_token_id": 5}, "pad_token_id must be an id below vocab_size=5, got 5"),
])
def test_values_out_of_range_are_named(check, values, message):
    check(Config())
    with pytest.raises(ValueError) as error:
        check(Config(**values))
    assert str(error.value) == message
