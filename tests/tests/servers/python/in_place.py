"""The Python package's Redis memory and Milvus client, told by lines of JSON what to do; each is answered by one line."""

import json
import sys

from arshai.core.interfaces.imemorymanager import ConversationMemoryType, IMemoryInput, IWorkingMemory
from arshai.core.interfaces.ivector_db_client import ICollectionConfig
from arshai.memory.working_memory.redis_memory_manager import RedisWorkingMemoryManager
from arshai.vector_db.milvus_client import MilvusClient
from pymilvus import Collection

memory = RedisWorkingMemoryManager()
store = MilvusClient()


def remembered(request):
    data = [IWorkingMemory(working_memory=request["text"])] if "text" in request else None
    kind = ConversationMemoryType.WORKING_MEMORY
    return IMemoryInput(conversation_id=request["id"], memory_type=kind, data=data, metadata=request.get("metadata"))


def answer(request):
    do = request["do"]
    if do in ("store", "update"):
        return getattr(memory, do)(remembered(request))
    if do == "retrieve":
        return [found.working_memory for found in memory.retrieve(remembered(request))]
    if do == "index":
        store.connect()
        return Collection(request["collection"]).indexes[0].params["params"]
    dimension = len(request["vectors"][0])
    config = ICollectionConfig(collection_name=request["collection"], dense_dim=dimension, text_field="content")
    if do == "insert":
        store.insert_entities(config, request["entities"], {"dense": request["vectors"]})
        return len(request["entities"])
    found = store.search_by_vector(config, request["vectors"], limit=1)
    return [[hit.entity.get("content") for hit in hits] for hits in found]


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
