"""A side of the RL step as a process of its own, which loads once and then makes a step whenever it is told to."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Literal

TRL, OURS = "side_trl.py", "side_ours.py"
SEED = 0
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Work:
    """The same for both sides. `peer_passes`: into how many passes TRL cuts its batch, which bounds its memory;
    `tokens_per_pass` is ours. `dtype` is of the base; adapters
    are in fp32 on both sides."""

    model: str
    data: str | None
    problems: int
    group: int
    new_tokens: int
    rank: int
    kl: float
    without_signal: float
    peer_passes: int
    steps: int
    tokens_per_pass: int = 2048
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if not 0 <= self.without_signal < 1:
            raise ValueError(f"--without-signal {self.without_signal}: 0 or more, and less than 1, or B would stay 0")

    @classmethod
    def given(cls) -> "Work":
        """Within a side: what it was started with."""
        return cls(**json.loads(sys.argv[1]))


class Side:
    """A running side. Not used as a context, it would stay alive."""

    def __init__(self, script: str, work: Work) -> None:
        command = [sys.executable, str(Path(__file__).with_name(script)), json.dumps(asdict(work))]
        # paring loads the peer's model, and asks torch for large pages: the peer must be as its users have it.
        environment = os.environ | ({"THP_MEM_ALLOC_ENABLE": "0"} if script == TRL else {})
        self.script, self.process = script, Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.commands, self.answers = self.process.stdin, self.process.stdout
        self._answer()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.commands.close()
        self.process.wait()

    def step(self) -> dict[str, Any]:
        """One step: its seconds, its completion tokens, and the process's peak memory so far."""
        self.commands.write("\n")
        self.commands.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"{self.script} ended with {self.process.wait()}: see its words above")
        return json.loads(line)


def answer(**values: Any) -> None:
    """Within a side: to the one who commands it. All else that is printed must go to stderr."""
    print(json.dumps(values), file=sys.__stdout__, flush=True)


def wait_for_command() -> None:
    """Within a side: until the next step is asked for; the side ends where none will be."""
    if not sys.stdin.readline():
        raise SystemExit
