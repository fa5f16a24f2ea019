"""Validation of child specs and flags: rows 16 to 24."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
from otp_stage import Leaf

from upright.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    ChildNotFound,
    ChildSpec,
    DynamicSupervisor,
    InvalidChildSpec,
    InvalidSupervisorFlags,
    Restart,
    Supervisor,
    check_childspecs,
    get_childspec,
    start_child,
    which_children,
)

if TYPE_CHECKING:
    from otp_lab import Lab

otp = pytest.mark.otp


@otp(16)
def test_get_childspec_returns_the_full_spec(lab: Lab) -> None:
    top = lab.supervise(
        lab.spec("plain"),
        lab.spec("brutal", shutdown=BRUTAL_KILL),
        ChildSpec("below", Supervisor),
        ChildSpec("dynamic", DynamicSupervisor),
        ChildSpec("limited", Supervisor, shutdown=1.0),
    )
    plain = get_childspec(top, "plain")
    assert (plain.restart, plain.shutdown, plain.significant) == (Restart.PERMANENT, 5.0, False)
    assert (plain.hang_timeout, plain.backoff) == (None, None)
    assert plain.actor is Leaf
    assert get_childspec(top, "brutal").shutdown is BRUTAL_KILL
    assert get_childspec(top, "below").shutdown is INFINITY
    assert get_childspec(top, "dynamic").shutdown is INFINITY
    assert get_childspec(top, "limited").shutdown == 1.0
    with pytest.raises(ChildNotFound):
        get_childspec(top, "nobody")


@otp(17)
def test_get_childspec_of_a_dynamic_child_is_by_address(lab: Lab) -> None:
    top = lab.supervise_dynamic(*lab.specs("a b c", Restart.TEMPORARY))
    for info in which_children(top):
        spec = get_childspec(top, info.address)
        assert (spec.id, spec.restart, spec.significant) == (info.id, Restart.TEMPORARY, False)
    foreign = Leaf.start(lab.stage, "foreign")
    with pytest.raises(ChildNotFound):
        get_childspec(top, foreign)
    foreign.stop()


@otp(18)
def test_a_spec_needs_an_id_and_an_actor_and_knows_its_fields() -> None:
    make: Any = ChildSpec
    with pytest.raises(TypeError, match="actor"):
        make("a")
    with pytest.raises(TypeError, match="id"):
        make(actor=Leaf)
    with pytest.raises(TypeError, match="unknown"):  # OTP ignores unknown keys; here they are a mistake
        make("a", Leaf, unknown=1)
    with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.id"):
        make(None, Leaf)


@otp(18)
@otp(19)
@pytest.mark.parametrize("bad", ["a", 42, {"id": "a"}, None, Leaf])
def test_what_is_no_spec_is_refused_in_the_same_words_everywhere(lab: Lab, bad: Any) -> None:
    top = lab.supervise()
    errors = []
    for refuse in (
        lambda: check_childspecs([bad]),
        lambda: Supervisor.start([bad]),
        lambda: start_child(top, bad),
        lambda: start_child(lab.supervise_dynamic(), bad),
    ):
        with pytest.raises(InvalidChildSpec) as caught:
            refuse()
        errors.append(str(caught.value))
    assert len(set(errors)) == 1
    assert repr(bad) in errors[0]
    assert which_children(top) == []
    assert lab.lives_on(top)


@otp(19)
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("actor", [None, "Leaf", 42, object, Leaf.start]),
        ("restart", ["prmanent", None, 1]),
        ("shutdown", [-10, -0.1, math.nan, math.inf, "brutal", "x", [5]]),
        ("significant", ["maybe", 1]),
        ("hang_timeout", [0, -1, math.inf, "x"]),
        ("backoff", [1.0, "x"]),
        ("mailbox_limit", [0, -1, 1.5, "x"]),
        ("args", [5, {"a": 1}]),
        ("kwargs", [5, [("a", 1)], {1: 2}]),
    ],
)
def test_a_bad_field_is_refused_by_name_where_it_is_given(field: str, values: list[Any]) -> None:
    for value in values:
        given = {"id": "a", "actor": Leaf, "restart": Restart.TRANSIENT, field: value}
        make: Any = ChildSpec
        with pytest.raises(InvalidChildSpec) as caught:
            make(**given)
        assert caught.value.field == f"ChildSpec.{field}"
        assert caught.value.value is value
        assert caught.value.allowed
        assert str(caught.value) == f"ChildSpec.{field} must be {caught.value.allowed}, got {value!r}"


@otp(19)
@pytest.mark.parametrize("bad", [42, None, "abc"])
def test_check_childspecs_wants_a_list(bad: Any) -> None:
    with pytest.raises(InvalidChildSpec, match="children must be"):
        check_childspecs(bad)


@otp(20)
def test_the_matrix_of_all_values_has_two_bad_combinations() -> None:
    checked = 0
    for mode, restart, shutdown, significant in itertools.product(
        (None, *AutoShutdown),
        (None, *Restart),
        (None, 0, 5.0, INFINITY, BRUTAL_KILL),
        (None, True, False),
    ):
        given = {"restart": restart, "shutdown": shutdown, "significant": significant}
        options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        checked += 1
        if significant and restart in (None, Restart.PERMANENT):
            with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.significant must be .*permanent"):
                ChildSpec("a", Leaf, **options)
        elif significant and mode is AutoShutdown.NEVER:
            with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.significant must be .*NEVER"):
                check_childspecs([ChildSpec("a", Leaf, **options)], mode)
            with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.significant must be .*NEVER"):
                Supervisor.start([ChildSpec("a", Leaf, **options)], auto_shutdown=mode)
        else:
            specs = [ChildSpec("a", Leaf, **options)]
            assert check_childspecs(specs, mode) == specs
    assert checked == 4 * 4 * 5 * 3


@otp(20)
def test_start_child_refuses_a_significant_child_where_nothing_shuts_down_by_itself(lab: Lab) -> None:
    top = lab.supervise()
    with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.significant"):
        start_child(top, lab.spec("a", Restart.TRANSIENT, significant=True))
    assert which_children(top) == []
    assert lab.lives_on(top)


@otp(21)
def test_an_id_given_twice_is_refused(lab: Lab) -> None:
    specs = [lab.spec("a"), lab.spec("b"), lab.spec("a", Restart.TEMPORARY)]
    for refuse in (lambda: check_childspecs(specs), lambda: Supervisor.start(specs)):
        with pytest.raises(InvalidChildSpec) as caught:
            refuse()
        assert (caught.value.field, caught.value.value) == ("ChildSpec.id", "a")
    assert lab.story() == ""


@otp(22)
def test_a_dynamic_supervisor_takes_no_static_children(lab: Lab) -> None:
    start: Any = DynamicSupervisor.start
    with pytest.raises(TypeError):
        start(lab.specs("a"))
    with pytest.raises(TypeError):
        start(children=lab.specs("a b"))


@otp(23)
@pytest.mark.parametrize("supervisor", [Supervisor, DynamicSupervisor])
@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("strategy", ["one_for_none", None, 1, "simple_one_for_one"]),
        ("intensity", [-1, 1.5, "1", None, INFINITY, math.inf, True]),
        ("period", [0, -1, math.inf, math.nan, "5", None, INFINITY]),
        ("auto_shutdown", ["sometimes", None, 1]),
        ("name", [5, ""]),
    ],
)
def test_a_bad_flag_is_refused_by_name(supervisor: Any, flag: str, values: list[Any]) -> None:
    if supervisor is DynamicSupervisor and flag in ("strategy", "auto_shutdown"):
        with pytest.raises(TypeError):
            supervisor.start(**{flag: values[0]})
        return
    for value in values:
        with pytest.raises(InvalidSupervisorFlags) as caught:
            supervisor.start(**{flag: value})
        assert caught.value.field.endswith(f".{flag}")
        assert caught.value.value is value


@otp(23)
def test_an_unknown_flag_is_refused() -> None:
    start: Any = Supervisor.start
    with pytest.raises(TypeError, match="unknown"):  # OTP ignores it
        start([], unknown=1)


@otp(23)
@pytest.mark.parametrize("intensity", [0, 1, 1000])
@pytest.mark.parametrize("period", [0.001, 1, 3600.0])
def test_good_flags_are_taken(lab: Lab, intensity: int, period: float) -> None:
    top = lab.supervise(lab.spec("a"), intensity=intensity, period=period)
    assert lab.counts(top) == (1, 1, 0, 1)


@otp(24)
@pytest.mark.parametrize("mode", list(AutoShutdown))
def test_a_dynamic_supervisor_knows_no_auto_shutdown(lab: Lab, mode: AutoShutdown) -> None:
    start: Any = DynamicSupervisor.start
    with pytest.raises(TypeError, match="auto_shutdown"):
        start(auto_shutdown=mode)
    top = lab.supervise_dynamic()
    with pytest.raises(InvalidChildSpec, match=r"ChildSpec\.significant"):
        start_child(top, lab.spec("a", Restart.TRANSIENT, significant=True))
    assert which_children(top) == []
    assert lab.lives_on(top)
