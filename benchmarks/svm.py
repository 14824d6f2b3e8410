"""Hyperplanes of forty attributes in Z and W by LatentLab beside scikit-learn's LinearSVC, one after the other.

    python benchmarks/svm.py [--rows 200000] [--dims 512] [--attributes 40] [--peer-attributes 5] [--device cuda]

Both solve the same problems: L2 penalty, squared hinge loss, C = 1, regularised intercept, per attribute the most
confident half of the samples. z is normal; w is z through eight random layers of leaky ReLU, with standard deviations
along its principal axes that fall by about 100, as those of trained mappings do. Log-odds are linear in w up to noise
and a bent part in z, with shares of positives from 1 to 99 %. LinearSVC is timed on every n-th attribute and its time
scaled up (`--peer-attributes 40` times all). Each way has a process of its own, one after the other in the same run;
memory is what the process takes at most beyond its libraries, the latents themselves (float32, both spaces) included.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.svm import LinearSVC

from latentlab.cli.display import print_table
from latentlab.memory import keep_freed_memory
from latentlab.metrics.separability.pruning import most_confident
from latentlab.svm import fit_linear_svms

SPACES = ("z", "w")


def make(folder: Path, rows: int, dims: int, attributes: int) -> None:
    """Latents and log-odds as .npy files."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(rows, dims, generator=generator)
    x = z * z.square().mean(1, keepdim=True).rsqrt()
    for _ in range(8):
        weights = torch.randn(dims, dims, generator=generator) * (2 / dims) ** 0.5
        gains = torch.logspace(0, -0.22, dims)[torch.randperm(dims, generator=generator)]
        bias = 0.1 * torch.randn(dims, generator=generator)
        x = torch.nn.functional.leaky_relu(x @ (weights * gains[:, None]) + bias, 0.2)
    w = x / x.std()
    told = w @ torch.randn(dims, attributes, generator=generator)
    told = (told - told.mean(0)) / told.std(0)
    bent = torch.tanh(2 * z @ torch.randn(dims, attributes, generator=generator) / dims**0.5)
    told += 0.5 * bent + 0.5 * torch.randn(rows, attributes, generator=generator)
    logits = 3 * (told + torch.linspace(-1.5, 1.5, attributes))
    for name, values in (("z", z), ("w", w), ("logits", logits)):
        np.save(folder / f"{name}.npy", values.numpy())


def problems(folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels and the rows kept for each attribute."""
    logits = np.load(folder / "logits.npy")
    return logits > 0, [most_confident(column, len(logits) // 2, "log-odds") for column in logits.T]


def ours(folder: Path, device: str, _: int) -> dict[str, Any]:
    """All attributes at once, one space after the other."""
    keep_freed_memory()
    torch.zeros(1, device=device)
    libraries = peak()
    labels, keep = problems(folder)
    latents = {space: np.load(folder / f"{space}.npy") for space in SPACES}
    found: dict[str, Any] = {"seconds": {}, "planes": {}, "iterations": {}}
    for space in SPACES:
        started = time.perf_counter()
        svms = fit_linear_svms(latents[space], labels, keep, device=device)
        found["seconds"][space] = time.perf_counter() - started
        found["planes"][space] = np.column_stack([svms.coef, svms.intercept])
        found["iterations"][space] = int(svms.iterations.max())
        assert svms.converged.all()
    return found | {"memory": (peak() - libraries) / sum(x.nbytes for x in latents.values())}


def theirs(folder: Path, _: str, chosen: int) -> dict[str, Any]:
    """LinearSVC on every n-th attribute: one after the other, and in as many threads as there are cores."""
    libraries = peak()
    labels, keep = problems(folder)
    latents = {space: np.load(folder / f"{space}.npy") for space in SPACES}
    some = [int(n) for n in np.linspace(0, len(keep) - 1, chosen).round()]
    found: dict[str, Any] = {"some": some, "seconds": {}, "planes": {}, "iterations": {}, "each": {}}

    def fit(space: str, attribute: int) -> LinearSVC:
        rows = keep[attribute]
        model = LinearSVC(dual=False)
        return model.fit(latents[space][rows].astype(np.float64), labels[rows, attribute])

    for space in SPACES:
        models, each = [], []
        for attribute in some:
            started = time.perf_counter()
            models.append(fit(space, attribute))
            each.append(time.perf_counter() - started)
        found["seconds"][space] = sum(each) * len(keep) / len(some)
        found["each"][space] = each
        found["planes"][space] = np.array([np.append(model.coef_[0], model.intercept_) for model in models])
        found["iterations"][space] = max(int(model.n_iter_) for model in models)
    found["memory"] = (peak() - libraries) / sum(x.nbytes for x in latents.values())
    found["threads"] = {}
    for space in SPACES:
        started = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda attribute, space=space: fit(space, attribute), some))
        found["threads"][space] = (time.perf_counter() - started) * len(keep) / len(some)
    return found


def peak() -> int:
    """Most memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone(function: Any, *arguments: Any) -> Any:
    """What the function gives in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_send, args=(sender, function, arguments))
    process.start()
    found = receiver.recv()
    process.join()
    return found


def _send(connection: Connection, function: Any, arguments: tuple[Any, ...]) -> None:
    connection.send(function(*arguments))


def agreement(folder: Path, space: str, mine: dict[str, Any], peer: dict[str, Any]) -> tuple[float, float, list[float]]:
    """Largest relative distance of hyperplanes, smallest share of equal answers, and by which share of the objective
    LinearSVC's hyperplanes lie above LatentLab's (float64), for each attribute."""
    x = np.load(folder / f"{space}.npy").astype(np.float64)
    labels, keep = problems(folder)
    distances, equal, above = [], [], []
    for other, attribute in zip(peer["planes"][space], peer["some"], strict=True):
        plane, rows = mine["planes"][space][attribute], keep[attribute]
        distances.append(np.linalg.norm(plane - other) / np.linalg.norm(other))
        answers = [x @ one[:-1] + one[-1] for one in (plane, other)]
        equal.append(np.mean((answers[0] > 0) == (answers[1] > 0)))
        signs = np.where(labels[rows, attribute], 1, -1)
        losses = [(np.maximum(0, 1 - signs * answer[rows]) ** 2).sum() for answer in answers]
        objectives = [loss + one @ one / 2 for loss, one in zip(losses, (plane, other), strict=True)]
        above.append(objectives[1] / objectives[0] - 1)
    return max(distances), min(equal), above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dims", type=int, default=512)
    parser.add_argument("--attributes", type=int, default=40)
    parser.add_argument("--peer-attributes", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(make, folder, options.rows, options.dims, options.attributes)
        mine = alone(ours, folder, options.device, 0)
        peer = alone(theirs, folder, "cpu", min(options.peer_attributes, options.attributes))
        rows = []
        for space in (*SPACES, "both"):
            names = SPACES if space == "both" else (space,)
            one, threads, our = (
                sum(times[n] for n in names) for times in (peer["seconds"], peer["threads"], mine["seconds"])
            )
            rows.append([space, f"{one:,.0f}", f"{threads:,.0f}", f"{our:.1f}", f"{one / our:.1f}"])
            rows[-1].append(f"{threads / our:.1f}")
        where = (
            f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
        )
        title = f"Seconds for {options.attributes} attributes, {options.rows:,} x {options.dims} ({where})"
        columns = ["space", "LinearSVC", "in threads", "LatentLab", "ratio", "ratio to threads"]
        print_table(columns, rows, title=title)
        for space in SPACES:
            distance, equal, above = agreement(folder, space, mine, peer)
            each = ", ".join(f"{seconds:.1f}" for seconds in peer["each"][space])
            print(
                f"{space}: hyperplanes at most {distance:.1e} apart (relative), {100 * equal:.4f} % of answers "
                f"equal or more; LinearSVC's objectives above LatentLab's by {', '.join(f'{a:.1e}' for a in above)}; "
                f"Newton steps {mine['iterations'][space]}; LinearSVC's seconds: {each}"
            )
        print(f"memory beyond libraries: {mine['memory']:.2f} times the latents; LinearSVC {peer['memory']:.2f}")


if __name__ == "__main__":
    main()
