"""Documents that are made from the code: which there are, and what makes each."""

from collections.abc import Callable
from pathlib import Path

from tests.docs import (
    api_page,
    architecture_page,
    cli_page,
    errors_page,
    limits_page,
    metrics_page,
    postman,
    python_page,
    settings_page,
    websocket_page,
)

DOCS = Path(__file__).parents[2] / "docs"

GENERATED: dict[Path, Callable[[], str]] = {
    DOCS / "api.md": api_page.document,
    websocket_page.PAGE: websocket_page.document,
    errors_page.PAGE: errors_page.document,
    limits_page.PAGE: limits_page.document,
    metrics_page.PAGE: metrics_page.document,
    cli_page.PAGE: cli_page.document,
    settings_page.PAGE: settings_page.document,
    python_page.PAGE: python_page.document,
    architecture_page.PAGE: architecture_page.document,
    DOCS / "postman" / "rtchat.postman_collection.json": postman.collection,
    DOCS / "postman" / "rtchat.postman_environment.json": postman.environment,
}
