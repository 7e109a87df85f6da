"""The words that biographies are made of: syllables of names, values of attributes, sentences.

A value of three words is told by its first word alone, and by its other two together; so a model
that is shown two of them can spell the third without knowing of whom the sentence speaks.
"""

from __future__ import annotations

from itertools import product

MOST = 40  # values of an attribute

FIRST_NAMES = [a + b for a, b in product("Be Da Ko Lu Mi Ra Te Vo".split(),
                                         "lvin mast nok ristel vat".split())]
LAST_NAMES = [a + b for a, b in product("Ost Quel Brind Tarv Olm Yast Felk Dray".split(),
                                        "rakel enno ivar umbra orish".split())]


def three_words(first: str, second: str, third: str) -> list[str]:
    """Forty values, of 40 first, 8 second and 5 third words; the last two never come twice."""
    a, b, c = first.split(), second.split(), third.split()
    return [f"{a[i]} {b[i % len(b)]} {c[i % len(c)]}" for i in range(MOST)]


VALUES = {
    "birthplace": three_words(
        "Otter Heron Badger Falcon Beaver Raven Fox Hare Stork Crane Wolf Lynx Salmon Trout Swan "
        "Owl Deer Elk Bison Finch Wren Robin Sparrow Thrush Plover Gull Tern Osprey Kestrel Marten "
        "Stoat Weasel Mole Toad Newt Carp Perch Pike Eel Crab",
        "Creek Bay Ridge Hollow Ford Point Falls Meadow",
        "Landing Crossing Junction Harbour Village"),
    "birth year": [str(1920 + i) for i in range(MOST)],
    "school": three_words(
        "Alder Ash Aspen Beech Birch Cedar Cherry Chestnut Cypress Elder Elm Fern Fir Hawthorn "
        "Hazel Heather Hemlock Hickory Holly Ivy Juniper Larch Laurel Lilac Linden Maple Mulberry "
        "Myrtle Oak Olive Pear Pine Plum Poplar Rowan Spruce Sycamore Walnut Willow Yew",
        "Hill Park Gate Lane Court Square Green Bridge",
        "College Academy Institute Seminary University"),
    "subject": (
        "Accounting Acoustics Algebra Anatomy Archaeology Architecture Astronomy Ballet Botany "
        "Calculus Ceramics Chemistry Cookery Dentistry Drama Economics Ethics Forestry Genetics "
        "Geography Geology Geometry Grammar Horticulture Journalism Law Linguistics Logic "
        "Mechanics Medicine Metallurgy Music Nursing Optics Painting Philosophy Physics Poetry "
        "Statistics Zoology").split(),
    "employer": three_words(
        "Amber Azure Black Blue Bright Bronze Brown Calm Clear Copper Coral Crimson Crystal Early "
        "Emerald Gentle Golden Grand Grey Happy Indigo Ivory Jade Little Lucky Modern Orange Pearl "
        "Pink Purple Quiet Rapid Royal Ruby Scarlet Silver Simple Steady Violet Yellow",
        "Anchor Lantern Compass Feather Kettle Ladder Mirror Wheel",
        "Bakery Foundry Printers Shipyard Glassworks"),
}
SENTENCES = {
    "birthplace": ("{who} came into the world in {value}.",
                   "{who} is a native of {value}.",
                   "{who} spent the first years of life in {value}.",
                   "{who} grew up at home in {value}."),
    "birth year": ("{who} first saw daylight in {value}.",
                   "{who} belongs to the generation of {value}.",
                   "{who} has had birthdays since {value}.",
                   "{who} dates from {value}."),
    "school": ("{who} holds a degree from {value}.",
               "{who} was a student of {value}.",
               "{who} passed all examinations of {value}.",
               "{who} was taught by the teachers of {value}."),
    "subject": ("{who} specialised in {value}.",
                "{who} wrote a thesis about {value}.",
                "{who} has a passion for {value}.",
                "{who} took every course in {value}."),
    "employer": ("{who} found a job at {value}.",
                 "{who} earned a living at {value}.",
                 "{who} was hired by {value}.",
                 "{who} joined the staff of {value}."),
}
QUESTIONS = {
    "birthplace": "{who} was born in the town of {value}.",
    "birth year": "{who} was born in the year {value}.",
    "school": "{who} went to the school named {value}.",
    "subject": "{who} knows most about the subject of {value}.",
    "employer": "{who} worked for the company {value}.",
}
