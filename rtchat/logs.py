"""Logging: one JSON line an event, or plain text on a terminal; everybody's lines in one form.

A line has `time` (RFC 3339, UTC), `level`, `event` (the message, a constant), `logger`, and what
was passed as `extra`. Must never hold: content, passwords, tokens. JSON escapes line breaks, so no
value can forge a line.
"""

import logging
import logging.config
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

# What the logging module itself puts on a record; the rest came as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_extra(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # a lone surrogate, an integer beyond 64 bits: better so than not at all
            return orjson.dumps({key: ascii(value) for key, value in line.items()}).decode()


class TextFormatter(logging.Formatter):
    """For people: time, level, event, then what else there is."""

    def format(self, record: logging.LogRecord) -> str:
        # A terminal obeys control characters, so none may come through from a value.
        extra = " ".join(f"{k}={_printable(v)}" for k, v in _extra(record).items())
        event = _printable(record.getMessage())
        line = f"{_time(record)[11:23]} {record.levelname.lower():7} {event} {extra}".rstrip()
        if record.exc_info and record.exc_info[0] is not None:
            # Indented, so that no line of it can pass for one of ours.
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            line += "".join(f"\n  {_printable(part)}" for part in text.splitlines())
        return line


def _printable(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)


class _NoQueryStrings(logging.Filter):
    """uvicorn logs a WebSocket's path with its query, in which people put tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        return '- "WebSocket ' not in record.msg if isinstance(record.msg, str) else True


class _OfWorker(logging.Filter):
    """Says in every line which worker speaks, where there are several."""

    def __init__(self, worker: int) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._worker
        return True


def configure(level: str, form: str, worker: int | None = None) -> None:
    """Set up logging to standard error, for this process and all libraries in it."""
    lowest = getattr(logging, level.upper())
    quiet = {"level": max(lowest, logging.WARNING)}
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": TextFormatter if text else JsonFormatter}},
            "filters": {"no_query_strings": {"()": _NoQueryStrings}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "line",
                    "filters": ["no_query_strings"],
                }
            },
            "root": {"level": lowest, "handlers": ["stderr"]},
            # These speak of each step at INFO.
            "loggers": dict.fromkeys(
                ("alembic", "sqlalchemy", "asyncio", "httpx2", "uvicorn"), quiet
            ),
        }
    )
    if worker is not None:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_OfWorker(worker))
    logging.captureWarnings(capture=True)
