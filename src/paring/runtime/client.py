"""One server over HTTP: a question with a deadline, an answer of bounded size, and faults by kind."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BytesIO
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
"""Of an answer that carries no tokens."""
GATEWAY = {408, 429, 502, 503, 504}
"""Of a server that is starting, overloaded, or behind a gateway that does not reach it."""
LONGEST_WORDS = 300


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
        deadline = time.monotonic() + seconds
        with self._faults(deadline, seconds), closing(self._connection(min(seconds, CONNECT_SECONDS))) as connection:
            headers = {"Accept": "application/json", "Connection": "close", "Content-Type": "application/json"}
            headers |= {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
            body = None if question is None else json.dumps(question, allow_nan=False).encode()
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, body, headers)
            status, content, after = _received(connection, deadline, most, stop)
        if status in GATEWAY:
            raise Away(f"HTTP {status}", _seconds(after))
        if status != 200:
            raise Refused(status, self._words(content))
        return content

    def _connection(self, seconds: float) -> HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return HTTPSConnection(host, parts.port, timeout=seconds, context=ssl.create_default_context())
        return HTTPConnection(host, parts.port, timeout=seconds)

    def _words(self, content: bytes) -> str:
        """The error in an answer, as a line that can be shown; the key is taken out, should a server repeat it."""
        words: object = content[: 16 * LONGEST_WORDS].decode(errors="replace")
        try:
            words = plain(content)
        except Malformed:
            pass
        for name in ("error", "message", "detail"):
            words = words.get(name, words) if isinstance(words, dict) else words
        text = str(words) if self.key is None else str(words).replace(self.key, "***")
        return visible(one_line(text, LONGEST_WORDS)) or "no words"

    @contextmanager
    def _faults(self, deadline: float, seconds: float) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise Refused(0, f"its certificate is not accepted ({error.verify_message})") from error
        except TimeoutError as error:
            late = time.monotonic() >= deadline
            raise Away(f"no answer within {seconds:.3g} seconds" if late else "no connection") from error
        except HTTPException as error:
            raise Away(f"its answer breaks off ({type(error).__name__})") from error
        except OSError as error:
            raise Away(error.strerror or type(error).__name__) from error


def _received(
    connection: HTTPConnection, deadline: float, most: int, stop: Event | None
) -> tuple[int, bytes, str | None]:
    """Status, content and Retry-After of an answer, which ends with its connection. http.client knows no deadline for a
    whole answer, so it is given what was received."""
    sock, whole = connection.sock, bytearray()
    sock.settimeout(SLICE_SECONDS)
    while True:
        if stop is not None and stop.is_set():
            raise Stopped
        if time.monotonic() >= deadline:
            raise TimeoutError
        try:
            part = sock.recv(1 << 16)
        except TimeoutError:
            continue
        if not part:
            break
        whole += part
        if len(whole) > most:
            raise Malformed(f"an answer of more than {most:,} bytes, which no question of ours can have")
    with closing(HTTPResponse(cast("ssl.SSLSocket", Received(bytes(whole))))) as response:
        response.begin()
        return response.status, response.read(), response.getheader("Retry-After")


def _seconds(after: str | None) -> float | None:
    """A Retry-After in seconds from now: it is a number of them, or a date. None without one that can be read."""
    text = (after or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass(frozen=True)
class Received:
    """Bytes in the form in which http.client reads an answer."""

    content: bytes

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self.content)


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
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        has_more, has_password = bool(parts.query or parts.fragment), bool(parts.username or parts.password)
    except ValueError:
        is_address = has_more = has_password = False
    if has_password:
        raise ValueError(f"{setting}: an address holds no password; set {key}")
    if is_address and has_more:  # not shown: it may be a key
        raise ValueError(f"{setting}: an address holds no query and no fragment; a key is set by {key}")
    if not is_address:
        raise ValueError(f"{setting}: {url!r} is no address; write one like http://node3:8000")
