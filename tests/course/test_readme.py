"""The numbers that the README shows are those of the ledger."""

from pretrain_lib.course.readme import BEGIN, END, FIGURE, section
from pretrain_lib.course.results import ROOT


def test_the_readme_shows_what_the_ledger_holds():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text[text.index(BEGIN) : text.index(END) + len(END)]
    assert shown == section(), "run python -m pretrain_lib.course.readme"
    assert (ROOT / FIGURE).is_file()
