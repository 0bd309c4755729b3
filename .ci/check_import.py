"""Refuses an `import genmodels` that takes 3 times an `import numpy`, or that imports an optional package.

Medians over fresh processes, the two taken in turn, so that a busy moment of the machine hits both.
"""

import statistics
import subprocess
import sys
import time

REPEATS = 15
MOST = 3.0
OPTIONAL = ["matplotlib", "tqdm", "pooch", "pandas", "safetensors", "IPython"]


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    statements = ["pass", "import numpy", "import genmodels"]
    runs = [[seconds(statement) for statement in statements] for _ in range(REPEATS)]
    start, numpy, genmodels = (statistics.median(column) for column in zip(*runs, strict=True))
    ratio = (genmodels - start) / (numpy - start)
    print(f"import numpy {numpy - start:.3f} s, import genmodels {genmodels - start:.3f} s: {ratio:.2f} times")
    if ratio >= MOST:
        sys.exit(f"import genmodels takes {ratio:.2f} times import numpy, must take less than {MOST}")
    seconds(f"import sys, genmodels; sys.exit([m for m in {OPTIONAL} if m in sys.modules] or 0)")


if __name__ == "__main__":
    main()
