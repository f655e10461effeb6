"""What the system says of a process: CPU seconds and memory. Linux only."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of its threads so far: to the nanosecond where the kernel counts that, else in ticks of 10 ms."""
    counted = [
        path.read_text(encoding="utf-8") for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    ]
    if counted:
        return sum(int(line.split()[0]) for line in counted) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Memory in use now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise AssertionError(f"process {pid} has ended")
