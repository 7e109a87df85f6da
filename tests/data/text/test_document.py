"""Corpora and sentences: what is read, what is left out, and where sentences end."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_lib.data.text.document import Corpus, Document, split_sentences

THREE = [Document("One.", "a"), Document("Two.", "b", {"era": "old"}), Document("Three.", "c")]


def three():
    return THREE


def test_a_corpus_is_read_again_and_again():
    passes = []

    def read():
        passes.append(1)
        yield from THREE

    corpus = Corpus("three", read)
    assert list(corpus) == list(corpus) == THREE
    assert len(passes) == 2


def test_filter_and_without_read_again_too():
    corpus = Corpus("three", three)
    held_out = corpus.without(["b"])
    assert [d.source for d in held_out] == [d.source for d in held_out] == ["a", "c"]
    assert [d.source for d in corpus.filter(lambda d: "era" in d.labels)] == ["b"]


def test_leaving_out_a_document_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="'three' has no document 'z' to leave out"):
        list(Corpus("three", three).without(["b", "z"]))


def test_a_corpus_can_be_sent_to_a_worker():
    corpus = Corpus("three", three).without(["a"])
    assert [d.source for d in pickle.loads(pickle.dumps(corpus))] == ["b", "c"]


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("We met. We spoke! Did we?", ["We met.", "We spoke!", "Did we?"]),
        ("Mr. Smith met Dr. Jones. They left.", ["Mr. Smith met Dr. Jones.", "They left."]),
        ("John Q. Adams spoke. He left.", ["John Q. Adams spoke.", "He left."]),
        ("the U.S. Treasury pays. All gain.", ["the U.S. Treasury pays.", "All gain."]),
        ("It rose 3.5 percent. Good.", ["It rose 3.5 percent.", "Good."]),
        ('He said: "Go." She went.', ['He said: "Go."', "She went."]),
        ("A heading\n\nA sentence\nin two lines.", ["A heading", "A sentence in two lines."]),
        ("Wait ... there is more. Yes.", ["Wait ... there is more.", "Yes."]),
        ("1. The first. 2. The second.", ["1. The first.", "2. The second."]),
        ("No. 5 is alive. No. I am.", ["No. 5 is alive.", "No. I am."]),
        ("So am I. And you?", ["So am I.", "And you?"]),
        ("你好。世界!我们走吧！好", ["你好。", "世界!我们走吧！", "好"]),
        ("Привет. Мир.", ["Привет.", "Мир."]),
        ("मैं घर गया। वह आई॥ क्या हुआ? कुछ नहीं।", ["मैं घर गया।", "वह आई॥", "क्या हुआ?", "कुछ नहीं।"]),
        ("هل أنت هنا؟ نعم. أنا هنا!", ["هل أنت هنا؟", "نعم.", "أنا هنا!"]),
        ("یہ کتاب ہے۔ وہ قلم ہے۔", ["یہ کتاب ہے۔", "وہ قلم ہے۔"]),
        ("他说：“你好。”我们走吧！真的？？好。", ["他说：“你好。”", "我们走吧！", "真的？？", "好。"]),
        ('他来了。"好。" 走。"去', ['他来了。', '"好。"', '走。', '"去']),
        ("「行こう！」去った。３．１４です．終わり．", ["「行こう！」", "去った。", "３．１４です．", "終わり．"]),
        ("ሰላም። እንዴት ነህ፧ ደህና።", ["ሰላም።", "እንዴት ነህ፧", "ደህና።"]),
        ("နေကောင်းလား။ ကောင်းပါတယ်။", ["နေကောင်းလား။", "ကောင်းပါတယ်။"]),
        ("ខ្ញុំទៅផ្ទះ។ គាត់មក។", ["ខ្ញុំទៅផ្ទះ។", "គាត់មក។"]),
        ("Ինչպե՞ս ես։ Լավ։", ["Ինչպե՞ս ես։", "Լավ։"]),
        ("བཀྲ་ཤིས། །བདེ་ལེགས།", ["བཀྲ་ཤིས། །", "བདེ་ལེགས།"]),
        ("Τι κάνεις; Καλά. Εσύ;", ["Τι κάνεις;", "Καλά.", "Εσύ;"]),
        ("First; second. ¿Qué? ¡Sí!", ["First; second.", "¿Qué?", "¡Sí!"]),
        ("สวัสดีครับ วันนี้อากาศดี\n\nผมไปตลาด", ["สวัสดีครับ วันนี้อากาศดี", "ผมไปตลาด"]),
        (" \n\n \t\n", []),
    ],
)
def test_where_sentences_end(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text(alphabet="ab AB1.!?\"'()\n\u3002é…।؟։༎;λ ．1", max_size=60))
def test_sentences_lose_nothing_and_none_is_empty(text):
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == " ".join(sentence.split()) for sentence in sentences)
