"""Streams of answers to a browser, kept open for a moment longer than Gradio does."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

END = b'data: {"msg":"close_stream"'
LINGER = 3.0  # seconds
LOOK = 0.02  # seconds between two looks whether the visitor wants more


class Lingering:
    """Ends a visitor's stream only when nothing more was wanted for a moment.

    Gradio ends it with the last answer. A browser that wants more just then takes it for open
    still, and waits for ever.

    Args:
        app: The application.
        awaited: Whether a visitor still waits for an answer.
    """

    def __init__(self, app: Any, awaited: Callable[[str], bool]) -> None:
        self._app, self._awaited = app, awaited

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on; one for a stream again and again, as long as more is wanted."""
        if scope.get("path") != "/gradio_api/queue/data":
            return await self._app(scope, receive, send)
        visitor = parse_qs(scope["query_string"].decode()).get("session_hash", [""])[0]
        begun, end = False, []

        async def sent(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                if begun:
                    return
                begun = True
            if end or message.get("body", b"").startswith(END):
                end.append(message)  # until it is known whether that is the end
            else:
                await send(message)

        await self._app(scope, receive, sent)
        while end and await self._wanted_soon(visitor):
            end.clear()
            await self._app(scope, receive, sent)
        for message in end:
            await send(message)

    async def _wanted_soon(self, visitor: str) -> bool:
        for _ in range(round(LINGER / LOOK)):
            if self._awaited(visitor):
                return True
            await asyncio.sleep(LOOK)
        return False
