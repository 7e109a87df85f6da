"""Which of eSpeak NG's voices are for training, which for the test, and which are another kind.

Left out are voices whose definition has `breath`, for two processes that say the same in them may
differ, and no corpus can then be made again. So are a croak and robots. "shift" are voices of the
other synthesiser that eSpeak NG has, after Klatt ("Software for a cascade/parallel formant
synthesizer", JASA 67, 1980). Voices of one name and several numbers, such as iven and iven2, are on
one side. Many voices differ in little but pitch.
"""

from __future__ import annotations

VOICES = {
    "train": (
        "Alex", "Andrea", "Diogo", "Hugo", "Lee", "Marco", "Mario", "Michael", "Mike",
        "Mr serious", "Nguyen", "RicishayMax", "RicishayMax2", "RicishayMax3", "Tweaky", "anika",
        "antonio", "aunty", "ed", "f1", "fast", "grandma", "gustave", "ian", "iven", "iven2",
        "iven3", "iven4", "john", "kaukovalta", "m1", "m2", "m3", "m4", "m6", "m8", "marcelo",
        "max", "michel", "miguel", "norbert", "pablo", "pedro", "quincy", "rob", "robert", "shelby",
        "steph", "steph2", "steph3", "travis", "zac",
    ),
    "test": (
        "Andy", "Annie", "AnxiousAndy", "Denis", "Gene", "Gene2", "Henrique", "Jacky", "belinda",
        "boris", "f4", "grandpa", "linda", "m5", "m7", "paul",
    ),
    "shift": (
        "adam", "announcer", "benjamin", "david", "edward", "edward2", "klatt", "klatt2", "klatt3",
        "klatt4", "klatt5", "klatt6",
    ),
}
LANGUAGE = "en-us"
ALL = tuple(voice for part in VOICES.values() for voice in part)
