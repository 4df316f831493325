"""Servers found, or one started, and checked against a run before it begins."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch
from pydantic import TypeAdapter

from paring.policy.loading import base_name
from paring.policy.model import Policy
from paring.rollout.engine import EngineFailed
from paring.rollout.served import routes
from paring.rollout.served.fleet import Member
from paring.rollout.served.launching import KEY, ChildServer, ServerPlan
from paring.rollout.served.meeting import NOBODY_ELSE, Meeting
from paring.rollout.served.published import Shelf
from paring.rollout.served.served_engine import ServedEngine
from paring.runtime.client import Away, Server, ServerFault
from paring.runtime.machine import free_port
from paring.runtime.text import one_line
from paring.types import Json

ASK_SECONDS, PAUSE, NOTE_SECONDS = 10.0, 0.5, 30.0
IN_FP32, IN_LESS = 1e-3, 0.1
"""The canary's tolerance, in nats: log-probs in fp32 differ by 1e-5, in bf16 by up to 0.03 (docs/serving.md)."""
SHARED_GPU = 0.45
"""The share of a GPU's memory for a server beside the training."""


def connect(
    policy: Policy,
    shelf: Shelf,
    urls: Sequence[str],
    *,
    longest: int,
    rank: int,
    tolerance: float | None = None,
    patience: float,
    keep: int = 2,
    note: Callable[[str], object] = str,
    meeting: Meeting = NOBODY_ELSE,
) -> ServedEngine:
    """An engine that samples from `policy` by the servers at these addresses, or by one that is started here.

    longest    tokens of prompt and answer together, at most
    rank       the largest that an adapter of the run may come to have
    keep       versions that are in use at once
    meeting    of the processes that train together, all of which connect; without addresses it is one alone

    Each server is given the adapters of this moment at that rank, and proved. Raises ValueError where one does not
    answer within `patience` seconds, speaks another API, has another base, no room or no adapters, or does not see the
    folder."""
    if tolerance is None:
        tolerance = IN_FP32 if policy.model.dtype == torch.float32 else IN_LESS
    child = None if urls else _started(policy, shelf.base, longest, rank, keep)
    if child is not None:
        note("starting vLLM on this machine, which takes a minute or so ...")
    key = os.environ.get(KEY) if child is None else child.key
    servers = [Server(url, key) for url in urls or [child.url if child else ""]]
    try:
        members = _members(servers, child, longest, patience, note, meeting)
        engine = ServedEngine(policy, members, shelf, tolerance, patience, keep, meeting=meeting)
        with shelf.visiting():
            try:
                engine.prove_all(rank)
            finally:
                engine.withdraw()
    except EngineFailed as error:
        _stop(child)
        raise ValueError(str(error)) from error
    except BaseException:
        _stop(child)
        raise
    return engine


def _stop(child: ChildServer | None) -> None:
    if child is not None:
        child.stop()


def _started(policy: Policy, base: str, longest: int, rank: int, keep: int) -> ChildServer:
    on_gpu = policy.device.type == "cuda"
    dtype = str(policy.model.dtype).removeprefix("torch.")
    path, port = base_name(base), free_port()
    if Path(path).suffix == ".gguf" or getattr(policy.model, "is_quantized", False):
        raise ValueError(
            f"model.path = {base}: a server is started here for weights that are neither GGUF nor quantised alone; "
            "start one yourself and name it in rollout.servers"
        )
    share = SHARED_GPU if on_gpu else None
    plan = ServerPlan(path, dtype, longest, rank, keep, port=port, on_gpu=on_gpu, gpu_share=share)
    return ChildServer(plan.command(), plan.environment(), port)


def _members(
    servers: Sequence[Server],
    child: ChildServer | None,
    longest: int,
    patience: float,
    note: Callable[[str], object],
    meeting: Meeting,
) -> list[Member]:
    """The servers, once the first process has found all of them. Raises ValueError where one has too little room."""

    def found() -> Json:
        members = [_member(server, child, patience, note) for server in servers]
        for member in members:
            if member.context < longest:
                raise ValueError(
                    f"{member.server.url} holds {member.context} tokens, and a prompt with its answer takes up to "
                    f"{longest}: start it with --max-model-len {longest}, or lower rollout.max_new_tokens"
                )
        return [[member.base, member.context] for member in members]

    told = TypeAdapter(list[tuple[str, int]]).validate_python(meeting.from_first(found))
    return [Member(server, *one, child=child) for server, one in zip(servers, told, strict=True)]


def _member(server: Server, child: ChildServer | None, patience: float, note: Callable[[str], object]) -> Member:
    """The server, once it answers. Raises ValueError where it does not, or is no server of vLLM's."""
    start = said = time.monotonic()
    while True:
        try:
            base, context, _ = routes.models(server, seconds=ASK_SECONDS)
            return Member(server, base, context, child=child)
        except Away as fault:
            if child is not None:
                child.revive()
            if time.monotonic() - start > patience:
                raise ValueError(
                    f"{server.url} does not answer ({fault}) for {patience:g} seconds (rollout.patience): start it "
                    "(docs/serving.md), or mend rollout.servers"
                ) from fault
            if said == start or time.monotonic() - said > NOTE_SECONDS:
                said = time.monotonic()
                note(f"waiting for {server.url} ({fault}), for {patience:g} seconds at most")
            time.sleep(PAUSE)
        except ServerFault as fault:
            path = urlsplit(server.url).path
            remedy = f"leave {path} out of its address" if path else "start vLLM there (docs/serving.md)"
            raise ValueError(
                f"{server.url} does not answer as a server of vLLM does: {one_line(str(fault)).rstrip('.')}; {remedy}, "
                "or mend rollout.servers"
            ) from fault
