"""GSM8K in the style of lm-evaluation-harness: prompts, the draw of examples, both patterns, and the harness's own."""

import json
import re

import pytest

from paring.evaluation.benchmarks.lm_eval import LmEvalGsm8k
from paring.evaluation.request import request_of
from paring.subjects.choosing import exams_of
from paring.tasks.styles import Boxed
from paring.types import Problem
from paring.verifier import Verifier

TEXTS = [
    *[
        "#### 18",
        " 9 + 9 = 18\n#### 18\n\n",
        "#### $18",
        "#### 18.",
        "#### 18.0",
        "#### 1,8",
        "####18",
        "18",
        "",
        "$18.",
    ],
    *[
        "#### 17\n#### 18",
        "#### 18\n#### 17",
        "no\nQuestion: 1?\n#### 18",
        "#### -18",
        "so 18, then 17",
        "It is 18 ...",
    ],
]


def verdict(text, gold="18"):
    score = LmEvalGsm8k("x").score(Problem("p", (), gold), text)
    return score.correct, score.traits["flexible_match"]


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        (" 9 + 9 = 18\n#### 18\n\n", True, True),
        ("#### 18.", True, True),
        ("#### 1,8", True, True),
        ("#### 18.0", False, False),
        ("#### $18", False, True),
        ("#### 17\n#### 18", False, True),
        ("no\nQuestion: 1?\n#### 18", False, False),
        ("It is 18 ...", False, False),
        ("", False, False),
    ],
)
def test_by_hand(text, strict, flexible):
    assert verdict(text) == (strict, flexible)


def test_a_gold_with_commas():
    assert verdict("#### 109200000", "109,200,000") == (True, True)


def test_as_the_harness_decides():
    extraction, metrics = (pytest.importorskip(f"lm_eval.{name}") for name in ("filters.extraction", "api.metrics"))
    filters = (
        extraction.RegexFilter(r"#### (\-?[0-9\.\,]+)"),
        extraction.RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1),
    )
    for text in TEXTS:
        cut = re.split("Question:", text)[0]
        found = [one.apply([[cut]], [{}]) for one in filters]
        found = [next(iter(one))[0] for one in found]
        ignored = [",", r"\$", "(?s).*#### ", r"\.$"]
        theirs = tuple(
            bool(
                metrics.exact_match_hf_evaluate([one], ["so\n#### 18"], regexes_to_ignore=ignored, ignore_case=True)[
                    "exact_match"
                ]
            )
            for one in found
        )
        assert verdict(text) == theirs, text


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gsm8k").mkdir()
    for split, numbers in (("train", range(100)), ("test", range(100, 103))):
        rows = [{"question": f"q{n}", "answer": f"a{n}\n#### {n}"} for n in numbers]
        (tmp_path / "gsm8k" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path)


def exam(folder, **changes):
    request = request_of(subject="embedded", tasks=("gsm8k",), data=folder, style="lm-eval", **changes)
    return exams_of(request, None, Boxed(), Verifier())[0]


def test_prompts_are_those_of_the_harness(folder):
    """`Random(1234).sample` of the training rows for each question in turn, as its default sampler draws them."""
    one = exam(folder)
    shown = [re.findall(r"Question: q(\d+)\n", problem.messages[0]["content"]) for problem in one.problems]
    assert shown[0] == ["99", "56", "14", "0", "11", "100"] and all(len(set(numbers)) == 6 for numbers in shown)
    assert one.problems[0].messages[0]["content"].startswith("Question: q99\nAnswer: a99\n#### 99\n\nQuestion: q56\n")
    assert one.problems[0].messages[0]["content"].endswith("\n\nQuestion: q100\nAnswer:")
    about = one.about()
    assert (about.title, about.style, about.shots, one.longest) == ("GSM8K", "lm-eval", 5, 256)
    assert [len(one.problems[0].messages), exam(folder, shots=0).problems[0].messages[0]["content"]] == [
        1,
        "Question: q100\nAnswer:",
    ]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"tasks": ("amc23",)}, "style = 'lm-eval' is for gsm8k, not for amc23"),
        ({"system": "Hi"}, "puts plain text: leave system, template_arguments"),
        ({"shots": 101}, "shots = 101: the training set has 100 rows"),
    ],
)
def test_what_it_does_not_take(changes, refused, folder):
    request = request_of(**{"subject": "embedded", "tasks": ("gsm8k",), "data": folder, "style": "lm-eval"} | changes)
    with pytest.raises(ValueError, match=refused):
        exams_of(request, None, Boxed(), Verifier())
