"""The HTTP client where the place it is used from, the environment or the network is not the plain one."""

import asyncio
import gzip
import os
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from paring.runtime.client import Away, Malformed, Refused, Server, Stopped, check_address


@contextmanager
def listening(body=b"[7]", **headers):
    """The address of a server that answers each GET with this, and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.fixture
def clean(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def test_a_proxy_of_the_environment_is_asked(clean):
    with listening() as (proxy, asked):
        clean.setenv("HTTP_PROXY", proxy)
        assert Server("http://node3.example:8000/v1").get("/models", seconds=5) == [7]
    assert asked == ["http://node3.example:8000/v1/models"]


def test_a_server_of_this_machine_is_asked_without_a_proxy(clean):
    clean.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with listening() as (url, asked):
        assert Server(url).get("/models", seconds=5) == [7]
    assert asked == ["/models"]


@pytest.mark.parametrize("proxy", ["ftp://node1", "http://node1:port"])
def test_a_proxy_that_is_none_is_named(clean, proxy):
    clean.setenv("HTTP_PROXY", proxy)
    with pytest.raises(Refused, match="a proxy of the environment cannot be used"):
        Server("http://node3.example").get("/models", seconds=5)


def test_a_compressed_answer_is_refused():
    """Some bytes can be gigabytes."""
    with (
        listening(gzip.compress(b" " * (1 << 24) + b"7"), Content_Encoding="gzip") as (url, _),
        pytest.raises(Malformed, match="compressed"),
    ):
        Server(url).get("/models", seconds=5)


def test_https_is_not_spoken_by_every_server():
    with listening() as (url, _), pytest.raises(Refused, match="does not speak https"):
        Server(url.replace("http:", "https:")).get("/models", seconds=5)


@pytest.mark.parametrize("url", ["http://a b:1", "http://a<b", "http://", "node3:8000", "http://node3:0"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="is no address"):
        check_address(url, "servers", key="KEY")


@pytest.mark.parametrize("url", ["http://node3:8000", "https://[::1]:8000", "http://bücher.example/v1"])
def test_addresses(url):
    check_address(url, "servers", key="KEY")


def test_a_loop_may_run_already():
    """As it does in a notebook."""

    async def cell():
        return Server(url).get("/models", seconds=5)

    with listening() as (url, _):
        assert asyncio.run(cell()) == [7]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_child_asks_as_its_parent_does():
    with listening() as (url, _):
        assert Server(url).get("/models", seconds=5) == [7]
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if Server(url).get("/models", seconds=5) == [7] else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:9", "^Connection refused$"), ("http://nobody.invalid:8000", "[Nn]ame|resolution|nodename")],
)
def test_a_server_that_is_not_there_is_away(clean, url, words):
    with pytest.raises(Away, match=words):
        Server(url).get("/models", seconds=5)


def test_whoever_waits_no_longer_is_free_at_once():
    stop = threading.Event()
    hangs = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hangs.wait(20)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Timer(0.2, stop.set).start()
        start = time.monotonic()
        with pytest.raises(Stopped):
            Server(f"http://127.0.0.1:{server.server_address[1]}").get("/models", seconds=60, stop=stop)
        assert time.monotonic() - start < 5
        hangs.set()
        server.shutdown()
