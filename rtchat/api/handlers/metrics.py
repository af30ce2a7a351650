"""What Prometheus asks for: the metrics of this process, as text.

Must never: be answered without the operators' token. Each worker answers for itself.
"""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from rtchat.api.call import Call
from rtchat.api.router import Answer

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


async def metrics(call: Call) -> Answer:
    """Tell what this process has counted, in Prometheus' text format."""
    return 200, generate_latest(call.services.registry)
