"""Who does not answer is asked by one caller a rest, until it does."""

from rtchat.cache.breaker import Breaker


def test_while_it_answers_everybody_may_ask():
    breaker = Breaker(rest_s=1.0)
    assert all(breaker.admits(now) for now in (0.0, 0.0, 5.0))
    assert breaker.closed
    assert not breaker.succeeded(), "no news"


def test_after_a_failure_nobody_asks_for_a_rest_and_then_one():
    breaker = Breaker(rest_s=1.0)
    breaker.failed(10.0)
    assert not breaker.closed
    assert [breaker.admits(now) for now in (10.0, 10.9, 11.0, 11.0, 11.5)] == [
        *(False, False),
        *(True, False, False),
    ]


def test_an_attempt_of_which_nothing_is_heard_is_followed_by_another():
    """Its caller may have been cancelled."""
    breaker = Breaker(rest_s=1.0)
    breaker.failed(0.0)
    assert [breaker.admits(now) for now in (1.0, 1.5, 2.0)] == [True, False, True]


def test_one_answer_lets_everybody_in_again():
    breaker = Breaker(rest_s=1.0)
    breaker.failed(0.0)
    assert breaker.admits(1.0)
    assert breaker.succeeded(), "news"
    assert breaker.closed
    assert breaker.admits(1.0)
    assert breaker.admits(1.0)
