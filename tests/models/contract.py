"""The contract that a model has to keep: what is computed here beside what transformers and PEFT compute.

References: transformers' eager forward over single sequences without padding, in which each adapted weight is W + s B A
by hand; its `generate`; PEFT's reading of what was exported."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from families import ENDS
from peft import PeftModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.adapters.lowrank import LowRankLinear
from paring.policy.decoder import Decoder
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, Shared, pack, packed
from paring.policy.publishing import publish
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine, check_decodes
from paring.subjects.export import export
from paring.types import Group, Key, Problem

PROMPT = [1, *range(20, 33), 2]
COMPLETIONS = [[40, 11, 50, 33, 21, 70, 9, 41, 95, 3], [8, 60, 77, 29], [55]]
"""A prompt with completions of unequal lengths, all longer than the windows; token 3 ends an answer."""
PROBLEMS = [
    Problem(f"p{number}", ({"role": "user", "content": text},), "")
    for number, text in enumerate(("What is 17 + 25?", "1 + 2 = ?", "Of 12 apples, 5 are gone. How many?"))
]
NEW_TOKENS = 16
ROWS = 6
"""Two groups at once: the third joins while others decode."""

TOLERANCES = {
    "log-probs": 1e-4,
    "gradients": 1e-3,
    "unused": 0,
    "rollout": 1e-4,
    "greedy": 0,
    "PEFT": 1e-4,
    "merged": 1e-4,
    "bf16": 0.1,
}
"""Nats a token at most; the greatest distance of a gradient, relative to its norm; adapters without a gradient; nats
again; answers that differ; the greatest distance of a logit, relative to the largest, twice; nats on average."""

REFUSALS = {"PEFT": "--merged", "merged": "--merged", "bf16": "ForCausalLM does not run"}
"""Checks that a model may be refused at, and what the message then says: the way round, or what is lacking."""


@dataclass(frozen=True)
class Row:
    """What the contract found. `path`: how the model is computed, or the reason why it is refused. errors: by the name
    of a check its largest error, or in words what stopped it."""

    path: str
    errors: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        return not self.errors

    @property
    def wrong(self) -> list[str]:
        """The checks that do not hold."""
        return [name for name, error in self.errors.items() if fails(name, error)]


def fails(check: str, error: float | str) -> bool:
    """Whether a check does not hold: stopped by an error, above its tolerance, or not a number. An export that is
    refused with the way round is none that is wrong."""
    if isinstance(error, str):
        return not error.startswith("refused")
    return not error <= TOLERANCES[check]


def examine(model: PreTrainedModel, folder: Path) -> Row:
    """Hold the model, whose checkpoint stands in `folder`, to the contract."""
    model.set_attn_implementation("eager")
    try:
        policy = opened(folder / "base")
    except ValueError as error:
        return Row(f"refused: {str(error).replace(str(folder / 'base'), 'FOLDER')}")
    except Exception as error:
        return Row("traceback", {"log-probs": first_line(error)})
    reference = Reference(model, policy.adapters)
    checks: dict[str, Callable[[], float]] = {
        "log-probs": lambda: log_prob_error(policy, reference),
        "gradients": lambda: gradient_error(policy, reference),
        "unused": lambda: unused_adapters(policy),
        "rollout": lambda: rollout_error(policy, reference),
        "greedy": lambda: greedy_error(policy, reference),
        "PEFT": lambda: peft_error(policy, reference, folder),
        "merged": lambda: merged_error(reference, folder),
        "bf16": lambda: bf16_error(folder / "base"),
    }
    return Row(path_of(policy), {name: measured(name, check) for name, check in checks.items()})


def opened(base: Path, dtype: str = "float32") -> Policy:
    """The policy that a run would have, with adapters of rank 2 that change it; admitted as by --dry-run."""
    model, tokenizer = load_base(Model(path=str(base), dtype=dtype, device="cpu"))
    adapters = attach(model, Lora(rank=2, alpha=4.0), seed=1)
    generator = torch.Generator().manual_seed(2)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    return check_decodes(Policy(model, tokenizer, adapters))


def path_of(policy: Policy) -> str:
    if policy.unpacked is None:
        return "written out" if isinstance(policy.hidden, Decoder) else "packed"
    cache = ", no cache" if policy.recomputes else ""
    return f"unpacked{cache}: {policy.unpacked}"


def measured(name: str, check: Callable[[], float]) -> float | str:
    """The largest error of a check; in words what stopped it, or how it is refused."""
    try:
        return check()
    except Exception as error:
        is_refusal = isinstance(error, ValueError) and REFUSALS.get(name, "never") in str(error)
        return f"refused: {first_line(error)}" if is_refusal else first_line(error)


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().split("\n")[0]


class Reference:
    """transformers' model with the adapters' products added to its weights by hand."""

    def __init__(self, model: PreTrainedModel, adapters: Mapping[str, LowRankLinear]) -> None:
        self.model, self.adapters = model, adapters
        self.names = {path: weight_name(model, path, adapter) for path, adapter in adapters.items()}

    def merged(self, factors: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """By name each weight that has an adapter: W + s B A, from A [R, I] and B [O, R]."""
        weights = {}
        for path, (A_RI, B_OR) in factors.items():
            name = self.names[path]
            change = self.adapters[path].scale * B_OR @ A_RI
            is_turned = isinstance(self.model.get_submodule(name.removesuffix(".weight")), Conv1D)
            weights[name] = self.model.get_parameter(name) + (change.T if is_turned else change)
        return weights

    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {path: (one.A_RI.detach().clone(), one.B_OR.detach().clone()) for path, one in self.adapters.items()}

    def logits(self, tokens: list[int], weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """[N, V] of one sequence."""
        weights = self.merged(self.factors()) if weights is None else weights
        given = {"input_ids": torch.tensor([tokens]), "use_cache": False}
        return functional_call(self.model, dict(weights), args=(), kwargs=given, tie_weights=False).logits[0]

    def log_probs(self, prompt: list[int], answer: list[int], weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """[T] of an answer's tokens."""
        logp_NV = self.logits([*prompt, *answer], weights).log_softmax(-1)
        return logp_NV[len(prompt) - 1 : -1].gather(-1, torch.tensor(answer)[:, None])[:, 0]

    def model_merged(self) -> PreTrainedModel:
        """The model itself with these weights, for `generate`."""
        model = copy.deepcopy(self.model)
        for name, weight in self.merged(self.factors()).items():
            module, _, last = name.rpartition(".")
            setattr(model.get_submodule(module), last, nn.Parameter(weight, requires_grad=False))
        return model


def weight_name(model: PreTrainedModel, path: str, adapter: LowRankLinear) -> str:
    """The name in transformers' own model of the weight that an adapter stands on: its path, or, in a wrapper, the one
    weight of the same numbers."""
    weight = adapter.base.weight
    names = dict(model.named_parameters(remove_duplicate=False))
    fits = [name for name, other in names.items() if other.shape == weight.shape and torch.equal(other, weight)]
    fits += [name for name, other in names.items() if other.shape == weight.T.shape and torch.equal(other, weight.T)]
    return f"{path}.weight" if f"{path}.weight" in fits else fits[0]


@torch.no_grad()
def log_prob_error(policy: Policy, reference: Reference) -> float:
    batch = pack([Shared(PROMPT, COMPLETIONS)], policy.device)
    expected = [reference.log_probs(PROMPT, answer) for answer in COMPLETIONS]
    return greatest(trained(policy, batch), expected)


def gradient_error(policy: Policy, reference: Reference) -> float:
    """For a weighted sum of the log-probs; the adapters whose gradient is next to nothing are measured by the rest."""
    batch = pack([Shared(PROMPT, COMPLETIONS)], policy.device)
    weigh = torch.linspace(-1, 1, sum(map(len, COMPLETIONS))).split([len(answer) for answer in COMPLETIONS])
    for adapter in policy.adapters.values():
        adapter.zero_grad()
    found = trained(policy, batch)
    sum((one * weight).sum() for one, weight in zip(found, weigh, strict=True)).backward()
    factors = {path: (A.requires_grad_(), B.requires_grad_()) for path, (A, B) in reference.factors().items()}
    weights = reference.merged(factors)
    expected = [reference.log_probs(PROMPT, answer, weights) for answer in COMPLETIONS]
    sum((one * weight).sum() for one, weight in zip(expected, weigh, strict=True)).backward()
    pairs = [
        (zeros_for(mine.grad, mine), zeros_for(own.grad, own))
        for path, adapter in policy.adapters.items()
        for mine, own in zip((adapter.A_RI, adapter.B_OR), factors[path], strict=True)
    ]
    floor = 1e-3 * max(float(own.norm()) for _, own in pairs)
    return max(float((mine - own).norm()) / max(float(own.norm()), floor) for mine, own in pairs)


def unused_adapters(policy: Policy) -> int:
    """Adapters whose B got no gradient in the check before: on modules that the model does not call."""
    return sum(one.B_OR.grad is None or not one.B_OR.grad.any() for one in policy.adapters.values())


def rollout_error(policy: Policy, reference: Reference) -> float:
    """The log-probs at which tokens were drawn, beside those of a training pass and the reference's."""
    groups = sampled(policy)
    answers = [(list(group.prompt), list(one.tokens)) for group in groups for one in group.completions]
    expected = [reference.log_probs(prompt, answer) for prompt, answer in answers]
    return max(greatest(drawn(groups), expected), float(drift(policy, groups).max()))


@torch.no_grad()
def greedy_error(policy: Policy, reference: Reference) -> int:
    """Answers at temperature 0 that `generate` does not give. Where its answer is not even that of its own model's
    forward over the whole sequence, the forward decides."""
    model = reference.model_merged()
    differ = 0
    for group in sampled(policy, temperature=0.0, group_size=1):
        (answer,) = group.completions
        tokens = list(answer.tokens)
        differ += tokens != generated(model, group.prompt) and tokens != followed(model, group.prompt)
    return differ


def generated(model: PreTrainedModel, prompt: Sequence[int]) -> list[int]:
    """The answer of transformers' `generate`; none where it fails in a family."""
    given = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "pad_token_id": 0}
    try:
        return model.generate(torch.tensor([prompt]), **given)[0, len(prompt) :].tolist()
    except (ValueError, RuntimeError, IndexError):
        return []


def followed(model: PreTrainedModel, prompt: Sequence[int]) -> list[int]:
    """The likeliest token again and again, each time from a forward pass over the whole sequence."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + NEW_TOKENS and (len(tokens) == len(prompt) or tokens[-1] not in ENDS):
        tokens.append(int(model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


@torch.no_grad()
def peft_error(policy: Policy, reference: Reference, folder: Path) -> float:
    """PEFT's reading of the adapter that `export` writes from what a run leaves."""
    trained = folder / "trained"
    trained.mkdir()
    publish(trained, policy.model, policy.adapters, base=str(folder / "base"), target=trained, by_peft=False)
    export(trained, folder / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = PeftModel.from_pretrained(copy.deepcopy(reference.model), folder / "adapter")
    return logits_error(read, reference)


@torch.no_grad()
def merged_error(reference: Reference, folder: Path) -> float:
    """transformers' reading of the model that `export --merged` writes."""
    export(folder / "trained", folder / "merged", merged=True)
    is_text = AutoConfig.from_pretrained(folder / "merged").model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    reader = AutoModelForCausalLM if is_text else AutoModelForImageTextToText  # some wrappers have no text class
    return logits_error(reader.from_pretrained(folder / "merged"), reference)


def bf16_error(base: Path) -> float:
    """Between rollout and training, with a base in bf16."""
    policy = opened(base, "bfloat16")
    return float(drift(policy, sampled(policy)).mean())


def sampled(policy: Policy, *, temperature: float = 1.0, group_size: int = 3) -> list[Group]:
    sampling = Sampling(max_new_tokens=NEW_TOKENS, temperature=temperature)
    return LocalEngine(policy, rows=ROWS).sample(PROBLEMS, group_size, sampling, Key(0, 0))


@torch.no_grad()
def drift(policy: Policy, groups: list[Group]) -> Tensor:
    """Nats between the log-probs at which each token was drawn and those of a training pass: [M]."""
    return (torch.cat(drawn(groups)) - torch.cat(trained(policy, packed(groups, policy.device)))).abs()


def drawn(groups: list[Group]) -> list[Tensor]:
    """The log-probs at which the tokens of each answer were drawn."""
    return [torch.tensor(one.logprobs) for group in groups for one in group.completions]


def trained(policy: Policy, batch: PackedBatch) -> list[Tensor]:
    """The log-probs of each answer's tokens in a training pass, with a gradient."""
    logp_BT = policy.log_probs(batch, temperature=1.0)
    return [logp_T[mask_T.bool()] for logp_T, mask_T in zip(logp_BT, batch.mask_BT, strict=True)]


def logits_error(model: nn.Module, reference: Reference) -> float:
    """Relative to the largest logit, where that is above 1."""
    tokens = [*PROMPT, *COMPLETIONS[0]]
    expected_NV = reference.logits(tokens)
    logits_NV = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()
    return float((logits_NV - expected_NV).abs().max() / expected_NV.abs().max().clamp(min=1))


def greatest(found: list[Tensor], expected: list[Tensor]) -> float:
    """Not a number where one of them is not."""
    return float((torch.cat(found) - torch.cat(expected)).abs().max())


def zeros_for(grad: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if grad is None else grad
