"""pymilvus, told by lines of JSON what to do; each is answered by one line of JSON."""

import json
import sys

from pymilvus import DataType, MilvusClient

client = MilvusClient(uri=sys.argv[1])


def create(name, dimension, key, auto):
    """As the guide (an integer key) and the Python package (a text) create a collection."""
    schema = MilvusClient.create_schema(auto_id=auto, enable_dynamic_field=False)
    if key == "id":
        schema.add_field("id", DataType.INT64, is_primary=True)
    else:
        schema.add_field(key, DataType.VARCHAR, max_length=100, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field("dense_vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = MilvusClient.prepare_index_params()
    index.add_index("dense_vector", index_type="AUTOINDEX", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index)
    client.load_collection(name)


def write(name, how, rows):
    done = getattr(client, how)(collection_name=name, data=rows)
    return [plain(key) for key in done.get("ids", [])]


def query(name, filter):
    found = client.query(
        collection_name=name, filter=filter, output_fields=["*"], limit=1000, consistency_level="Strong"
    )
    return [plain(dict(row)) for row in found]


def search(name, vector, limit, filter):
    found = client.search(
        collection_name=name,
        data=[vector],
        anns_field="dense_vector",
        limit=limit,
        filter=filter,
        output_fields=["text", "metadata"],
        consistency_level="Strong",
    )
    return [plain({"id": next(iter(hit.values())) if "id" not in hit else hit["id"], **hit}) for hit in found[0]]


def delete(name, filter):
    client.delete(collection_name=name, filter=filter)


def plain(value):
    """Without the types of numpy."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(globals()[request.pop("do")](**request)), flush=True)
