"""The end of a run: result.json keeps its keys and their order, comes back as it was, and is told in words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from paring.training.collapse import CollapseEvent
from paring.training.result import PublishedAdapter, Result, ShownChange, Values

COMMON = {
    "seed": 3,
    "steps": 20,
    "updates": 19,
    "dropped_steps": 1,
    "training_seconds": 125.0,
    "peak_memory_gb": 0.5,
    "threads": 1,
    "versions": {"python": "3.11"},
    "adapter": PublishedAdapter("l1ra", 1234, {"layer.q": 2, "layer.v": 5}, {"adapted": 1.0}),
}
ACCURACY = {
    "accuracy": 0.36,
    "interval": [0.319, 0.403],
    "problems": 500,
    "traits": {"self_correction": 0.0},
    "more": 1,
}
LOSS = {"examples": 8, "tokens": 90, "loss": 2.0, "perplexity": 7.389, "seconds": 0.1}
EXAMPLES = [
    ShownChange(f"p{number}", f"{number}?", "1", "a\x1b", False, after="b", correct_after=number == 2)
    for number in (1, 2, 3)
]
COLLAPSE = CollapseEvent("reward", 0.4, 7, "collapse of the reward")
RL = Values(
    task="arithmetic",
    objective="rgra",
    before=ACCURACY,
    after=ACCURACY | {"accuracy": 0.998, "interval": [0.989, 1.0], "traits": {"self_correction": 1.0}},
    collapse=COLLAPSE,
    examples=EXAMPLES,
    **COMMON,
)
SFT = Values(method="sft", data="sums", before=LOSS, after=LOSS | {"loss": 1.0}, examples=[], **COMMON)
ENDS = ("seed", "steps", "updates", "dropped_steps", "training_seconds", "peak_memory_gb", "threads", "versions")


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [(RL, ("task", "objective"), ("validation", "collapse", "examples")), (SFT, ("method", "data"), ("examples",))],
)
def test_the_file_has_its_keys_in_order_and_comes_back(values, first, last):
    plain = json.loads(json.dumps(values.as_plain()))
    assert tuple(plain) == (*first, *ENDS, "adapter", "before", "after", *last)
    assert Values.from_plain(plain) == values
    with pytest.raises(ValueError, match="seed"):
        Values.from_plain({name: value for name, value in plain.items() if name != "seed"})


def test_a_run_s_own_file_comes_back(finished_run):
    text = (finished_run / "result.json").read_text()
    assert json.dumps(Values.from_plain(json.loads(text)).as_plain(), indent=2) + "\n" == text


def test_the_words_of_both_methods():
    folder = Path("runs/a b")
    assert str(Result(folder, RL)).splitlines() == [
        "accuracy 36.0 % [31.9, 40.3] -> 99.8 % [98.9, 100.0] on 500 held-out problems; "
        "answers with self correction 0.0 % -> 100.0 %; 2 min 05 s",
        "  question  2?",
        "  before    a\\x1b",
        "  after     b",
        "ranks 2 to 5, 7 in all, 1,234 parameters",
        "written to runs/a b",
        "next:",
        "  paring ranks 'runs/a b'                   where its ranks went, and why",
        "  paring samples 'runs/a b' --worst         what it still gets wrong",
        "  paring eval 'runs/a b' --task arithmetic  measure it again, or on another task",
        "  paring report 'runs/a b'                  the run as a page",
        "  paring chat 'runs/a b' --compare base     talk to it, beside its base",
        "  paring export 'runs/a b' --to DIR         the adapter for PEFT, vLLM, ... (--merged: a whole model)",
        "  paring push 'runs/a b' --to ORG/NAME      put it on the Hugging Face hub",
    ]
    lora = replace(SFT, adapter=replace(SFT.adapter, kind="lora"))
    assert str(Result(folder, lora)).splitlines()[:3] == [
        "held-out loss 2.0000 -> 1.0000 nats a token (perplexity 7.389 -> 7.389) on 8 examples; 2 min 05 s",
        "written to runs/a b",
        "next:",
    ]
    interrupted = Result(folder, exit_code=130)
    assert str(interrupted) == "interrupted, and saved; go on with:  paring train --resume 'runs/a b'"
