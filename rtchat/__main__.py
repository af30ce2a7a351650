"""`python -m rtchat` does what `rtchat` does."""

from rtchat.cli import main

main()
