"""Collapse on series made by hand: when it is noticed, when it is not, and what is said to be the cause."""

from dataclasses import asdict

import pytest

from paring.training.collapse import Collapse, Watch, likely_causes

STEADY = {"reward": 0.8, "length": 20.0, "entropy": 0.5, "grad_norm": 0.4, "learning_rate": 0.001, "kl": 0.01}


def course(rewards, lengths=None, collapse=None, **more):
    """What was noticed, by step, and the watch, after steps of these rewards and lengths."""
    watch, found = Watch(), {}
    for step, reward in enumerate(rewards, start=1):
        row = STEADY | {"step": step, "reward": reward, "length": lengths[step - 1] if lengths else 20.0} | more
        if event := watch.observe(row, collapse or Collapse(share=0.5, steps=2)):
            found[step] = event
    return found, watch


def test_reward_below_its_share_for_k_steps():
    # The early level is (0.6 + 1.0) / 2 = 0.8, half of which is 0.4.
    found, _ = course([0.6, 1.0, 0.9, 0.39, 0.3, 0.1, 0.0])
    assert list(found) == [5]
    assert (found[5].kind, found[5].since) == ("reward", 4)
    assert found[5].share == pytest.approx(0.3 / 0.8)
    assert found[5].words.startswith(
        "collapse of the reward: 0.3 after 0.8 early on, and below 50% of that for 2 steps. Likely cause: "
    )


@pytest.mark.parametrize(
    "rewards",
    [
        pytest.param([0.8, 0.8, 0.39, 0.41, 0.39, 0.41], id="not in a row"),
        pytest.param([0.8, 0.8, 0.4, 0.4, 0.4], id="at the share, not below it"),
        pytest.param([0.8, 0.1, 0.3, 0.3, 0.3], id="the first steps are the level: 0.45, half of which is 0.225"),
        pytest.param([0.0, 0.0, 0.0, 0.0], id="nothing to fall from"),
        pytest.param([-1.0, -1.0, -2.0, -2.0], id="nor from below nothing"),
        pytest.param([0.8, 0.8, 0.1], id="too few steps"),
    ],
)
def test_what_is_no_collapse(rewards):
    found, watch = course(rewards)
    assert not found and watch.found is None


def test_length_alone_is_noticed_and_the_reward_s_course_told():
    found, _ = course([0.2, 0.2, 0.1, 0.1], [30.0, 10.0, 9.0, 8.0])
    assert (found[4].kind, found[4].share, found[4].since) == ("length", 0.4, 3)
    assert "; the reward went from 0.2 to 0.1. Likely cause" in found[4].words
    healthy, _ = course([0.2, 0.2, 0.9, 0.9], [30.0, 10.0, 9.0, 8.0])
    assert healthy[4].words.endswith("the reward went from 0.2 to 0.9, so that shorter answers may simply do")


def accuracies(values, *, answers=128, **more):
    """What was noticed where the form holds the reward up: 0.1 for it, and 1 for a right answer."""
    watch, found = Watch(), {}
    for step, accuracy in enumerate(values, start=1):
        row = STEADY | {"step": step, "reward": 0.1 + accuracy, "accuracy": accuracy} | more
        if event := watch.observe(row, Collapse(share=0.5, steps=2), answers=answers):
            found[step] = event
    return found, watch


def test_accuracy_falls_where_the_reward_for_form_holds():
    """As in the dead runs of the study `clipping`: base 0.07, at the end 0.01; the reward never loses half."""
    found, _ = accuracies([0.06, 0.08, 0.07, 0.01, 0.01, 0.01])
    assert list(found) == [5] and found[5].kind == "accuracy" and found[5].since == 4
    assert found[5].share == pytest.approx(0.01 / 0.075)
    assert found[5].words.startswith(
        "collapse of the accuracy: 0.01 after 0.07 early on and 0.075 at its best, and below 50% of the best for 2 "
        "steps; the reward, which may also count form, went from 0.17 to 0.11. Likely cause: "
    )


def test_accuracy_is_held_against_the_best_of_the_run():
    found, watch = accuracies([0.1, 0.1, 0.5, 0.7, 0.29, 0.2])
    assert list(found) == [6] and watch.best == pytest.approx(0.6)
    assert not accuracies([0.1, 0.1, 0.5, 0.7, 0.29, 0.31, 0.29])[0]


def test_rare_right_answers_do_not_fall():
    # At half of the best, 0.05, two steps of 8 answers would have 0.8 right answers.
    assert not accuracies([0.1, 0.1, 0.0, 0.0, 0.0], answers=8)[0]
    assert accuracies([0.1, 0.1, 0.0, 0.0, 0.0], answers=80)[0]


def test_a_watch_of_a_checkpoint_without_accuracies_goes_on():
    plain = {key: value for key, value in asdict(Watch()).items() if key not in ("accuracies", "best")}
    plain["early"].pop("accuracy")
    watch = Watch(**plain)
    for step in (1, 2, 3):
        assert watch.observe(STEADY | {"step": step, "accuracy": 0.5}, Collapse(steps=2)) is None
    assert watch.level("accuracy") == 0.5 and watch.best == 0.5


def test_only_the_first_collapse_is_an_event():
    found, watch = course([0.8, 0.8, 0.1, 0.1, 0.8, 0.1, 0.1], [20.0] * 4 + [1.0] * 3)
    assert list(found) == [4] and watch.found is found[4]


def test_a_fall_of_the_accuracy_after_one_of_the_length_is_another():
    lengths = [20.0, 20.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    watch, kinds = Watch(), []
    for step, (length, accuracy) in enumerate(zip(lengths, [0.5] * 5 + [0.1, 0.1], strict=True), start=1):
        row = STEADY | {"step": step, "length": length, "accuracy": accuracy}
        event = watch.observe(row, Collapse(steps=2))
        kinds.append(event and event.kind)
    assert kinds == [None, None, None, "length", None, None, "accuracy"]


def test_a_watch_taken_up_from_plain_values_goes_on_the_same():
    rewards = [0.8, 0.6, 0.7, 0.1, 0.2, 0.1]
    whole, _ = course(rewards, collapse=Collapse(share=0.5, steps=3))
    _, first = course(rewards[:4], collapse=Collapse(share=0.5, steps=3))
    second, found = Watch(**asdict(first)), {}
    for step, reward in enumerate(rewards[4:], start=5):
        if event := second.observe(STEADY | {"step": step, "reward": reward}, Collapse(share=0.5, steps=3)):
            found[step] = event
    assert found == whole and list(whole) == [6]


def test_numbers_that_are_not_finite_are_passed_over():
    _, watch = course([0.8, 0.8, 0.8], grad_norm=float("nan"), kl=None)
    assert watch.early["grad_norm"] == [] and "kl" not in watch.highest and watch.level("grad_norm") == 0.0


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (
            {},
            {},
            ["no other metric stands out; steps that are too large are the first guess: lower optimiser.lr (0.001)"],
        ),
        ({}, {"clip_fraction": 0.45}, ["updates that went far from the policy that sampled (up to 45% of the tokens"]),
        ({}, {"ratio_max": 1e4}, ["updates that went far from the policy that sampled (ratios up to 1e+04)"]),
        (
            {},
            {"kl": 3.0},
            ["a policy far from its base (KL up to 3 nats a token): lower optimiser.lr (0.001), or raise"],
        ),
        ({"grad_norm": 0.4}, {"grad_norm": 4.1}, ["a gradient norm that jumped from 0.4 to 4.1: lower optimiser.lr"]),
        ({"grad_norm": 0.4}, {"grad_norm": 3.9}, ["no other metric stands out"]),
        ({}, {"entropy": 1.5}, ["answers that turned into noise (entropy 0.5 -> 1.5 nats a token): lower"]),
        ({}, {"entropy": 0.01}, ["a policy that tries nothing new any more (entropy 0.5 -> 0.01 nats a token)"]),
        (
            {},
            {"groups_without_signal": 0.9},
            ["no other metric", "no signal that would pull it back (90% of the groups"],
        ),
        ({}, {"kl": 3.0, "groups_without_signal": 1.0}, ["a policy far from its base", "no signal that would"]),
    ],
)
def test_the_likely_cause_is_what_stands_out(before, now, expected):
    watch = Watch()
    for step in (1, 2):
        watch.observe(STEADY | {"step": step} | before, Collapse(steps=2))
    row = STEADY | {"step": 3} | now
    watch.observe(row, Collapse(steps=2))
    causes = likely_causes(watch, row)
    assert len(causes) == len(expected)
    assert all(cause.startswith(start) for cause, start in zip(causes, expected, strict=True))


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.0}, {"steps": 0}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError):
        Collapse(**bad)
