"""An objective from the user's own file."""

import pytest
import torch

from paring.maths.objectives import OwnObjective, Rgra

FILE = """
from paring.maths.advantages import centred
from paring.maths.objective import Objective

class Median(Objective):
    reduce = "per-token"

    def advantage(self, outcome):
        return outcome.reward_PG - outcome.reward_PG.median(-1, keepdim=True).values

class WithEntropy(Objective):
    def advantage(self, outcome):
        return centred(outcome.reward_PG)

    def gain(self, logp, advantage_B1, mask_BT):
        return (advantage_B1 - 0.01 * logp.policy_BT.detach()) * logp.policy_BT

class Honest(WithEntropy):
    learns_from_zero = True

class Bare(Objective):
    pass

class Other:
    pass

number = 1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my.py").write_text(FILE)
    return tmp_path / "my.py"


def custom(path):
    return OwnObjective(path=str(path))


def test_it_is_used_as_any_other(file, outcome):
    objective = custom(f"{file}:Median").opened()
    expected = outcome.reward_PG - torch.tensor([[0.1], [0.0], [1.1]], dtype=torch.float64)
    torch.testing.assert_close(objective.advantage(outcome), expected)
    assert (objective.reduce, objective.kl_coef, objective.redraws) == ("per-token", 0.0, 0)
    assert Rgra().opened() == Rgra()


def test_one_that_learns_from_an_advantage_of_0_must_say_so(file):
    assert custom(f"{file}:Honest").opened().learns_from_zero
    with pytest.raises(ValueError, match="gradient where the advantage is 0, .* set learns_from_zero = True"):
        custom(f"{file}:WithEntropy").opened()


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("my.py", "objective.path = 'my.py': give a Python file and a class in it, such as my.py:MyObjective"),
        ("{folder}/absent.py:Median", "there is no file"),
        ("{folder}/my.py:Mean", "has no class Mean"),
        ("{folder}/my.py:number", "has no class number"),
        ("{folder}/my.py:Other", r"Other must derive from Objective and have advantage\(outcome\)"),
        ("{folder}/my.py:Bare", r"Bare must derive from Objective and have advantage\(outcome\)"),
    ],
)
def test_what_cannot_be_used_is_named(file, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        custom(path.format(folder=file.parent)).opened()
