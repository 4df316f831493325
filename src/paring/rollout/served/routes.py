"""The requests that are made of a server: its models, an adapter in and out, and completions."""

from threading import Event

from paring.rollout.engine import EngineFailed
from paring.rollout.served.answers import MOST_A_TOKEN, replies
from paring.rollout.served.canary import Continuation
from paring.runtime.client import MOST_BYTES, Malformed, Refused, Server, ServerFault, field_of
from paring.types import JsonObject

HEALTH_SECONDS = 5.0
HOW_TO_START = "docs/serving.md says how to start a server"


def models(server: Server, *, seconds: float, stop: Event | None = None) -> tuple[str, int, list[str]]:
    """The base that a server has, its context in tokens, and the names of its adapters. Raises ServerFault."""
    listed = field_of(server.get("/v1/models", seconds=seconds, stop=stop), "data", list)
    by_name = {field_of(one, "id", str): one for one in listed if isinstance(one, dict)}
    bases = [one for one in by_name.values() if one.get("parent") is None]
    if not bases:
        raise Malformed("a list of models without a base")
    context = field_of(bases[0], "max_model_len", int)
    if context < 1:
        raise Malformed(f"max_model_len = {context}, which is no number of tokens")
    adapters = [name for name, one in by_name.items() if one.get("parent") is not None]
    return field_of(bases[0], "id", str), context, adapters


def load(server: Server, name: str, path: str, *, seconds: float, stop: Event | None = None) -> None:
    """Let a server read the adapter that it sees at `path`. Raises EngineFailed where it refuses, and ServerFault."""
    try:
        server.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, seconds=seconds, stop=stop)
    except Refused as error:
        if error.status == 400 and "already" in error.words:
            return
        if error.status == 500:
            server.check_health(seconds=HEALTH_SECONDS)
        raise EngineFailed(f"{server.url} does not load the adapter {path}: {_why(error)}") from error


def _why(refusal: Refused) -> str:
    if refusal.status in (404, 405) and refusal.words == "Not Found":
        why = "it takes none while it runs. Start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        return f"{why}: {HOW_TO_START}"
    words = str(refusal).rstrip(".")
    if refusal.status == 404:
        return f"{words}. If it does not see this folder, share it, or set rollout.servers_see to its path there"
    return f"{words}. It needs the base of this run, and room for its ranks (--max-lora-rank): {HOW_TO_START}"


def unload(server: Server, name: str, *, seconds: float) -> bool:
    """Whether a server has forgotten an adapter, never knew it, or is not there any more."""
    try:
        server.post("/v1/unload_lora_adapter", {"lora_name": name}, seconds=seconds)
    except Refused as fault:
        return fault.status == 404
    except ServerFault as fault:
        return isinstance(fault.__cause__, ConnectionRefusedError)
    return True


def completions(
    server: Server,
    question: JsonObject,
    *,
    count: int,
    vocabulary: int,
    seconds: float,
    stop: Event | None = None,
) -> list[Continuation]:
    """`count` completions. Raises ServerFault; a 500 is a refusal of a server that is well."""
    most = question["max_tokens"]
    assert isinstance(most, int)
    room = MOST_BYTES + MOST_A_TOKEN * count * most
    try:
        content = server.post("/v1/completions", question, seconds=seconds, most=room, stop=stop)
    except Refused as error:
        if error.status == 500:
            server.check_health(seconds=HEALTH_SECONDS)
        raise
    return replies(content, count=count, vocabulary=vocabulary, most=most)
