"""The servers that people would pick instead, on the same work: what rtchat is compared with.

Two kinds of file. The servers themselves, each as a good tutorial of its library writes it, neither
a straw man nor tuned beyond what its documentation says: `fastapi_store`, `fastapi_broadcast`,
`socketio_python`, `socketio_node/`, `ws_node/`; they run in a process of their own and import
nothing from here. And what starts them, `peer` says how: `python`, `node`, `nats`, `nchan`,
`centrifugo`; all of them are in `listing.PEERS`.

`python -m bench.peers` tells which can be run here; `python -m bench.peers install` fetches the
packages of those on Node into a cache directory.
"""
