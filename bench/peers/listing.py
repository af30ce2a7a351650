"""All peers, in the order of the tables."""

from bench.peers.centrifugo import Centrifugo
from bench.peers.nats import Nats
from bench.peers.nchan import Nchan
from bench.peers.node import SocketIONode, WsNode
from bench.peers.peer import Peer
from bench.peers.python import FastAPIBroadcast, FastAPIStore, SocketIOPython

PEERS: dict[str, Peer] = {
    "fastapi_store": FastAPIStore(),
    "fastapi_broadcast": FastAPIBroadcast(),
    "socketio_python": SocketIOPython(),
    "socketio_node": SocketIONode(),
    "ws_node": WsNode(),
    "nats": Nats(),
    "nchan": Nchan(),
    "centrifugo": Centrifugo(),
}
