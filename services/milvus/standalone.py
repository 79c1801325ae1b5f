"""Runs the Milvus server inside the PyPI package `milvus` (it must be on PYTHONPATH).

  standalone.py unpack FOLDER                            unpacks the server's files into FOLDER, once
  standalone.py run FOLDER DATA GRPC METRICS PORT...     becomes the server, with its data in DATA

The package's own launcher unpacks at every start, chooses ports by itself and stays as a parent of the server; this
one keeps a single process and lets the caller choose.
"""

import lzma
import os
import sys
from pathlib import Path

import milvus

# In the order in which the caller's further ports are handed out.
INNER = ["etcd", "root_coord", "proxy_internal", "query_coord", "query_node"]
INNER += ["index_coord", "index_node", "data_coord", "data_node"]
# The etcd inside the server would take two fixed ports; its own configuration moves them.
ETCD = """\
name: default
data-dir: {data}
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
"""


def unpack(folder: Path) -> None:
    for packed in sorted((Path(milvus.__file__).parent / "data" / "bin").glob("*.lzma")):
        target = folder / packed.stem
        target.write_bytes(lzma.decompress(packed.read_bytes()))
        target.chmod(0o755)


def run(folder: Path, data: Path, grpc: int, metrics: int, inner: list[int]) -> None:
    config = milvus.MilvusServerConfig(data_dir=str(data))
    config.resolve_storage()
    config.set("proxy_port", grpc)
    *inner, peer = inner
    for name, port in zip(INNER, inner, strict=True):
        config.set(f"{name}_port", port)
    # What the parts of the server tell each other where they are; otherwise the machine's first outside address.
    for part in ["rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"]:
        config.set(f"{part}.ip", "127.0.0.1")
    config.write_config()
    etcd = data / "configs" / "etcd.yaml"
    etcd.write_text(ETCD.format(data=data / "data" / "etcd.data", client=inner[0], peer=peer))
    environment = dict(
        os.environ,
        ETCD_CONFIG_PATH=str(etcd),
        DEPLOY_MODE="STANDALONE",
        METRICS_PORT=str(metrics),
        MILVUS_RUN_DIR=str(data / "run"),
        LD_LIBRARY_PATH=str(folder),
    )
    environment.pop("PYTHONPATH", None)
    os.chdir(data)
    os.execve(folder / "milvus", ["milvus", "run", "standalone"], environment)


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command == "unpack":
        unpack(Path(folder).absolute())
    else:
        data, grpc, metrics, *inner = rest
        run(Path(folder).absolute(), Path(data).absolute(), int(grpc), int(metrics), [int(port) for port in inner])
