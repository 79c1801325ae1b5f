"""The Redis memory of the Python package, told by lines of JSON what to do; each is answered by one line of JSON."""

import json
import sys

from arshai.core.interfaces.imemorymanager import ConversationMemoryType, IMemoryInput, IWorkingMemory
from arshai.memory.working_memory.redis_memory_manager import RedisWorkingMemoryManager

memory = RedisWorkingMemoryManager(storage_url=sys.argv[1])


def answer(request):
    kind = ConversationMemoryType.WORKING_MEMORY
    # Not validated: what is not text is to arrive in the package as it would from a caller.
    data = [IWorkingMemory.model_construct(working_memory=request["text"])] if "text" in request else None
    given = IMemoryInput.model_construct(
        conversation_id=request["id"], memory_type=kind, data=data, metadata=request.get("metadata")
    )
    done = getattr(memory, request["do"])(given)
    return [found.working_memory for found in done] if request["do"] == "retrieve" else done


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
