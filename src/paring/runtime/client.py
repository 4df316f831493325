"""One server over HTTP: a question with a deadline, an answer of bounded size, and faults by kind."""

import asyncio
import json
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from threading import Event
from typing import TypeVar, cast
from urllib.parse import urlsplit

from paring.runtime.text import one_line, visible
from paring.types import Json

T = TypeVar("T")
SLICE_SECONDS = 0.25
"""How often a wait looks whether it is to end."""
CONNECT_SECONDS = 5.0
MOST_BYTES = 1 << 20
"""The bound of an answer that carries no tokens."""
GATEWAY = {408, 429, 502, 503, 504}
"""The states of a server that is starting, overloaded, or behind a gateway that does not reach it."""
LONGEST_WORDS = 300
_BEGINNING = threading.Lock()
_HOST = re.compile(r"[\w.:-]+(%[\w.-]+)?")


class ServerFault(Exception):
    """A question has no good answer."""


class Away(ServerFault):
    """The server cannot be reached, or does not answer in time: the same question may be answered later. `after`: the
    seconds after which the server asks to be asked again, where it says so."""

    def __init__(self, words: str, after: float | None = None) -> None:
        super().__init__(words)
        self.after = after


class Malformed(ServerFault):
    """The server answers, but not as this API does."""


class Refused(ServerFault):
    """The server has understood, and says no: the HTTP status and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"HTTP {status}: {words}")
        self.status, self.words = status, words


class Stopped(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Server:
    """A server by its address. `key` is sent, and never written anywhere."""

    url: str
    key: str | None = field(default=None, repr=False)

    def get(self, path: str, *, seconds: float, stop: Event | None = None) -> object:
        """What the server answers to a GET, as plain values. Raises ServerFault and Stopped."""
        return plain(self._ask("GET", path, None, seconds, MOST_BYTES, stop))

    def check_health(self, *, seconds: float) -> None:
        """Raises Away where the server is not well."""
        try:
            self._ask("GET", "/health", None, seconds, MOST_BYTES, None)
        except ServerFault as error:
            raise Away(f"it is not well ({error})") from error

    def post(
        self, path: str, question: Json, *, seconds: float, most: int = MOST_BYTES, stop: Event | None = None
    ) -> bytes:
        """What the server answers to a POST of a JSON object, within so many seconds in all and in `most` bytes.
        Raises as `get`."""
        return self._ask("POST", path, question, seconds, most, stop)

    def _ask(self, method: str, path: str, question: Json, seconds: float, most: int, stop: Event | None) -> bytes:
        body = None if question is None else json.dumps(question, allow_nan=False).encode()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
        headers |= {"Content-Type": "application/json"} if body else {}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        request = Asked(method, self.url.rstrip("/") + path, headers, body)
        with _faults(seconds):
            exchange = asyncio.run_coroutine_threadsafe(request.answered(seconds, most), _loop())
            try:
                while not exchange.done():
                    if stop is not None and stop.is_set():
                        raise Stopped
                    wait((exchange,), SLICE_SECONDS)
                status, content, after = exchange.result()
            finally:
                exchange.cancel()
        if status in GATEWAY:
            raise Away(f"HTTP {status}", _seconds(after))
        if 300 <= status < 400:
            raise Refused(status, "it sends to another address, which is not followed: write that one")
        if status != 200:
            raise Refused(status, self._words(content))
        return content

    def _words(self, content: bytes) -> str:
        """The error in an answer, as a line that can be shown; the key is taken out, should a server repeat it."""
        words: object = content[: 16 * LONGEST_WORDS].decode(errors="replace")
        with suppress(Malformed):
            words = plain(content)
        for name in ("error", "message", "detail"):
            words = words.get(name, words) if isinstance(words, dict) else words
        text = str(words) if self.key is None else str(words).replace(self.key, "***")
        return visible(one_line(text, LONGEST_WORDS)) or "no words"


@dataclass(frozen=True)
class Asked:
    """What is sent to a server."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None

    async def answered(self, seconds: float, most: int) -> tuple[int, bytes, str | None]:
        """Status, content and Retry-After of the answer. Proxies are the environment's, but for servers of this
        machine."""
        import httpx2

        parts, content = urlsplit(self.url), bytearray()
        is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
        verify = False if is_here and parts.scheme == "http" else _trusted()
        limits = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        async with (
            asyncio.timeout(seconds),
            httpx2.AsyncClient(verify=verify, timeout=limits, trust_env=not is_here) as client,
            client.stream(self.method, self.url, content=self.body, headers=self.headers) as answer,
        ):
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Malformed("a compressed answer, which was not asked for")
            async for part in answer.aiter_raw():
                content += part
                if len(content) > most:
                    raise Malformed(f"an answer of more than {most:,} bytes, which no question of ours can have")
        return answer.status_code, bytes(content), answer.headers.get("Retry-After")


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of all requests of this process, in a thread of its own: that of a notebook runs already."""
    with _BEGINNING:
        return _loop_of(os.getpid())


@lru_cache(maxsize=1)
def _loop_of(process: int) -> asyncio.AbstractEventLoop:
    """A child that was forked has no thread of its parent's."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="requests", daemon=True).start()
    return loop


@cache
def _trusted() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


@contextmanager
def _faults(seconds: float) -> Iterator[None]:
    import httpx2

    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise Away("no connection") from error
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise Away(f"no answer within {seconds:.3g} seconds") from error
    except (httpx2.ConnectError, OSError) as error:
        raise _unreached(error) from error
    except httpx2.TransportError as error:
        raise Away(f"its answer breaks off ({type(error).__name__})") from error
    except (httpx2.InvalidURL, ImportError, ValueError) as error:
        words = visible(one_line(str(error), LONGEST_WORDS))
        raise Refused(0, f"the address or a proxy of the environment cannot be used ({words})") from error


def _unreached(error: BaseException | None) -> ServerFault:
    """The first error of a chain that says why there is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(0, f"its certificate is not accepted ({error.verify_message})")
    if isinstance(error, ssl.SSLError):
        return Refused(0, "it does not speak https; is its address one of http://?")
    if isinstance(error, OSError) and error.errno is not None:  # asyncio puts the address into strerror
        return Away(os.strerror(error.errno) if error.errno > 0 else str(error.strerror))
    return Away("no connection") if error is None else _unreached(error.__cause__ or error.__context__)


def _seconds(after: str | None) -> float | None:
    """A Retry-After in seconds from now: it is a number of them, or a date. None without one that can be read."""
    text = (after or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def plain(content: bytes) -> object:
    """The value of a JSON text. Raises Malformed."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed("an answer that is no JSON") from error


def field_of(value: object, name: str, kind: type[T]) -> T:
    """The field of a JSON object, which must be of this type. Raises Malformed."""
    found = cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
    if type(found) is not kind:  # a boolean is no integer
        raise Malformed(f"an answer without {name}, as OpenAI's API has it")
    return cast(T, found)


def check_address(url: str, setting: str, *, key: str) -> None:
    """Raises ValueError where this is no address of a server. `key`: where its key belongs."""
    try:
        parts = urlsplit(url)
        is_host = _HOST.fullmatch(parts.hostname or "") is not None
        is_address = parts.scheme in ("http", "https") and is_host and parts.port != 0
        has_more, has_password = bool(parts.query or parts.fragment), bool(parts.username or parts.password)
    except ValueError:
        is_address = has_more = has_password = False
    if has_password:
        raise ValueError(f"{setting}: an address holds no password; set {key}")
    if is_address and has_more:  # not shown: it may be a key
        raise ValueError(f"{setting}: an address holds no query and no fragment; a key is set by {key}")
    if not is_address:
        raise ValueError(f"{setting}: {url!r} is no address; write one like http://node3:8000")
