"""The load client: an epoll loop in a process of its own, so that it can be pinned and measured.

`process` starts it and talks to it (JSON lines over pipes); `engine` is the loop and its
connections, `frames` the WebSocket's framing, `dialects` what is said to each server, `jobs` what
is measured. Nothing here imports the server: it is judged by its bytes.
"""
