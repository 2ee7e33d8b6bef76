"""python -m tests.chaos [SEED ...]: the cases of these seeds (thirty by default), one after the other."""

from __future__ import annotations

import argparse
import sys
import time

from .run import SEEDS, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="A release, hit by a fault, under load, on real hosts; all drawn from a seed.")
    parser.add_argument("seeds", nargs="*", type=int, default=list(SEEDS), metavar="SEED", help=f"default: {SEEDS[0]} to {SEEDS[-1]}")
    seeds = parser.parse_args().seeds
    began = time.monotonic()
    failed = []
    for seed in seeds:
        outcome = run(seed)
        print(outcome, flush=True)
        if outcome.wrong:
            failed.append(seed)
    print(f"{time.monotonic() - began:.0f} s")
    if failed:
        print(f"to replay: python -m tests.chaos {' '.join(map(str, failed))}")
    print(f"{len(seeds) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
