"""python -m tests.chaos [SEED ...]: the cases of these seeds (thirty by default), one after the other."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from .run import SEEDS, run_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="A release, hit by a fault, under load, on real hosts; all drawn from a seed.")
    parser.add_argument("seeds", nargs="*", type=int, default=list(SEEDS), metavar="SEED", help=f"default: {SEEDS[0]} to {SEEDS[-1]}")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="cases side by side, each on hosts of its own (default: 2)")
    wanted = parser.parse_args()
    seeds = wanted.seeds
    began = time.monotonic()
    failed: list[int] = []
    requests = excused = struck = 0
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.default_int_handler)  # ends what is under way, in order
    for outcome in run_all(seeds, wanted.at_once):
        print(outcome, flush=True)
        requests += outcome.verdict.requests
        excused += len(outcome.verdict.excused)
        struck += outcome.struck or outcome.case.is_broken
        if outcome.wrong:
            failed.append(outcome.case.seed)
    print(f"{requests:,} requests, {excused} excused; the fault struck in {struck} of {len(seeds)} cases; {time.monotonic() - began:.0f} s")
    if failed:
        print(f"to replay: python -m tests.chaos {' '.join(map(str, failed))}")
    print(f"{len(seeds) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("broken off")
        sys.exit(130)
