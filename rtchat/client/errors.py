"""What can go wrong for a user of the client.

ClientError
├── RefusedError          the server said no, for good: `code` is one of the contract's (§4)
├── OutcomeUnknownError   a write without an answer: the same nonce, sent again, tells
├── ClosedError           this client is over: closed by its user, or not welcome any more
└── UnreachableError      no answer from the server; trying again later may help
"""

from collections.abc import Mapping


class ClientError(Exception):
    """Base of all errors that the client raises by itself."""


class RefusedError(ClientError):
    """The server refused; what was asked for has not happened and will not.

    `channels` is set where a subscription was refused: channel to code, for those refused.
    `retry` is true of what REST refuses for the time being only, after `retry_after_s` if that is
    set; the WebSocket client waits by itself.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        field: str | None = None,
        status: int | None = None,
        channels: Mapping[int, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.field = field
        self.status = status
        self.channels = dict(channels or {})
        self.retry_after_s = retry_after_s

    @property
    def retry(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status is not None and (self.status == 429 or self.status >= 500)


class OutcomeUnknownError(ClientError):
    """A write got no final answer in time. It may be stored, now or in a moment.

    Sending the same content with the same `nonce` again is harmless and tells. Where `written` is
    false, it never left this process.
    """

    def __init__(self, channel: int, nonce: str, *, written: bool, last: str = "") -> None:
        answer = f"; the last answer was {last}" if last else ""
        super().__init__(f"no final answer for {nonce!r} in channel {channel}{answer}")
        self.channel = channel
        self.nonce = nonce
        self.written = written
        self.last = last


class ClosedError(ClientError):
    """The client does not come back: `code` is the close code (40xx), if a close was the reason."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(f"{reason} ({code})" if code else reason)
        self.reason = reason
        self.code = code


class UnreachableError(ClientError, ConnectionError):
    """The server did not answer."""
