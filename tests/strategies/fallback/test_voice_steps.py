"""Audio recording and text chat: real WAV files, and a conversation that goes on in writing."""

from __future__ import annotations

import array
import asyncio
import os
import signal
import subprocess
import sys
import threading
import wave
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.strategies.errors import ConfigError
from upright.strategies.fallback.audio_recording import AudioRecording
from upright.strategies.fallback.chain import NothingToOfferError
from upright.strategies.fallback.text_chat import ChatTurn, TextChat
from upright.strategies.fallback.wav_file import AudioFormat, RecordingFullError, WavFile, WrongFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PHONE = AudioFormat(rate=8_000)
SECOND = b"\x01\x02" * 8_000


def frames_of(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)
        return bytes(file.readframes(file.getnframes()))


def said(audio: Any, session: str = "s1") -> dict[str, Any]:
    return {"audio": audio, "session_id": session}


# Recording.


def test_a_recording_can_be_played_after_each_chunk(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path / "voice", format=PHONE)
    for number in range(1, 4):
        given = step.provide(said(SECOND))
        assert given.value.seconds == float(number)
        assert given.detail == f"recorded, {number:.1f} s so far"
        assert frames_of(given.value.path) == SECOND * number


def test_a_chunk_comes_from_the_calls_arguments(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path, format=PHONE)
    given = step.provide({"args": ("ignored", SECOND), "kwargs": {"session_id": "lesson-7"}})
    assert given.value.session == "lesson-7"
    assert given.value.path == tmp_path / "lesson-7.wav"
    assert frames_of(given.value.path) == SECOND


@pytest.mark.parametrize(
    "chunk",
    [b"\x01\x00\x02\x00", bytearray(b"\x01\x00\x02\x00"), array.array("h", [1, 2]), [b"\x01\x00", b"\x02\x00"]],
    ids=["bytes", "bytearray", "array", "several"],
)
def test_a_chunk_may_be_any_buffer_or_several(chunk: Any, tmp_path: Path) -> None:
    given = AudioRecording(tmp_path, format=PHONE).provide(said(chunk))
    assert frames_of(given.value.path) == b"\x01\x00\x02\x00"


@pytest.mark.parametrize("chunk", [[1, 2], "text", 5, [b"\x01\x00", 7]])
def test_what_is_no_audio_is_refused_and_nothing_is_recorded(chunk: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a chunk must be bytes"):
        AudioRecording(tmp_path).provide(said(chunk))
    assert list(tmp_path.iterdir()) == []


def test_a_call_without_audio_leaves_the_next_step_its_turn(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path)
    for context in ({"args": ("hello",)}, {}, said(b"")):
        with pytest.raises(NothingToOfferError):
            step.provide(context)


def test_part_of_a_frame_is_refused_and_nothing_is_recorded(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path, format=PHONE)
    step.provide(said(SECOND))
    with pytest.raises(ValueError, match="whole frames of 2 bytes"):
        step.provide(said(b"123"))
    assert frames_of(tmp_path / "s1.wav") == SECOND


def test_a_recording_is_bounded_and_a_chunk_is_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path, format=PHONE, max_seconds=2.5)
    step.provide(said([SECOND, SECOND]))
    with pytest.raises(RecordingFullError):
        step.provide(said([SECOND[:8_000], SECOND]))
    assert frames_of(tmp_path / "s1.wav") == SECOND * 2
    assert step.provide(said(SECOND[:8_000])).value.seconds == 2.5


def test_a_folder_holds_so_many_recordings_and_none_is_deleted(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path, format=PHONE, max_recordings=2)
    for session in ("a", "b", "a"):
        step.provide(said(SECOND, session))
    with pytest.raises(RecordingFullError, match="holds 2 recordings"):
        step.provide(said(SECOND, "c"))
    os.utime(tmp_path / "b.wav", (1.0, 1.0))
    assert [path.name for path in step.recordings()] == ["b.wav", "a.wav"]  # oldest first


def test_a_session_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path / "voice", format=PHONE)
    paths = {step.provide(said(SECOND, name)).value.path for name in ("../../etc/passwd", "a/b", "a\\b", "ä" * 300)}
    assert len(paths) == 4
    assert {path.parent for path in paths} == {tmp_path / "voice"}


def test_calls_of_one_session_at_once_are_recorded_one_after_the_other(tmp_path: Path) -> None:
    step = AudioRecording(tmp_path, format=PHONE)
    chunks = [bytes([number, 0]) * 100 for number in range(16)]
    threads = [threading.Thread(target=step.provide, args=(said(chunk),)) for chunk in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded = frames_of(tmp_path / "s1.wav")
    assert sorted(recorded[at : at + 200] for at in range(0, len(recorded), 200)) == sorted(chunks)


def test_a_recording_goes_on_after_kill_9_and_what_was_promised_is_in_it(tmp_path: Path) -> None:
    script = """
import sys
from upright.strategies.fallback.audio_recording import AudioRecording
from upright.strategies.fallback.wav_file import AudioFormat
step = AudioRecording(sys.argv[1], format=AudioFormat(rate=8_000))
number = int(sys.argv[2])
while True:
    step.provide({"audio": number.to_bytes(2, "little") * 500, "session_id": "s1"})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""
    promised = 0
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(promised)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for count, line in enumerate(process.stdout, 1):
            promised = int(line) + 1
            if count == 3 + kill:
                process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        recorded = frames_of(tmp_path / "s1.wav")
        numbers = [int.from_bytes(recorded[at : at + 2], "little") for at in range(0, len(recorded), 1_000)]
        # At a kill the chunk in hand may have been recorded without having been promised; then it comes again.
        assert list(dict.fromkeys(numbers)) == list(range(max(numbers) + 1))
        assert max(numbers) + 1 >= promised


@given(cut=st.integers(0, 43))
@settings(max_examples=20, deadline=None)
def test_a_header_that_was_cut_off_when_the_machine_died_is_written_again(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("voice") / "s1.wav"
    path.write_bytes(PHONE.header(0)[:cut])
    with WavFile(path, PHONE, 10**6) as file:
        file.write(SECOND)
    assert frames_of(path) == SECOND


@given(written=st.integers(0, 50), torn=st.integers(0, 1), header=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_whatever_sizes_a_crash_left_in_the_header_the_samples_are_found(
    written: int, torn: int, header: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("voice") / "s1.wav"
    path.write_bytes(PHONE.header(2 * header) + b"\x07\x00" * written + b"\x07" * torn)
    with WavFile(path, PHONE, 10**6) as file:
        file.write(b"\x08\x00")
    assert frames_of(path) == b"\x07\x00" * written + b"\x08\x00"


@pytest.mark.parametrize("content", [b"not a wave", b"x" * 100, AudioFormat(rate=44_100).header(0)])
def test_a_file_that_is_something_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s1.wav"
    path.write_bytes(content)
    with pytest.raises(WrongFormatError):
        AudioRecording(tmp_path, format=PHONE).provide(said(SECOND))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_seconds": 0}, "AudioRecording.max_seconds"),
        ({"max_recordings": 0}, "AudioRecording.max_recordings"),
        ({"chunk": b""}, "AudioRecording.chunk"),
        ({"session": "s1"}, "AudioRecording.session"),
        ({"format": "wav"}, "AudioRecording.format"),
        ({"timeout": 0}, "FallbackStep.timeout"),
        ({"weight": 0}, "FallbackStep.weight"),
        ({"name": ""}, "FallbackStep.name"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        AudioRecording(tmp_path, **options)
    assert caught.value.field == field


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"AudioRecording\.folder"):
        AudioRecording(tmp_path / "file" / "voice")


@pytest.mark.parametrize("options", [{"rate": 0}, {"channels": 0}, {"width": 0}, {"rate": True}])
def test_a_bad_format_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"AudioFormat.{next(iter(options))}"):
        AudioFormat(**options)


# Chat.


def test_a_turn_of_text_chat_has_a_notice_and_a_reply() -> None:
    step = TextChat(lambda context: f"you said {context['text']}", notice="In writing, please.")
    given = step.provide({"text": "hi"})
    assert given.value == ChatTurn("In writing, please.", "you said hi")
    assert given.detail == "text instead of voice"


def test_a_reply_may_be_a_coroutine_function() -> None:
    async def reply(context: Mapping[str, Any]) -> str:
        await asyncio.sleep(0)
        return str(context["text"]).upper()

    assert asyncio.run(TextChat(reply).provide({"text": "hi"})).value.reply == "HI"


def test_a_reply_that_is_an_awaitable_is_awaited() -> None:
    async def reply(_: Any) -> str:
        return "hi"

    assert asyncio.run(TextChat(lambda context: reply(context)).provide({})).value.reply == "hi"  # noqa: PLW0108


def test_a_reply_that_fails_fails_the_step() -> None:
    with pytest.raises(ZeroDivisionError):
        TextChat(lambda _: 1 / 0).provide({})


@pytest.mark.parametrize(("options", "field"), [({"reply": "hi"}, "reply"), ({"reply": str, "notice": 5}, "notice")])
def test_a_bad_option_of_text_chat_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"TextChat.{field}"):
        TextChat(**options)
