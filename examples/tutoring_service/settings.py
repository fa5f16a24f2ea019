"""Where the service finds what it needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says, one `TUTORING_...` variable each.

    Attributes:
        database_url: Of the PostgreSQL with the lessons, for SQLAlchemy.
        redis_url: Of the Redis that counts visits.
        model_url: Of the OpenAI-compatible endpoint that answers questions.
        small_model_url: Of another, smaller one, which does not fail together with the first.
        speech_url: Of the WebSocket that turns speech into text.
        folder: Where local copies, queues and recordings are kept.
    """

    database_url: str
    redis_url: str
    model_url: str
    small_model_url: str
    speech_url: str
    folder: Path

    @classmethod
    def from_environment(cls) -> Self:
        """Read them all; KeyError names one that is missing."""
        values: dict[str, Any] = {field.name: os.environ[f"TUTORING_{field.name.upper()}"] for field in fields(cls)}
        return cls(**{**values, "folder": Path(values["folder"])})
