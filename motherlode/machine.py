"""What this process may use of the machine."""

import psutil


def cores() -> int:
    """CPUs that this process may use; not every system can say."""
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
