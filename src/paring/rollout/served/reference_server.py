"""A server with vLLM's routes over the local engine, for tests: the same errors, and faults that are switched on.

    python -m paring.rollout.served.reference_server --model embedded --port 8000 --fault slow

Questions are answered one after the other. It is no server for work."""

import argparse
import copy
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from paring.adapters.peft_reading import attach_from_peft
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.publishing import read_published
from paring.rollout.engine import Sampling
from paring.rollout.local import decoded
from paring.rollout.noise import uniforms
from paring.rollout.stopping import stops_of
from paring.types import Json, JsonObject, Key

FAULTS = ("slow", "half-group", "nan", "short-logprobs", "endless", "no-json", "refuses", "unwell", "stale-cache")
BASE = "base"
Answer = tuple[int, Json]


@dataclass
class Reference:
    """The state of a server: its base, and the adapters that it has by name, each as a policy of its own."""

    model: Model = field(default_factory=Model)
    max_rank: int = 16
    takes_adapters: bool = True
    context: int | None = None
    faults: set[str] = field(default_factory=set)
    delay: float = 1.0
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._base, self._tokenizer = load_base(self.model)
        self.policy = Policy(self._base, self._tokenizer, {})
        self.loaded: dict[str, tuple[Policy, Path]] = {}
        self.cached: dict[str, Policy] = {}
        self._lock = threading.Lock()

    def answer(self, path: str, question: Mapping[str, Any]) -> Answer:
        """Status and content."""
        self.asked.append(path)
        if path == "/health":
            return (503, "") if "unwell" in self.faults else (200, "")
        with self._lock:
            if path == "/v1/models":
                return 200, {"object": "list", "data": self._models()}
            if path == "/v1/completions":
                return self._complete(question)
            if path == "/v1/load_lora_adapter" and self.takes_adapters:
                return self._load(question["lora_name"], Path(question["lora_path"]))
            if path == "/v1/unload_lora_adapter" and self.takes_adapters:
                known = self.loaded.pop(question["lora_name"], None)
                return (200, "Success") if known else _error(404, "NotFoundError", "The lora adapter cannot be found.")
        return 404, {"detail": "Not Found"}

    def _models(self) -> list[Json]:
        context = self.context or self.policy.context
        adapters = [{"id": name, "parent": BASE, "max_model_len": None} for name in self.loaded]
        return [{"id": BASE, "parent": None, "max_model_len": context}, *adapters]

    def _load(self, name: str, folder: Path) -> Answer:
        if name in self.loaded:
            return _error(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.")
        if not folder.is_dir():
            return _error(404, "NotFoundError", f"No adapter found for {folder}")
        # The copy has modules of its own, and the weights of the base.
        base = copy.deepcopy(self._base, {id(one): one for one in self._base.parameters()})
        try:
            stored = read_published(base, folder)
            if (rank := max(stored.ranks.values())) > self.max_rank:
                raise ValueError(f"LoRA rank {rank} is greater than max_lora_rank {self.max_rank}.")
            policy = Policy(base, self._tokenizer, attach_from_peft(base, stored))
        except ValueError as error:
            return _error(500, "InternalServerError", str(error))
        self.loaded[name] = policy, folder
        self.cached.setdefault(name, policy)
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _complete(self, question: Mapping[str, Any]) -> Answer:
        name = question["model"]
        if name != BASE and name not in self.loaded:
            return _error(404, "NotFoundError", f"The model `{name}` does not exist.")
        if "refuses" in self.faults:
            return _error(500, "InternalServerError", "out of order")
        policy, folder = self.loaded.get(name, (self.policy, None))
        if folder is not None and not folder.is_dir():
            os._exit(1)  # so does vLLM, which reads it again
        if "stale-cache" in self.faults:
            policy = self.cached.get(name, policy)
        time.sleep(self.delay if "slow" in self.faults else 0)
        choices = _choices(policy, question)
        if "half-group" in self.faults:
            choices = choices[: max(1, len(choices) // 2)]
        return 200, {"object": "text_completion", "model": name, "choices": [self._spoilt(one) for one in choices]}

    def _spoilt(self, choice: JsonObject) -> JsonObject:
        logprobs = cast("dict[str, list[float]]", choice["logprobs"])["token_logprobs"]
        if "nan" in self.faults:
            logprobs = [float("nan")] * len(logprobs)
        if "short-logprobs" in self.faults:
            logprobs = logprobs[:-1]
        return {**choice, "logprobs": {"token_logprobs": logprobs}}


@torch.no_grad()
def _choices(policy: Policy, question: Mapping[str, Any]) -> list[JsonObject]:
    """The completions of one prompt, as vLLM gives them."""
    count, most = question.get("n", 1), question["max_tokens"]
    sampling = Sampling(max_new_tokens=most)
    given = {name: question[name] for name in ("temperature", "top_p", "top_k") if name in question}
    ends = set() if question.get("ignore_eos") else policy.ends | set(question["stop_token_ids"])
    seed = question.get("seed", 0)  # member i of a group has seed + i, as vLLM has it
    noise_BT = np.stack([uniforms(Key(seed + member, 0), "", 0, most) for member in range(count)])
    prompts, stops = [tuple(question["prompt"])], stops_of(policy.tokenizer, tuple(question.get("stop", ())))
    made = decoded(policy, prompts, count, replace(sampling, **given), noise_BT, ends=ends, rows=count, stops=stops)
    drawn = zip(made.token_BT.tolist(), made.logp_BT.tolist(), made.length_B.tolist(), strict=True)
    return [
        {"index": index, "token_ids": tokens[:length], "logprobs": {"token_logprobs": logprobs[:length]}}
        for index, (tokens, logprobs, length) in enumerate(drawn)
    ]


def _error(status: int, kind: str, message: str) -> Answer:
    return status, {"error": {"message": message, "type": kind, "code": status}}


class Listening:
    """A server at work in a thread, at `url`, until the end of the block."""

    def __init__(self, reference: Reference, port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply({})

            def do_POST(self) -> None:
                self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _reply(self, question: Mapping[str, Any]) -> None:
                status, content = reference.answer(self.path, question)
                self.send_response(status)
                self.end_headers()
                is_completion = self.path == "/v1/completions"
                text = "<html>" if "no-json" in reference.faults and is_completion else json.dumps(content)
                try:
                    self.wfile.write(text.encode())
                    while "endless" in reference.faults and is_completion:
                        self.wfile.write(b" " * 65536)
                except OSError:
                    pass  # whoever asked has gone

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Threads(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256  # of connections that come at the same moment

        self.reference, self._server = reference, Threads(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> "Listening":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--max-lora-rank", type=int, default=16)
    parser.add_argument("--fault", action="append", default=[], choices=FAULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reference = Reference(Model(path=options.model), options.max_lora_rank, faults=set(options.fault))
    listening = Listening(reference, options.port)
    print(listening.url, flush=True)
    listening.serve()


if __name__ == "__main__":
    main()
