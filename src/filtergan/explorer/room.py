"""Room for what visitors send and keep: all of it together is bounded."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from filtergan.errors import UserError
from filtergan.explorer.uploads import MOST_BYTES

MOST_TOGETHER = 32 * MOST_BYTES
"""Bytes in the page's folder, which Gradio clears of what is older than an hour."""
MOST_OF_A_FORM = MOST_BYTES + 2**16
UPLOAD = "/gradio_api/upload"
OTHERS = {"/login": 2**20, "/gradio_api/component_server": 2**20}
"""Where else the page sends forms, with a password and what is drawn on the paper: their bytes."""
MOST_OF_OTHERS = 2**20
"""Bytes of any other request, which says what was touched; all of it is read into memory."""
FULL = (
    f"There is no room for it: the page holds up to {MOST_TOGETHER // 2**20} MiB of files, which "
    "go after an hour or two."
)


def left(folder: Path) -> int:
    """Bytes that may still be written into a folder."""
    taken = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it was removed just now
            taken += file.stat().st_size
    return MOST_TOGETHER - taken


def check(folder: Path) -> None:
    """See that there is room in a folder.

    Raises:
        UserError: There is none.
    """
    if left(folder) <= 0:
        raise UserError(FULL)


class Bounded:
    """Refuses forms for which there is no room, or which the page does not send.

    Other requests are cut off where they are longer than any that the page sends.

    Gradio writes whatever a form holds to disk, so a form says its length, and is refused before
    anything of it is written.

    Args:
        app: The application.
        folder: Where uploads are written.
    """

    def __init__(self, app: Any, folder: Path) -> None:
        self._app, self._folder = app, folder
        self._coming = 0  # bytes of uploads that are being read or written

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        headers = dict(scope.get("headers", ()))
        if not headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
            return await self._app(scope, _no_more_than(MOST_OF_OTHERS, receive), send)
        path, length = scope["path"].rstrip("/"), headers.get(b"content-length", b"")
        upload = path == UPLOAD
        room = min(MOST_OF_A_FORM, left(self._folder) - self._coming)
        most = room if upload else OTHERS.get(path, 0)
        if not length.isdigit() or int(length) > most:
            return await _refuse(receive, send)
        coming = int(length) if upload else 0
        self._coming += coming
        try:
            content = await _read(receive)
            if content is not None:
                await self._app(scope, _first(content, receive), send)
        finally:
            self._coming -= coming


def _no_more_than(most: int, receive: Any) -> Any:
    """What receives a request up to so many bytes; of one that has more, that its visitor left."""
    come = 0

    async def received() -> Any:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        return message if come <= most else {"type": "http.disconnect"}

    return received


async def _read(receive: Any) -> bytes | None:
    """The whole form; None where the visitor left, so that no half of one is written."""
    parts: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
    return None


def _first(content: bytes, receive: Any) -> Any:
    """What receives a form that was read, then whatever else comes."""
    ahead = [{"type": "http.request", "body": content, "more_body": False}]

    async def received() -> Any:
        return ahead.pop() if ahead else await receive()

    return received


async def _refuse(receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):  # a browser hears no answer before it has sent all
        pass
    head = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 413, "headers": head})
    await send({"type": "http.response.body", "body": FULL.encode()})
