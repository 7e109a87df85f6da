"""Whistles have all that chapter 15 reads of speech."""

import torch

from pretrain_lib.course.whistles import whistles


def test_whistles_are_like_speech_and_no_voice_is_in_two_sets():
    first, second = whistles(0), whistles(1)
    assert len(first) == 240 and first.symbols == second.symbols and first.voice_names == second.voice_names
    assert not set(first.voices.tolist()) & set(second.voices.tolist())
    assert (first.phones >= 0).sum() == first.lengths.sum(), "each frame has a phone"
    said = first.sequences[0][first.sequences[0] >= 0]
    heard = torch.unique_consecutive(first.phones[0][first.phones[0] >= 0])
    assert said.tolist() == heard.tolist() == [first.symbols.index(phone) for phone in first.transcript(0).split()]


def test_whistles_are_the_same_each_time():
    assert torch.equal(whistles(2).wave(7), whistles(2).wave(7))
