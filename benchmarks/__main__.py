"""All measurements, one after the other; arguments are those of benchmarks.command.

python -m benchmarks --against path/to/python
"""

import subprocess
import sys

for name in ("command", "laws", "speed"):
    print(f"\nbenchmarks.{name}\n", flush=True)
    words = sys.argv[1:] if name == "command" else []
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words], check=True)
