"""`upright demo`: the same faults without upright and with it, side by side."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upright.demo.campaign import CampaignResult, run_campaign
from upright.demo.faults import plan
from upright.demo.service import OrderService, fill, make_engine
from upright.demo.view import View

if TYPE_CHECKING:
    from upright.testing.servers.postgres import PostgresServer

__all__ = ["DemoOptions", "run_demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo runs.

    Attributes:
        duration: Seconds of each of the two campaigns, at least 22 to have room for every kind of fault.
        seed: Of the order and the times of the faults.
        users: Threads that call the service.
        as_json: Print the result as JSON and nothing else.
    """

    duration: float = 24.0
    seed: int = 1
    users: int = 8
    as_json: bool = False


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit status: 0 if every fault was healed, 1 if not."""
    from upright.testing.servers.postgres import PostgresServer

    # What upright and the driver have to say would tear the live view apart; the view tells the story.
    logging.getLogger("upright").addHandler(logging.NullHandler())
    view = View(quiet=options.as_json)
    view.say("starting a real PostgreSQL ...")
    with PostgresServer(max_connections=40) as server:
        view.say(f"PostgreSQL is up on {server.host}:{server.port}, process {server.pid}")
        fill(server)
        bare = _bare(server, options, view)
        with_upright = _protected(server, options, view)
    results = [bare, with_upright]
    if options.as_json:
        json.dump(_summary(results, options), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        view.table(results)
    return 0 if with_upright.healed == len(with_upright.faults) else 1


def _bare(server: PostgresServer, options: DemoOptions, view: View) -> CampaignResult:
    engine = make_engine(server)
    service = OrderService(engine)
    with view.campaign("without upright", None) as stage:
        result = run_campaign(
            "without upright",
            service.orders_of,
            plan(server, duration=options.duration, seed=options.seed),
            duration=options.duration,
            users=options.users,
            on_fault=stage.fault,
            on_tick=stage.tick,
        )
    engine.dispose()
    return result


def _protected(server: PostgresServer, options: DemoOptions, view: View) -> CampaignResult:
    import upright
    from upright.strategies.healing import DatabaseReconnection

    engine = make_engine(server)
    service = OrderService(engine)
    chain = upright.FallbackChain("orders", [upright.FallbackStep("last known number of orders", service.last_known)])
    healing = DatabaseReconnection(engine, resource="orders-db")
    with upright.boot(strategies=[healing, chain], name="demo") as tree:
        call = tree.protect("orders", resource="orders-db")(service.orders_of)
        with view.campaign("with upright", tree) as stage:
            result = run_campaign(
                "with upright",
                call,
                plan(server, duration=options.duration, seed=options.seed),
                duration=options.duration,
                users=options.users,
                on_fault=stage.fault,
                on_tick=stage.tick,
            )
        details = tree.status_of("healing").details
        result.healings = sum(known["proven"] for known in details["strategies"].values())
    engine.dispose()
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
