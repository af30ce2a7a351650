"""Nchan, the nginx module: a channel id is a room, a WebSocket to it publishes and subscribes."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.peers.programs import Program

# Where distributions put nginx' dynamic modules.
_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/libexec/nginx")
# The longest queue of a room. Its default, 10, loses messages with more than so many in flight.
_BUFFER = 1000


class Nchan(Program):
    """nginx, one worker process, messages in its memory."""

    name = "Nchan (nginx)"
    does = "sends to every subscriber of a channel, passing bytes on; keeps the newest in memory"
    does_not = "store (without its Redis), ack, know users or members"
    dialect = "nchan"
    program = "nginx"
    processes = 2  # the master, and the worker that serves

    @property
    def _module(self) -> Path | None:
        found = (Path(folder) / "ngx_nchan_module.so" for folder in _MODULES)
        return next((path for path in found if path.exists()), None)

    def available(self) -> str | None:
        if reason := super().available():
            return reason
        return None if self._module else "nginx has no nchan module (libnginx-mod-nchan)"

    def version(self) -> str:
        done = subprocess.run(
            [self.path() or self.program, "-v"], capture_output=True, text=True, timeout=10
        )
        return done.stderr.strip().removeprefix("nginx version: ") + " with nchan"

    def configuration(self, port: int) -> str:
        assert self._module is not None, "ask available() first"
        return f"""
load_module {self._module};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 20000; }}
worker_rlimit_nofile 40000;
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/room/(\\w+)$ {{
            nchan_pubsub websocket;
            nchan_channel_id $1;
            nchan_message_buffer_length {_BUFFER};
        }}
    }}
}}
"""

    def command(self, file: Path) -> Sequence[str | Path]:
        return ["-p", file.parent, "-c", file, "-e", "stderr"]
