"""`upright breaker`: the circuits, and forcing one open or closed."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

import click

from upright.cli.app import NOT_REACHABLE, Failure, Target, as_json, target

if TYPE_CHECKING:
    from upright.control_client import ControlClient

__all__ = ["breaker_command", "force"]

_FORCED: Final = {"open": ("FORCED_OPEN",), "close": ("DISABLED",), "auto": ("CLOSED", "OPEN", "HALF_OPEN")}


@click.command("breaker", short_help="Show the circuits, or force one.")
@click.argument("name", required=False)
@click.argument("action", required=False, type=click.Choice(["open", "close", "auto"]))
@target
@as_json
def breaker_command(target: Target, *, name: str | None, action: str | None, as_json: bool) -> None:
    """Show the circuits, or force one. NAME is the operation.

    \b
    open    reject every call (FORCED_OPEN); a fallback chain still answers
    close   let every call through, whatever comes of it (DISABLED)
    auto    let the circuit decide by itself again

    \b
    Examples:
      upright breaker
      upright breaker checkout open
      upright breaker checkout auto
    """
    from upright.cli.output import Output, print_json

    with target.connect() as client:
        if action is not None and name is not None:
            circuits = [force(client, name, action)]
        else:
            circuits = client.call("breakers", **({"operation": name} if name else {}))
    if as_json:
        print_json(circuits)
        return
    output = Output()
    if not circuits:
        output.line("No operation has been protected yet.")
    else:
        rows = [_row(one) for one in circuits]
        columns = ("operation", "state", "+for", "+calls", "+failed", "+slow", "+rejected", "+probes in", "cause*")
        output.table(columns, rows)
    output.print()


def _row(circuit: dict[str, Any]) -> tuple[Any, ...]:
    from upright.cli.output import styled
    from upright.cli.words import duration, percent

    # What keeps calls away measures nothing; and only OPEN ends by itself.
    passes = circuit["state"] not in ("OPEN", "FORCED_OPEN")
    return (
        circuit["operation"],
        styled(circuit["state"]),
        duration(circuit["since"]),
        str(circuit["calls"]) if passes else "-",
        percent(circuit["failure_rate"]) if passes else "-",
        percent(circuit["slow_rate"]) if passes else "-",
        str(circuit.get("rejected", "")),
        duration(circuit["wait_time"]) if circuit["state"] == "OPEN" else "",
        circuit.get("cause") or "",
    )


def force(client: ControlClient, name: str, action: str) -> dict[str, Any]:
    """Force a circuit, and wait until the breaker has done it; return the circuit as it is then."""
    client.call("set_breaker", operation=name, action=action)
    deadline = monotonic() + client.timeout
    while True:
        circuit: dict[str, Any] = client.call("breakers", operation=name)[0]
        if circuit["state"] in _FORCED[action]:
            return circuit
        if monotonic() > deadline:
            text = f"the breaker was told, but {name} is still {circuit['state']} after {client.timeout:g} s"
            raise Failure(text, NOT_REACHABLE)
        sleep(0.02)
