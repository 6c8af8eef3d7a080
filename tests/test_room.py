"""The room for what visitors send is bounded, however they send it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from filtergan.errors import UserError
from filtergan.explorer import room

FORM = (b"content-type", b"Multipart/form-data; boundary=x")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TOGETHER", 1000)
    monkeypatch.setattr(room, "OTHERS", {"/login": 100})


def writer(folder: Path) -> Callable[..., Awaitable[None]]:
    """An application that keeps what is sent."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        content = (await receive())["body"]
        (folder / str(len(list(folder.iterdir())))).write_bytes(content)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return app


async def posted(app: Any, path: str, content: bytes, *headers: tuple[bytes, bytes]) -> int:
    """The status of the answer."""
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    await app({"type": "http", "path": path, "headers": headers}, receive, send)
    return int(answers[0]["status"])


def sized(count: int) -> tuple[bytes, bytes]:
    return b"content-length", str(count).encode()


def test_uploads_are_taken_as_long_as_there_is_room(tmp_path: Path) -> None:
    app = room.Bounded(writer(tmp_path), tmp_path)

    def upload(count: int) -> int:
        return asyncio.run(posted(app, room.UPLOAD, bytes(count), FORM, sized(count)))

    assert [upload(count) for count in (600, 500, 300, 100, 1)] == [200, 413, 200, 200, 413]
    assert room.left(tmp_path) == 0
    with pytest.raises(UserError, match="no room"):
        room.check(tmp_path)
    (tmp_path / "0").unlink()
    room.check(tmp_path)
    assert [upload(count) for count in (601, 600)] == [413, 200]


def test_what_is_no_form_is_cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything has read all of it into memory."""
    monkeypatch.setattr(room, "MOST_OF_OTHERS", 100)
    met: list[str] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        met.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    for count in (100, 101):
        asyncio.run(posted(room.Bounded(app, tmp_path), "/gradio_api/queue/join", bytes(count)))
    assert met == ["http.request", "http.disconnect"]


def test_uploads_at_once_share_the_room(tmp_path: Path) -> None:
    """Where each alone would have fitted."""

    async def all_at_once() -> list[int]:
        begun = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            await refused.wait()
            await writer(tmp_path)(scope, receive, send)

        app, refused = room.Bounded(slow, tmp_path), asyncio.Event()
        first = asyncio.create_task(posted(app, room.UPLOAD, bytes(600), FORM, sized(600)))
        await begun.wait()
        second = await posted(app, room.UPLOAD, bytes(600), FORM, sized(600))
        refused.set()
        return [await first, second, await posted(app, room.UPLOAD, b"", FORM, sized(400))]

    assert asyncio.run(all_at_once()) == [200, 413, 200]


def test_a_form_is_whole_or_nothing_is_written(tmp_path: Path) -> None:
    """Where a visitor leaves, or the form is larger than a file may be."""
    app = room.Bounded(writer(tmp_path), tmp_path)

    def send(*messages: dict[str, Any]) -> None:
        coming = list(messages)

        async def receive() -> dict[str, Any]:
            return coming.pop(0)

        async def answer(_: Any) -> None: ...

        scope = {"type": "http", "path": room.UPLOAD, "headers": [FORM, sized(4)]}
        asyncio.run(app(scope, receive, answer))

    half = {"type": "http.request", "body": b"ab", "more_body": True}
    send(half, {"type": "http.disconnect"})
    assert list(tmp_path.iterdir()) == []
    send(half, {"type": "http.request", "body": b"cd"})
    assert (tmp_path / "0").read_bytes() == b"abcd"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST_OF_A_FORM", 3)
        assert asyncio.run(posted(app, room.UPLOAD, b"abcd", FORM, sized(4))) == 413


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (room.UPLOAD, [FORM], 413),
        (room.UPLOAD, [FORM, (b"content-length", b"-5")], 413),
        (room.UPLOAD + "/", [FORM, sized(1001)], 413),
        ("/gradio_api/process_recording", [FORM, sized(1)], 413),
        ("/login", [FORM, sized(100)], 200),
        ("/login", [FORM, sized(101)], 413),
        ("/elsewhere", [(b"content-type", b"application/json")], 200),
        ("/elsewhere", [], 200),
    ],
)
def test_forms_that_are_taken(
    path: str, headers: list[tuple[bytes, bytes]], status: int, tmp_path: Path
) -> None:
    app = room.Bounded(writer(tmp_path), tmp_path)
    assert asyncio.run(posted(app, path, b"?", *headers)) == status
    assert len(list(tmp_path.iterdir())) == (status == 200)
