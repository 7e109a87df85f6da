import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction

NOISES = ["gaussian", "masking", "salt-and-pepper"]


def images(n: int, shape=(1, 6, 5), seed: int = 0) -> torch.Tensor:
    """Values strictly between 0 and 1, so that each kind of noise shows where it struck."""
    return 0.1 + 0.8 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def corrupted(objective, clean, keys) -> torch.Tensor:
    return objective.batch({"images": clean}, keys).inputs["images"]


@given(n=st.integers(1, 5), width=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_sum_is_the_one_that_a_loop_over_pixels_takes(n, width, seed):
    clean = images(n, (width,), seed).double()
    model = nn.Linear(width, width).double()
    objective = Reconstruction()
    batch = objective.batch({"images": clean}, Keys.of(seed, n))
    answer = model(clean)
    brute = sum(0.5 * (clean[i, j].item() - answer[i, j].item()) ** 2
                for i in range(n) for j in range(width))
    assert objective(model, batch)["reconstruction"].item() == pytest.approx(brute, rel=1e-12)
    assert batch.counts == {"reconstruction": n}


@pytest.mark.parametrize("noise", NOISES)
def test_denoising_is_scored_against_the_clean_image(noise):
    clean = images(4)
    objective = Denoising(noise, 0.5)
    batch = objective.batch({"images": clean}, Keys.of(0, 4))
    noisy = batch.inputs["images"]
    assert not torch.equal(noisy, clean)
    pairs = zip(noisy.flatten().tolist(), clean.flatten().tolist(), strict=True)
    brute = sum(0.5 * (a - b) ** 2 for a, b in pairs)
    total = objective(nn.Identity(), batch)["reconstruction"].item()
    assert total == pytest.approx(brute, rel=1e-5)


def test_the_clean_samples_are_not_written_to():
    clean = images(4)
    before = clean.clone()
    for noise in NOISES:
        Denoising(noise, 0.5).batch({"images": clean}, Keys.of(0, 4))
    assert torch.equal(clean, before)


@given(ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
       epoch=st.integers(0, 2**31), seed=st.integers(0, 2**32 - 1), order=st.randoms())
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("noise", NOISES)
def test_the_same_key_gives_the_same_noise_in_any_company(noise, ids, epoch, seed, order):
    objective = Denoising(noise, 0.4)
    clean = {i: images(1, seed=i % 997)[0] for i in ids}

    def take(chosen):
        stacked = torch.stack([clean[i] for i in chosen])
        noisy = corrupted(objective, stacked, Keys.of(seed, chosen, epoch))
        return dict(zip(chosen, noisy, strict=True))

    together = take(ids)
    shuffled = list(ids)
    order.shuffle(shuffled)
    apart = {i: take([i])[i] for i in ids}
    again = take(shuffled)
    for i in ids:
        assert torch.equal(together[i], apart[i])
        assert torch.equal(together[i], again[i])


@pytest.mark.parametrize("noise", NOISES)
def test_another_sample_epoch_or_seed_gives_other_noise(noise):
    objective, clean = Denoising(noise, 0.5), images(1, (40,))
    keys = [Keys.of(0, [0]), Keys.of(0, [1]), Keys.of(0, [0], epoch=1), Keys.of(1, [0])]
    results = [corrupted(objective, clean, key) for key in keys]
    for i in range(len(keys)):
        for j in range(i):
            assert not torch.equal(results[i], results[j])


def test_noise_does_not_read_the_progress_or_the_global_generator():
    clean, objective = images(3), Denoising("gaussian", 1.0)
    first = corrupted(objective, clean, Keys.of(0, 3, progress=0.0))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(first, corrupted(objective, clean, Keys.of(0, 3, progress=0.9)))
    assert torch.equal(state, torch.get_rng_state())


def within(count: int, n: int, p: float, deviations: float = 5) -> bool:
    return abs(count - n * p) <= deviations * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("level", [0.1, 0.3, 0.75])
def test_masking_hides_its_fraction(level):
    clean = images(200, (100,))
    noisy = corrupted(Denoising("masking", level), clean, Keys.of(0, 200))
    hidden = noisy == 0
    assert within(int(hidden.sum()), hidden.numel(), level)
    assert torch.equal(noisy[~hidden], clean[~hidden])


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_salt_and_pepper_strikes_its_fraction_half_of_it_white(level):
    clean = images(200, (100,))
    noisy = corrupted(Denoising("salt-and-pepper", level), clean, Keys.of(0, 200))
    pepper, salt = noisy == 0, noisy == 1
    struck = pepper | salt
    assert within(int(struck.sum()), struck.numel(), level)
    assert within(int(salt.sum()), int(struck.sum()), 0.5)
    assert torch.equal(noisy[~struck], clean[~struck])


def test_gaussian_noise_has_its_mean_deviation_and_shape():
    clean = images(200, (100,)).double()
    noise = corrupted(Denoising("gaussian", 0.7), clean, Keys.of(0, 200)) - clean
    n = noise.numel()
    assert noise.mean().abs() < 5 * 0.7 / math.sqrt(n)
    assert noise.std().item() == pytest.approx(0.7, rel=5 / math.sqrt(2 * n))
    kurtosis = ((noise / 0.7) ** 4).mean().item()
    assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(96 / n))


@pytest.mark.parametrize("noise", NOISES)
def test_level_0_changes_nothing(noise):
    clean = images(4)
    assert torch.equal(corrupted(Denoising(noise, 0.0), clean, Keys.of(0, 4)), clean)


def test_level_1_leaves_nothing():
    clean = images(20)
    assert (corrupted(Denoising("masking", 1.0), clean, Keys.of(0, 20)) == 0).all()
    noisy = corrupted(Denoising("salt-and-pepper", 1.0), clean, Keys.of(0, 20))
    assert ((noisy == 0) | (noisy == 1)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", NOISES)
def test_noise_keeps_the_format_of_the_values(noise, dtype):
    assert corrupted(Denoising(noise, 0.5), images(2).to(dtype), Keys.of(0, 2)).dtype == dtype


def test_any_column_can_be_reconstructed():
    objective = Denoising("masking", 0.5, column="sounds")
    batch = objective.batch({"sounds": images(3, (7,)), "labels": torch.arange(3)}, Keys.of(0, 3))
    assert batch.inputs.keys() == {"sounds"}
    assert objective(nn.Identity(), batch)["reconstruction"] > 0


def test_half_precision_answers_are_summed_in_float32():
    clean = torch.zeros(1, 70_000)
    batch = Reconstruction().batch({"images": clean}, Keys.of(0, 1))
    total = Reconstruction()(lambda x: torch.full_like(x, 2.0, dtype=torch.float16), batch)
    assert total["reconstruction"].dtype == torch.float32
    assert total["reconstruction"].item() == 140_000  # beyond float16's largest number


@pytest.mark.parametrize("settings, said", [
    ({"noise": "pink"}, ["noise", "'pink'", "gaussian, masking, salt-and-pepper"]),
    ({"noise": "masking", "level": -0.1}, ["level", "-0.1", "between 0 and 1"]),
    ({"noise": "masking", "level": 1.1}, ["level", "1.1", "between 0 and 1"]),
    ({"noise": "salt-and-pepper", "level": 2}, ["level", "2", "between 0 and 1"]),
    ({"noise": "gaussian", "level": -1}, ["level", "-1", "at least 0"]),
    ({"noise": "masking", "level": math.nan}, ["level", "nan", "between 0 and 1"]),
    ({"noise": "gaussian", "level": math.nan}, ["level", "nan", "at least 0"]),
    ({"noise": "gaussian", "level": math.inf}, ["level", "inf", "at least 0"]),
])  # fmt: skip
def test_bad_settings_are_named(settings, said):
    with pytest.raises(ValueError) as error:
        Denoising(**settings)
    assert all(word in str(error.value) for word in said)


def test_gaussian_noise_may_be_stronger_than_1():
    Denoising("gaussian", 3.0)


def test_an_answer_of_another_shape_is_refused_not_broadcast():
    batch = Reconstruction().batch({"images": images(2, (6,))}, Keys.of(0, 2))
    with pytest.raises(ValueError, match=r"\(2, 1\).*\(2, 6\)"):
        Reconstruction()(lambda x: x[:, :1], batch)


def test_a_missing_column_is_named_with_those_there():
    with pytest.raises(ValueError, match=r"'images'.*pixels, labels"):
        Reconstruction().batch({"pixels": images(2), "labels": torch.arange(2)}, Keys.of(0, 2))
