"""llama.cpp's own HTTP server, which speaks OpenAI's protocol, from the PyPI package `xllamacpp`.

  llama.py chat|embeddings MODEL.gguf PORT
"""

import sys
import threading

import xllamacpp

kind, model, port = sys.argv[1:]
parameters = xllamacpp.CommonParams()
parameters.model.path = model
# The name it gives itself in replies, in place of a path.
parameters.model_alias = {"gemma-3-270m" if kind == "chat" else "all-MiniLM-L6-v2"}
parameters.hostnames = ["127.0.0.1"]
parameters.port = int(port)
parameters.n_parallel = 4
parameters.n_ctx = 4096
# A text to embed must fit into one batch.
parameters.n_batch = parameters.n_ubatch = 2048
# Threads that poll starve everything else on a small machine.
for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
    cpu.n_threads = 1
    cpu.poll = 0
if kind == "embeddings":
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(parameters)
print("listening on", server.listening_address, flush=True)
threading.Event().wait()
