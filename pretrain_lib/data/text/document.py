"""What a text corpus is: documents that can be read again and again, cut into sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

PARAGRAPH = re.compile(r"\n\s*\n")
LINE = re.compile(r"(?=\n)")
NO_WORD, LETTER = re.compile(r"[\W_]+"), re.compile(r"[^\W_]")
# Marks that end a sentence wherever they stand, in scripts other than Latin, Greek and Cyrillic:
# those that Unicode calls Sentence_Terminal (PropList.txt), and Tibetan's ། ༎. No list has Thai
# and Lao, which end sentences with a space at most, nor Armenian's ՜ and ՞, which stand in a word.
SURE = ("。！？｡．﹖﹗" "।॥꣎꣏꯫꫰꫱᱾᱿᥄᥅" "؟۔؝؞܀܁܂߹" "։" "።፧፨" "၊။" "។៕" "།༎꡶꡷" "᠃᠉"
        "᜵᜶꧈꧉᭚᭛᭞᭟᭽᭾᰻᰼᪨᪩᪪᪫꤯꩝꩞꩟" "꓿꘎꘏꛳꛷᙮")
# All marks that may end a sentence; "latin" holds what follows those that need a space behind. A
# set of characters comes first, which Python finds fast. Greek asks with a semicolon.
END = re.compile(
    rf"""[.!?…;\u037e{SURE}](?:(?<=[.!?…])(?P<latin>[.!?…]*)["'”’»)\]]*(?= )|"""
    rf"""(?<=[{SURE}])(?<!．(?=\d))[.!?…{SURE}]*(?: [{SURE}]+)*"""
    r"""(?:[”’»」』）】》〉]|["')\]]+(?= |$))*|"""
    r"""(?<=[\u0370-\u03ff\u1f00-\u1fff][;\u037e])["'”’»)\]]*(?= ))"""
)
START = re.compile(r"""[ "'“‘(\[]*""")
ABBREVIATIONS = frozenset(
    "Mr Mrs Ms Messrs Dr Prof Gen Col Capt Lt Maj Adm Gov Sen Rep Hon Rev St Jr Sr No Nos Art Sec "
    "Vol Fig Eq Inc Co Corp vs cf al".split()
)


@dataclass(frozen=True)
class Document:
    """One text and where it came from.

    Attributes:
        text: the text; paragraphs are separated by blank lines where they are known.
        source: what to find it by, such as "1790-Washington-1" or "reviews.csv:17".
        labels: what is known of it, such as {"year": "1790"}.
    """

    text: str
    source: str
    labels: dict[str, str] = field(default_factory=dict)


class Corpus:
    """Documents that can be read again and again, one at a time.

    Nothing is kept in memory: each loop over a corpus reads its files anew.

    Args:
        name: what the corpus is called.
        read: a function that starts a new pass over the documents.
        about: where it comes from, and its licence.
    """

    def __init__(self, name: str, read: Callable[[], Iterable[Document]], about: str = ""):
        self.name = name
        self.about = about
        self._read = read

    def __iter__(self) -> Iterator[Document]:
        return iter(self._read())

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {self.about})"

    def filter(self, keep: Callable[[Document], bool]) -> Corpus:
        """The documents for which `keep` is true."""
        return Corpus(self.name, partial(filter, keep, self), self.about)

    def without(self, sources: Iterable[str]) -> Corpus:
        """The documents other than those of the given sources, as when some are held out.

        Raises:
            ValueError: at the end of a pass, if the corpus lacks one of the sources.
        """
        return Corpus(self.name, partial(_leave_out, self, frozenset(sources)), self.about)


def _leave_out(corpus: Corpus, sources: frozenset[str]) -> Iterator[Document]:
    unseen = set(sources)
    for document in corpus:
        unseen.discard(document.source)
        if document.source not in sources:
            yield document
    if unseen:
        raise ValueError(f"the corpus {corpus.name!r} has no document {min(unseen)!r} to leave out")


def split_sentences(text: str) -> list[str]:
    """Cuts a text into sentences by its punctuation; the end of a paragraph ends a sentence too.

    A rule of thumb for every script that ends its sentences with marks: . ! ? … before a space, and
    । ؟ ۔ 。 ！ ។ ። ། and their like anywhere. Abbreviations and initials end none, so that two
    sentences may stay together where one ends with "U.S.". Thai has no such mark, and is cut at
    the ends of paragraphs alone.

    Returns:
        the sentences, none of them empty, each run of white space made a single space.
    """
    return [sentence for paragraph in paragraphs(text) for sentence in _sentences_of(paragraph)]


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, each run of white space made a single space; some may be empty."""
    return [" ".join(paragraph.split()) for paragraph in PARAGRAPH.split(text)]


def plain_string(text: str) -> str:
    """A text's letters and digits in lower case, one space between words; itself if it has none."""
    return NO_WORD.sub(" ", text.casefold()).strip() or text


def has_word(text: str) -> bool:
    """Whether a text has a letter or a digit."""
    return LETTER.search(text) is not None


def lines_of(text: str) -> list[str]:
    """The lines of a text as they stand, each with the line break before it: together, the text."""
    return [line for line in LINE.split(text) if line]


def _sentences_of(paragraph: str) -> Iterator[str]:
    start = 0
    for end in END.finditer(paragraph):
        if _ends_sentence(paragraph, start, end):
            yield paragraph[start : end.end()].strip()
            start = end.end()
    if rest := paragraph[start:].strip():
        yield rest


def _ends_sentence(paragraph: str, start: int, end: re.Match) -> bool:
    """Whether the punctuation `end` closes the sentence that began at `start`."""
    if end["latin"] is None:
        return True
    next_word = START.match(paragraph, end.end()).end()
    if paragraph[next_word : next_word + 1].islower():
        return False
    first = max(start, paragraph.rfind(" ", start, end.start()) + 1)
    word = paragraph[first : end.start()].lstrip("\"'“‘([")
    is_item = word.isdigit() and not paragraph[start:first].strip()  # the 1. of a list
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    is_short = word in ABBREVIATIONS or "." in word or is_initial
    is_dot = end["latin"] == "" and paragraph[end.start()] == "."
    return not (is_dot and (is_short or is_item))
