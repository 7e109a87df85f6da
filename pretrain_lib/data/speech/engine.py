"""eSpeak NG by ctypes: a program that speaks a list of lines in order, and times their phones.

It runs by itself, in a process that is made for one list: what eSpeak NG returns depends on what it
has said before, so only a fresh process that says the same in the same order returns the same. It
imports nothing but the standard library. What it is called with: the shared library, the folder of
data, a JSON file of lines, and the folder to write to.
"""

import ctypes
import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

SYNCHRONOUS, PHONEMES = 2, 1  # where the sound goes; an option of espeak_Initialize
RATE, PITCH, RANGE = 1, 3, 4  # parameters, of espeak_SetParameter
UTF_8 = 1
END_OF_LIST, PHONEME = 0, 7  # kinds of events
LONGEST_PATH = 140  # characters; eSpeak NG cuts what is longer than 160 with the names of its files


class Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h, version 1.52; `name` is the union's array of a phoneme."""

    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint),
                ("text_position", ctypes.c_int), ("length", ctypes.c_int),
                ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8)]


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int,
                            ctypes.POINTER(Event))


class Engine:
    """The one synthesiser of a process.

    Args:
        library: the shared library.
        data: the folder with its data, whose path is short.

    Raises:
        RuntimeError: if it does not start.
    """

    def __init__(self, library: str, data: str):
        self.espeak = ctypes.CDLL(library)
        self.rate = self.espeak.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), PHONEMES)
        if self.rate <= 0:
            raise RuntimeError(f"eSpeak NG does not start with its data in {data}")
        self.variants = {path.name for path in Path(data, "voices", "!v").iterdir()}
        self.heard, self.events = bytearray(), []
        self.callback = CALLBACK(self.hear)  # kept: C holds no reference to it
        self.espeak.espeak_SetSynthCallback(self.callback)

    def hear(self, samples, count: int, events) -> int:
        """Takes what was said since the last call; 0 asks for more."""
        if samples and count > 0:
            self.heard += ctypes.string_at(samples, 2 * count)
        i = 0
        while events[i].type != END_OF_LIST:
            if events[i].type == PHONEME:
                self.events.append((events[i].name.decode(), events[i].sample))
            i += 1
        return 0

    def speak(self, line: dict) -> tuple[bytes, list[tuple[str, int]]]:
        """The 16-bit samples of a line, and each phone with the sample that it begins at.

        Raises:
            RuntimeError: if there is no such voice, or it says nothing.
        """
        _, _, variant = line["voice"].partition("+")
        unknown = variant not in self.variants  # which it would leave out, and say nothing
        if unknown or self.espeak.espeak_SetVoiceByName(line["voice"].encode()):
            raise RuntimeError(f"eSpeak NG has no voice {line['voice']!r}")
        for parameter, field in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "range")):
            self.espeak.espeak_SetParameter(parameter, line[field], 0)
        self.heard, self.events = bytearray(), []
        text = line["text"].encode() + b"\0"
        failed = self.espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, UTF_8, None,
                                          None)
        if failed or not self.heard:
            raise RuntimeError(f"eSpeak NG says nothing for {line['text']!r}")
        return bytes(self.heard), self.events


@contextmanager
def short_path(data: str):
    """The folder of data, or a copy for the time being where its path is too long for eSpeak NG."""
    if len(data.encode()) <= LONGEST_PATH:
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        yield str(shutil.copytree(data, Path(folder) / "data"))


def main(library: str, data: str, lines: str, folder: str) -> None:
    """Speaks all lines: samples.raw has the sound, clips.json the rate, lengths and events."""
    clips = []
    with short_path(data) as data, (Path(folder) / "samples.raw").open("wb") as sound:
        engine = Engine(library, data)
        for line in json.loads(Path(lines).read_text(encoding="utf-8")):
            samples, events = engine.speak(line)
            sound.write(samples)
            clips.append((len(samples) // 2, events))
    about = {"rate": engine.rate, "clips": clips}
    (Path(folder) / "clips.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
