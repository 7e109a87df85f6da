"""Letters and their names: what is drawn is what is said, and what is held out is held out in every font."""

import unicodedata
from functools import lru_cache

import pytest
import torch
from fontTools.ttLib import TTFont
from PIL import ImageFont

from pretrain_lib import load_captioned
from pretrain_lib.data.scenes import letters as module
from pretrain_lib.data.scenes.letters import FONTS, TEST_FONTS, Letter, letter_of, letters

SPLITS = ("train", "test", "held out")


@lru_cache
def pictures(split):
    return load_captioned("letters", split)


def described(split):
    """Letter and font of each picture, from its caption and its column."""
    data = pictures(split)
    return [(letter_of(data.captions[i]), data.names["font"][font])
            for i, font in zip(data.caption.tolist(), data.font.tolist(), strict=True)]


def test_what_is_held_out_is_in_no_font_and_no_case_of_training():
    train, test, held_out = ({(letter.letter, letter.mark) for letter, _ in described(split) if letter.mark} for split in SPLITS)
    assert held_out and not held_out & (train | test) and test <= train
    assert {letter for letter, _ in held_out} <= {letter for letter, _ in train}
    assert {mark for _, mark in held_out} <= {mark for _, mark in train}
    cases = {(letter.case, letter.letter) for letter, _ in described("train")}
    assert cases == {(case, letter) for case in ("capital", "small") for letter in module.ALPHABET}
    share = len(held_out) / len(held_out | train)
    assert abs(share - module.HELD_OUT) < 0.01


def test_fonts_of_tests_are_others():
    for split in SPLITS:
        assert {font for _, font in described(split)} == set(FONTS if split == "train" else TEST_FONTS)


def test_columns_say_what_captions_say():
    for split in SPLITS:
        data = pictures(split)
        for row, (letter, font) in enumerate(described(split)):
            named = {name: data.names[name][int(data.columns[name][row])] for name in data.names}
            assert named == letter._asdict() | {"font": font}


def test_names_agree_with_how_unicode_takes_letters_apart():
    """NFD gives the letter without its marks, for those that it can take apart."""
    apart = 0
    for font in FONTS:
        for sign, letter in module.letters_in(font):
            parts = unicodedata.normalize("NFD", sign)
            if len(parts) > 1 and parts[0].isascii():
                apart += 1
                assert parts[0] == (letter.letter.upper() if letter.case == "capital" else letter.letter)
                assert len(letter.mark.split(" and ")) == len(parts) - 1
                if letter.mark in ("circumflex", "tilde", "caron", "cedilla", "macron"):
                    assert letter.mark.upper() in unicodedata.name(parts[1])
            elif not letter.mark:
                assert sign.lower() == letter.letter
    assert apart


def test_every_sign_is_one_that_its_font_has_and_fits_into_its_picture():
    for font in FONTS + TEST_FONTS:
        known = TTFont(module.path_of(font), lazy=True).getBestCmap()
        found = [sign for sign, _ in module.letters_in(font)]
        assert found and all(ord(sign) in known for sign in found)
        large = ImageFont.truetype(module.path_of(font), module.EM, layout_engine=ImageFont.Layout.BASIC)
        nothing = module.draw("\U0010fffe", font)  # what the font shows for a sign that it lacks
        assert nothing.any()
        for sign in found[::7]:
            left, upper, right, lower = large.getbbox(sign, anchor="ms")
            assert -16 <= left and right <= 16 and -module.BASELINE <= upper and lower <= 32 - module.BASELINE
            drawn = module.draw(sign, font)
            assert drawn.max() > 128 and not torch.equal(drawn, nothing)


def test_pictures_are_the_same_each_time_and_differ():
    first, again = letters("held out"), letters("held out")
    assert first.captions == again.captions and torch.equal(first.images(), again.images())
    images = pictures("test").columns["images"]
    assert images.dtype == torch.uint8 and len(torch.unique(images.flatten(1), dim=0)) == len(images)


def test_another_seed_holds_out_others():
    assert set(letters("held out", 0).captions) != set(letters("held out", 1).captions)


@pytest.mark.parametrize("caption, letter", [
    ("latin small letter e with circumflex and acute", Letter("small", "e", "circumflex and acute")),
    ("latin capital letter a", Letter("capital", "a", "")),
    ("latin capital letter d with small letter z with caron", None),
    ("latin small letter dotless i", None), ("a red three", None),
])
def test_a_name_says_case_letter_and_mark(caption, letter):
    assert letter_of(caption) == letter


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of train, test, held out, got 'shift'"):
        load_captioned("letters", "shift")
