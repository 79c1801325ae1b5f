"""The baseline of `openai`: embeddings as the Python package makes them, on openai-python, against a server that answers
after a fixed time.

The client takes aiohttp for its requests, and not httpx as it does when it is not told: that halves its CPU time.
"""

import asyncio

from openai import AsyncOpenAI, DefaultAioHttpClient

from measure import Bench, address, run

TEXTS = 20_000
BATCH = 100
IN_FLIGHT = (5, 32)
SINGLES = 5_000
DIMENSION = 1_536


class Embedding:
    def __init__(self, url):
        self.client = AsyncOpenAI(base_url=url, api_key="none", http_client=DefaultAioHttpClient())

    async def embed(self, texts):
        # Without encoding_format the client asks for base64 and decodes it with NumPy: its fastest way.
        reply = await self.client.embeddings.create(model="fixed", input=texts)
        return [item.embedding for item in reply.data]

    async def embed_one(self, text):
        return (await self.embed([text]))[0]

    async def embed_many(self, texts, in_flight):
        at_once = asyncio.Semaphore(in_flight)

        async def batch(texts):
            async with at_once:
                return await self.embed(texts)

        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return [vector for vectors in await asyncio.gather(*map(batch, batches)) for vector in vectors]


def text(number):
    return f"text {number}: " + "a sentence of some forty characters here. " * 4


async def main():
    bench = Bench("openai")
    embedding = Embedding(address("OPENAI_BASE_URL"))

    async def single(number):
        vector = await embedding.embed_one(text(number))
        assert len(vector) == DIMENSION, "a vector has another length"

    texts = [text(number) for number in range(TEXTS)]
    for in_flight in bench.concurrencies(*IN_FLIGHT):
        vectors = await bench.whole("embed_batches", in_flight, TEXTS, embedding.embed_many(texts, in_flight))
        assert len(vectors) == TEXTS and all(len(vector) == DIMENSION for vector in vectors)
        del vectors
    for concurrency in bench.concurrencies(256):
        await bench.calls("embed_single", concurrency, SINGLES, single)
    await embedding.client.close()


if __name__ == "__main__":
    run(main)
