"""The written scenarios: what OTP's suite and its facts are about, in every strategy."""

from __future__ import annotations

from typing import Any

from otp_scenarios import Scenario, flags, leaf, leaves, tree

STOP: list[Any] = ["stop", "top"]
SIGNIFICANT = [
    leaf("a", "transient", significant=True),
    leaf("b", "temporary", significant=True),
    leaf("c", "temporary"),
]


def _strategies(name: str, steps: list[Any], children: list[Any], intensity: int = 3) -> list[Scenario]:
    return [
        Scenario(f"{name}, {strategy}", [*steps, STOP], children, flags(strategy, intensity))
        for strategy in ("one_for_one", "one_for_all", "rest_for_one")
    ]


def _dynamic(name: str, steps: list[Any], restart: str = "permanent", intensity: int = 3) -> Scenario:
    template = leaf("template", restart)
    steps = [["start_child", "top", {**template, "id": step[1]}] if step[0] == "add" else step for step in steps]
    return Scenario(
        f"dynamic: {name}",
        [*steps, STOP],
        flags={"intensity": intensity, "period": 3600},
        kind="dynamic",
        template=template,
    )


CALLS: list[list[list[Any]]] = [
    [],
    [["restart_child", "b"]],
    [["delete_child", "b"], ["which_child", "b"]],
    [["start_child", leaf("b")], ["terminate_child", "b"]],
    [["terminate_child", "b"]],
    [["terminate_child", "a"], ["terminate_child", "c"]],
    [["start_child", leaf("e")]],
    [["restart_child", "b"]] * 6,
]
CRASH_B: list[Any] = ["exit", "b", "crash"]
SCENARIOS = [
    # One child ends by itself.
    *_strategies("a crash", [CRASH_B], leaves("a b c d")),
    *_strategies("a crash of the first", [["exit", "a", "crash"]], leaves("a b c d")),
    *_strategies("a crash of the last", [["exit", "d", "crash"]], leaves("a b c d")),
    *_strategies("a normal end of a permanent child", [["exit", "b", "normal"]], leaves("a b c")),
    *[
        scenario
        for how in ("crash", "normal", "shutdown", "shutdown_detail")
        for kind in ("permanent", "transient", "temporary")
        for scenario in _strategies(f"{kind} child, {how}", [["exit", "b", how]], leaves("a b c", kind))
    ],
    *_strategies(
        "mixed restart types",
        [["exit", "a", "crash"], ["exit", "p", "crash"], ["exit", "a", "normal"], ["exit", "p", "crash"]],
        [leaf("a", "transient"), leaf("t", "temporary"), leaf("p"), leaf("u", "temporary"), leaf("q")],
        intensity=6,
    ),
    # Intensity.
    *_strategies("as many crashes as allowed", [CRASH_B] * 3, leaves("a b c")),
    *_strategies("one crash too many", [CRASH_B] * 4, leaves("a b c")),
    *_strategies("intensity zero", [CRASH_B], leaves("a b c"), intensity=0),
    *_strategies(
        "a temporary child's crash is not counted", [["exit", "t", "crash"]], [leaf("a"), leaf("t", "temporary")], 0
    ),
    *_strategies("crashes of all count together", [["exit", c, "crash"] for c in "abcab"], leaves("a b c")),
    # Starts that fail.
    *[
        scenario
        for at in ("a", "b", "c", "d")
        for fails in (1, 2, 5)
        for scenario in _strategies(
            f"{at} fails {fails} times after b's crash",
            [["plan", at, ["fail"] * fails], CRASH_B, ["exit", "a", "crash"]],
            leaves("a b c d"),
            intensity=4,
        )
    ],
    *_strategies(
        "two fail in turns",
        [["plan", "b", ["fail", "ok", "fail"]], ["plan", "d", ["fail", "fail"]], ["exit", "a", "crash"]],
        leaves("a b c d"),
        intensity=9,
    ),
    *_strategies(
        "with a temporary child, one start fails",
        [["plan", "b", ["fail"]], ["exit", "a", "crash"]],
        [leaf("a"), leaf("t", "temporary"), leaf("b"), leaf("d")],
    ),
    *_strategies(
        "ignore at a restart", [["plan", "b", ["ignore"]], CRASH_B, ["restart_child", "top", "b"]], leaves("a b c")
    ),
    *_strategies(
        "ignore of a temporary child at start_child",
        [
            ["plan", "t", ["ignore"]],
            ["start_child", "top", leaf("t", "temporary")],
            ["start_child", "top", leaf("t", "temporary")],
        ],
        leaves("a"),
    ),
    *_strategies(
        "start_child fails",
        [["plan", "b", ["fail"]], ["start_child", "top", leaf("b")], ["start_child", "top", leaf("b")]],
        leaves("a"),
    ),
    Scenario("boot fails in the middle", [STOP], leaves("a b c d"), flags(), {"c": ["fail"]}),
    Scenario("boot fails at once", [STOP], leaves("a b"), flags(), {"a": ["fail"]}),
    Scenario(
        "boot with children that ignore",
        [["restart_child", "top", "a"], ["restart_child", "top", "t"], STOP],
        [leaf("a"), leaf("t", "temporary"), leaf("b", "transient")],
        flags(),
        {"a": ["ignore"], "t": ["ignore"], "b": ["ignore"]},
    ),
    Scenario("boot fails below", [STOP], [leaf("a"), tree("s", flags(), *leaves("b c"))], flags(), {"c": ["fail"]}),
    Scenario("no children", [CRASH_B, STOP], [], flags()),
    # Administration.
    *_strategies(
        "the walk of child_adm",
        [
            ["start_child", "top", leaf("a")],
            ["terminate_child", "top", "x"],
            ["restart_child", "top", "x"],
            ["delete_child", "top", "x"],
            ["terminate_child", "top", "a"],
            ["terminate_child", "top", "a"],
            ["start_child", "top", leaf("a")],
            ["which_child", "top", "a"],
            ["restart_child", "top", "a"],
            ["restart_child", "top", "a"],
            ["delete_child", "top", "a"],
            ["terminate_child", "top", "a"],
            ["delete_child", "top", "a"],
            ["which_child", "top", "a"],
            ["start_child", "top", leaf("a")],
        ],
        leaves("a"),
    ),
    *_strategies(
        "terminate_child and restart_child keep the place",
        [["terminate_child", "top", "a"], ["restart_child", "top", "a"], CRASH_B],
        leaves("a b c"),
    ),
    *_strategies(
        "delete_child and start_child move to the end",
        [["terminate_child", "top", "a"], ["delete_child", "top", "a"], ["start_child", "top", leaf("a")], CRASH_B],
        leaves("a b c"),
    ),
    *_strategies(
        "restart_child that fails is not tried again",
        [
            ["terminate_child", "top", "b"],
            ["plan", "b", ["fail"]],
            ["restart_child", "top", "b"],
            ["restart_child", "top", "b"],
        ],
        leaves("a b c"),
    ),
    *_strategies(
        "by hand does not count",
        [["terminate_child", "top", "b"], ["restart_child", "top", "b"]] * 5,
        leaves("a b c"),
        0,
    ),
    *_strategies(
        "a group restart starts what was stopped by hand",
        [["terminate_child", "top", "a"], ["terminate_child", "top", "c"], CRASH_B],
        leaves("a b c d"),
    ),
    *_strategies(
        "a group restart starts what had finished",
        [["exit", "a", "normal"], ["exit", "c", "normal"], CRASH_B],
        [leaf("a", "transient"), leaf("b"), leaf("c", "transient")],
    ),
    *_strategies(
        "temporary children are forgotten",
        [
            ["terminate_child", "top", "t"],
            ["restart_child", "top", "t"],
            ["start_child", "top", leaf("t", "temporary")],
        ],
        [leaf("t", "temporary")],
    ),
    # Several at the same instant.
    *[
        scenario
        for first, second in (("a", "b"), ("b", "a"), ("a", "d"), ("d", "b"))
        for intensity in (0, 1, 2)
        for scenario in _strategies(
            f"{first} and {second} together, intensity {intensity}",
            [["together", "top", [[first, "crash"], [second, "crash"]], []]],
            leaves("a b c d"),
            intensity,
        )
    ],
    *_strategies(
        "a crash and a normal end together",
        [["together", "top", [["b", "crash"], ["c", "normal"]], []]],
        leaves("a b c", "transient"),
    ),
    *_strategies(
        "a normal end and a crash together",
        [["together", "top", [["c", "normal"], ["b", "crash"]], []]],
        leaves("a b c", "transient"),
    ),
    *_strategies("all together", [["together", "top", [[c, "crash"] for c in "dbca"], []]], leaves("a b c d"), 4),
    *[
        scenario
        for call in ("terminate_child", "restart_child", "delete_child", "which_child")
        for scenario in _strategies(
            f"b crashes, and {call} b waits",
            [["together", "top", [["b", "crash"]], [[call, "b"], [call, "c"]]]],
            leaves("a b c"),
        )
    ],
    # A restart that is tried again and again does not keep the administration out.
    *[
        scenario
        for calls in CALLS
        for scenario in _strategies(
            f"calls during restarts: {'-'.join(call for call, _ in calls)}",
            [["looping", "b", calls], ["restart_child", "top", "b"]],
            leaves("a b c"),
            intensity=4,
        )
    ],
    # Stopping.
    *_strategies("deaf children are killed", [["stick", "b"]], [leaf("a"), leaf("b", shutdown=50), leaf("c")]),
    *_strategies(
        "a deaf child is killed at once",
        [["stick", "b"], ["terminate_child", "top", "b"], ["restart_child", "top", "b"]],
        [leaf("a"), leaf("b", shutdown="brutal_kill"), leaf("c")],
    ),
    *_strategies(
        "a deaf sibling is killed in a group restart",
        [["stick", "c"], ["exit", "a", "crash"]],
        [leaf("a"), leaf("b"), leaf("c", shutdown=50)],
    ),
    # auto_shutdown.
    *[
        Scenario(f"{mode}: {name}", [*steps, STOP], SIGNIFICANT, flags(strategy, 2, mode))
        for strategy in ("one_for_one", "one_for_all", "rest_for_one")
        for mode in ("any_significant", "all_significant")
        for name, steps in {
            f"{strategy}, a normal": [["exit", "a", "normal"]],
            f"{strategy}, a crash": [["exit", "a", "crash"]],
            f"{strategy}, b crash": [["exit", "b", "crash"]],
            f"{strategy}, b normal then a normal": [["exit", "b", "normal"], ["exit", "a", "normal"]],
            f"{strategy}, a normal then b crash": [["exit", "a", "shutdown"], ["exit", "b", "crash"]],
            f"{strategy}, c": [["exit", "c", "crash"]],
            f"{strategy}, a by hand": [["terminate_child", "top", "a"]],
            f"{strategy}, all by hand": [["terminate_child", "top", "a"], ["terminate_child", "top", "b"]],
            f"{strategy}, by hand, again, normal": [
                ["terminate_child", "top", "a"],
                ["terminate_child", "top", "b"],
                ["restart_child", "top", "a"],
                ["exit", "a", "normal"],
            ],
        }.items()
    ],
    # Trees.
    Scenario(
        "OTP's tree",
        [
            ["start_child", "s2", leaf("c3")],
            ["start_child", "s2", leaf("c4")],
            ["terminate_child", "top", "s3"],
            ["exit", "c4", "crash"],
            ["plan", "c3", ["fail"] * 4],
            ["exit", "c3", "crash"],
            STOP,
        ],
        [
            tree("s1", flags(intensity=4), *leaves("c1 c2")),
            tree("s2", flags(intensity=4)),
            tree("s3", flags(intensity=4), restart="transient"),
        ],
        flags("one_for_all", 4),
    ),
    Scenario(
        "intensities multiply",
        [["exit", "c", "crash"]] * 7,
        [tree("s", flags(intensity=1), leaf("c"))],
        flags(intensity=2),
    ),
    Scenario(
        "a transient supervisor that gave up stays down",
        [["exit", "c", "crash"], ["exit", "c", "crash"], ["restart_child", "top", "s"], STOP],
        [leaf("a"), tree("s", flags(intensity=1), leaf("c"), restart="transient")],
        flags(),
    ),
    Scenario(
        "a temporary supervisor that gave up is forgotten",
        [["exit", "c", "crash"], ["restart_child", "top", "s"], STOP],
        [leaf("a"), tree("s", flags(intensity=0), leaf("c"), restart="temporary")],
        flags(),
    ),
    *[
        Scenario(
            f"auto-shutdown climbs, {'significant' if significant else 'not significant'}",
            [["exit", "c", "normal"], STOP],
            [
                leaf("a"),
                tree(
                    "s",
                    flags(auto_shutdown="any_significant"),
                    leaf("b"),
                    leaf("c", "transient", significant=True),
                    restart="transient",
                    significant=significant,
                ),
            ],
            flags(auto_shutdown="any_significant"),
        )
        for significant in (True, False)
    ],
    *[
        Scenario(
            f"{strategy} stops and starts whole subtrees",
            [["exit", "a", "crash"], ["exit", "d", "crash"], ["exit", "g", "crash"], STOP],
            [
                leaf("a"),
                tree(
                    "s1", flags("rest_for_one"), leaf("b"), tree("s2", flags("one_for_all"), *leaves("c d")), leaf("e")
                ),
                tree("s3", flags(), *leaves("f g", "transient")),
            ],
            flags(strategy, 5),
        )
        for strategy in ("one_for_one", "one_for_all", "rest_for_one")
    ],
    Scenario(
        "a start that fails below is a failed start above",
        [["plan", "c", ["ok", "fail", "fail"]], ["exit", "b", "crash"], ["exit", "c", "crash"], STOP],
        [leaf("a"), tree("s", flags(intensity=0), *leaves("b c"))],
        flags("rest_for_one", 4),
    ),
    Scenario(
        "an inner supervisor is stopped from outside",
        [["stop", "s"], ["stop", "s"], STOP],
        [leaf("a"), tree("s", flags(), leaf("b"))],
        flags("one_for_all", 3),
    ),
    # Dynamic children.
    _dynamic("restarted alone", [["add", "a"], ["add", "b"], ["exit", "a", "crash"], ["exit", "a", "normal"]]),
    _dynamic("transient", [["add", "a"], ["add", "b"], ["exit", "a", "crash"], ["exit", "a", "normal"]], "transient"),
    _dynamic("temporary", [["add", "a"], ["add", "b"], ["exit", "a", "crash"], ["exit", "b", "normal"]], "temporary"),
    _dynamic("too many crashes", [["add", "a"], ["add", "b"], *[["exit", "a", "crash"]] * 4]),
    _dynamic(
        "a start fails and is tried again",
        [["add", "a"], ["add", "b"], ["plan", "a", ["fail", "fail"]], ["exit", "a", "crash"]],
    ),
    _dynamic(
        "a start fails for ever", [["add", "a"], ["add", "b"], ["plan", "a", ["fail"] * 9], ["exit", "a", "crash"]]
    ),
    _dynamic(
        "start_child fails or ignores",
        [["plan", "a", ["fail"]], ["add", "a"], ["plan", "b", ["ignore"]], ["add", "b"], ["add", "c"]],
    ),
    _dynamic(
        "terminate_child",
        [["add", "a"], ["add", "b"], ["terminate_child", "top", "a"], ["terminate_child", "top", "a"]],
    ),
    _dynamic(
        "two at once",
        [["add", "a"], ["add", "b"], ["together", "top", [["a", "crash"], ["b", "crash"]], []]],
        intensity=1,
    ),
]
