"""What runs rtchat: uvicorn with limits and flow control; for development, PostgreSQL and Valkey.

Must never: know the rules of chat. It turns bytes into calls and calls into bytes.
"""
