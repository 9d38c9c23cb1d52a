"""What a run says when its inbox cannot be read any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from weft.assemble.session import Session
from weft.errors import StoreError
from weft.spec.graph import Graph


def failing(message: str) -> Any:
    def fail() -> NoReturn:
        raise StoreError(message)

    return fail


def session_with(**parts: Any) -> Session:
    """One with nothing but what reading the inbox needs."""
    session = Session.__new__(Session)
    session.__dict__.update(_plan=SimpleNamespace(graph=Graph(())), **parts)
    return session


@pytest.mark.parametrize(
    ("check_place", "told"),
    [(failing("the state folder has gone"), "has gone"), (lambda: None, "cannot be read")],
    ids=["the folder is gone", "it is there"],
)
def test_a_state_folder_that_has_gone_is_said_rather_than_what_could_not_be_read(check_place: Any, told: str) -> None:
    inbox = SimpleNamespace(take=failing("the inbox cannot be read"))
    session = session_with(_inbox=inbox, _store=SimpleNamespace(check_place=check_place))
    with pytest.raises(StoreError, match=told):
        session._read_inbox()
