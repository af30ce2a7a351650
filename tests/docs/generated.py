"""Documents that are made from the code: which there are, and what makes each."""

from collections.abc import Callable
from pathlib import Path

from tests.docs import api_page, postman, websocket_page

DOCS = Path(__file__).parents[2] / "docs"

GENERATED: dict[Path, Callable[[], str]] = {
    DOCS / "api.md": api_page.document,
    websocket_page.PAGE: websocket_page.document,
    DOCS / "postman" / "rtchat.postman_collection.json": postman.collection,
    DOCS / "postman" / "rtchat.postman_environment.json": postman.environment,
}
