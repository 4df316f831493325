"""Claim: on a CPU a rollout makes more tokens a second than vLLM's CPU build.

vLLM is a server that `--vllm` starts: the command of its OpenAI server, such as `.venv-vllm/bin/python -m
vllm.entrypoints.openai.api_server` (tools/vllm_environment.py). It decodes the base alone, ours the base and its
adapters. Prompts are sent as tokens, one request a group, all at once; while one side works the other waits."""

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import median

import httpx2 as httpx

from adapted import adapted_policy, lora_of
from generating import Rolled, sampled
from measuring import in_turn, median_ratio, options, report
from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.runtime.machine import free_port
from paring.types import Problem
from questions import questions

NAME, PATIENCE = "base", 600.0
"""The model's name on the server; seconds in which it must be up, and in which it must answer."""
OPTIONS = "--max-model-len 1024 --max-num-seqs 256 --enforce-eager --generation-config vllm --no-enable-prefix-caching"


@contextmanager
def server(command: str, model: str, dtype: str, threads: int) -> Iterator[str]:
    """The address of vLLM's server, once it is up."""
    port = free_port()
    words = [*shlex.split(command), "--model", model, "--served-model-name", NAME, "--dtype", dtype]
    words += ["--host", "127.0.0.1", "--port", str(port), *OPTIONS.split()]
    own = {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "2"}
    environment = {**os.environ, **own, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment.pop("PYTHONPATH", None)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not is_up(url):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command}: no server within {PATIENCE:g} s")
                time.sleep(1)
            yield url
        finally:
            process.terminate()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def served(url: str, policy: Policy, problems: Sequence[Problem], group: int, new_tokens: int) -> Rolled:
    """By the server: tokens up to and including the end token."""
    prompts = [prompt_tokens(policy.tokenizer, problem.messages) for problem in problems]
    given: dict[str, object] = {"model": NAME, "n": group, "max_tokens": new_tokens, "temperature": 1.0}
    given["stop_token_ids"] = sorted(policy.ends)

    def asked(prompt: Sequence[int]) -> int:
        answer = httpx.post(f"{url}/v1/completions", json={**given, "prompt": list(prompt)}, timeout=PATIENCE)
        answer.raise_for_status()
        return answer.json()["usage"]["completion_tokens"]

    start = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        tokens = sum(pool.map(asked, prompts))
    return Rolled(time.perf_counter() - start, tokens)


def main() -> None:
    sizes = {"rows": 32, "group": 8, "new_tokens": 64, "rank": 16, "pairs": 3, "threads": 2}
    parser = options(__doc__, "model", "data", at_least=1.5, **sizes)
    parser.add_argument("--vllm", required=True, help="the command of its server")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the base, both sides")
    arguments = parser.parse_args()
    policy = adapted_policy(arguments.model, lora_of(arguments.rank), arguments.dtype)
    problems = questions(arguments.data, arguments.rows // arguments.group)
    with server(arguments.vllm, arguments.model, arguments.dtype, arguments.threads) as url:
        sides = [partial(sampled, policy), partial(served, url, policy)]
        for side in sides:
            side(problems, arguments.group, new_tokens=2)
        turns = in_turn(
            arguments.pairs, *[partial(side, problems, arguments.group, arguments.new_tokens) for side in sides]
        )
    ours, theirs = (tuple(rolled.rate for rolled in turn) for turn in turns)
    arguments.vllm = "its server"
    report(
        arguments,
        "rollout, completion tokens a second: ours / vLLM's CPU build on the base alone",
        median_ratio(ours, theirs),
        tokens_per_second={"ours": median(ours), "vllm": median(theirs)},
        seconds=[median(rolled.seconds for rolled in turn) for turn in turns],
        tokens=[median(rolled.tokens for rolled in turn) for turn in turns],
    )


if __name__ == "__main__":
    main()
