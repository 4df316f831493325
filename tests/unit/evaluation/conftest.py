"""Items made by hand, small data sets, and an engine that answers by a script."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paring.evaluation.items import Item, Response
from paring.types import Completion, Group, Key


@pytest.fixture
def real() -> str:
    """The folder of the benchmark files."""
    folder = Path(__file__).parents[4] / "shared" / "data"
    if not (folder / "math500" / "test.jsonl").is_file():
        pytest.skip("the benchmark files are not here")
    return str(folder)


@pytest.fixture
def make_item():
    """`make_item("p/1", "rwn-", subject="Algebra")`: an answer a letter: right, wrong, none, or cut off."""
    why = {"r": "right", "w": "wrong", "v": "wrong", "n": "no answer", "-": "no answer"}

    def make(problem, answers, **labels):
        responses = [
            Response(
                correct=letter == "r",
                why=why[letter],
                answer=None if letter in "n-" else letter,
                reward=float(letter == "r"),
                traits={},
                tokens=10 + number,
                ended=letter != "-",
                text=f"it is {letter}",
            )
            for number, letter in enumerate(answers)
        ]
        return Item(problem, "Which letter?", "r", tuple(responses), row=0, labels=labels)

    return make


@pytest.fixture
def data(tmp_path):
    """The folder of a small AMC23: twelve problems whose answers are 0 to 11."""
    folder = tmp_path / "data"
    (folder / "amc23").mkdir(parents=True)
    rows = [{"question": f"What is {n} + 0?", "answer": float(n)} for n in range(12)]
    (folder / "amc23" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


class Scripted:
    """An engine whose answer to a problem is `of(problem, member)`, in as many tokens as characters."""

    def __init__(self, of):
        self.of, self.asked = of, []

    def sample(self, problems, group_size, sampling, key):
        self.asked.append(([problem.id for problem in problems], group_size, sampling, key))
        assert isinstance(key, Key)
        members = range(key.member, key.member + group_size)
        return [Group(problem, (1,), tuple(self._answers(problem, members))) for problem in problems]

    def _answers(self, problem, members):
        for member in members:
            text = self.of(problem, member)
            yield Completion((1,) * max(1, len(text)), (0.0,) * max(1, len(text)), text, True)


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture(scope="session")
def talker(tiny, tmp_path_factory) -> str:
    """The folder of a tiny model of random weights that reads and writes bytes: its answers are rubbish of any kind."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({character: place for place, character in enumerate([*alphabet, "<end>"])}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("talker")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    tokenizer.save_pretrained(folder)
    tiny(vocab_size=257, max_position_embeddings=4096, eos_token_id=256, pad_token_id=256).save_pretrained(folder)
    return str(folder)
