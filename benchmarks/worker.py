"""A search in a process of its own, at a forced CPU level: reads requests, answers in JSON.

usage: FASTKNN_CPU=LEVEL python worker.py TRAIN.npy QUERIES.npy, then lines "METRIC K COUNT".
"""

import json
import resource
import sys
import time
import tracemalloc

import numpy as np

from fastknn import Index, cpu_level


def main() -> None:
    train, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
    indexes: dict[str, Index] = {}
    for line in sys.stdin:
        metric, k, count = line.split()
        if metric not in indexes:
            indexes[metric] = Index(train, metric, screen="direct")
        started = time.perf_counter()
        indexes[metric].search(queries[: int(count)], int(k))
        seconds = time.perf_counter() - started
        tracemalloc.start()
        indexes[metric].search(queries[: int(count)], int(k))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"seconds": seconds, "level": cpu_level(), "peak": peak, "rss": most}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
