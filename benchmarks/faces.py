"""How many embedded faces are drawn per second, in one process on all cores.

    python benchmarks/faces.py

There is no peer: nothing else draws these faces. The figure to hold is 1,000 per second at 32 x 32 on two cores.
"""

import os
import time

from latentlab.data.faces import RESOLUTIONS, render_faces

PIXELS_PER_RUN = 4096 * 32 * 32


def faces_per_second(resolution: int) -> tuple[float, float]:
    """Faces per second of wall time, and per second of processor time."""
    count = max(min(PIXELS_PER_RUN // resolution**2, 4096), 64)
    render_faces(0, slice(0, 64), resolution)
    wall, processor = time.perf_counter(), time.process_time()
    render_faces(0, slice(64, 64 + count), resolution)
    return count / (time.perf_counter() - wall), count / (time.process_time() - processor)


def main() -> None:
    print(f"{os.cpu_count()} cores")
    print("resolution  faces/s  faces/s of processor time")
    for resolution in RESOLUTIONS:
        wall, processor = faces_per_second(resolution)
        print(f"{resolution:10d}  {wall:7.0f}  {processor:7.0f}")


if __name__ == "__main__":
    main()
