"""Talking instead of typing: a speech service behind a WebSocket, its healing, and the chain `voice_session`."""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import upright
from upright.strategies.fallback import AudioFormat, AudioRecording, OfflineMode, TextChat, voice_session
from upright.strategies.healing import WebSocketManager, WebSocketReconnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Settings

__all__ = ["Voice"]


class Voice:
    """Turns chunks of speech into text, on one WebSocket for all sessions.

    While the speech service is away, chunks are recorded to the session's WAV file, what is typed is answered in
    writing, and what can be neither recorded nor answered is kept on disk and sent afterwards.
    """

    def __init__(self, settings: Settings) -> None:
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._numbers = count()
        self.manager = WebSocketManager(
            settings.speech_url, on_message=self._hear, on_disconnect=self._lost, ping_interval=2, ping_timeout=1
        )
        self.strategies = [
            WebSocketReconnection(self.manager, resource="speech"),
            voice_session(
                AudioRecording(settings.folder / "recordings", format=AudioFormat(rate=8_000)),
                TextChat(lambda context: f"You wrote: {context['args'][0]}"),
                OfflineMode(settings.folder / "voice.db", self._send_later, payload=self._message_of),
            ),
        ]
        self._listen = upright.protect("voice_session", resource="speech", idempotent=True)(self._transcribe)

    async def listen(self, said: bytes | str, session: str) -> upright.RecoveryResult:
        """Turn a chunk of 16-bit samples at 8 kHz into text; text is taken as it is typed."""
        return await upright.call_async("voice_session", self._listen, said, session_id=session)

    async def start(self) -> None:
        """Connect."""
        await self.manager.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self.manager.stop()

    def restart(self) -> None:
        """Connect anew: what an operator does where nobody else does it. Not for the service's own loop."""
        asyncio.run(self._reconnect())

    async def _reconnect(self) -> None:
        await self.manager.reconnect()

    async def _transcribe(self, said: bytes | str, *, session_id: str) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(1.0):
                await self.manager.send(json.dumps({"number": number, **_message(said, session_id)}))
                return await answer
        finally:
            del self._waiting[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # it may be that sending has failed first, and nobody asks any more

    def _hear(self, message: str) -> None:
        heard = json.loads(message)
        answer = self._waiting.get(heard["number"])
        if answer is not None and not answer.done():
            answer.set_result(heard["text"])

    def _lost(self, error: BaseException) -> None:
        """Have a lost connection brought back at once, also while nobody speaks."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the speech service hung up"))
        upright.report(error, operation="voice_session", resource="speech")

    def _message_of(self, context: Mapping[str, Any]) -> dict[str, str]:
        return _message(context["args"][0], context["kwargs"]["session_id"])

    async def _send_later(self, _key: str, message: Mapping[str, str]) -> None:
        await self.manager.send(json.dumps({"number": -1, **message}))  # nobody waits for the answer any more


def _message(said: bytes | str, session: str) -> dict[str, str]:
    samples = said if isinstance(said, bytes) else said.encode()
    return {"session": session, "audio": base64.b64encode(samples).decode()}
