"""An application that tells which tasks the chat leaves behind, and may be below a prefix."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from rtchat.app import create_app

chat = create_app()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    async with chat.running():
        yield
    left = sorted(str(task.get_coro()) for task in asyncio.all_tasks() - before)
    sys.stderr.write(f"left behind: {left}\n")


app = FastAPI(lifespan=lifespan, root_path=os.environ.get("OUTER_ROOT_PATH", ""))
app.mount("/chat", chat)
