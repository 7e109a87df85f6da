"""The command `predict`: a file of texts in, what a fine-tuned model says of each row out.

Rows are answered a part at a time, as `parts` has it: in flat memory, to be gone on with.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.tables.dialect import Dialect
from ..data.tasks.encoded import EncodedText, encode_batch, padded
from ..data.text.tokenizer import load_tokenizer, most_tokens
from ..files import new_file, sha256_of
from ..models.bert import BertForTokenClassification
from ..models.modern import ModernBertForTokenClassification
from ..models.protocol import TextEncoder
from ..pretrained import find, load_pretrained, weight_files
from ..transfer.embed import most_positions
from ..transfer.features import logits
from ..validation import require, require_at_least
from .parts import in_parts, kept_parts, require_room_and_file, texts_of
from .usage import with_two_words

WRITERS = (".csv", ".jsonl", ".parquet")
USAGE = """\
usage: python -m pretrain_lib predict MODEL FILE --output answers.csv

MODEL: a classifier that `finetune` made: a folder, or its run's folder
FILE: a .csv, .tsv, .jsonl or .parquet with a column of texts, or a .txt with a text a line

python -m pretrain_lib predict --help tells the options"""


@dataclass(frozen=True)
class PredictConfig:
    """What is asked about which texts, and where the answers go.

    Attributes:
        model: a classifier or regressor: a folder, a run's folder.
        data: a .csv, .tsv, .jsonl or .parquet, also as .gz, or a .txt with a text a line.
        output: a .csv, .jsonl or .parquet that is to be made.
        text: the column that holds the text; one within another is "answer.text".
        length: tokens of a text that are read; the rest is cut off. 0 reads as many as the model
            was fine-tuned with.
        batch_size: texts in one forward pass.
        columns: the names of all columns, for a table whose first line is a row.
        separator: between the fields of a table; left empty, it is guessed and told.
        quote: the sign around fields, or none; left empty, it is guessed and told.
        encoding: of the file, such as cp1252; left empty, UTF-8 or UTF-16.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    model: str
    data: str
    output: str = ""
    text: str = "text"
    length: int = 0
    batch_size: int = 64
    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""

    def __post_init__(self):
        require_at_least(self, 0, "length")
        require_at_least(self, 1, "batch_size")
        require(Path(self.output).suffix.lower() in WRITERS, "output", self.output,
                f"a file to be made that ends in {', '.join(WRITERS)}")
        self.dialect()

    def dialect(self) -> Dialect:
        """How the file is written, as far as it is said."""
        return Dialect(self.columns, self.separator, self.quote, self.encoding)


def carry_out(config: PredictConfig) -> dict[str, int]:
    """Answers all rows of a file, and writes the answers.

    Returns:
        How many rows there were, how many of them have no text, and of how many the end was cut off.

    Raises:
        FileNotFoundError: if there is no such model or file.
        FileExistsError: if the output is there already.
        ValueError: if the model answers texts with no classes or numbers, the file cannot be read,
            or parts of other answers stand where these are to go.
    """
    output = Path(config.output)
    require_room_and_file(output, config.data)
    ask = asked(config)

    def write(place: Path, rows: tuple) -> None:
        write_jsonl(place, ask(rows))

    folder = output.with_name(f"{output.name}.parts")
    texts = texts_of(Path(config.data), config.text, config.dialect())
    parts = kept_parts(folder, about(config), texts, ".jsonl", write)
    counts = {"rows": 0, "without text": 0, "cut off": 0}
    with new_file(output) as place:
        WRITE[output.suffix.lower()](place, counted(parts, counts))
    shutil.rmtree(folder)
    return counts


# ----------------------------------------------------------------------------------- what is asked


def asked(config: PredictConfig) -> Callable[[tuple], Iterator[dict]]:
    """The function from numbered texts to rows of the output."""
    model = load_pretrained(config.model)
    folder = find(config.model)
    if not isinstance(model, TextEncoder) or not getattr(model, "num_labels", None):
        raise ValueError(f"{config.model} holds {type(model).__name__}, which gives texts no label: "
                         "`finetune` makes a classifier of it")
    if isinstance(model, BertForTokenClassification | ModernBertForTokenClassification):
        raise ValueError(f"{config.model} holds {type(model).__name__}, which tags words: "
                         "predicted_tags of pretrain_lib.transfer.heads asks it")
    tokenizer = load_tokenizer(folder)
    length = read_length(config.length, model, folder)

    def ask(rows: tuple[tuple[int, str], ...]) -> Iterator[dict]:
        encodings = encode_batch([text for _, text in rows], tokenizer, length)
        longest_first = sorted(range(len(rows)), key=lambda i: -len(encodings[i].ids))
        texts = EncodedText([rows[i][1] for i in longest_first],
                            **padded([encodings[i] for i in longest_first], tokenizer))
        answers = torch.empty(len(rows), model.num_labels)
        answers[longest_first] = logits(model, texts, config.batch_size)
        for (number, text), encoding, answer in zip(rows, encodings, answers, strict=True):
            said = saying(model, answer) if text else dict.fromkeys(saying(model, answer))
            yield {"row": number, **said, "cut_off": bool(encoding.overflowing)}

    return ask


def read_length(length: int, model: nn.Module, folder: Path) -> int:
    """How many tokens of a text are read.

    Raises:
        ValueError: if the model has not so many positions.
    """
    longest = most_positions(model)
    require(length <= longest, "length", length, f"at most {longest}, the positions of the model")
    return length or min(longest, most_tokens(folder) or longest)


def saying(model: nn.Module, answer: Tensor) -> dict[str, str | float]:
    """What a row's logits (classes,) say: the label and every probability, or a number."""
    if model.num_labels == 1:
        return {"score": answer.item()}
    names = model.label_names or [str(i) for i in range(model.num_labels)]
    several = model.other_fields.get("problem_type") == "multi_label_classification"
    shares = answer.sigmoid() if several else answer.softmax(0)
    label = ("; ".join(name for name, share in zip(names, shares) if share >= 0.5) if several
             else names[int(answer.argmax())])
    return {"label": label} | {f"p({name})": round(share, 6)
                               for name, share in zip(names, shares.tolist(), strict=True)}


# ----------------------------------------------------------------------------------- what is kept


def about(config: PredictConfig) -> dict:
    """Whose answers they are, and to what."""
    return {"model": [sha256_of(file) for file in weight_files(find(config.model))],
            "data": sha256_of(Path(config.data)), "text": config.text, "length": config.length,
            "table": str(config.dialect())}


def counted(parts: list[Path], counts: dict[str, int]) -> Iterator[dict]:
    """The rows of all parts; what is counted of them is added to `counts`."""
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                counts["rows"] += 1
                counts["cut off"] += row.pop("cut_off")
                counts["without text"] += None in row.values()
                yield row


def write_csv(place: Path, rows: Iterator[dict]) -> None:
    with place.open("w", encoding="utf-8", newline="") as file:
        first = next(rows, {"row": None})
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerows(chain([first] if first["row"] is not None else [], rows))


def write_jsonl(place: Path, rows: Iterator[dict]) -> None:
    with place.open("w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_parquet(place: Path, rows: Iterator[dict]) -> None:
    import pyarrow
    from pyarrow import parquet

    writer = None
    for part in in_parts(rows):
        table = pyarrow.Table.from_pylist(list(part), writer.schema if writer else schema_of(part[0]))
        writer = writer or parquet.ParquetWriter(place, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def schema_of(row: dict):
    """The columns of an answer: a whole number, texts where a label is, and numbers."""
    import pyarrow

    kinds = {"row": pyarrow.int64(), "label": pyarrow.string()}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in row])


WRITE = {".csv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}


def predict(words: list[str]) -> None:
    """Asks a fine-tuned model about every row of a file."""
    import tyro

    words = with_two_words(words, USAGE, ("MODEL", "FILE"))
    config = tyro.cli(PredictConfig, args=words[2:], prog="python -m pretrain_lib predict MODEL FILE",
                      default=PredictConfig(*words[:2], "answers.csv"),
                      description="Asks a fine-tuned model about every row of a file, in order. "
                                  "Interrupted, it goes on where it stopped.")
    print(told(carry_out(config), config.output))


def told(counts: dict[str, int], output: str) -> str:
    """What became of the rows, for people."""
    lines = [f"{counts['rows']} rows in {output}"]
    if counts["without text"]:
        lines.append(f"{counts['without text']} of them have no text: they keep their place, with "
                     "no answer")
    if counts["cut off"]:
        lines.append(f"{counts['cut off']} of them are longer than what is read: --length N reads N "
                     "tokens")
    return "\n".join(lines)
