"""The tests of several processes, again and again on a busy machine: N [LOOPS]."""

import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).with_name("test_distributed.py")
ABORTED = ("terminate called", "SIGABRT")
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"  # ends with this script


def once(number: int) -> bool:
    """Run the tests; tell how they went, and of those that failed all they said."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", str(TESTS)]
    run = subprocess.run(command, capture_output=True, text=True)
    passed = run.returncode == 0
    aborted = any(word in run.stdout for word in ABORTED)
    how = "passed" if passed else "ABORTED" if aborted else "failed"
    print(f"{number}: {how} in {time.monotonic() - begun:.0f} s", flush=True)
    if not passed:
        print(run.stdout, run.stderr, sep="\n", flush=True)
    return passed


def main(repetitions: int, loops: int = 4) -> int:
    busy = [subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())]) for _ in range(loops)]
    try:
        passed = sum(once(number) for number in range(1, repetitions + 1))
    finally:
        for loop in busy:
            loop.kill()
    print(f"{passed} of {repetitions} passed beside {loops} busy loops")
    return int(passed < repetitions)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
