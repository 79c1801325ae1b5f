"""Operations measured under load, as `benches/src/measure.rs` does it: the same calls, the same lines of JSON."""

import argparse
import asyncio
import json
import math
import os
import sys
import time

WARM_UP = 10


class Bench:
    """One benchmark, and how it was asked for."""

    def __init__(self, name):
        parser = argparse.ArgumentParser()
        parser.add_argument("--round", type=int, default=0)
        parser.add_argument("--concurrency", type=lambda text: [int(number) for number in text.split(",")])
        self.name = name
        self.asked = parser.parse_args().concurrency

    def concurrencies(self, *usual):
        return self.asked or usual

    async def calls(self, op, concurrency, total, call):
        """Makes `total` calls, `concurrency` of them at any time, each in turn by one of as many tasks."""
        await drive(call, concurrency, total // WARM_UP)
        wall, cpu = time.perf_counter(), time.process_time()
        latencies = sorted(await drive(call, concurrency, total))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.tell(op, concurrency, total, wall, cpu, quantile(latencies, 0.5), quantile(latencies, 0.99))

    async def whole(self, op, concurrency, total, all_of_them):
        """One call that does `total` operations by itself, `concurrency` of them at any time."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = await all_of_them
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.tell(op, concurrency, total, wall, cpu, None, None)
        return result

    def tell(self, op, concurrency, total, wall, cpu, p50, p99):
        line = {
            "bench": self.name,
            "side": "python",
            "op": op,
            "concurrency": concurrency,
            "ops_per_s": total / wall,
            "client_cpu_us_per_op": cpu * 1e6 / total,
            "p50_ms": p50 and p50 * 1e3,
            "p99_ms": p99 and p99 * 1e3,
            "rss_mb": resident(),
            "rounds": 1,
        }
        print(json.dumps(line), flush=True)


async def drive(call, concurrency, total):
    numbers = iter(range(total))
    latencies = []

    async def work():
        for number in numbers:
            started = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, total)):
            group.create_task(work())
    return latencies


def quantile(latencies, part):
    # Halves are rounded up, as Rust rounds them.
    return latencies[math.floor((len(latencies) - 1) * part + 0.5)]


def resident():
    """The resident memory of this process in MB of 10⁶ bytes; none where there is no /proc."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            kib = next(line.split()[1] for line in status if line.startswith("VmRSS:"))
        return int(kib) * 1024 / 1e6
    except (OSError, StopIteration):
        return None


def address(variable):
    value = os.environ.get(variable)
    if not value:
        sys.exit(f"{variable} is not set; `cargo xtask bench NAME --against python` starts what is needed")
    return value


def run(main):
    """Runs `main()` on uvloop where there is one, which is Python's fastest event loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
