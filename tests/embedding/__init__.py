"""rtchat in other ASGI applications and under stock uvicorn, in processes of their own."""
