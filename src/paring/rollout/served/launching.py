"""vLLM on this machine: the line that starts it, and a server as a child of this process."""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from paring.rollout.engine import EngineFailed
from paring.runtime.text import one_line

VLLM_RANKS, VLLM_RANK = (8, 16, 32, 64, 128, 256, 320, 512), 16
"""The values of its --max-lora-rank, and the default. Its CPU build copies factors of that rank for each token."""
COMMAND = "PARING_VLLM"
"""The environment variable that names the command by which vLLM is started, where it is installed elsewhere."""
KEY = "VLLM_API_KEY"
STARTS = 3
"""Times that a child is started in all: one that keeps dying would die for ever."""
LAST_BYTES = 2000


@dataclass(frozen=True)
class ServerPlan:
    """What a server must be able to do: its base, its precision, the tokens of prompt and answer together, the largest
    rank of an adapter, and how many adapters are in use at once."""

    model: str
    dtype: str
    context: int
    rank: int
    adapters: int = 2
    host: str = "127.0.0.1"
    port: int = 8000
    on_gpu: bool = False
    gpu_share: float | None = None
    """The share of the GPU's memory that it takes; None: vLLM's default."""
    gpus: int = 1
    """The GPUs that its base is divided among."""
    adapter: tuple[str, str] | None = None
    """The name and the folder of the only adapter that it has; None: it takes adapters while it runs."""
    chat_template: str | None = None
    """Jinja, in the place of the tokenizer's own."""

    def command(self, start: Sequence[str] | None = None) -> list[str]:
        """The line that starts it. `start`: its first words, by default those of `vllm_command`. Raises ValueError
        where vLLM takes no adapter of this rank."""
        rank = next((size for size in VLLM_RANKS if size >= self.rank), None)
        if rank is None:
            raise ValueError(f"adapters of rank {self.rank}: vLLM takes {VLLM_RANKS[-1]} at most; lower adapter.rank")
        start = vllm_command() if start is None else start
        options: dict[str, object] = {
            "host": self.host,
            "port": self.port,
            "dtype": self.dtype,
            "max-model-len": self.context,
            "max-lora-rank": rank,
            "max-loras": self.adapters,
            "max-cpu-loras": self.adapters + 1,
            "generation-config": "vllm",
            "logprobs-mode": "processed_logprobs",
        }
        options |= {} if self.gpu_share is None else {"gpu-memory-utilization": self.gpu_share}
        options |= {} if self.gpus == 1 else {"tensor-parallel-size": self.gpus}
        options |= {} if self.adapter is None else {"lora-modules": "=".join(self.adapter)}
        options |= {} if self.chat_template is None else {"chat-template": self.chat_template}
        flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        model = [self.model] if start[-1] == "serve" else ["--model", self.model]
        return [*start, *model, "--enable-lora", *([] if self.on_gpu else ["--enforce-eager"]), *flags]

    def environment(self) -> dict[str, str]:
        """What must stand in its environment."""
        both = {"VLLM_NO_USAGE_STATS": "1"}
        both |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"} if self.adapter is None else {}
        on_cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        return both if self.on_gpu else both | on_cpu

    def line(self) -> str:
        """Environment and command, as a shell takes them."""
        words = [f"{name}={value}" for name, value in self.environment().items()]
        return " ".join([*words, shlex.join(self.command())])


def vllm_command() -> list[str]:
    """How vLLM is started here: PARING_VLLM, this Python's own, or whatever is called vllm."""
    if given := os.environ.get(COMMAND):
        return shlex.split(given)
    if find_spec("vllm") is not None:
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    return ["vllm", "serve"]


def check_installed(command: str, otherwise: str) -> None:
    """Raises ValueError where there is no such command. `otherwise`: what can be done without it."""
    if shutil.which(command) is None:
        raise ValueError(
            f"{command} is not installed here. Install vLLM, or name the command that starts it in {COMMAND} "
            f"(docs/serving.md); {otherwise}"
        )


class ChildServer:
    """A server that this process starts, on a free port of this machine alone, and that does not outlive it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int) -> None:
        """Raises ValueError where there is no such command."""
        check_installed(command[0], "or start a server elsewhere, and name it in rollout.servers")
        self.url, self.key = f"http://127.0.0.1:{port}", os.environ.get(KEY) or secrets.token_hex(16)
        self._command = [sys.executable, "-m", "paring.rollout.served.server_guard", *command]
        paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = os.environ | environment | {KEY: self.key, "PYTHONPATH": os.pathsep.join(paths)}
        self._log: IO[bytes] = TemporaryFile()
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.revive()

    def revive(self) -> None:
        """Start it, unless it is at work. Raises EngineFailed with its last words where it has ended too often."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._starts == STARTS:
            raise EngineFailed(f"the server was started {STARTS} times and has ended again: {self.last_words()}")
        self._starts += 1
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End it, and all that it has started."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def last_words(self) -> str:
        """The last error that it has printed, or its last line."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LAST_BYTES))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line]
        return one_line((errors or lines or ["it printed nothing"])[-1].replace(self.key, "***"), 300)
