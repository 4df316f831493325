"""What the journal says of an update: by hand, and with one wait for the device, however many passes."""

import math

import pytest
import torch

from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import Grpo
from paring.training.measures import Measures, gathered, total

MASK_BT = torch.tensor([[1.0, 1.0], [1.0, 0.0]])


def measured(passes: int, minibatches: int = 1) -> Measures:
    """Two completions a pass, of two tokens and of one, with ratios of 1, 2 and 1/2."""
    measures = Measures(Grpo(kl_coef=0.1), Totals(sequences=2 * passes, tokens=3 * passes), minibatches)
    log_ratio_BT = torch.tensor([[0.0, math.log(2)], [-math.log(2), 55.0]])
    for number in range(passes):
        policy_BT = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
        logp = LogProbs(policy_BT, policy_BT - log_ratio_BT, policy_BT - math.log(3))
        measures.add(logp, torch.tensor([1.0, -1.0]), MASK_BT, torch.tensor(0.25 * (number + 1)))
    return measures


def test_measures_by_hand():
    """KL to a reference at a third: 1/3 - 1 + log 3. Both ratios off 1 are beyond the clip, on the side it acts on."""
    found = measured(2, minibatches=4).as_plain()
    assert found["loss"] == (0.25 + 0.5) / 4
    assert found["kl"] == pytest.approx(1 / 3 - 1 + math.log(3), rel=1e-6)
    assert found["clip_fraction"] == pytest.approx(2 / 3)
    assert (found["ratio_low"], found["ratio_median"], found["ratio_max"]) == pytest.approx((0.5, 1, 2))
    each = [0, 2 - 1 - math.log(2), 0.5 - 1 + math.log(2)]
    assert found["kl_sampling"] == pytest.approx(sum(each) / 3, rel=1e-6)


def test_nothing_to_train_on_is_no_loss_and_ratios_of_1():
    found = measured(0).as_plain()
    assert (found["loss"], found["clip_fraction"], found["kl"], found["kl_sampling"]) == (0, 0, 0, 0)
    assert {found[name] for name in ("ratio_low", "ratio_median", "ratio_high", "ratio_max")} == {1.0}


@pytest.mark.parametrize("passes", [1, 5])
def test_a_device_is_waited_for_once(passes, waits):
    with waits:
        measures = measured(passes)
        assert not waits.counts, "a pass waits"
        measures.as_plain()
    # What was copied is read freely; quantiles are taken from that copy.
    assert waits.counts["cpu"] == 1


def test_gathered_numbers_are_exact_and_in_order():
    first, second = gathered([torch.tensor(0.1), torch.tensor([0.2, 0.3])], [torch.tensor([[1, 2], [3, 4]])])
    assert first.tolist() == [float(torch.tensor(value)) for value in (0.1, 0.2, 0.3)]
    assert second.tolist() == [1, 2, 3, 4]
    assert [len(part) for part in gathered([], [torch.ones(2)], [])] == [0, 2, 0]


def test_sums_are_rounded_at_each_step_on_every_python():
    """A compensated sum would be 2."""
    assert total([1e100, 1.0, -1e100, 1.0]) == 1.0
