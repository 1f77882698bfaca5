"""Bad requests that gateways counted and nobody told."""

from __future__ import annotations

from services.monitor.deliveries import Deliveries, News


def lost_over(counts: list[int], told: list[int]) -> int:
    """Both by second: counted at its end, told in it."""
    deliveries = Deliveries()
    lost = 0
    for second, (counted, received) in enumerate(zip(counts, told, strict=True)):
        for _ in range(received):
            deliveries.received()
        lost += deliveries.counted(counted, float(second))
    return lost


def test_news_may_be_late_or_early_within_the_grace() -> None:
    assert lost_over([5, 5, 5, 0, 0, 0, 0, 0], [0, 0, 5, 5, 5, 0, 0, 0]) == 0
    assert lost_over([0, 0, 5, 5, 5, 0, 0, 0, 0], [5, 5, 5, 0, 0, 0, 0, 0, 0]) == 0


def test_what_never_comes_is_lost_once() -> None:
    assert lost_over([5, 5, 0, 0, 0, 0, 0, 0, 0], [5, 3, 0, 0, 0, 0, 0, 0, 0]) == 2


def test_later_news_do_not_hide_an_earlier_loss() -> None:
    assert lost_over([5, 0, 0, 0, 0, 5, 0, 0, 0, 0], [2, 0, 0, 0, 0, 5, 0, 0, 0, 0]) == 3


def test_a_loss_goes_on_to_be_known_after_a_restart() -> None:
    before = Deliveries()
    before.counted(4, 0.0)
    after = Deliveries.from_json(before.to_json())
    assert sum(after.counted(0, float(second)) for second in range(100, 110)) == 4


def test_what_one_gateway_tells_too_much_of_does_not_hide_what_another_keeps_back() -> None:
    news = News()
    for _ in range(3):
        news.received("a", "stable")
    news = News.from_json(news.to_json())
    assert sum(news.counted("stable", {"b": 3 * (second == 0)}, float(second)) for second in range(9)) == 3


def test_what_was_told_before_counters_began_anew_does_not_hide_what_is_lost_after() -> None:
    deliveries = Deliveries()
    for _ in range(5):
        deliveries.received()  # told, and gone with the counters
    deliveries.counted(0, 0.0)
    deliveries.received()  # by the next life
    deliveries.reset()
    assert sum(deliveries.counted(3 * (second == 1), float(second)) for second in range(1, 9)) == 2
