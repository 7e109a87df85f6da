import math
import pickle

import numpy as np
import pytest
import torch

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import UNSCORED, keys_at
from pretrain_lib.data.speech.buckets import LengthBuckets
from pretrain_lib.data.speech.clips import Clip, Hearing, assembled, check_sequence
from pretrain_lib.data.speech.features import MelConfig, centred, log_mel
from pretrain_lib.data.speech.phones import NUMBER
from pretrain_lib.data.speech.ragged import Ragged
from pretrain_lib.data.speech.room import Room
from pretrain_lib.data.splits import labelled_subset

RNG = np.random.default_rng(0)


def clip(samples=3000, transcript="a cat", voice="x", rate=16000, phones=True, place="clip"):
    sound = torch.from_numpy(RNG.uniform(-0.5, 0.5, samples)).float()
    known = (np.array([NUMBER[p] for p in ("sil", "k", "a", "t")]), np.array([0, 320, 900, 1700])) if phones else (None, None)
    return Clip(place, sound, rate, transcript, voice, *known)


def dataset(hearing=Hearing(), **changes):
    clips = [clip(3000, "cat", "x", **changes), clip(8000, "dog", "y", **changes), clip(1700, "cat", "y", **changes)]
    return assembled(clips, hearing, "made", "by hand")


def test_a_batch_is_padded_to_its_longest_clip_and_says_so():
    data = dataset()
    batch = data.take(Keys.of(0, [2, 0]))
    assert batch["lengths"].tolist() == [11, 19] and batch["features"].shape == (2, 19, 40)
    assert batch["features"][0, 11:].eq(0).all() and batch["phones"][0, 11:].eq(UNSCORED).all()
    assert batch["phones"][1].tolist() == [0, 0] + [NUMBER["k"]] * 4 + [NUMBER["a"]] * 5 + [NUMBER["t"]] * 8
    assert batch["sequences"].tolist() == [[NUMBER[p] for p in "kat"]] * 2
    assert batch["labels"].tolist() == [0, 0] and batch["voices"].tolist() == [1, 0]
    assert data.classes == ["cat", "dog"] and data.voice_names == ["x", "y"] and data.transcript(1) == "dog"
    assert data.features.shape == (3, 51, 40) and "3 clips" in repr(data)


def test_features_are_those_of_the_wave_that_is_kept():
    for hearing in (Hearing(), Hearing(centre=False), Hearing(MelConfig(num_mel_bins=23), Room())):
        data = dataset(hearing)
        log = log_mel(data.wave(2), hearing.mel)
        expected = centred(log[None], torch.tensor([len(log)]))[0] if hearing.centre else log
        assert torch.equal(data.take(Keys.of(0, [2]))["features"][0], expected)
    assert data.wave(2).abs().max() <= 1


def test_without_features_there_are_waves():
    data = dataset(Hearing(mel=None, centre=False))
    batch = data.take(Keys.of(0, [2, 0]))
    assert batch["lengths"].tolist() == [1700, 3000] and "features" not in batch
    assert torch.equal(data.waves[:, :3000][[2, 0]], batch["waves"])
    assert torch.equal(batch["waves"][0, :1700], data.wave(2)) and batch["waves"][0, 1700:].eq(0).all()
    assert batch["phones"].shape == (2, 19)


def test_waves_are_standardised_as_transformers_does_it():
    from transformers import Wav2Vec2FeatureExtractor

    data = dataset(Hearing(mel=None))
    batch = data.subset([1, 2, 0]).take(Keys.of(0, [1, 2]))["waves"]
    theirs = Wav2Vec2FeatureExtractor(return_attention_mask=True)([data.wave(i).numpy() for i in (2, 0)], sampling_rate=16000, padding=True,
                                                                return_tensors="pt")
    assert (batch - theirs.input_values).abs().max() < 1e-5
    assert batch[0, :1700].mean().abs() < 1e-6 and abs(batch[0, :1700].std(correction=0) - 1) < 1e-4 and batch[0, 1700:].eq(0).all()


def test_a_clip_is_the_same_in_each_subset_and_after_pickling():
    data = pickle.loads(pickle.dumps(dataset()))
    part = data.subset([2, 1])
    for name, column in part.take(Keys.of(0, [0])).items():
        assert torch.equal(column, data.take(Keys.of(0, [2]))[name]), name
    assert torch.equal(part.wave(1), data.wave(1)) and part.classes == data.classes
    assert sorted(labelled_subset(data, 1).labels.tolist()) == [0, 1]
    with pytest.raises(AttributeError, match="no column or attribute 'pixels'"):
        data.pixels


def test_rooms_differ_from_clip_to_clip_and_not_from_time_to_time():
    room = Hearing(room=Room())
    first, again = (assembled([clip_of_ones(), clip_of_ones()], room, "made", "") for _ in range(2))
    assert torch.equal(first.features, again.features) and not torch.equal(first.wave(0), first.wave(1))
    second = assembled([clip_of_ones()], room, "made", "", first=1)
    assert torch.equal(second.wave(0), first.wave(1))


def clip_of_ones():
    return Clip("ones", torch.ones(1000) / 2, 16000, "one")


def test_without_phones_characters_are_what_is_said():
    data = dataset(phones=False)
    assert data.symbols == ("", "a", "c", "d", "g", "o", "t")
    assert data.sequences.tolist() == [[2, 1, 6], [3, 5, 4], [2, 1, 6]] and "phones" not in data.take(Keys.of(0, [0]))
    both = assembled([clip(phones=False, transcript="E\u0301  é")], Hearing(), "made", "")
    assert both.symbols == ("", " ", "é") and both.sequences.tolist() == [[2, 1, 2]] and both.transcript(0) == "E\u0301 é"


def test_other_rates_come_to_one():
    data = assembled([clip(800, rate=8000, phones=False), clip(4410, rate=44100, phones=False)], Hearing(), "made", "")
    assert data.sounds.lengths.tolist() == [1600, 1600] and data.rate == 16000


@pytest.mark.parametrize("wrong, message", [
    (Clip("a.wav", torch.zeros(500), 16000, "cat"), "a.wav is silent"),
    (Clip("b.wav", torch.ones(500), 16000, " \n"), "b.wav has an empty transcript"),
    (Clip("c.wav", torch.ones(500), 16000, "a book"), "c.wav has 4 frames, and its transcript of 6 symbols needs 7"),
])
def test_clips_that_cannot_be_used_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        assembled([clip(phones=False), wrong], Hearing(), "made", "")


def test_no_clip_is_an_error():
    with pytest.raises(ValueError, match="'made' is empty"):
        assembled([], Hearing(), "made", "")


@pytest.mark.parametrize("sequence", [[1], [1, 1], [1, 2, 1], [1, 1, 1], [2, 2, 1, 1]])
def test_a_transcript_fits_where_ctc_is_finite(sequence):
    for frames in range(1, 8):
        loss = torch.nn.functional.ctc_loss(torch.zeros(frames, 1, 3).log_softmax(2), torch.tensor([sequence]), [frames], [len(sequence)])
        if math.isfinite(loss):
            check_sequence("a", torch.tensor(sequence), frames)
        else:
            with pytest.raises(ValueError, match=f"a has {frames} frames"):
                check_sequence("a", torch.tensor(sequence), frames)


def test_ragged_rows_come_back():
    rows = [torch.randn(n, 2) for n in (3, 1, 4)]
    kept = Ragged.of(rows, fill=7.0)
    assert all(torch.equal(kept.row(i), rows[i]) for i in range(3))
    padded = kept.padded(torch.tensor([1, 0]))
    assert padded.shape == (2, 3, 2) and torch.equal(padded[1], rows[0]) and padded[0, 1:].eq(7).all()
    assert torch.equal(kept.subset(torch.tensor([2, 0])).flat, torch.cat([rows[2], rows[0]]))


# --- batches of about equal length ------------------------------------------------------------


class Numbers:
    """A source that tells which samples it was asked for."""

    def __init__(self, n):
        self.lengths = torch.from_numpy(np.random.default_rng(1).integers(10, 1000, n))

    def __len__(self):
        return len(self.lengths)

    def take(self, keys):
        return {"sample": torch.from_numpy(keys.sample), "lengths": self.lengths[keys.sample]}


@pytest.mark.parametrize("n, size", [(100, 8), (96, 8), (7, 8), (101, 1), (5, 5)])
def test_each_epoch_sees_each_sample_once(n, size):
    view = LengthBuckets(Numbers(n), size)
    batches = [view.take(keys_at(np.arange(i * size, (i + 1) * size), n, seed=3))["sample"] for i in range(4 * n)]
    for epoch, seen in enumerate(torch.cat(batches)[: 3 * n].reshape(3, n)):
        assert sorted(seen.tolist()) == list(range(n)), epoch


def test_batches_hold_similar_lengths_in_random_order_and_any_part_of_one_is_the_same():
    n, size = 1000, 16
    source = Numbers(n)
    view = LengthBuckets(source, size)
    batches = [view.take(keys_at(np.arange(i * size, (i + 1) * size), n, seed=3))["lengths"] for i in range(60)]

    def padding(lengths):
        return 1 - sum(b.sum() for b in lengths) / sum(b.max() * size for b in lengths)

    shuffled = [source.take(keys_at(np.arange(i * size, (i + 1) * size), n, seed=3))["lengths"] for i in range(60)]
    assert padding(batches) < 0.1 < 0.4 < padding(shuffled)
    means = np.array([b.double().mean() for b in batches])
    assert abs(np.corrcoef(means, np.arange(60))[0, 1]) < 0.4
    half = LengthBuckets(source, size).take(keys_at(np.arange(7 * size + 8, 8 * size), n, seed=3))["lengths"]
    assert torch.equal(half, batches[7][8:])
    other = view.take(keys_at(np.arange(size), n, seed=4))["lengths"]
    assert not torch.equal(other, batches[0])


def test_buckets_need_a_length_for_each_sample():
    with pytest.raises(ValueError, match="one for each of 10 samples"):
        LengthBuckets(Numbers(10), 4, torch.ones(9))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        LengthBuckets(Numbers(10), 0)
