"""CTC: equal to torch's and to the sum over all alignments; decoding; what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import LENGTHS, SAMPLES, SYMBOLS, sounds, transcriber
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.ctc import collapsed

KEYS = Keys.of(0, range(SAMPLES))


def log_probs(frames, symbols, seed=0):
    logits = 2 * torch.randn(frames, symbols + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return logits.log_softmax(1)


def by_transcript(scores):
    """The probability of every transcript, by all paths."""
    found = {}
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        said = tuple(collapsed(path))
        found[said] = found.get(said, 0.0) + math.exp(sum(scores[t, s].item() for t, s in enumerate(path)))
    return found


@pytest.mark.parametrize("frames, symbols", [(1, 2), (3, 2), (5, 2), (4, 3)])
def test_the_recursion_is_the_sum_over_all_alignments(frames, symbols):
    scores = log_probs(frames, symbols)
    every = by_transcript(scores)
    assert sum(every.values()) == pytest.approx(1)
    for said, probability in every.items():
        assert pl.ctc_log_likelihood(scores, said).exp().item() == pytest.approx(probability, rel=1e-10)
    assert pl.ctc_log_likelihood(scores, [1, 1] * frames) == -math.inf


@given(st.integers(1, 12), st.lists(st.integers(1, 3), max_size=6), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_it_is_torchs(frames, said, seed):
    scores = log_probs(frames, 3, seed)
    expected = F.ctc_loss(scores[:, None], torch.tensor([said], dtype=torch.long).view(1, -1), torch.tensor([frames]),
                          torch.tensor([len(said)]), reduction="sum")
    assert -pl.ctc_log_likelihood(scores, said).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_loss_is_summed_over_samples_and_counted_in_symbols():
    objective, model = pl.CTC(SYMBOLS), transcriber().double()
    batch = objective.batch(sounds().take(KEYS), KEYS)
    logits, mask = model(batch.inputs["features"], batch.inputs["lengths"])
    assert mask.sum(1).tolist() == [length // 2 for length in LENGTHS]
    said = [[s for s in row if s > 0] for row in sounds().sequences.tolist()]
    expected = -sum(pl.ctc_log_likelihood(row[real].log_softmax(1), symbols) for row, real, symbols in zip(logits, mask, said, strict=True))
    assert batch.counts == {"ctc": 20} and objective(model, batch)["ctc"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_transcript_longer_than_its_frames_is_named_with_its_sample():
    source = sounds()
    source.columns["sequences"] = torch.full((SAMPLES, 21), -100)
    source.sequences[:, 0] = 1
    source.sequences[3, :8] = torch.tensor([1, 1, 2, 2, 3, 3, 4, 4])  # 21 steps, 10 frames
    objective, model = pl.CTC(SYMBOLS), transcriber().double()
    keys = Keys.of(0, [0, 3])
    batch = objective.batch(source.take(keys), keys)
    with pytest.raises(ValueError, match="transcript of row 1 has 8 symbols, which take at least 12 frames, .* and it has 10: take a model"):
        objective(model, batch)
    batch.samples = np.array([0, 3])
    with pytest.raises(ValueError, match="transcript of sample 3 has 8 symbols"):
        objective(model, batch)
    trainer = pl.Trainer(transcriber(), objective, source, pl.TrainConfig(steps=2, batch_size=6, device="cpu"))
    source.columns["features"] = source.features.float()
    with pytest.raises(ValueError, match="transcript of sample 3 has 8 symbols"):
        trainer.fit()


def test_as_many_frames_as_are_needed_are_enough():
    scores = log_probs(3, 2)
    assert pl.ctc_log_likelihood(scores, [1, 1]).item() == pytest.approx((scores[0, 1] + scores[1, 0] + scores[2, 1]).item())


@pytest.mark.parametrize("row, said", [
    ([-100] * 5, "sample 2 has an empty transcript"),
    ([1, 0, 2, -100, -100], "sample 2 has a symbol outside 1 to 4 in its transcript, where 0 is the blank"),
    ([1, 5, -100, -100, -100], "sample 2 has a symbol outside 1 to 4"),
    ([1, -100, 2, -100, -100], "sample 2 has -100 within its transcript"),
])
def test_what_is_no_transcript_is_refused(row, said):
    source = sounds()
    source.sequences[2] = torch.tensor(row)
    with pytest.raises(ValueError, match=said):
        pl.CTC(SYMBOLS).batch(source.take(KEYS), KEYS)


# --------------------------------------------------------------------------------------- decoding


def test_a_path_collapses():
    assert collapsed([0, 1, 1, 0, 1, 2, 2, 0, 0]) == [1, 1, 2] and collapsed([0, 0]) == [] and collapsed([]) == []


def test_greedy_takes_the_likeliest_path_up_to_the_padding():
    best = torch.tensor([[1, 1, 0, 1, 2, 0], [2, 0, 2, 2, 1, 1]])
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    assert pl.greedy_transcripts(pl.Frames(F.one_hot(best, 3).float(), mask)) == [[1, 1, 2], [2, 2]]


@pytest.mark.parametrize("frames, symbols", [(1, 3), (3, 2), (5, 2), (4, 3)])
@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_the_likeliest_of_all_transcripts(frames, symbols, seed):
    scores = log_probs(frames, symbols, seed)
    every = by_transcript(scores)
    best = max(every, key=every.get)
    said, log_probability = pl.prefix_beam(scores, 10_000)
    assert tuple(said) == best and math.exp(log_probability) == pytest.approx(every[best], rel=1e-10)
    narrow, bound = pl.prefix_beam(scores, 2)
    assert math.exp(bound) <= every[tuple(narrow)] + 1e-12


def test_the_likeliest_path_need_not_be_of_the_likeliest_transcript():
    scores = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()  # blanks .36; a symbol .64 in three ways
    assert pl.greedy_transcripts(pl.Frames(scores[None], torch.ones(1, 2, dtype=torch.bool))) == [[]]
    said, log_probability = pl.prefix_beam(scores, 4)
    assert said == [1] and math.exp(log_probability) == pytest.approx(0.64)


def test_probabilities_of_zero_give_no_nan():
    scores = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).log()
    assert pl.prefix_beam(scores, 3) == ([1, 1], 0.0)
    assert pl.ctc_log_likelihood(scores, [1, 1]) == 0 and pl.ctc_log_likelihood(scores, [2]) == -math.inf


def test_a_beam_of_nothing_is_refused():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        pl.prefix_beam(log_probs(3, 2), 0)
