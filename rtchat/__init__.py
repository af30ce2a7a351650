"""rtchat: a realtime chat server that stores, acknowledges and delivers.

One message, from socket to socket, each step in the file of that name:

    server/    bytes to frames: uvicorn with limits, flow control and ready-made frames
    api/ws     one connection: authenticate, read, dispatch by a table of commands
    protocol   frame to command (the WebSocket's only JSON)
    chat       the rules: may this user do this here?
    writer     lanes of pending writes; a transaction a batch: lock, number, COPY, commit
    hub        rooms: the same bytes to every live subscriber, the others catch up
    bus/       one envelope a channel a batch, to every other pod's hub

`app` puts the parts together; `cli` starts them; `config` bounds them.
"""

__version__ = "0.1.0"
