"""The answer in words says what the numbers say."""

import json

import pytest

from paring.reporting.findings import as_lines, find


def lines(*folders):
    return as_lines(find(folders).details)


def answer(*folders):
    return as_lines(find(folders).answer)


def test_two_sentences_answer_beside_the_baseline(make_study, tmp_path):
    arms = {"raft": [10, 11, 13], "rgra": [30, 32, 34], "grpo": [31, 32, 32], "copy": [30, 32, 34]}
    folder = make_study(tmp_path / "study", arms)
    record = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(record | {"baseline": "rgra"}))
    found = find([folder])
    assert found.gathered.baseline == "rgra" and found.gathered.arms[0].label == "rgra"
    first, second = as_lines(found.answer)
    assert first == (
        "Beside rgra, the baseline: raft is worse beyond chance; grpo is not told apart; copy is the same run for run."
    )
    assert second.startswith("The largest difference is that of raft: -51.7 points [-")
    assert second.endswith("(Welch over seeds, corrected for 3 tests).")


def test_settings_are_counted(make_study, tmp_path):
    first, second = answer(make_study(tmp_path / "study", {"rgra": [30, 32, 34], "raft": [10, 11, 13]}, updates=(1, 4)))
    assert first == "Beside rgra, the baseline: raft is worse at 2 of 2 settings beyond chance."
    assert "that of raft at rollout.updates = 1: -51.7 points" in second


def test_arms_are_ranked_and_the_first_is_held_against_the_others(make_study, tmp_path):
    arms = {"rgra": [30, 32, 34], "raft": [10, 11, 13], "grpo": [31, 32, 32]}
    found = lines(make_study(tmp_path / "study", arms))
    assert found[0] == (
        "2 of 3 comparisons are beyond chance at the 5 % level (Welch over seeds; Holm's correction for all 3)."
    )
    assert found[1] == "Accuracy on arithmetic (test split, 40 problems, greedy)"
    assert found[2].startswith("  rgra 80.0 % [67.6, 92.4] (3 runs); grpo 79.2 % [73.0, 85.4] (3 runs); raft 28.3 %")
    assert found[3].startswith("  Beyond chance, beside rgra: raft -51.7 points [-") and "grpo" not in found[3]
    assert found[4].startswith("  Not told apart from rgra: grpo -0.8 points [-") and "p = 0.82" in found[4]


def test_a_lower_loss_is_the_better_arm(make_run, tmp_path):
    runs = [
        make_run(tmp_path / f"{lr}-{seed}", seed=seed, optimiser={"lr": lr}) for lr in (0.1, 0.2) for seed in (0, 1)
    ]
    for run, loss in zip(runs, (0.5, 0.52, 0.3, 0.31), strict=True):
        (run / "result.json").write_text(json.dumps({"after": {"examples": 7, "loss": loss}}))
    found = lines(*runs)
    assert found[2].startswith("  rgra, lr 0.2 0.3050 [") and "rgra, lr 0.1 0.5100 [" in found[2]
    assert "rgra, lr 0.2 -0.2050 nats a token" in found[3] and "beside rgra, lr 0.1" in found[3]


def test_arms_that_never_differ_are_called_the_same(make_study, tmp_path):
    found = lines(make_study(tmp_path / "study", {"rgra": [30, 32, 34], "grpo": [30, 32, 34]}))
    assert found[0] == "Accuracy on arithmetic (test split, 40 problems, greedy)"
    assert found[2:] == [
        "  The same as rgra in every run, and one arm with it in the tests: grpo.",
        "Collapses",
        "  None, in 6 runs that watched for it.",
    ]


def test_one_run_goes_from_before_to_after_with_the_caution_it_needs(make_run, tmp_path):
    found = answer(make_run(tmp_path / "run", right=30))
    assert "rgra improved: 30.0 % -> 75.0 % [59.8, 85.8] (1 run), +45.0 points." in found[1]
    assert "[+23.3, +61.1]" in found[2] and "says nothing about other seeds" in found[2]


def test_one_arm_of_several_seeds_is_tested_over_them(make_study, tmp_path):
    found = answer(make_study(tmp_path / "study", {"rgra": [30, 32, 34]}))
    assert "Over seeds that change is [+37.6, +62.4]" in found[2] and "(paired t)" in found[2]


def test_single_runs_are_said_to_be_single(make_run, tmp_path):
    found = lines(make_run(tmp_path / "a", right=30), make_run(tmp_path / "b", right=29, objective={"kind": "grpo"}))
    assert found[0] == "The two are not told apart at the 5 % level (McNemar over problems)."
    assert found[1] == "A test that is not over seeds says nothing about other seeds."


def test_what_is_not_there_is_said(make_run, tmp_path):
    found = answer(make_run(tmp_path / "run", steps=20, done=7))
    assert found[0] == "No run has come to its end: there is no result to report yet."
    assert found[1].startswith("rgra: step 7 of 20, reward 0.")
    assert found[-1] == "Missing: 1 run has no result and is in no mean; see the list of runs below."


def test_collapses_are_told_in_the_words_of_the_run(make_study, make_run, tmp_path):
    found = lines(
        make_run(tmp_path / "a", seed=0, collapse=12),
        make_run(tmp_path / "b", seed=1),
        make_run(tmp_path / "c", seed=2),
    )
    assert found[-2:] == ["Collapses", "  rgra: 1 of 3 runs; seed 0, step 12: answers became empty"]
    assert lines(make_run(tmp_path / "d"))[-1] == "  None, in 1 run that watched for it."


def test_hostile_names_reach_no_terminal(make_study, tmp_path):
    found = "\n".join(lines(make_study(tmp_path / "study", {"\x1b[2J\u202ea": [30, 31], "\x07b": [32, 33]})))
    assert all(character.isprintable() or character == "\n" for character in found)


@pytest.mark.parametrize(("right", "arms"), [([30, 32], "rgra and raft"), ([30, 32, 31], "")])
def test_conclusions_of_two_seeds_are_warned_of(make_study, tmp_path, right, arms):
    told = as_lines(find([make_study(tmp_path / "study", {"rgra": right, "raft": right})]).answer)
    warned = f"Two seeds hardly show a spread: no conclusion rests on intervals and tests of {arms}."
    assert (warned in told) == bool(arms) and any(line.startswith("Two seeds") for line in told) == bool(arms)
