"""`upright demo`: the same faults without upright and with it, side by side."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.booting import default_tree
from upright.demo.campaign import CampaignResult, run_campaign
from upright.demo.faults import faults_of, plan
from upright.demo.server import running
from upright.demo.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upright.demo.tutoring_service.stand_ins import StandIns

__all__ = ["DemoOptions", "run_demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo runs.

    Attributes:
        duration: Seconds of each of the two campaigns, at least. It says how many faults there is room for.
        seed: Of the order and the times of the faults.
        users: Threads that call the service.
        as_json: Print the result as JSON and nothing else.
    """

    duration: float = 36.0
    seed: int = 1
    users: int = 8
    as_json: bool = False


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit status: 0 if every fault was healed, 1 if not."""
    from upright.demo.tutoring_service.stand_ins import StandIns

    view = View(quiet=options.as_json)
    view.say("Starting PostgreSQL, Redis, stand-ins for two language models, and one for a speech service ...")
    with _quiet("upright", "psycopg", "psycopg.pool", "websockets"), StandIns() as parts:
        view.say(f"PostgreSQL is process {parts.postgres.pid}, Redis is process {parts.redis.pid}.")
        view.say(
            f"{options.users} users ask a tutoring service for lessons (kept in postgres), explanations (by a model), "
            "their visits (counted in redis), for speech, and for pages (which take memory), while one after the other "
            f"is broken: {options.duration:g} seconds without upright, then the same with it."
        )
        results = [_half(parts, options, view, supervised=supervised) for supervised in (False, True)]
    with_upright = results[1]
    if options.as_json:
        json.dump(_summary(results, options), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        view.table(results)
    return 0 if with_upright.healed == len(with_upright.faults) else 1


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep loggers from writing: it would tear the live view apart, and the view tells the story."""
    loggers = [logging.getLogger(name) for name in names]
    before, silence = [logger.propagate for logger in loggers], logging.NullHandler()
    for logger in loggers:
        logger.addHandler(silence)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(silence)
            logger.propagate = propagate


def _half(parts: StandIns, options: DemoOptions, view: View, *, supervised: bool) -> CampaignResult:
    label = "with upright" if supervised else "without upright"
    with running(parts.settings, supervised=supervised) as service:
        tree = default_tree() if supervised else None
        with view.campaign(label, tree) as stage:
            result = run_campaign(
                label,
                service.url,
                plan(faults_of(parts, service), duration=options.duration, seed=options.seed),
                duration=options.duration,
                users=options.users,
                on_fault=stage.fault,
                on_result=stage.result,
                on_tick=stage.tick,
            )
        if tree is not None:
            known = tree.status_of("healing").details["strategies"]
            result.healings = sum(strategy["proven"] for strategy in known.values())
    return result


def _summary(results: list[CampaignResult], options: DemoOptions) -> dict[str, Any]:
    bare, with_upright = results
    return {
        "seed": options.seed,
        "duration": options.duration,
        "users": options.users,
        "without_upright": bare.to_dict(),
        "with_upright": with_upright.to_dict(),
        "all_healed": with_upright.healed == len(with_upright.faults),
    }
