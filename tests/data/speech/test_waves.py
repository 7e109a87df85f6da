import struct
import sys
import wave

import numpy as np
import pytest
import torch

from pretrain_lib.data.speech.waves import read_wave, write_wave


def write_pcm(path, numbers, width, channels=1, rate=8000):
    """Whole numbers as they stand in a .wav, by hand."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(b"".join(int(n).to_bytes(width, "little", signed=width > 1) for n in numbers))
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_each_width_is_read_to_the_last_bit(tmp_path, width):
    half = 2 ** (8 * width - 1)
    numbers = [-half, half - 1, 0, 1, -1, half // 3]
    stored = [n + half for n in numbers] if width == 1 else numbers
    samples, rate = read_wave(write_pcm(tmp_path / "a.wav", stored, width))
    assert rate == 8000
    torch.testing.assert_close(samples, torch.tensor(numbers).double().div(half).float(), rtol=0, atol=0)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_it_reads_what_soundfile_reads(tmp_path, subtype):
    soundfile = pytest.importorskip("soundfile")
    sound = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype)
    theirs, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    samples, rate = read_wave(tmp_path / "a.wav")
    assert rate == 16000
    np.testing.assert_allclose(samples, theirs.mean(1), atol=1e-6)


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_flac_and_ogg_come_by_soundfile(tmp_path, kind):
    soundfile = pytest.importorskip("soundfile")
    sound = 0.5 * np.sin(np.arange(4000) / 10)
    soundfile.write(tmp_path / f"a.{kind}", sound, 16000)
    samples, rate = read_wave(tmp_path / f"a.{kind}")
    assert rate == 16000 and len(samples) == 4000
    assert np.abs(samples.numpy() - sound)[100:-100].max() < (1e-4 if kind == "flac" else 0.1)


def test_without_soundfile_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(ModuleNotFoundError, match=r"a\.flac .* not installed: pip install soundfile"):
        read_wave(tmp_path / "a.flac")


def test_two_channels_become_their_mean(tmp_path):
    samples, _ = read_wave(write_pcm(tmp_path / "a.wav", [16384, 0, 0, -16384], 2, channels=2))
    assert samples.tolist() == [0.25, -0.25]


def test_files_that_hold_no_sound_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="b.wav"):
        read_wave(tmp_path / "b.wav")
    with pytest.raises(ValueError, match="a.wav holds no sound"):
        read_wave(write_pcm(tmp_path / "a.wav", [], 2))
    whole = write_pcm(tmp_path / "c.wav", range(100), 2).read_bytes()
    (tmp_path / "c.wav").write_bytes(whole[:-50])
    with pytest.raises(ValueError, match="c.wav is cut short: it says 100 samples and holds 75"):
        read_wave(tmp_path / "c.wav")
    pytest.importorskip("soundfile")
    (tmp_path / "d.ogg").write_text("not sound")
    with pytest.raises(ValueError, match="d.ogg cannot be read as sound"):
        read_wave(tmp_path / "d.ogg")
    (tmp_path / "e.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="e.wav cannot be read as sound"):
        read_wave(tmp_path / "e.wav")


def test_what_is_written_is_read_and_what_is_too_loud_is_cut(tmp_path):
    sound = torch.tensor([0.0, 0.5, -1.0, 2.0, -3.0])
    write_wave(tmp_path / "a.wav", sound, 16000)
    back, rate = read_wave(tmp_path / "a.wav")
    assert rate == 16000
    torch.testing.assert_close(back, torch.tensor([0.0, 0.5, -1.0, 32767 / 32768, -1.0]), rtol=0, atol=0)
    raw = (tmp_path / "a.wav").read_bytes()
    assert struct.unpack("<5h", raw[-10:]) == (0, 16384, -32768, 32767, -32768)
    for wrong in (torch.zeros(2, 3), torch.zeros(0), torch.tensor([float("nan")])):
        with pytest.raises(ValueError, match=r"finite numbers.*b\.wav"):
            write_wave(tmp_path / "b.wav", wrong, 16000)
