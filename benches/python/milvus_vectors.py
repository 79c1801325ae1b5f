"""The baseline of `milvus`: inserts and searches as the Python package does them, on pymilvus' asynchronous client."""

import asyncio
import math
import random

from pymilvus import AsyncMilvusClient, DataType, MilvusClient

from measure import Bench, address, run

COLLECTION = "bench_python"
DIMENSION = 768
ROWS = 5_000
BATCH = 50
IN_FLIGHT = 4
SEARCHES = 2_000
LIMIT = 10
TEXT_BYTES = 250


def vector(rng):
    return [rng.random() - 0.5 for _ in range(DIMENSION)]


def text(number):
    return (f"passage {number} " + "of a text to be found again " * 10)[:TEXT_BYTES]


def is_whole(hit):
    """Reads all of a hit."""
    entity = hit["entity"]
    return (
        math.isfinite(hit["distance"])
        and entity["text"].startswith("passage ")
        and entity["metadata"]["source"].endswith(".md")
    )


def create(url):
    client = MilvusClient(uri=url)
    client.drop_collection(COLLECTION)
    schema = MilvusClient.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("dense_vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    index = MilvusClient.prepare_index_params()
    index.add_index(
        "dense_vector", index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64}
    )
    client.create_collection(COLLECTION, schema=schema, index_params=index)
    client.load_collection(COLLECTION)
    return client


async def insert(client, rows):
    at_once = asyncio.Semaphore(IN_FLIGHT)

    async def batch(rows):
        async with at_once:
            await client.insert(collection_name=COLLECTION, data=rows)

    await asyncio.gather(*(batch(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)))


async def main():
    bench = Bench("milvus")
    url = address("MILVUS_URI")
    admin = create(url)
    client = AsyncMilvusClient(uri=url)
    rng = random.Random(1)
    rows = [
        {
            "text": text(number),
            "metadata": {"source": f"docs/page-{number:05}.md"},
            "dense_vector": vector(rng),
        }
        for number in range(ROWS)
    ]
    await bench.whole("insert", IN_FLIGHT, ROWS, insert(client, rows))
    queries = [vector(rng) for _ in range(256)]

    async def search(number):
        found = await client.search(
            collection_name=COLLECTION,
            data=[queries[number % len(queries)]],
            anns_field="dense_vector",
            search_params={"metric_type": "COSINE"},
            limit=LIMIT,
            # The package asks for all fields, so for the vectors as well, which nobody reads.
            output_fields=["text", "metadata"],
            consistency_level="Eventually",
        )
        assert len(found[0]) == LIMIT and all(is_whole(hit) for hit in found[0]), "a search found too little"

    # What was just inserted becomes searchable a little later.
    for _ in range(600):
        try:
            await search(0)
            break
        except AssertionError:
            await asyncio.sleep(0.1)
    for concurrency in bench.concurrencies(1, 16, 64):
        await bench.calls("search", concurrency, SEARCHES if concurrency > 1 else SEARCHES // 5, search)
    await client.close()
    admin.drop_collection(COLLECTION)
    admin.close()


if __name__ == "__main__":
    run(main)
