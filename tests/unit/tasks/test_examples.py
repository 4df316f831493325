"""The data of supervised runs: both kinds of rows, splits, draws and refusals."""

import json

import pytest

from paring import load_run
from paring.runtime.faults import RowFault
from paring.tasks.examples import Examples
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.row_forms import AlpacaRows, AutoRows, ChatRows, PromptRows, ShareGptRows


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
    trained, tested, _ = Examples(data=write(tmp_path / "a.jsonl", prompts(range(rows)))).split_rows()
    assert (len(trained), len(tested)) == sizes
    assert {*answers(trained), *answers(tested)} == set(map(str, range(rows)))


def test_the_split_does_not_depend_on_the_order_of_the_file(tmp_path):
    data = Examples(data=write(tmp_path / "a.jsonl", prompts(range(40))), limit=9)
    before = list(map(answers, data.split_rows()[:2]))
    write(tmp_path / "a.jsonl", reversed(prompts(range(40))))
    assert list(map(answers, data.split_rows()[:2])) == before


def test_a_prompt_is_never_on_both_sides(tmp_path):
    rows = [{"prompt": f"q{number % 4}", "completion": str(number)} for number in range(40)]
    trained, tested, _ = Examples(data=write(tmp_path / "a.jsonl", rows)).split_rows()
    assert len(tested) == 10 and {example.question for example in tested}.isdisjoint(e.question for e in trained)


def test_a_folder_or_a_test_file_gives_the_held_out_examples(tmp_path):
    write(tmp_path / "train.jsonl", prompts(range(16)))
    assert [len(part) for part in Examples(data=str(tmp_path)).split_rows()[:2]] == [14, 2]
    write(tmp_path / "test.jsonl", prompts([20, 21, 22]))
    trained, tested, _ = Examples(data=str(tmp_path)).split_rows()
    assert (len(trained), sorted(answers(tested))) == (16, ["20", "21", "22"])
    other = write(tmp_path / "other.jsonl", prompts([30]))
    for path in (tmp_path, tmp_path / "train.jsonl"):
        trained, tested, _ = Examples(data=str(path), test=other).split_rows()
        assert (len(trained), answers(tested)) == (16, ["30"])


def test_the_draw_is_that_of_gsm8k(tmp_path):
    """The same rows of the same file, so that supervised and reinforced runs can be compared."""
    rows = [{"question": f"q{number}", "answer": f"so #### {number}"} for number in range(30)]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "test.jsonl", [{"question": "other", "answer": "so #### 1"}])
    for seed in (0, 3):
        task = Gsm8k(data=str(tmp_path), train_problems=7, subset_seed=seed)
        fields = PromptRows(prompt="question", completion="answer")
        trained, _, _ = Examples(data=str(tmp_path), rows=fields, limit=7, subset_seed=seed).split_rows()
        assert [example.question for example in trained] == [
            problem.messages[-1]["content"] for problem in task.problems("train")
        ]
    with pytest.raises(ValueError, match=r"data\.limit = 31: .* has 30 rows to train on, ask for fewer"):
        Examples(data=str(tmp_path), rows=fields, limit=31).split_rows()


def test_chats(tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"q{number}"}, *turns("assistant")]} for number in range(3)]
    trained, tested, _ = Examples(data=write(tmp_path / "a.jsonl", rows), rows=ChatRows()).split_rows()
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
        (
            {"messages": turns("user", "narrator")},
            r"messages\[1\]: role 'narrator' must be one of system, developer, user",
        ),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\]: content is null, a string"),
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
    with pytest.raises(ValueError, match=r"a\.jsonl:8: the same conversation as .*b\.jsonl:2, which is held out"):
        Examples(data=train, test=write(tmp_path / "b.jsonl", prompts([8, 7]))).split_rows()
    with pytest.raises(ValueError, match=r"a\.jsonl:1: field 'question' is missing; there are: 'prompt', 'completion'"):
        Examples(data=train, rows=PromptRows(prompt="question")).split_rows()
    with pytest.raises(ValueError, match="1 row, at least 2 with different prompts are needed to"):
        Examples(data=write(tmp_path / "c.jsonl", prompts([1]))).split_rows()
    with pytest.raises(
        FileNotFoundError,
        match=r"absent\.jsonl: there is no such file; rows with messages, or prompt",
    ):
        Examples(data=str(tmp_path / "absent.jsonl")).split_rows()
    with pytest.raises(FileNotFoundError, match=r"data\.data = './absent': no such file or folder"):
        Examples(data="./absent").split_rows()


@pytest.mark.parametrize(("path", "name"), [("openai/gsm8k", "gsm8k"), ("x/own.jsonl", "own"), ("./x/y/z", "z")])
def test_a_name_for_people(path, name):
    assert Examples(data=path).name == name


QUESTION, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "q", "completion": "a", "other": 1}, [QUESTION, ANSWER]),
        ({"question": "q", "answer": 5}, [QUESTION, ANSWER | {"content": "5"}]),
        ({"problem": "q", "solution": "a", "answer": "5"}, [QUESTION, ANSWER]),
        ({"prompt": [SYSTEM, QUESTION], "completion": [ANSWER]}, [SYSTEM, QUESTION, ANSWER]),
        ({"messages": [QUESTION, ANSWER]}, [QUESTION, ANSWER]),
        ({"messages": json.dumps([QUESTION, ANSWER])}, [QUESTION, ANSWER]),
        ({"messages": [QUESTION | {"content": [{"type": "text", "text": "q"}]}, ANSWER]}, [QUESTION, ANSWER]),
        ({"messages": [QUESTION | {"tool_calls": None}, ANSWER], "prompt": None}, [QUESTION, ANSWER]),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
            [SYSTEM, QUESTION, ANSWER],
        ),
        ({"instruction": "q", "input": "", "output": "a"}, [QUESTION, ANSWER]),
        ({"instruction": "q", "input": "i", "output": "a"}, [QUESTION | {"content": "q\ni"}, ANSWER]),
        ({"instruction": "q", "input": 5, "output": 6}, [QUESTION | {"content": "q\n5"}, ANSWER | {"content": "6"}]),
        ({"messages": [SYSTEM, QUESTION, ANSWER], "system": "s"}, [SYSTEM, QUESTION, ANSWER]),
        ({"messages": [SYSTEM | {"content": ""}, QUESTION, ANSWER]}, [SYSTEM | {"content": ""}, QUESTION, ANSWER]),
        (
            {"instruction": "q", "output": "a", "history": [["q", "a"]], "system": "s"},
            [SYSTEM, QUESTION, ANSWER, QUESTION, ANSWER],
        ),
    ],
)
def test_the_columns_show_the_form_of_a_row(row, messages):
    assert list(AutoRows().conversation(row, "x").messages) == messages


def test_turns_keep_what_a_template_may_read():
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    turns = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "r", "weight": 0},
        {"role": "tool", "content": "1", "name": "add"},
        ANSWER | {"thinking": "t", "train": True},
    ]
    read = ChatRows().conversation({"messages": turns, "tools": json.dumps([{"name": "add"}])}, "x")
    assert list(read.messages) == turns and read.tools == ({"name": "add"},)
    for older in ({"function_call": {"name": "add", "arguments": "{}"}}, {"function_calls": "add()"}):
        turns = [QUESTION, {"role": "assistant", "content": None} | older]
        answer = ChatRows().conversation({"messages": turns}, "x").messages[1]
        assert answer.get("tool_calls", answer.get("function_calls")) in (
            [{"function": older.get("function_call")}],
            "add()",
        )
    shared = [{"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name": "add", "arguments": {}}'}]
    read = ShareGptRows().conversation({"conversations": shared}, "x")
    assert read.messages[1]["tool_calls"] == [{"function": {"name": "add", "arguments": {}}}]


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (ANSWER | {"weight": 0.5}, r"messages\[1\]: weight = 0\.5 must be 0 or 1"),
        (ANSWER | {"train": "yes"}, r"messages\[1\]: train = 'yes' must be True or False"),
        (QUESTION | {"train": True}, r"train = true in a turn of the user's; only the assistant's are learned"),
        (ANSWER | {"tool_calls": [{"name": 3}]}, "a tool call must be like"),
        (ANSWER | {"content": [{"type": "image"}]}, "content is list, a string in quotes is needed"),
        ({"content": "a"}, 'must be an object with "role" and "content"'),
        (
            ANSWER | {"tool_calls": [{"function": {"name": "f", "arguments": "{x: 1"}}]},
            "arguments of 'f' must be an object",
        ),
        (ANSWER | {"tool_calls": [{"name": "f", "arguments": [1]}]}, "arguments of 'f' must be an object"),
        (ANSWER | {"reasoning_content": 5}, "reasoning_content is int, a text is needed"),
        (ANSWER | {"thinking": ["t"]}, "thinking is list, a text is needed"),
    ],
)
def test_a_turn_that_cannot_be_honoured_is_named(turn, expected):
    with pytest.raises(ValueError, match=expected):
        ChatRows().conversation({"messages": [QUESTION, turn, ANSWER]}, "x")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [SYSTEM, QUESTION, ANSWER], "system": "other"}, "two system prompts: the field 'system' and"),
        ({"messages": [QUESTION, ANSWER], "system": ["s"]}, "field 'system' is list"),
        ({"messages": [QUESTION, ANSWER], "tools": "none"}, "field 'tools' must be a list of tools"),
        ({"messages": [QUESTION, ANSWER], "tools": {"name": "f"}}, "field 'tools' must be a list of tools"),
        ({"instruction": "q", "output": "a", "history": "so"}, "field 'history' must be a list"),
        ({"instruction": "q", "output": "a", "input": ["i"]}, "field 'input' is list"),
        ({"prompt": [QUESTION, ANSWER], "completion": "a"}, "prompt ends with the assistant's turn"),
        ({"prompt": "q", "completion": None}, "field 'completion' is null"),
    ],
)
def test_nothing_of_a_row_is_lost_in_silence(row, expected):
    with pytest.raises(ValueError, match=f"^x: {expected}"):
        AutoRows().conversation(row, "x")


def test_tools_and_calls_in_the_spellings_of_tables():
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": None}}, {"name": "g"}]}
    row = {"messages": [QUESTION, call, {"role": "tool", "content": ""}, ANSWER]}
    for tools in (['{"name": "f"}'], '[{"name": "f"}]', [{"name": "f"}]):
        read = AutoRows().conversation(row | {"tools": tools}, "x")
        assert read.tools == ({"name": "f"},) and read.messages[2]["content"] == ""
        assert read.messages[1]["tool_calls"] == [
            {"function": {"name": "f", "arguments": {}}},
            {"name": "g", "arguments": {}},
        ]
    assert all(AutoRows().conversation(row | {"tools": none}, "x").tools == () for none in (None, "", [], "[]", "null"))


def test_columns_by_other_names():
    assert PromptRows(prompt="p", completion="c").conversation({"p": "q", "c": "a"}, "x").messages == (QUESTION, ANSWER)
    rows = AlpacaRows(instruction="do", output="done")
    assert rows.conversation({"do": "q", "done": "a"}, "x").messages == (QUESTION, ANSWER)
    with pytest.raises(ValueError, match="x: field 'messages' is missing; there are: 'text'"):
        AutoRows().conversation({"text": "a"}, "x")


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", [*prompts(range(9)), *prompts([3]), "{", {"prompt": "q"}])
    with pytest.raises(ValueError, match="3 rows cannot be used"):
        Examples(data=path).split_rows()
    trained, tested, left_out = Examples(data=path, broken="skip", system="Be brief.").split_rows()
    assert len(trained) + len(tested) == 9 and trained[0].messages[0]["content"] == "Be brief."
    assert [fault.kind for fault in left_out] == ["not JSON", "without a field", "repeated"]


VARIANTS = {
    "roles in any case": ({"conversations": [{"from": "Human", "value": "q"}, {"from": "Bard", "value": "a"}]}, "q"),
    "text for value": ({"conversation": [{"from": "human", "text": "q"}, {"from": "gpt", "text": "a"}]}, "q"),
    "columns in any case": ({"Prompt": "q", "Completion": "a"}, "q"),
    "user and assistant": ({"user": "q", "assistant": "a"}, "q"),
    "an instruction with its context": ({"instruction": "q", "context": "c", "response": "a"}, "q\nc"),
    "a context that is empty": ({"question": "q", "context": " ", "answer": "a"}, "q"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_spellings_of_rows_that_are_known(name):
    row, question = VARIANTS[name]
    read = AutoRows().conversation(row, "x:1")
    assert [(turn["role"], turn["content"]) for turn in read.messages] == [("user", question), ("assistant", "a")]


def test_a_context_is_not_lost_in_silence():
    words = r"column 'Context' would not be read; .* data.rows.instruction=question data.rows.input=Context .*=answer"
    with pytest.raises(RowFault, match=words):
        AutoRows().conversation({"question": "q", "Context": "c", "answer": "a"}, "x:1")


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ({"messages": "dialogue"}, "chats"),
        ({"prompt": "q", "completion": "a"}, "prompts"),
        ({"input": "ctx"}, "alpaca"),
    ],
)
def test_a_setting_of_the_rows_says_their_kind(rows, kind):
    given = {f"data.rows.{name}": value for name, value in rows.items()}
    read = load_run("sft", **given).data.rows
    assert read.kind == kind and {name: getattr(read, name) for name in rows} == rows
    assert load_run("sft-gsm8k-lora", **given).data.rows.kind == kind


def test_other_data_leave_the_configuration_of_the_recipe_s():
    assert load_run("sft-gsm8k-lora").data.hub_config == "main"
    other = load_run("sft-gsm8k-lora", **{"data.data": "org/other"}).data
    assert (other.hub_config, other.rows.prompt) == (None, "question")
    kept = load_run("sft-gsm8k-lora", **{"data.data": "org/other", "data.hub_config": "x"}).data
    assert kept.hub_config == "x"


def test_a_file_of_another_encoding_and_a_folder_of_another_name_are_one_error(tmp_path):
    (tmp_path / "chats.jsonl").write_text('{"question": "q", "answer": "a"}\n' * 3, encoding="utf-16")
    with pytest.raises(ValueError, match="UTF-16, as Excel and PowerShell write; save the file as UTF-8"):
        Examples(data=str(tmp_path / "chats.jsonl")).split_rows()
    with pytest.raises(FileNotFoundError, match=r"no file of the split 'train'; there are: chats.jsonl. Name a file"):
        Examples(data=str(tmp_path)).split_rows()
