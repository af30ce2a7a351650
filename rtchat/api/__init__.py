"""HTTP and WebSocket on ASGI: routes, requests, answers. Knows no SQL, no Redis, no server."""
