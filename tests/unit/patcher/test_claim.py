from __future__ import annotations

import pytest

from services.patcher.claim import contradiction
from services.patcher.documents import Desired, Placements
from services.patcher.state import Published, State

KEPT = State(published={"digits": Published(4, {"1": ("blue",)})})


def placed(revision: int = 4, fence: int = 7, nodes: tuple[str, ...] = ("blue",)) -> dict[str, Placements]:
    versions = {"1": nodes} if nodes else {}
    return {"digits": Placements(revision=revision, fence=fence, versions=versions)}


def desired(fence: int) -> list[Desired]:
    return [Desired(model="digits", version=1, digest="d1", fence=fence)]


@pytest.mark.parametrize(
    ("state", "fence"),
    [
        (KEPT, 7),
        (KEPT, 9),  # a later leader with this database
        (State(published={"digits": Published(5, {})}), 7),  # what was decided last is not published yet
    ],
)
def test_the_database_that_it_was_written_from(state: State, fence: int) -> None:
    assert contradiction(state, fence, placed(), desired(7)) == ""


def test_an_empty_database_over_what_others_deployed() -> None:
    words = contradiction(State(), 0, placed(), [])
    assert "not the one that the deployments in Consul were written from" in words
    assert contradiction(State(), 0, {}, desired(7)) != "", "placed on a node, and not ready yet"
    assert contradiction(State(), 0, {}, []) == "", "nothing that could be lost"
    assert contradiction(State(), 0, placed(nodes=()), []) == "", "nothing of use to anybody"


def test_an_older_copy_is_known_by_its_fence_or_by_its_revisions() -> None:
    assert "under the fence 8" in contradiction(KEPT, 7, placed(), desired(8))
    assert "placements of digits of revision 5, and here of 4" in contradiction(KEPT, 7, placed(revision=5), [])
    assert "here of 0" in contradiction(State(), 7, placed(), []), "a copy from before the model, in the same lead"
