"""The planted teacher: a base plus random updates of known ranks in known modules, and the tokens to learn it from."""

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from paring.adapters.attach import attach
from paring.adapters.kinds import Adapter, Lora
from paring.adapters.targets import targeted_modules
from paring.policy.chat import conversation_tokens
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.packing import Labelled, PackedBatch, pack_examples
from paring.policy.sensitivity import seen_by
from paring.tasks.chains import Chains

BASE = "embedded-chains"
LENGTH, ROWS, HELD_OUT = 32, 8, 64
"""Tokens of a row, rows of a step, rows of a measurement."""
NORM = 5.0
"""With equal norm, the singular values of a planted update are so many times the root mean square of its weight's."""
FUNCTION = 0.03
"""With equal function, this is the KL in nats a token of each planted component alone, to second order."""
RANKS = {
    "scattered": (12, 8, 6, 4, 2, 2),
    "layer": (12, 8, 5, 4, 2, 2, 1),
    "mlp": (8, 7, 5, 4, 3, 3, 2, 1, 1),
    "attention": (7, 6, 5, 3, 3, 2, 2, 2, 1, 1, 1, 1),
    "null": (2,) * 21,
}
"""Planted ranks by pattern: in six of all modules, in those of one layer, in the MLPs, in attention, in all alike."""


@dataclass(frozen=True)
class World:
    """Shared by all runs of a process: the base, and a long row of the text that it was trained on."""

    policy: Policy
    text_N: Tensor

    @classmethod
    def opened(cls) -> "World":
        base, tokenizer = load_base(Model(path=BASE))
        tokens: list[int] = []
        for problem in Chains().problems("train")[:2000]:
            turns = [*problem.messages, {"role": "assistant", "content": problem.solution}]
            for example in conversation_tokens(tokenizer, turns):
                tokens += example.tokens
        return cls(Policy(base, tokenizer, {}), torch.tensor(tokens))

    def rows(self, seed: int, number: int, count: int = ROWS) -> Tensor:
        """[count, LENGTH]: half text, half random tokens, a function of (seed, number)."""
        draw = torch.Generator().manual_seed(1_000_003 * seed + number)
        start_B1 = torch.randint(len(self.text_N) - LENGTH, (count // 2, 1), generator=draw)
        vocabulary = self.policy.model.config.vocab_size
        random_BT = torch.randint(vocabulary, (count - count // 2, LENGTH), generator=draw)
        return torch.cat([self.text_N[start_B1 + torch.arange(LENGTH)], random_BT])

    def student(self, seed: int, adapter: Adapter) -> Policy:
        model = deepcopy(self.policy.model)
        return Policy(model, self.policy.tokenizer, attach(model, adapter, seed=seed))

    @cached_property
    def linear(self) -> dict[str, nn.Linear]:
        chosen = targeted_modules(self.policy.model, "all-linear")
        return {path: module for path, module in chosen.items() if isinstance(module, nn.Linear)}

    @cached_property
    def cost(self) -> dict[str, int]:
        """Parameters of one rank, by module."""
        return {path: module.in_features + module.out_features for path, module in self.linear.items()}

    @cached_property
    def base(self) -> str:
        """The base, known by the digest of its weights: it may be built again."""
        digest = hashlib.sha256()
        for path, module in self.linear.items():
            digest.update(path.encode() + module.weight.detach().numpy().tobytes())
        return f"{BASE} {digest.hexdigest()[:8]}"


@dataclass
class Teacher:
    """`ranks`: planted, by module path; 0 where nothing is."""

    policy: Policy
    pattern: str
    equal: str
    seed: int
    ranks: dict[str, int]
    known: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def planted(cls, world: World, pattern: str, equal: str, seed: int) -> "Teacher":
        """`pattern` is a name in RANKS, `equal` is "norm" or "function"."""
        draw = torch.Generator().manual_seed(seed)
        layer = f".{int(torch.randint(3, (), generator=draw))}."
        parts = {"layer": layer, "mlp": "mlp", "attention": "self_attn"}
        places = [path for path in world.linear if parts.get(pattern, "") in path]
        order = torch.randperm(len(places), generator=draw).tolist()
        planted = {places[number]: rank for number, rank in zip(order, RANKS[pattern], strict=False)}
        ranks = dict.fromkeys(world.linear, 0) | planted
        model = deepcopy(world.policy.model)
        each = _kl_of_norm_one(world, seed) if equal == "function" else {}
        for path, rank in planted.items():
            weight_OI = model.get_parameter(f"{path}.weight").data
            outputs, inputs = weight_OI.shape
            U_OR = torch.linalg.qr(torch.randn(outputs, rank, generator=draw)).Q
            V_IR = torch.linalg.qr(torch.randn(inputs, rank, generator=draw)).Q
            size = (FUNCTION / each[path]) ** 0.5 if each else NORM * weight_OI.norm() / min(outputs, inputs) ** 0.5
            weight_OI += size * (U_OR @ V_IR.T)
        return cls(Policy(model, world.policy.tokenizer, {}), pattern, equal, seed, ranks)

    @torch.no_grad()
    def log_probs(self, number: int, batch: PackedBatch) -> Tensor:
        """As the function below; kept by the number of the batch, for all arms see the same."""
        if number not in self.known:
            self.known[number] = log_probs(self.policy, batch)
        return self.known[number]


def packed_rows(row_BT: Tensor) -> PackedBatch:
    return pack_examples([Labelled(row, [True] * len(row)) for row in row_BT.tolist()], row_BT.device)


def log_probs(policy: Policy, batch: PackedBatch) -> Tensor:
    """log pi of the whole vocabulary at every predicted place: [M, V]."""
    hidden_ND = policy.hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0]
    return policy.logits(hidden_ND[batch.predictor_M]).log_softmax(-1)


def divergence(teacher_MV: Tensor, student_MV: Tensor) -> Tensor:
    """KL(teacher || student) in nats a token."""
    return (teacher_MV.exp() * (teacher_MV - student_MV)).sum(-1).mean()


def _kl_of_norm_one(world: World, seed: int) -> dict[str, float]:
    """KL in nats a token of a random update of norm 1, by module, to second order and on average."""
    student = world.student(seed, Lora(rank=1, alpha=1.0))
    for adapter in student.adapters.values():
        adapter.B_OR.data.fill_(1e-6)  # so that gradients flow, and nothing else
    seen = seen_by(student, packed_rows(world.rows(seed, -1, HELD_OUT)), seed=seed)
    return {
        path: one.null(student.adapters[path]) / student.adapters[path].delta_norm() ** 2 for path, one in seen.items()
    }
