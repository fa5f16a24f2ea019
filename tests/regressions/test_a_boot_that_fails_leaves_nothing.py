"""A wrong option of a function that was decorated before `boot()` left a tree running, and made it the default."""

from __future__ import annotations

import threading

import pytest

import upright
from upright.booting import default_tree
from upright.strategies.errors import ConfigError

CONFIG = {"control": {"enabled": False}}


def test_no_thread_is_left_and_the_default_is_what_it_was() -> None:
    with upright.boot(CONFIG) as first:
        before = set(threading.enumerate())
        with pytest.raises(ConfigError, match="retry_attemptz"):
            # Refused here, since there is a tree; before `boot()` it would be refused there.
            upright.protect("wrong", retry_attemptz=3)
        binding = upright.face._LateBinding("late", None, None, {})
        binding._given = ("late", None, None, {"retry_attemptz": 3})
        with pytest.raises(ConfigError, match="retry_attemptz"):
            upright.boot(CONFIG, name="second")
        assert default_tree() is first
        assert set(threading.enumerate()) <= before
        binding._given = ("late", None, None, {})
