"""A stream of answers goes on where more is wanted as it would end."""

import asyncio
from typing import Any

import pytest

from filtergan.explorer import lingering

STREAM = {"type": "http", "path": "/gradio_api/queue/data", "query_string": b"session_hash=me"}
END = b'data: {"msg":"close_stream","event_id":null}\n\n'


def heard(scope: dict[str, Any], awaited: dict[str, list[bool]]) -> list[bytes]:
    """What a browser is sent, where a visitor waits as told at each look; then nobody does."""
    sent: list[bytes] = []
    runs = 0

    async def app(_: Any, receive: Any, send: Any) -> None:
        nonlocal runs
        runs += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body in (b"answer %d" % runs, END):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b"start"))

    def waits(visitor: str) -> bool:
        looks = awaited.get(visitor, [])
        return bool(looks) and looks.pop(0)

    asyncio.run(lingering.Lingering(app, waits)(scope, None, send))
    return sent


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER", 3 * lingering.LOOK)


def test_it_ends_where_nobody_waits() -> None:
    assert heard(STREAM, {}) == [b"start", b"answer 1", END, b""]
    assert heard(STREAM, {"somebody else": [True]}) == [b"start", b"answer 1", END, b""]


def test_it_goes_on_as_long_as_somebody_does() -> None:
    waits = [False, True, True, False, False, False]
    answers = [b"answer 1", b"answer 2", b"answer 3"]
    assert heard(STREAM, {"me": waits}) == [b"start", *answers, END, b""]
    assert waits == []


def test_what_is_no_stream_is_passed_on() -> None:
    scope = {**STREAM, "path": "/elsewhere"}
    assert heard(scope, {"me": [True]}) == [b"start", b"answer 1", END, b""]
