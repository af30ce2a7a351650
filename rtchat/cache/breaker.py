"""A circuit breaker: who does not answer is left alone, and tried again now and then. Pure.

After a failure nobody asks for `rest_s`; then one may try, and again after each `rest_s`, until it
answers (Nygard, Release It!, "Circuit Breaker"). So a dead server costs one caller a wait, not all.
"""


class Breaker:
    """Says whether to ask one server now."""

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._try_at: float | None = None

    @property
    def closed(self) -> bool:
        """Whether the server answers, as far as is known."""
        return self._try_at is None

    def admits(self, now: float) -> bool:
        """Whether to ask. True for one caller a rest while the server does not answer."""
        if self._try_at is None:
            return True
        if now < self._try_at:
            return False
        self._try_at = now + self._rest_s
        return True

    def succeeded(self) -> bool:
        """It answered. True: that is news."""
        was_open, self._try_at = self._try_at is not None, None
        return was_open

    def failed(self, now: float) -> None:
        """It did not answer."""
        self._try_at = now + self._rest_s
