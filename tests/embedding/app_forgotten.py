"""An application that mounts the chat, and forgets that nobody else runs it."""

from fastapi import FastAPI

from rtchat.app import create_app

app = FastAPI()
app.mount("/chat", create_app())
