"""Starting processes of their own: a script or a module, alone or several of it under torchrun."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(*command: object, processes: int = 1, cwd: Path | None = None) -> subprocess.Popen:
    """Start `python COMMAND...` (a script, or `-m` and a module) with one thread; torchrun if there are several."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def finish(process: subprocess.Popen, *, seconds: float = 120) -> str:
    """Wait for a process that shall succeed; what it printed."""
    said, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    return said
