"""Starts that wait for their environment."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from weft.ports import Installed
from weft.runtime.orders import OrderError
from weft.runtime.preparation import Preparation
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Request
from weft.spec.environments import Environment
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.testing.scenario import task


class Installer:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.there: list[Installed] = []
        self.is_closed = False

    def ask(self, name: str) -> None:
        self.asked.append(name)

    def answers(self) -> Sequence[Installed]:
        there, self.there = self.there, []
        return there

    def bells(self) -> Sequence[int]:
        return (7,)

    def close(self) -> None:
        self.is_closed = True


def start(number: int) -> StartAttempt:
    return StartAttempt(AttemptKey(number, WHOLE, 1), number, Request(()), lane=0)


def preparation(installer: Installer | None) -> Preparation:
    tasks = [task("a", environment="e"), task("b", environment="f"), task("c", environment="plain"), task("d")]
    environments = {
        "e": Environment(requirements=("x",)),
        "f": Environment(python="3.12"),
        "plain": Environment(path="sub"),
    }
    return Preparation(Plan(Graph(tasks), "/", environments=environments), installer)


def test_only_what_needs_an_installation_is_held_until_it_is_there() -> None:
    installer = Installer()
    prepared = preparation(installer)
    assert [prepared.holds(start(number)) for number in range(4)] == [True, True, False, False]
    assert installer.asked == ["e", "f"]
    assert list(prepared.bells()) == [7]
    installer.there.append(Installed("e", "/e/python", "/e/bin"))
    assert list(prepared.release()) == [start(0)]
    assert not prepared.holds(start(0)), "once is enough"
    assert prepared.interpreter("e") == ("/e/python", "/e/bin")
    assert prepared.interpreter("plain") == (None, None)


def test_what_cannot_be_installed_is_released_and_then_refused() -> None:
    installer = Installer()
    prepared = preparation(installer)
    prepared.holds(start(0))
    installer.there.append(Installed("e", None, None, "no such package"))
    assert list(prepared.release()) == [start(0)]
    with pytest.raises(OrderError, match="no such package") as raised:
        prepared.interpreter("e")
    assert raised.value.cause == "setup"


def test_a_held_start_can_be_taken_back_once() -> None:
    installer = Installer()
    prepared = preparation(installer)
    prepared.holds(start(0))
    assert prepared.withdraw(start(1).key) is None
    assert prepared.withdraw(start(3).key) is None
    assert prepared.withdraw(start(0).key) == start(0)
    assert prepared.withdraw(start(0).key) is None
    installer.there.append(Installed("e", None, None))
    assert list(prepared.release()) == []


def test_without_an_installer_nothing_waits() -> None:
    prepared = preparation(None)
    assert not prepared.holds(start(0))
    assert (list(prepared.release()), list(prepared.bells())) == ([], [])
    prepared.close()


def test_closing_ends_what_is_being_built() -> None:
    installer = Installer()
    preparation(installer).close()
    assert installer.is_closed
