"""The data of supervised runs: both kinds of rows, splits, draws and refusals."""

import json

import pytest

from paring.tasks.examples import ChatRows, Examples, PromptRows
from paring.tasks.gsm8k import Gsm8k


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def prompts(numbers):
    return [{"prompt": f"What is {number}?", "completion": str(number)} for number in numbers]


def answers(examples):
    return [example.messages[-1]["content"] for example in examples]


def turns(*roles):
    return [{"role": role, "content": f"{role} {number}"} for number, role in enumerate(roles)]


@pytest.mark.parametrize(("rows", "sizes"), [(2, (1, 1)), (15, (14, 1)), (16, (14, 2)), (80, (70, 10))])
def test_an_eighth_is_held_out(tmp_path, rows, sizes):
    trained, tested = Examples(path=write(tmp_path / "a.jsonl", prompts(range(rows)))).split()
    assert (len(trained), len(tested)) == sizes
    assert {*answers(trained), *answers(tested)} == set(map(str, range(rows)))


def test_the_split_does_not_depend_on_the_order_of_the_file(tmp_path):
    data = Examples(path=write(tmp_path / "a.jsonl", prompts(range(40))), limit=9)
    before = list(map(answers, data.split()))
    write(tmp_path / "a.jsonl", reversed(prompts(range(40))))
    assert list(map(answers, data.split())) == before


def test_a_prompt_is_never_on_both_sides(tmp_path):
    rows = [{"prompt": f"q{number % 4}", "completion": str(number)} for number in range(40)]
    trained, tested = Examples(path=write(tmp_path / "a.jsonl", rows)).split()
    assert len(tested) == 10 and {example.question for example in tested}.isdisjoint(e.question for e in trained)


def test_a_folder_or_a_test_file_gives_the_held_out_examples(tmp_path):
    write(tmp_path / "train.jsonl", prompts(range(16)))
    assert [len(part) for part in Examples(path=str(tmp_path)).split()] == [14, 2]
    write(tmp_path / "test.jsonl", prompts([20, 21, 22]))
    trained, tested = Examples(path=str(tmp_path)).split()
    assert (len(trained), sorted(answers(tested))) == (16, ["20", "21", "22"])
    other = write(tmp_path / "other.jsonl", prompts([30]))
    for path in (tmp_path, tmp_path / "train.jsonl"):
        trained, tested = Examples(path=str(path), test=other).split()
        assert (len(trained), answers(tested)) == (16, ["30"])


def test_the_draw_is_that_of_gsm8k(tmp_path):
    """The same rows of the same file, so that supervised and reinforced runs can be compared."""
    rows = [{"question": f"q{number}", "answer": f"so #### {number}"} for number in range(30)]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "test.jsonl", [{"question": "other", "answer": "so #### 1"}])
    for seed in (0, 3):
        task = Gsm8k(data=str(tmp_path), train_problems=7, subset_seed=seed)
        fields = PromptRows(prompt="question", completion="answer")
        trained, _ = Examples(path=str(tmp_path), rows=fields, limit=7, subset_seed=seed).split()
        assert [example.question for example in trained] == [
            problem.messages[-1]["content"] for problem in task.problems("train")
        ]
    with pytest.raises(ValueError, match=r"data\.limit = 31: .* has 30 rows to train on, ask for fewer"):
        Examples(path=str(tmp_path), rows=fields, limit=31).split()


def test_chats(tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"q{number}"}, *turns("assistant")]} for number in range(3)]
    trained, tested = Examples(path=write(tmp_path / "a.jsonl", rows), rows=ChatRows()).split()
    assert sorted(example.question for example in trained + tested) == ["q0", "q1", "q2"]
    assert trained[0].messages[1] == {"role": "assistant", "content": "assistant 0"}
    long = turns("system", "user", "assistant", "user", "assistant")
    assert ChatRows(messages="turns").conversation({"turns": long}, "x").question == "system 0\nuser 1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "a JSON object is needed, not list"),
        ({"chat": 1}, "field 'messages' is missing; there are: 'chat'"),
        ({"messages": []}, "field 'messages' must be a list of turns"),
        ({"messages": "hi"}, "field 'messages' must be a list of turns"),
        ({"messages": ["hi"]}, r'messages\[0\] must be an object with "role" and "content"'),
        ({"messages": turns("user", "tool")}, r"messages\[1\]: role 'tool' must be one of system, user, assistant"),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\]: content is NoneType, a string"),
        ({"messages": [{"role": "user", "content": " "}]}, r"messages\[0\]: content is blank"),
        ({"messages": turns("assistant")}, r"messages\[0\] is the assistant's; a conversation begins with a question"),
        (
            {"messages": turns("user", "assistant", "user")},
            r"messages\[2\] is the user's; remove what follows the last",
        ),
    ],
)
def test_a_chat_that_is_none_is_named(value, expected):
    with pytest.raises(ValueError, match=f"^chats.jsonl:4: {expected}"):
        ChatRows().conversation(value, "chats.jsonl:4")


def test_refusals_name_the_place(tmp_path):
    train = write(tmp_path / "a.jsonl", prompts(range(8)))
    with pytest.raises(ValueError, match=r"b\.jsonl:2: trained on too, at .*a\.jsonl:8; keep one of them"):
        Examples(path=train, test=write(tmp_path / "b.jsonl", prompts([8, 7]))).split()
    with pytest.raises(ValueError, match=r"a\.jsonl:1: field 'question' is missing; there are: 'prompt', 'completion'"):
        Examples(path=train, rows=PromptRows(prompt="question")).split()
    with pytest.raises(ValueError, match="1 row, at least 2 with different prompts are needed to"):
        Examples(path=write(tmp_path / "c.jsonl", prompts([1]))).split()
    with pytest.raises(FileNotFoundError, match=r"absent\.jsonl: there is no such file; .* the fields prompt, compl"):
        Examples(path=str(tmp_path / "absent.jsonl")).split()
    with pytest.raises(FileNotFoundError, match=r"data\.path = './absent': no such file or folder"):
        Examples(path="./absent").split()


@pytest.mark.parametrize(("path", "name"), [("openai/gsm8k", "gsm8k"), ("x/own.jsonl", "own"), ("./x/y/z", "z")])
def test_a_name_for_people(path, name):
    assert Examples(path=path).name == name
