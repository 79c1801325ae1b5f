"""The baseline of `redis`: working memory in Redis as the Python package keeps it, on redis.asyncio with hiredis.

Every write is one SET of the whole value, an update a GET and a SET with nothing to hold the two together: of two
updates at once one is lost. arshai's do more work, as they lose none.
"""

import json
from datetime import datetime

import redis.asyncio as redis

from measure import Bench, address, run

CONVERSATIONS = 256
VALUE_BYTES = 1_500
# As many as arshai's side makes.
CALLS = 50_000
TTL = 12 * 60 * 60
# Of 20 (what the package has), 64 and 256 this is the fastest.
CONNECTIONS = 64


class Memory:
    def __init__(self, url):
        # An operation that finds no free connection waits; the package's own pool refuses it.
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            decode_responses=True,
            socket_keepalive=True,
            health_check_interval=30,
        )
        self.client = redis.Redis.from_pool(pool)

    async def store(self, conversation, text):
        now = datetime.now().isoformat()
        value = {"data": {"working_memory": text}, "metadata": {}, "created_at": now, "last_update": now}
        await self.client.set(key(conversation), json.dumps(value), ex=TTL)

    async def retrieve(self, conversation):
        value = await self.client.get(key(conversation))
        return json.loads(value)["data"]["working_memory"] if value else None

    async def update(self, conversation, text):
        value = await self.client.get(key(conversation))
        if value is None:
            return await self.store(conversation, text)
        value = json.loads(value)
        value["data"]["working_memory"] = text
        value["last_update"] = datetime.now().isoformat()
        await self.client.set(key(conversation), json.dumps(value), ex=TTL)


def key(conversation):
    return f"memory:working_memory:python-{conversation % CONVERSATIONS}"


# Made beforehand, as arshai's are: making one takes time too.
TEXTS = [f"{number:0{VALUE_BYTES}}" for number in range(CONVERSATIONS + 1)]


def text(number):
    return TEXTS[number % len(TEXTS)]


async def main():
    bench = Bench("redis")
    memory = Memory(address("REDIS_URL"))
    for number in range(CONVERSATIONS):
        await memory.store(number, text(number))

    async def retrieve(number):
        found = await memory.retrieve(number)
        assert found is not None and len(found) == VALUE_BYTES, "a memory is not the one that was stored"

    for concurrency in bench.concurrencies(1, 64, 256):
        total = CALLS if concurrency > 1 else CALLS // 25
        await bench.calls("store", concurrency, total, lambda number: memory.store(number, text(number)))
        await bench.calls("retrieve", concurrency, total, retrieve)
        await bench.calls("update", concurrency, total, lambda number: memory.update(number, text(number)))
    await memory.client.aclose()


if __name__ == "__main__":
    run(main)
