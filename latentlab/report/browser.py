"""PDF from the page, by a Chromium without a window: the only thing of a report that needs a browser."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from latentlab.errors import LatentLabError, UsageError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge", "msedge")
_PLACES = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"),
)
SECONDS = 180


def find_browser() -> str | None:
    """The first of Chromium, Chrome and Edge that is on the path or where macOS keeps programs; None without any."""
    named = (shutil.which(name) for name in NAMES)
    return next(filter(None, named), None) or next((str(place) for place in _PLACES if place.is_file()), None)


def require_browser() -> str:
    """`find_browser`, which must find one.

    Raises:
        UsageError: There is none.
    """
    browser = find_browser()
    if browser is None:
        raise UsageError(
            "a report as PDF is printed by Chromium, Chrome or Edge, and none of them is on the path "
            f"({', '.join(NAMES)}): install one, or open index.html in any browser and print it there."
        )
    return browser


def headless(browser: str, profile: str) -> list[str]:
    """The beginning of a command that runs a browser without a window and without the user's profile or a network."""
    options = ["--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--disable-extensions"]
    options += ["--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to start for root with it
    return [browser, *options]


def print_pdf(page: str) -> bytes:
    """A page of HTML as PDF.

    Raises:
        UsageError: There is no browser.
        LatentLabError: The browser failed.
    """
    browser = require_browser()
    with tempfile.TemporaryDirectory(prefix="latentlab-pdf-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "index.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [*headless(browser, f"{folder}/profile"), "--no-pdf-header-footer", f"--print-to-pdf={target}"]
        try:
            ended = subprocess.run([*command, source.as_uri()], capture_output=True, timeout=SECONDS, check=False)
            said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
        except (OSError, subprocess.TimeoutExpired) as error:
            said = [str(error)]
        if not target.is_file() or not target.read_bytes().startswith(b"%PDF"):
            raise LatentLabError(
                f"{browser} did not print the report: {' '.join(said) or 'it said nothing'}. Open index.html in a "
                "browser and print it there."
            )
        return target.read_bytes()
