"""What one types first for one's own text: a single .txt in any script, and everything else left at its default."""

import json
import random
import re

import pytest

from pretrain_lib.__main__ import main
from pretrain_lib.data.text.document import split_sentences
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.pretrained import load_pretrained

SIZE = 20_000  # bytes
PARTS = {  # subjects, verbs, objects and the mark at the end, each with what stands between words
    "English": (" ", "The old farmer|My younger sister|Our neighbour|A tired traveller|The captain|Nobody",
                "never forgot|quietly painted|often describes|finally found|cannot explain|carried",
                "the house by the river|a letter from home|three wooden boats|the longest road|his first winter", ".|!|?"),
    "Hindi": (" ", "मेरा भाई|बूढ़ा किसान|हमारी शिक्षिका|छोटी लड़की|वह यात्री|पड़ोसी",
              "हर सुबह|कभी कभी|पिछले साल|नदी के किनारे|बड़े प्यार से", "चिट्ठी लिखता है|घर बनाता है|गीत सुनता है|किताब पढ़ता है|दूध लाता है", "।|?|॥"),
    "Chinese": ("", "我的弟弟|那位老农民|我们的老师|年轻的船长|邻居家的孩子|没有人",
                "每天早上|有时候|去年冬天|在河边|慢慢地", "写了一封长信|修好了木船|讲起从前的故事|看见远处的山|种下许多果树", "。|！|？"),
    "Arabic": (" ", "أخي الصغير|الفلاح العجوز|معلمتنا|القبطان الشاب|جارنا|المسافر",
               "كل صباح|في بعض الأحيان|في الشتاء الماضي|قرب النهر|بهدوء", "يكتب رسالة طويلة|يبني بيتا جديدا|يقرأ كتابا قديما|يحكي قصة جميلة", ".|؟|!"),
    "Thai": ("", "น้องชายของฉัน|ชาวนาแก่|ครูของเรา|กัปตันหนุ่ม|เพื่อนบ้าน|นักเดินทาง",
             "ทุกเช้า|บางครั้ง|เมื่อปีที่แล้ว|ริมแม่น้ำ|อย่างช้าๆ", "เขียนจดหมายยาว|สร้างบ้านใหม่|อ่านหนังสือเก่า|เล่าเรื่องสนุก", " "),
}
CODE = '''def {verb}_{noun}(values, limit={n}):
    """Returns the {noun} of what is below the limit."""
    total = {m}
    for index, value in enumerate(values):
        if value >= limit:
            continue
        total += index * value
    return total


'''


def prose(language: str) -> str:
    between, *parts, marks = PARTS[language]
    generator, paragraphs = random.Random(language), []
    while sum(len(p.encode()) for p in paragraphs) < SIZE:
        sentences = [between.join(generator.choice(part.split("|")) for part in parts) + generator.choice(marks.split("|"))
                     for _ in range(generator.randint(3, 7))]
        paragraphs.append(between.join(sentences) if between else "".join(sentences))
    return "\n\n".join(paragraphs)


def code() -> str:
    generator, functions = random.Random(0), []
    while sum(map(len, functions)) < SIZE:
        functions.append(CODE.format(verb=generator.choice(["count", "sum", "measure", "find"]), n=generator.randrange(99),
                                     noun=generator.choice(["weight", "height", "share", "price"]), m=generator.randrange(9)))
    return "".join(functions)


TINY = ("--data.length 32 --model.hidden-size 16 --model.intermediate-size 32 --model.num-hidden-layers 2 --model.num-attention-heads 2 "
        "--train.steps 3 --train.batch-size 2 --train.evaluate-every 3 --train.checkpoint-every 3 --train.warmup-steps 1 --train.device cpu").split()
BERT, MODERN = "recipes/bert-mini-laptop.toml", "recipes/modernbert-mini-laptop.toml"


def started(recipe: str, path, run, *more: str) -> int:
    layers = ["--model.layer-types", "sliding_attention", "full_attention"] if recipe == MODERN else []
    return main(["pretrain", recipe, "--data.corpus", str(path), "--folder", str(run), *TINY, *layers, *more])


@pytest.mark.slow
@pytest.mark.parametrize("language, lines", [*((language, []) for language in [*PARTS, "Python"]), ("Python", ["--data.keep-lines"])])
def test_a_single_file_in_any_script_is_trained_on(language, lines, tmp_path, capsys):
    text = code() if language == "Python" else prose(language)
    path, run = tmp_path / "mine.txt", tmp_path / "runs" / "mine"
    path.write_text(text, encoding="utf-8")
    assert started(MODERN, path, run, *lines) == 0
    said = capsys.readouterr().out
    assert f"{path}: {'the whole file' if language == 'Python' else 'a paragraph'} is a document" in said
    trained, tokens, held_out = re.search(r"trained on: ([\d,]+) documents, ([\d,]+) tokens \(.*%\); held out: ([\d,]+) documents", said).groups()
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["evaluation"]["loss"] > 0
    assert load_pretrained(run).config.hidden_size == 16
    folder, = (path.parent for path in (tmp_path / "runs" / "prepared").glob("*/manifest.json"))
    dataset = TokenDataset(folder)
    assert int(tokens.replace(",", "")) < dataset.tokens and int(trained) + int(held_out) >= dataset.num_documents
    assert main(["evaluate", str(run)]) == 0
    bits, spans = re.search(r"at most ([\d.]+) bits a byte.*\((\d+) spans", capsys.readouterr().out).groups()
    assert float(bits) > 0 and (language != "Python" or int(spans) < 20)  # of its end, not of all
    if lines:
        assert dataset.sentence_counts.sum() == text.count("\n") + 1  # a sentence is a line


@pytest.mark.slow
@pytest.mark.parametrize("language", PARTS)
def test_next_sentences_are_found_in_every_script_that_has_them(language, tmp_path, capsys):
    text = prose(language)
    (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
    ended = started(BERT, tmp_path / "mine.txt", tmp_path / "runs" / "mine")
    if language == "Thai":
        assert ended == 1 and "fewer than two sentences" in capsys.readouterr().err
    else:
        marks = PARTS[language][-1].split("|")
        assert ended == 0 and len(split_sentences(text)) == sum(map(text.count, marks))
