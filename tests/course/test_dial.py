"""The dial and the claims that know it."""

import importlib

import pytest

from pretrain_lib.course.dial import claim, dial, read_scale

# The package exports a function by the name of this module.
module = importlib.import_module("pretrain_lib.course.dial")


@pytest.mark.parametrize("scale, value", [("smoke", 1), ("laptop", 2), ("gpu", 3)])
def test_the_dial_gives_the_value_of_its_scale(scale, value, monkeypatch):
    monkeypatch.setattr(module, "SCALE", scale)
    assert dial(smoke=1, laptop=2, gpu=3) == value


def test_without_a_value_for_a_gpu_the_laptops_is_used(monkeypatch):
    monkeypatch.setattr(module, "SCALE", "gpu")
    assert dial(smoke=1, laptop=0) == 0


@pytest.mark.parametrize("gpu, scale", [(True, "gpu"), (False, "laptop")])
def test_the_default_follows_the_machine(gpu, scale, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert read_scale(None) == read_scale("") == scale
    assert read_scale("smoke") == "smoke"


def test_an_unknown_scale_names_the_nearest():
    with pytest.raises(ValueError, match="smoke, laptop, gpu, got 'labtop'; did you mean 'laptop'"):
        read_scale("labtop")


def test_a_false_claim_fails_above_smoke_and_is_reported_at_smoke(monkeypatch, capsys):
    monkeypatch.setattr(module, "SCALE", "smoke")
    claim(False, "pigs fly")
    assert capsys.readouterr().out == "not shown at smoke scale: pigs fly\n"
    monkeypatch.setattr(module, "SCALE", "laptop")
    claim(True, "water is wet")
    assert capsys.readouterr().out == "shown: water is wet\n"
    with pytest.raises(AssertionError, match="does not show that pigs fly"):
        claim(False, "pigs fly")
