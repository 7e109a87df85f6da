import logging
from collections import Counter

import pytest
import torch

from pretrain_lib.data import hub
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import UNSCORED
from pretrain_lib.data.speech import load, synthesis
from pretrain_lib.data.speech.load import load_speech
from pretrain_lib.data.speech.phones import NUMBER
from pretrain_lib.data.speech.room import Room
from pretrain_lib.data.speech.scripts import WORDS, Line
from pretrain_lib.data.speech.speech_data import SpeechConfig, SpeechData
from pretrain_lib.data.speech.voices import VOICES
from pretrain_lib.data.speech.waves import write_wave

LINES = [Line(split, word, VOICES[split][i], 170, 50, 50) for split in ("train", "test", "shift") for i, word in enumerate(WORDS[:3])]


def tone(path, seconds=0.2, hertz=440, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wave(path, 0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate), rate)


@pytest.fixture
def corpus(monkeypatch):
    """What eSpeak NG might have said: noise, and the same three phones in each clip."""
    noise = torch.randint(-9000, 9000, (9 * 3200,), generator=torch.Generator().manual_seed(0), dtype=torch.int16)
    phones = torch.tensor([NUMBER[p] for p in ("sil", "w", "V", "n")] * 9)
    made = synthesis.Corpus(LINES, noise, torch.full((9,), 3200), phones, torch.tensor([0, 400, 1000, 2000] * 9), torch.full((9,), 4))
    monkeypatch.setattr(load, "synthesised", lambda name: made)
    return made


# --- synthesised ------------------------------------------------------------------------------


def test_splits_share_classes_and_no_voice(corpus):
    parts = {split: load_speech("words", split) for split in ("train", "test", "shift")}
    heard = {split: {part.voice_names[v] for v in part.voices.tolist()} for split, part in parts.items()}
    assert all(heard[split] == set(VOICES[split][:3]) for split in parts)
    for split, part in parts.items():
        assert part.classes == list(WORDS) and part.labels.tolist() == [0, 1, 2] and part.name == "words"
    assert torch.equal(parts["test"].wave(0), corpus.samples[3 * 3200:4 * 3200].float() / 32768)
    assert "GPL-3" in parts["train"].about and corpus.checksum()[:16] in parts["train"].about
    with pytest.raises(ValueError, match="split of 'words' must be one of train, test, shift, got 'all'"):
        load_speech("words", "all")
    with pytest.raises(ValueError, match="hours is for a folder"):
        load_speech("words", hours=1)


def test_a_room_is_another_one_for_each_clip_of_each_split(corpus):
    corpus.samples[:] = corpus.samples[:3200].repeat(9)
    waves = [load_speech("words", split, room=Room()).wave(i) for split in ("train", "test") for i in range(3)]
    assert all(not torch.equal(a, b) for i, a in enumerate(waves) for b in waves[:i])
    assert torch.equal(load_speech("words", room=Room()).wave(1), waves[1])


def test_what_espeak_says_has_its_phones(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed: pip install espeakng-loader")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(synthesis, "script", lambda name: LINES)
    data = load_speech("words", "test")
    said = [[data.symbols[i] for i in row if i != UNSCORED] for row in data.sequences.tolist()]
    assert said == [["z", "i@", "r", "oU"], ["w", "V", "n"], ["t", "u"]]
    for i in range(3):
        frames = [data.symbols[p] for p in data.take(Keys.of(0, [i]))["phones"][0].tolist()]
        runs = [phone for phone, before in zip(frames, [None, *frames]) if phone not in (before, "sil")]
        assert runs == said[i]
    loud = log_energy(data.wave(1))
    frames = data.take(Keys.of(0, [1]))["phones"][0]
    assert loud[frames == NUMBER["V"]].mean() > loud[frames == 0].mean() + 3


def log_energy(wave):
    return torch.nn.functional.pad(wave, (0, 160)).unfold(0, 160, 160).square().mean(1).clamp(min=1e-8).log()


# --- captcha ----------------------------------------------------------------------------------


def test_captcha_has_36_clips_of_8_kilohertz():
    pytest.importorskip("captcha", reason="captcha is not installed: pip install captcha")
    data = load_speech("captcha", "test")
    assert len(data) == 36 and len(data.classes) == 36 and set(WORDS[:10]) < set(data.classes)
    high = data.rate == 16000 and data.wave(0)
    spectrum = torch.fft.rfft(high).abs().square()
    assert spectrum[int(len(spectrum) * 0.56):].sum() < 1e-3 * spectrum.sum()  # nothing above 4.5 kHz
    with pytest.raises(ValueError, match="for a test only"):
        load_speech("captcha")


def test_without_captcha_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(load.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install captcha$"):
        load_speech("captcha", "test")


# --- a folder ---------------------------------------------------------------------------------


def test_sub_folders_name_words(tmp_path, caplog):
    for i, word in enumerate(["yes", "no"] * 5):
        tone(tmp_path / word / f"{i}.wav", hertz=200 + 10 * i)
    with caplog.at_level(logging.WARNING):
        train, test = (load_speech(tmp_path, split) for split in ("train", "test"))
    assert "one voice is known, and it is in both splits" in caplog.text
    assert Counter(train.labels.tolist()) == {0: 4, 1: 4} and Counter(test.labels.tolist()) == {0: 1, 1: 1}
    assert train.classes == test.classes == ["no", "yes"] and len(load_speech(tmp_path, "all")) == 10


def test_texts_beside_clips_and_a_sub_folder_for_each_voice(tmp_path):
    for voice in "abcdef":
        for i in range(2):
            tone(tmp_path / voice / "session" / f"{i}.wav")
            (tmp_path / voice / "session" / f"{i}.txt").write_text(f"  hello\n {voice} ")
    train, test = (load_speech(tmp_path, split) for split in ("train", "test"))
    assert len(test) == 2 and len(train) == 10 and not set(train.voices.tolist()) & set(test.voices.tolist())
    assert train.classes[0] == "hello a" and train.transcript(0) == f"hello {train.voice_names[train.voices[0]]}"
    (tmp_path / "c" / "session" / "1.txt").unlink()
    with pytest.raises(ValueError, match=r"1\.wav has no transcript: expected .*1\.txt"):
        load_speech(tmp_path)


def test_a_table_names_clips_transcripts_and_voices(tmp_path, caplog):
    for i in range(4):
        tone(tmp_path / "clips" / f"{i}.wav", rate=8000)
    rows = [f"clips/{i}.wav,word {i},speaker {i // 2}" for i in (2, 0, 1)]
    table = tmp_path / "metadata.csv"
    table.write_text("\n".join(["file_name,sentence,who", *rows]) + "\n")
    with caplog.at_level(logging.WARNING):
        data = load_speech(tmp_path, "all", column="sentence", voice="who")
    assert [data.transcript(i) for i in range(3)] == ["word 2", "word 0", "word 1"] and data.voices.tolist() == [1, 0, 0]
    assert "1 of 4 clips" in caplog.text and "3.wav" in caplog.text
    assert len(load_speech(tmp_path, "all", column="sentence", hours=0.3 / 3600)) == 2
    with pytest.raises(ValueError, match="'text'"):
        load_speech(tmp_path)
    table.write_text("file_name,text\nclips/9.wav,nine\n")
    with pytest.raises(ValueError, match=r"metadata.csv, line 2: there is no file .*9\.wav"):
        load_speech(tmp_path)
    table.write_text("file_name,text\nclips/1.wav,\nclips/2.wav,two\n")
    with pytest.raises(ValueError, match=r"1\.wav has an empty transcript"):
        load_speech(tmp_path)
    (tmp_path / "other.tsv").write_text("file_name\ttext\n")
    with pytest.raises(ValueError, match="several tables, metadata.csv and other.tsv"):
        load_speech(tmp_path)


def test_folders_and_clips_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ValueError, match="no sound in"):
        load_speech(tmp_path)
    tone(tmp_path / "loose.wav")
    with pytest.raises(ValueError, match=r"loose\.wav has no transcript: put it into .*loose\.txt"):
        load_speech(tmp_path)
    (tmp_path / "loose.txt").write_text("hello")
    write_wave(tmp_path / "loose.wav", torch.zeros(500), 8000)
    with pytest.raises(ValueError, match=r"loose\.wav is silent"):
        load_speech(tmp_path)
    with pytest.raises(ValueError, match="split of .* must be one of train, test, all"):
        load_speech(tmp_path, "shift")


@pytest.mark.parametrize("name, message", [("word", "unknown speech 'word': did you mean 'words'"), ("a/b", "there is no folder 'a/b'"),
                                           ("xyz", "unknown speech 'xyz': Known are 'words', 'phrases', 'captcha'")])
def test_unknown_names_are_told_what_is_known(name, message):
    with pytest.raises(ValueError, match=message):
        load_speech(name)


# --- the Hub ----------------------------------------------------------------------------------


@pytest.fixture
def stream(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    rows = {"audio": [], "text": ["ONE", "TWO", "ONE"], "speaker_id": [7, 8, 7]}
    for i in range(3):
        tone(tmp_path / f"{i}.wav", hertz=300 + 100 * i)
        rows["audio"].append({"bytes": (tmp_path / f"{i}.wav").read_bytes(), "path": f"{i}.wav"})
    features = datasets.Features({"audio": datasets.Audio(), "text": datasets.Value("string"), "speaker_id": datasets.Value("int64")})
    table = datasets.Dataset.from_dict(rows, datasets.Features({**features, "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}}))
    stream = table.cast(features).to_iterable_dataset()
    monkeypatch.setattr(hub, "open_stream", lambda *asked: stream)
    return rows


def test_the_hub_gives_sound_transcripts_and_speakers(stream):
    data = load_speech("hub:a/b", "validation")
    assert [data.transcript(i) for i in range(3)] == ["ONE", "TWO", "ONE"] and data.symbols == ("", "e", "n", "o", "t", "w")
    assert data.voice_names == ["7", "8"] and data.voices.tolist() == [0, 1, 0] and len(data.wave(0)) == 3200
    assert "huggingface.co/datasets/a/b" in data.about
    assert len(load_speech("hub:a/b", hours=0.3 / 3600)) == 2
    with pytest.raises(ValueError, match="hub:a/b has no column 'sentence'; its columns are audio, text, speaker_id"):
        load_speech("hub:a/b", column="sentence")


def test_a_row_without_sound_is_named(stream, monkeypatch):
    import datasets

    monkeypatch.setattr(hub, "open_stream", lambda *asked: Stream([{"audio": {"bytes": None, "path": "x.wav"}, "text": "one"}]))
    monkeypatch.setattr(datasets, "Audio", lambda decode: None)
    with pytest.raises(ValueError, match=r"hub:a/b, row 1 \(x\.wav\) holds no sound"):
        load_speech("hub:a/b")


class Stream(list):
    features = None
    info = type("Info", (), {"license": None})

    def cast_column(self, *asked):
        return self


def test_where_the_hub_cannot_be_reached_something_else_is_loaded(corpus, monkeypatch, caplog):
    def unreachable(*asked):
        raise ConnectionError("the Hub cannot be reached.")

    monkeypatch.setattr(hub, "open_stream", unreachable)
    with caplog.at_level(logging.WARNING):
        data = load_speech("hub:a/b", fallback="words", mel=None)
    assert data.name == "words" and "Using 'words' instead" in caplog.text and "waves" in data.ragged
    with pytest.raises(ConnectionError):
        load_speech("hub:a/b")


# --- a recipe ---------------------------------------------------------------------------------


def test_a_recipe_opens_two_splits(corpus, tmp_path):
    data = SpeechData.open(SpeechConfig("words", num_mel_bins=23, echoes_and_noise=True), tmp_path)
    assert data.training.features.shape == (3, 21, 23) and data.model_fields == {"num_mel_bins": 23}
    assert torch.equal(data.held_out.wave(0), load_speech("words", "test", room=Room()).wave(0))
    waves = SpeechData.open(SpeechConfig("words", num_mel_bins=0), tmp_path)
    assert waves.training.waves.shape == (3, 3200) and waves.model_fields == {}
    assert data.about()["num_mel_bins"] == 23
    for wrong in ({"hours": -1.0}, {"num_mel_bins": -1}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
            SpeechConfig(**wrong)
