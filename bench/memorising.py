"""Memorising, a benchmark where rank binds: students learn pairs of random tokens by heart, and the loss on those pairs
says what the adapter could hold. Appends one JSON line a run to --out, and never makes a run twice.

python bench/memorising.py --arms 'lora:2;l1ra;at:l1ra;shuffled:l1ra;adalora;gradient' --seeds 0,1,2,3,4 --out FILE
"""

import json
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from measuring import machine
from paring.policy.model import Policy
from paring.policy.packing import Labelled, PackedBatch, pack_examples
from planted_teacher import World, log_probs
from students import Line, adapter_of, chosen_ranks, described, trained

QUESTION, ANSWER = 8, 8
"""Tokens of a pair."""
ROWS, PROBE = 32, 64
"""Pairs of a step, and of a measurement."""


@dataclass(frozen=True)
class Pairs:
    """Random tokens: the first QUESTION of a row are given, the others are learned."""

    token_NT: Tensor
    seed: int

    @classmethod
    def drawn(cls, count: int, vocabulary: int, seed: int) -> "Pairs":
        draw = torch.Generator().manual_seed(seed)
        return cls(torch.randint(vocabulary, (count, QUESTION + ANSWER), generator=draw), seed)

    def batch(self, row_BT: Tensor) -> PackedBatch:
        learned = [False] * QUESTION + [True] * ANSWER
        return pack_examples([Labelled(row, learned) for row in row_BT.tolist()], row_BT.device)

    def rows(self, step: int) -> Tensor:
        """The pairs of a step, from 1; every epoch is an order of its own."""
        epoch, place = divmod((step - 1) * ROWS, len(self.token_NT))
        order = torch.randperm(
            len(self.token_NT), generator=torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
        )
        return self.token_NT[order[place : place + ROWS]]

    def loss(self, student: Policy, step: int) -> Tensor:
        return cross_entropy(log_probs(student, self.batch(self.rows(step))), self.rows(step))

    def probe(self, step: int) -> PackedBatch:
        draw = torch.Generator().manual_seed(1_000_003 * self.seed - step)
        return self.batch(self.token_NT[torch.randperm(len(self.token_NT), generator=draw)[:PROBE]])

    @torch.no_grad()
    def measured(self, student: Policy) -> Line:
        """Over all pairs: the loss in nats a token, and the share of tokens that are the likeliest."""
        losses, right = [], []
        for row_BT in self.token_NT.split(PROBE):
            logp_MV = log_probs(student, self.batch(row_BT))
            losses.append(float(cross_entropy(logp_MV, row_BT)) * len(row_BT))
            right.append(int((logp_MV.argmax(-1) == row_BT[:, QUESTION:].flatten()).sum()))
        return {"loss": sum(losses) / len(self.token_NT), "right": sum(right) / (ANSWER * len(self.token_NT))}


def cross_entropy(logp_MV: Tensor, row_BT: Tensor) -> Tensor:
    return functional.nll_loss(logp_MV, row_BT[:, QUESTION:].flatten())


def one_run(world: World, pairs: Pairs, arm: str, *, lr: float, steps: int, earlier: dict[str, Line]) -> Line:
    start = time.perf_counter()
    ranks = chosen_ranks(arm, pairs.seed, world.cost, earlier, {})
    run = trained(world, pairs, adapter_of(arm, ranks), ranks, lr=lr, steps=steps)
    found = described(run, pairs.probe(0), seed=pairs.seed) | pairs.measured(run.student)
    return found | {"seconds": time.perf_counter() - start}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--arms", default="lora:2;l1ra;at:l1ra;shuffled:l1ra", help="separated by ;")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--lrs", default="0.02")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    world = World.opened()
    made: dict[tuple[Any, ...], Line] = {}
    if given.out.exists():
        for text in given.out.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line["base"] == world.base:
                made[tuple(line[name] for name in ("arm", "pairs", "steps", "seed", "lr"))] = line
    for seed in map(int, given.seeds.split(",")):
        pairs = Pairs.drawn(given.pairs, world.policy.model.config.vocab_size, seed)
        for lr in map(float, given.lrs.split(",")):
            for arm in given.arms.split(";"):
                key = {"pairs": given.pairs, "steps": given.steps, "seed": seed, "lr": lr}
                if (arm, *key.values()) in made:
                    continue
                earlier = {other: line for (other, *its), line in made.items() if its == list(key.values())}
                line = one_run(world, pairs, arm, lr=lr, steps=given.steps, earlier=earlier)
                made[arm, *key.values()] = line = {"arm": arm, **key, **line, "base": world.base} | machine()
                shown = f"loss {line['loss']:.4f}, right {line['right']:.3f}, {line['seconds']:.0f} s"
                print(f"{given.pairs} pairs, seed {seed}, lr {lr:g}, {arm}: {shown}", line["events"], flush=True)
                with given.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
