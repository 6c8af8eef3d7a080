"""The live page as a server: where it listens, who may come in, what a browser may load."""

import hmac
import importlib.util
import inspect
import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filtergan.errors import UserError

if TYPE_CHECKING:
    import uvicorn

    from filtergan.explorer.exploring import Explorer

PASSWORD = "FILTERGAN_PASSWORD"
"""Environment variable that holds the password; a command line can be read by all."""
SHORTEST = 8
HEADERS = {
    # Nothing is loaded from elsewhere, or tells anything elsewhere.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def check(host: str) -> str | None:
    """See that the page can be served there; the password, if there is one.

    Raises:
        UserError: Gradio is missing, or the page would be open to others without a password.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "The live page needs Gradio; install it with `pip install 'filtergan[explorer]'`."
        )
    password = os.environ.get(PASSWORD) or None
    if password is None and not is_loopback(host):
        raise UserError(
            f"On {host} others can open the page; set a password of theirs in {PASSWORD}, or leave "
            "out --host, so that only this machine can."
        )
    if password is not None and len(password) < SHORTEST:
        raise UserError(f"The password in {PASSWORD} is short; take {SHORTEST} letters or more.")
    return password


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(
    explorer: "Explorer",
    host: str,
    port: int,
    password: str | None,
    tell: Callable[[str], object],
) -> None:
    """Serve the page until the process is interrupted.

    Args:
        explorer: The run.
        host: Name or address to listen at.
        port: 0: any that is free.
        password: Of visitors; None: everybody who can reach the page.
        tell: Told the page's address once it can be opened.

    Raises:
        UserError: The address cannot be had.
    """
    with served(explorer, host, port, password) as (server, listener):
        name = f"[{host}]" if ":" in host else host
        # An interrupt only makes the server stop, before it runs and after, too: nothing is left
        # half done, and the folder is removed.
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, server.handle_exit)
        tell(f"http://{name}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


@contextmanager
def served(
    explorer: "Explorer", host: str, port: int, password: str | None = None
) -> "Iterator[tuple[uvicorn.Server, socket.socket]]":
    """A server of the page that is still to be run, and the socket that it is to listen at.

    What visitors upload and keep lies in a temporary folder, which goes with it.

    Raises:
        UserError: The address cannot be had.
    """
    with (
        _listen(host, port) as listener,
        # A file that is still being written as the folder goes is nobody's error.
        tempfile.TemporaryDirectory(prefix="filtergan-explorer-", ignore_cleanup_errors=True) as it,
        _settings(folder := Path(it)),
    ):
        server, log = _server(explorer, folder, host, password), logging.getLogger("uvicorn.error")

        def wanted(_: logging.LogRecord) -> bool:
            """Once it was told to end, not that pages still open are cut off, with tracebacks."""
            return not server.should_exit

        log.addFilter(wanted)
        try:
            yield server, listener
        finally:
            log.removeFilter(wanted)


def _server(
    explorer: "Explorer", folder: Path, host: str, password: str | None
) -> "uvicorn.Server":
    import uvicorn
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from filtergan.explorer.lingering import Lingering
    from filtergan.explorer.room import Bounded

    with _stubless():
        from filtergan.explorer.interface import mount

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = mount(app, explorer, folder, None if password is None else _entrance(password))
    app.add_middleware(Lingering, page.awaited)
    app.add_middleware(Bounded, folder)
    if is_loopback(host):  # or else a page elsewhere could have its own name lead here
        app.add_middleware(
            TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host]
        )
    app.add_middleware(_Headers)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2, ws="none")
    return uvicorn.Server(config)


def _entrance(password: str) -> Callable[[str, str], bool]:
    def may_enter(_: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), password.encode())

    return may_enter


class _Headers:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._more]
            await send(message)

        await self._app(scope, receive, sent)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise UserError(f"There is no port {port}; choose a --port from 0 (any free one) to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"The page cannot be served at {host}, port {port}: {error.strerror or error}. "
            "Choose another --port, or 0 for any that is free."
        ) from error


@contextmanager
def _stubless() -> Iterator[None]:
    """Keep Gradio, as it is imported, from writing type stubs of its components beside them.

    It does so anew every time, from the source of each, which takes longer than all else of it.
    """
    found = inspect.getfile

    def hidden(thing: Any) -> str:
        if getattr(thing, "__module__", "").startswith("gradio."):
            raise OSError("not to be read")  # what Gradio takes for a component without a source
        return found(thing)

    inspect.getfile = hidden
    try:
        yield
    finally:
        inspect.getfile = found


@contextmanager
def _settings(folder: Path) -> Iterator[None]:
    """Gradio told, while the page is served, where to write, and to say nothing to anybody."""
    wanted = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Gradio asks matplotlib, where there is one, for its backend. It would look for all that
        # there are, with a list of fonts, and keep that list in the home.
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(folder),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
