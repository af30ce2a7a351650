"""What is told and not kept: who is typing, how far somebody has read, who is online.

None of it is in a log, none has a seq, and all of it may be lost: in a crash, on the bus, for a
socket that is slow. Only a mark of reading is stored, and that is told when it is.

`teller` takes the commands and tells the sockets of this pod, once in a tick; `marks` has read
marks stored; `talk` and `presence` decide what is to be told, and are plain code; `word` is what
pods tell each other of a channel.
"""
