"""Verdicts in their classes, hostile texts, and the same verdicts twice."""

import time
from importlib.util import find_spec
from random import Random

import pytest

from paring.verifier import Gold, Verifier
from paring.verifier.corpus import CANARY, hostile, trials
from paring.verifier.verdicts import Verdict

needs_math_verify = pytest.mark.skipif(find_spec("math_verify") is None, reason="needs math-verify")
GOLDS = [
    "18",
    "0.5",
    r"\frac{3}{4}",
    r"25\%",
    "C",
    "ACD",
    r"\text{Evelyn}",
    "2112_6",
    "1:9",
    "1, -2",
    "(1, 2)",
    "[1, 2)",
]
WITH_LETTERS = [r"\sqrt{2}", "y = 2x + 3", "x + 1 > 2y", r"1 \pm \sqrt{19}", r"\{1, \sqrt{2}\}"]


@pytest.fixture(scope="module")
def verifier():
    with Verifier(workers=1, seconds=20) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("gold", "text", "verdict"),
    [
        ("5", r"\boxed{5}", Verdict(True, "right", "5")),
        ("5", r"\boxed{6}", Verdict(False, "wrong", "6")),
        ("5", "It is 5.", Verdict(False, "no answer", None)),
        ("5", r"\boxed{}", Verdict(False, "no answer", "")),
        ("5", r"\boxed{five}", Verdict(False, "unreadable", "five")),
        ("5", "\\boxed{5\u202e}", Verdict(False, "unreadable", "5\u202e")),
        ("[1, 2)", r"\boxed{}}", Verdict(False, "no answer", "")),
        (
            r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
            r"\boxed{\begin{pmatrix}\end{pmatrix}}",
            Verdict(False, "wrong", r"\begin{pmatrix}\end{pmatrix}"),
        ),
        (r"\sqrt{2}", r"\boxed{9^{9^{9}}}", Verdict(False, "refused", "9^{9^{9}}")),
    ],
)
def test_each_class_of_verdict(verifier, gold, text, verdict):
    assert verifier.judge([(Gold.read(gold), text)]) == [verdict]


@needs_math_verify
def test_unreadable_mathematics_and_a_killed_worker(verifier):
    assert verifier.judge([(Gold.read("x+1"), r"\boxed{x+}")])[0].why == "unreadable"
    long = "".join(rf" + 0 \cdot \sin^{{{power}}} 3 \cdot \log_{{{power}}} 10" for power in range(2, 11))
    with Verifier(workers=1, seconds=0.1) as hurried:  # five times as much is needed
        verdicts = hurried.judge([(Gold.read(r"\log_{10} 250"), rf"\boxed{{1 + 2\log_{{10}} 5{long}}}")])
    assert verdicts[0].why == "timeout"


@pytest.mark.parametrize("gold", GOLDS)
def test_no_hostile_text_is_right_or_takes_long(verifier, gold, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read, texts = Gold.read(gold), hostile(gold)
    start = time.process_time()
    verdicts = dict(zip(texts, verifier.judge([(read, text) for text in texts.values()]), strict=True))
    assert [name for name, verdict in verdicts.items() if verdict.correct] == []
    assert time.process_time() - start < 20
    assert not (tmp_path / CANARY).exists()


@needs_math_verify
def test_no_hostile_text_is_right_for_golds_that_need_workers(verifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = [(Gold.read(gold), text) for gold in WITH_LETTERS for text in hostile(gold).values()]
    first = verifier.judge(pairs)
    assert [text[:50] for (_, text), verdict in zip(pairs, first, strict=True) if verdict.correct] == []
    with Verifier(workers=2, seconds=20) as another:
        assert another.judge(pairs) == first
    assert not (tmp_path / CANARY).exists()


@needs_math_verify
def test_bombs_do_not_delay_good_answers(verifier):
    """64 towers, factorials and binomials, each another, with good answers among them: none reaches a worker."""
    draw = Random(0)
    gold, good = Gold.read(r"\sqrt{2}"), r"\boxed{\frac{2}{\sqrt{2}}}"
    verifier.judge([(gold, good)])
    kinds = ["{0}^{{9^{{9^9}}}}", "{0}00000000!", r"\binom{{{0}000000000}}{{5}}", "(({0}^9)^{{9999}})^{{9999}}"]
    bombs = [rf"\boxed{{{draw.choice(kinds).format(n)}}}" for n in range(1, 65)]
    start = time.monotonic()
    verdicts = verifier.judge([(gold, text) for bomb in bombs for text in (bomb, good)])
    assert [verdict.why for verdict in verdicts] == ["refused", "right"] * 64
    assert time.monotonic() - start < 20


def test_trials_are_decided_as_they_say(verifier):
    tried = trials()
    verdicts = verifier.judge([(Gold.read(trial.gold), rf"\boxed{{{trial.answer}}}") for trial in tried])
    assert [trial for trial, verdict in zip(tried, verdicts, strict=True) if verdict.correct != trial.is_right] == []


def test_integers_letters_and_words_start_no_process(monkeypatch):
    monkeypatch.setattr("paring.verifier.workers.Worker", None)  # starting one would raise
    with Verifier() as verifier:
        verdicts = verifier.judge([(Gold.read(gold), rf"\boxed{{{gold}}}") for gold in GOLDS])
    assert all(verdict.correct for verdict in verdicts)


def test_without_math_verify_what_needs_it_is_an_error_before_any_work(monkeypatch):
    monkeypatch.setattr("paring.verifier.verifier.find_spec", lambda name: None)
    with Verifier() as verifier:
        verifier.check(map(Gold.read, GOLDS))
        with pytest.raises(ModuleNotFoundError, match=r'pip install "paring\[math\]"'):
            verifier.check(map(Gold.read, [*GOLDS, r"\sqrt{2}"]))
        with pytest.raises(ModuleNotFoundError, match=r'pip install "paring\[math\]"'):
            verifier.judge([(Gold.read(r"\sqrt{2}"), r"\boxed{x}")])
        assert verifier.judge([(Gold.read(r"\sqrt{2}"), r"\boxed{\sqrt2}")])[0].correct


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"seconds": 0}, {"seconds": float("nan")}, {"memory_mb": 100}])
def test_settings_out_of_bounds(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Verifier(**arguments)


@pytest.mark.parametrize(
    ("gold", "kind", "complaint"),
    [
        ("", "auto", "is blank"),
        ("  $$ ", "auto", "is blank"),
        ("1" * 2001, "auto", "too long"),
        ("5\u202e", "auto", "hidden characters"),
        ("five", "integer", "is no integer"),
        ("five", "based", "write 2112_6"),
        ("5", "number", "choices: auto, integer"),
    ],
)
def test_golds_that_cannot_be_compared_with(gold, kind, complaint):
    with pytest.raises(ValueError, match=complaint):
        Gold.read(gold, kind)


def test_a_kind_that_is_given_decides():
    assert Gold.read("24,112").kind == "integer"
    assert Gold.read("24,112", "list").kind == "list"
    with Verifier() as verifier:
        assert [
            v.correct
            for v in verifier.judge([(Gold.read("24,112", "list"), rf"\boxed{{{a}}}") for a in ("112, 24", "24,112")])
        ]


@pytest.mark.parametrize(
    ("gold", "needs"),
    [
        *[
            (gold, False)
            for gold in (*GOLDS, "x = 5", r"\{1, 2\}", r"(-\infty, 3) \cup [4, 5)", r"x \in [-2, 7]", "east, west")
        ],
        *[
            (gold, True)
            for gold in (*WITH_LETTERS, "x", r"[0, \sqrt{2}]", r"\begin{pmatrix} 1 \\ \pi \end{pmatrix}", "1, a")
        ],
        (r"\begin{pmatrix} 1/2 & 3 \\ -4 & 0.5 \end{pmatrix}", False),
    ],
)
def test_which_golds_may_need_algebra(gold, needs):
    assert Gold.read(gold).needs_symbols == needs
