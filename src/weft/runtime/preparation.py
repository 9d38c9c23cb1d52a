"""Starts that wait until their environment is installed; everything else goes on meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from weft.ports import Installed, Installer
from weft.runtime.orders import OrderError
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import SETUP
from weft.spec.plan import Plan


class Preparation:
    """Holds starts back by environment. installer: None when no environment of the plan needs one."""

    def __init__(self, plan: Plan, installer: Installer | None):
        self._environment_of = [task.policy.environment for task in plan.graph.tasks]
        self._needing = frozenset(name for name, environment in plan.environments.items() if environment.is_installed)
        self._installer = installer
        self._installed: dict[str, Installed] = {}
        self._held: dict[str, list[StartAttempt]] = {}

    def holds(self, start: StartAttempt) -> bool:
        """Whether this start has to wait; it is kept and comes out of `release`."""
        name = self._environment_of[start.key.task]
        if name is None or name not in self._needing or name in self._installed or self._installer is None:
            return False
        self._installer.ask(name)
        self._held.setdefault(name, []).append(start)
        return True

    def release(self) -> Sequence[StartAttempt]:
        """Starts whose environment is installed now, or cannot be."""
        if self._installer is None:
            return ()
        released: list[StartAttempt] = []
        for installed in self._installer.answers():
            self._installed[installed.name] = installed
            released += self._held.pop(installed.name, ())
        return released

    def withdraw(self, key: AttemptKey) -> StartAttempt | None:
        """Take a start that waits back; None when it does not wait here."""
        name = self._environment_of[key.task]
        for start in self._held.get(name, ()) if name is not None else ():
            if start.key == key:
                self._held[name or ""].remove(start)
                return start
        return None

    def withdraw_all(self) -> Sequence[StartAttempt]:
        """Take all starts that wait back: nothing may start any more."""
        held = [start for starts in self._held.values() for start in starts]
        self._held.clear()
        return held

    def interpreter(self, name: str) -> tuple[str | None, str | None]:
        """Interpreter and `bin` folder of an environment, both None for weft's own. Raises OrderError when it has none."""
        installed = self._installed.get(name)
        if installed is None:
            return None, None
        if installed.failure is not None:
            raise OrderError(SETUP, installed.failure)
        return installed.python, installed.bin_folder

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return () if self._installer is None else self._installer.bells()

    def close(self) -> None:
        """End what is being built."""
        if self._installer is not None:
            self._installer.close()
