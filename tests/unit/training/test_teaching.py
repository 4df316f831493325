"""On-policy distillation: its gradient against autograd over plain logits, and teachers that do not fit."""

from dataclasses import replace

import pytest
import torch

from paring.adapters.attach import parameters_by_name
from paring.adapters.earlier import EarlierAdapters
from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import Distillation
from paring.policy.model import Policy
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.config import load_run
from paring.training.optim import Adam, Optimiser
from paring.training.setup import prepare
from paring.training.teaching import Teaching
from paring.training.update import Worth, improve
from paring.types import Completion, Group, Problem

TEMPERATURE, LONGEST = 0.9, 9
LENGTHS = [(4, [3, 1, 8]), (1, [2, 6, 2]), (9, [5, 5, 1])]
ADVANTAGE_PG = torch.tensor([[1.2, -0.6, -0.6], [0.0, 0.0, 0.0], [0.0, 0.9, -0.9]], dtype=torch.float64)


@pytest.fixture(scope="module")
def groups():
    generator = torch.Generator().manual_seed(5)

    def tokens(count):
        return tuple(torch.randint(62, (count,), generator=generator).tolist())

    return [
        Group(Problem("p", (), ""), tokens(prompt), tuple(Completion(tokens(n), (0.0,) * n, "", True) for n in lengths))
        for prompt, lengths in LENGTHS
    ]


def updated(policy, groups, objective, teaching, *, updates=1, lr=0.0):
    return improve(
        policy,
        Optimiser(parameters_by_name(policy.adapters), Adam(max_grad_norm=1e9)),
        Worth(groups, ADVANTAGE_PG, torch.ones_like(ADVANTAGE_PG, dtype=torch.bool), LONGEST),
        objective,
        Rollout(problems=3, group_size=3, max_new_tokens=LONGEST, temperature=TEMPERATURE, updates=updates),
        **{"tokens_per_pass": 16, "lr": lr, "seed": 0, "watch": Stopwatch(), "teaching": teaching},
    )


def gradient(adapters):
    return torch.cat([parameter.grad.flatten() for parameter in parameters_by_name(adapters).values()])


def logs(model, group, completion):
    token_N = torch.tensor([*group.prompt, *completion.tokens])
    return (model(token_N[None]).logits[0, :-1] / TEMPERATURE).log_softmax(-1)[len(group.prompt) - 1 :]


@pytest.mark.parametrize("reward_coef", [0.0, 0.5])
@pytest.mark.parametrize("exact", [True, False])
def test_the_gradient_by_autograd(tiny, tokenizer, with_adapters, groups, exact, reward_coef):
    """The teacher is of another family, wider, and has more rows than the policy has tokens."""
    plain, packed = tiny(), tiny()
    teacher = tiny("qwen2", seed=7, hidden_size=48, vocab_size=70)
    adapters, policy = with_adapters(plain), Policy(packed, tokenizer, with_adapters(packed))
    loss, apart, tokens = torch.zeros(()), 0.0, sum(sum(lengths) for _, lengths in LENGTHS)
    for place, (group, completion) in enumerate((one, answer) for one in groups for answer in one.completions):
        log_TV, their_TV = logs(plain, group, completion), logs(teacher, group, completion)
        theirs_TV = their_TV[:, :64].log_softmax(-1) if exact else their_TV
        at = torch.tensor(completion.tokens)[:, None]
        logp_T, theirs_T = log_TV.gather(-1, at)[:, 0], theirs_TV.gather(-1, at)[:, 0]
        surrogate_T = (logp_T - theirs_T).detach() * logp_T
        if exact:
            surrogate_T = (log_TV.exp() * (log_TV - theirs_TV)).sum(-1)
            apart += float(surrogate_T.detach().sum())
        loss = loss + (surrogate_T - reward_coef * float(ADVANTAGE_PG.flatten()[place]) * logp_T).sum() / tokens
    loss.backward()
    objective = Distillation(teacher="t", exact=exact, reward_coef=reward_coef)
    found = updated(policy, groups, objective, Teaching(Policy(teacher, tokenizer, {}), exact))
    expected, ours = gradient(adapters), gradient(policy.adapters)
    assert (ours - expected).norm() <= 1e-4 * expected.norm() and expected.norm() > 0
    if exact:
        assert found.measures["teacher_kl"] == pytest.approx(apart / tokens, rel=1e-4)
        assert found.measures["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)


def test_by_hand():
    policy_BT, old_BT = torch.tensor([[-1.0, -2.0], [-0.5, 0.0]]), torch.tensor([[-1.5, -2.0], [-0.5, 0.0]])
    mask_BT, advantage_B = torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([2.0, -1.0])
    apart_BT, teacher_BT = torch.tensor([[0.3, 0.1], [0.2, 9.0]]), torch.tensor([[-0.2, -2.5], [-0.5, 9.0]])
    logp = LogProbs(policy_BT, old_BT, None, teacher_BT=teacher_BT, divergence_BT=apart_BT)
    given = logp, advantage_B, mask_BT, Totals(sequences=2, tokens=3)
    assert float(Distillation(teacher="t")(*given)) == pytest.approx(0.6 / 3)
    # A log pi: 2 x -3 and -1 x -0.5.
    assert float(Distillation(teacher="t", reward_coef=0.5)(*given)) == pytest.approx(0.6 / 3 + 0.5 * 5.5 / 3)
    # rho (log pi - log q): e^0.5 x -0.8, 1 x 0.5, 1 x 0.
    expected = (1.6487213 * -0.8 + 0.5) / 3
    assert float(Distillation(teacher="t", exact=False)(*given)) == pytest.approx(expected)


def test_on_average_the_sampled_gradient_is_the_exact_one():
    """Over all tokens that can be drawn, each weighted by its probability."""
    logit_V = torch.tensor([0.3, -1.0, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    theirs_V = torch.tensor([1.0, 0.2, -0.4, 0.0], dtype=torch.float64).log_softmax(-1)
    log_V = logit_V.log_softmax(-1)
    kl = (log_V.exp() * (log_V - theirs_V)).sum()
    (expected_V,) = torch.autograd.grad(kl, logit_V, retain_graph=True)
    loss, sampled = torch.zeros((), dtype=torch.float64), Distillation(teacher="t", exact=False)
    one, size = torch.ones(1, 1, dtype=torch.float64), Totals(sequences=1, tokens=1)
    for token, chance in enumerate(log_V.exp().tolist()):
        logp_BT = log_V[token].view(1, 1)
        logp = LogProbs(logp_BT, logp_BT.detach(), None, teacher_BT=theirs_V[token].view(1, 1))
        loss = loss + chance * sampled(logp, one[0], one, size)
    (found_V,) = torch.autograd.grad(loss, logit_V)
    torch.testing.assert_close(found_V, expected_V)


def test_the_earlier_policy_teaches_what_it_was(make_policy, groups):
    """At the renewal there is nothing between them; later the teacher is the copy."""
    policy = make_policy()
    teaching = Teaching(policy, True, EarlierAdapters(policy.adapters, every=3))
    objective, kls = Distillation(teacher="self", reward_coef=1.0), []
    for step in range(1, 6):
        teaching.begin(step)
        kls.append(updated(policy, groups, objective, teaching, lr=0.01).measures["teacher_kl"])
    assert kls[0] == pytest.approx(0.0, abs=1e-6) and kls[3] == pytest.approx(0.0, abs=1e-6)
    assert kls[1] > 1e-4 and kls[2] > kls[1] and kls[4] > 1e-4


def test_a_teacher_that_does_not_fit_is_refused(tiny, tmp_path, tokenizer):
    run = load_run("quickstart", steps=1)

    def refused(**settings):
        with pytest.raises(ValueError) as caught:
            prepare(replace(run, objective=Distillation(**settings)))
        return str(caught.value)

    tiny(vocab_size=64).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "its tokenizer is another: token 0 is " in refused(teacher=str(tmp_path))
    assert "objective.teacher = '/nowhere/at-all'" in refused(teacher="/nowhere/at-all")
    with pytest.raises(ValueError, match="teaches itself nothing; set reward_coef"):
        Distillation(teacher="self")
