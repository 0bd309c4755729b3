"""Refuses a wheel of 3 MB or more, or whose extension is 2 MB or more, or that holds more or less than the package.
Argument: the wheel."""

import os
import sys
from zipfile import ZipFile

MOST_BYTES = 2_000_000
MOST_OF_WHEEL = 3_000_000
EXTRACTORS = ("cifar10", "fashion_mnist", "mnist", "strokes")

with ZipFile(sys.argv[1]) as wheel:
    sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
extensions = [name for name in sizes if name.endswith(".so")]
foreign = [name for name in sizes if not name.startswith(("genmodels/", "genmodels-"))]
needed = [
    "genmodels/py.typed",
    "genmodels/_core.pyi",
    *(f"genmodels/metrics/data/{name}.safetensors" for name in EXTRACTORS),
]
missing = [name for name in needed if name not in sizes]
print(f"{sum(sizes.values()):,} bytes installed, of them {', '.join(f'{name} {sizes[name]:,}' for name in extensions)}")
if len(extensions) != 1 or foreign or missing:
    sys.exit(f"extensions: {extensions}, foreign files: {foreign}, missing: {missing}")
if sizes[extensions[0]] >= MOST_BYTES:
    sys.exit(f"{extensions[0]} has {sizes[extensions[0]]:,} bytes, must have fewer than {MOST_BYTES:,}")
if (packed := os.path.getsize(sys.argv[1])) >= MOST_OF_WHEEL:
    sys.exit(f"the wheel has {packed:,} bytes, must have fewer than {MOST_OF_WHEEL:,}")
