"""The installer of environments as the engine's port."""

from __future__ import annotations

import os
from collections.abc import Sequence

from weft.environments.installations import InstallationFailed, Installations, Installer
from weft.ports import Installed
from weft.spec.plan import Plan


class PlanInstaller:
    """Fulfils `ports.Installer` for the environments of one plan; built ones are kept in the state folder."""

    def __init__(self, plan: Plan, folder: str):
        self._installer = Installer(plan.environments, plan.root, Installations(os.path.join(folder, "environments")))

    def ask(self, name: str) -> None:
        """See `ports.Installer`."""
        self._installer.ask(name)

    def answers(self) -> Sequence[Installed]:
        """See `ports.Installer`."""
        found = []
        for name, result in self._installer.answers():
            if isinstance(result, InstallationFailed):
                found.append(Installed(name, None, None, f"environment {name!r}: {result.text}"))
            else:
                found.append(Installed(name, result.python, result.bin_folder))
        return found

    def bells(self) -> Sequence[int]:
        """See `ports.Installer`."""
        return self._installer.bells()

    def close(self) -> None:
        """See `ports.Installer`."""
        self._installer.close()
