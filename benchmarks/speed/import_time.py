"""What imports cost beyond torch, in seconds: medians over fresh interpreters.

Run ``python -m benchmarks.speed.import_time``; it prints a table. Each line is imported in an
interpreter of its own that has imported torch before, round by round, because machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

LINES = (
    "import sk_prunefair",
    "from sk_prunefair.export import load_compact",
    "from sk_prunefair import FairPrunedClassifier",
)


def seconds(line: str) -> float:
    """Return how long an import takes where torch is there already."""
    source = f"import time, torch\nstart = time.perf_counter()\n{line}\n"
    source += "print(time.perf_counter() - start)"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interpreters per line")
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {line: [] for line in LINES}
    for _ in range(rounds):
        for line in LINES:
            found[line].append(seconds(line))
    for line, times in found.items():
        print(f"{statistics.median(times):.3f} s  {line}")


if __name__ == "__main__":
    main()
