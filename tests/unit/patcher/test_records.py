"""What of a read that is of several moments is passed on."""

from __future__ import annotations

from services.patcher.records import _of_known
from services.patcher.state import Deployment, Replica


def test_a_replica_whose_deployment_was_made_after_they_were_read_is_left_out() -> None:
    one, two = Replica("digits", 1, "blue"), Replica("digits", 2, "green")
    assert _of_known([one, two], [Deployment("digits", 1)]) == {one.id: one}
