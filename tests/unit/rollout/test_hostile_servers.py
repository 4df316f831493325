"""What a server may send in the place of an answer: each is one fault in words, in time and of a bounded size."""

import json
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from paring import load_run
from paring.rollout.served import connecting, routes
from paring.rollout.served.answers import replies
from paring.rollout.served.connecting import connect
from paring.rollout.served.launching import KEY
from paring.rollout.served.published import Shelf
from paring.rollout.served.reference_server import Listening, Reference
from paring.runtime.client import MOST_BYTES, Away, Malformed, Refused, Server, ServerFault
from paring.settings.complaints import RunFailed
from paring.training.method import train

SECRET = "sk-do-not-tell-2718"
OK = b"HTTP/1.0 200 OK\r\n\r\n"


@contextmanager
def sending(answer):
    """The address of a server that sends what `answer(request)` gives, piece by piece, whatever it is asked."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            request = self.request.recv(1 << 20)
            try:
                for piece in answer(request):
                    self.request.sendall(piece)
            except OSError:
                pass  # whoever asked has gone

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = allow_reuse_address = True

    with Threads(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def plain(value):
    return lambda _: [OK, json.dumps(value).encode()]


def for_ever(piece, pause=0.0):
    def answer(_):
        yield OK
        while True:
            time.sleep(pause)
            yield piece

    return answer


def models(*given):
    return {"data": list(given)}


@pytest.mark.parametrize(
    ("answer", "fault", "words"),
    [
        (lambda _: [b"220 ready for mail\r\n"], ServerFault, "breaks off|no JSON"),
        (lambda _: [], Away, "breaks off|reset"),
        (lambda _: [b"HTTP/1.0 301 Moved\r\nLocation: http://elsewhere/\r\n\r\n"], Refused, "301: it sends to another"),
        (
            lambda _: [b"HTTP/1.0 401 No\r\n\r\n", b'{"error": "bad \x1b]0;key\x07"}'],
            Refused,
            r"401: .*bad \\x1b\]0;key",
        ),
        (
            lambda _: [b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}"],
            ServerFault,
            "breaks off|without data",
        ),
        (lambda _: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"], ServerFault, "breaks off"),
        (lambda _: [b"HTTP/1.0 200 OK\r\n", b"X: y\r\n" * 100_000, b"\r\n{}"], ServerFault, "breaks off"),
        (lambda _: [OK, b"<html>hello</html>"], Malformed, "no JSON"),
        (lambda _: [OK, b"\xff\xfe{}"], Malformed, "no JSON|without data"),
        (lambda _: [OK, b"[" * 100_000], Malformed, "no JSON"),
        (lambda _: [OK, b"9" * 10_000], Malformed, "no JSON"),
        (for_ever(b" " * 65536), Malformed, f"more than {MOST_BYTES:,} bytes"),
        (for_ever(b" ", pause=0.05), Away, "no answer within 0.5 seconds"),
        (plain(None), Malformed, "without data"),
        (plain({"data": {}}), Malformed, "without data"),
        (plain(models()), Malformed, "without a base"),
        (plain(models("gpt", 7, None)), Malformed, "without a base"),
        (plain(models({"id": 7})), Malformed, "without id"),
        (plain(models({"id": "m", "object": "model"})), Malformed, "without max_model_len"),  # OpenAI's own API
        (plain(models({"id": "m", "max_model_len": "128"})), Malformed, "without max_model_len"),
        (plain(models({"id": "m", "max_model_len": True})), Malformed, "without max_model_len"),
        (
            plain(models({"id": "m", "max_model_len": -5})),
            Malformed,
            "max_model_len = -5, which is no number of tokens",
        ),
    ],
)
def test_a_list_of_models_that_is_none(answer, fault, words):
    start = time.monotonic()
    with sending(answer) as url, pytest.raises(fault, match=words):
        routes.models(Server(url), seconds=5.0 if fault is not Away else 0.5)
    assert time.monotonic() - start < 10


def completion(**changes):
    whole = {"index": 0, "token_ids": [3, 4], "logprobs": {"token_logprobs": [-1.0, -2]}}
    return json.dumps({"choices": [whole | changes]}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"choices": {}}', "without choices"),
        (b'{"choices": [7]}', "without index"),
        (b'{"choices": []}', "0 answers in place of 1"),
        (completion(index=1), "numbered wrongly"),
        (completion(index="0"), "without index"),
        (completion(token_ids=[]), "0 tokens"),
        (completion(token_ids="34"), "without token_ids"),
        (completion(token_ids=[3, 4, 5]), "3 tokens with 2 log-probs"),
        (completion(token_ids=[3] * 9, logprobs={"token_logprobs": [-1.0] * 9}), "9 tokens with 9 log-probs; 1 to 8"),
        (completion(token_ids=[3, 100]), "tokens that the model does not have"),
        (completion(token_ids=[3, -1]), "tokens that the model does not have"),
        (completion(token_ids=[3, 10**400]), "tokens that the model does not have"),
        (completion(token_ids=[3, 4.0]), "tokens that the model does not have"),
        (completion(token_ids=[3, True]), "tokens that the model does not have"),
        (completion(token_ids=[3, None]), "tokens that the model does not have"),
        (completion(logprobs=None), "without logprobs"),
        (completion(logprobs={}), "without token_logprobs"),
        (completion(logprobs={"token_logprobs": [-1.0]}), "2 tokens with 1 log-probs"),
        (completion(logprobs={"token_logprobs": [-1.0, float("nan")]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, float("-inf")]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, 1.0]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, "-2"]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, None]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, False]}), "not finite numbers below 0"),
        (completion(logprobs={"token_logprobs": [-1.0, -(10**400)]}), "not finite numbers below 0"),
    ],
)
def test_an_answer_that_is_none(content, words):
    with pytest.raises(Malformed, match=words):
        replies(content, count=1, vocabulary=100, most=8)


def test_answers_are_bounded_by_their_tokens():
    question = {"prompt": [1], "max_tokens": 8}
    with sending(for_ever(b"[" * 65536)) as url, pytest.raises(Malformed, match=r"more than 1,0\d\d,\d\d\d bytes"):
        routes.completions(Server(url), question, count=2, vocabulary=100, seconds=10.0)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "run" / "published", "embedded")


def test_a_server_of_another_api_is_refused_before_a_run(policy_of_lora, shelf):
    with (
        sending(plain(models({"id": "gpt", "object": "model"}))) as url,
        pytest.raises(ValueError, match=rf"{url} does not answer as a server of vLLM does: .* without max_model_len"),
    ):
        connect(policy_of_lora, shelf, [url], longest=64, rank=8, patience=2.0)


def test_an_address_with_the_path_of_a_client_is_refused_with_the_remedy(policy_of_lora, shelf):
    """OpenAI's clients are given addresses that end in /v1."""
    missing = b'HTTP/1.0 404 Not Found\r\n\r\n{"detail": "Not Found."}'
    with (
        sending(lambda _: [missing]) as url,
        pytest.raises(ValueError, match="HTTP 404: Not Found; leave /v1 out of its address, or mend rollout.servers$"),
    ):
        connect(policy_of_lora, shelf, [f"{url}/v1"], longest=64, rank=8, patience=2.0)


@pytest.mark.parametrize("again", ["http://one:8000", "http://one:8000/", "HTTP://One:8000"])
def test_a_server_that_is_named_twice_is_refused(again):
    with pytest.raises(ValueError, match="^quickstart: rollout: servers = .*: one stands there twice; name each once$"):
        load_run("quickstart", rollout={"engine": "served", "servers": ["http://one:8000", again]})


def test_a_base_of_the_same_form_with_other_weights_is_refused_before_a_run(policy_of_lora, shelf):
    """Its adapters load, so that only the canary tells."""
    reference = Reference()
    with torch.no_grad():
        next(reference._base.parameters()).mul_(1.5)
    with Listening(reference) as server, pytest.raises(ValueError, match="another policy: .* It has another base"):
        connect(policy_of_lora, shelf, [server.url], longest=64, rank=8, patience=5.0)
    assert not reference.loaded and not shelf.place.exists()


@pytest.fixture(scope="module")
def policy_of_lora():
    from paring.adapters.attach import attach
    from paring.adapters.kinds import Lora
    from paring.policy.loading import Model, load_base
    from paring.policy.model import Policy

    base, tokenizer = load_base(Model())
    return Policy(base, tokenizer, attach(base, Lora(), seed=0))


@pytest.mark.parametrize("servers", [("http://me:password-7@node:8000",), ("http://node:8000/?api_key=password-7",)])
def test_a_secret_in_an_address_is_refused_and_not_shown(servers):
    with pytest.raises(ValueError, match="an address holds no") as refused:
        load_run("quickstart", **{"rollout.engine": "served", "rollout.servers": servers})
    assert "password-7" not in str(refused.value)


def test_a_key_stands_nowhere(small_run, tmp_path, monkeypatch, capfd):
    """The server repeats it in its refusal, which ends the run."""
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr(connecting, "PAUSE", 0.05)
    heard = []

    class Forwarded(Reference):
        """It refuses, from the second step on, in words that hold the key."""

        def answer(self, path, question):
            if len(self.asked) > 40 and path == "/v1/completions":
                return 400, {"error": {"message": f"Bearer {SECRET} is not allowed"}}
            return super().answer(path, question)

    real = Server._ask

    def ask(server, *given):
        heard.append(server.key)
        return real(server, *given)

    monkeypatch.setattr(Server, "_ask", ask)
    with Listening(Forwarded()) as server, pytest.raises(RunFailed, match=r"Bearer \*\*\* is not allowed") as failed:
        train(small_run({"rollout.engine": "served", "rollout.servers": (server.url,)}), tmp_path / "run")
    assert heard and set(heard) == {SECRET}, "it is sent"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.toml", "starts.jsonl", "metrics.jsonl"} <= {path.name for path in written}
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err + str(failed.value) + repr(failed.value.__cause__)
