"""A page as Chromium shows it, without a window and without any package: what it says, and what it finds in itself.

The page is put into frames of the asked widths, so that widths below the least of a window can be looked at. A script
in front of it collects its errors, another one behind it measures; the DOM that Chromium prints has what they found.
"""

import html
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from latentlab.report.browser import find_browser, headless

needs_browser = pytest.mark.skipif(
    find_browser() is None,
    reason="NO CHROMIUM HERE: THE REPORT'S PAGE WAS NOT LOOKED AT (apt install chromium)",
)

WATCH = """<script>
window.found = [];
addEventListener("error", (event) => found.push("error: " + (event.message || event.target.outerHTML)), true);
addEventListener("unhandledrejection", (event) => found.push("rejection: " + event.reason));
addEventListener("securitypolicyviolation", (event) => found.push("forbidden: " + event.blockedURI));
</script>"""

MEASURE = """
const overflowing = (view) => {
  const page = view.document, width = view.innerWidth, found = [];
  if (page.documentElement.scrollWidth > width) found.push(`page: ${page.documentElement.scrollWidth} of ${width}`);
  for (const one of page.body.querySelectorAll("*")) {
    if (one.closest(".scroll, .aside, .skip, dialog:not([open]), svg *")) continue;
    const box = one.getBoundingClientRect();
    const outside = box.width && (box.right > width + 1 || box.left < -1);
    if (outside) found.push(`${one.tagName}.${one.className} ${box.left} to ${box.right}`);
  }
  return found;
};
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const numbers = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const faint = (view) => {
  const page = view.document, found = {};
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = numbers(view.getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const one = text.parentElement;
    if (!text.data.trim() || one.closest("script, style, .aside, .skip, dialog:not([open])")) continue;
    const style = view.getComputedStyle(one);
    const [a, b] = [luminance(numbers(one.closest("svg") ? style.fill : style.color)), luminance(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found[`${one.tagName}.${one.className.baseVal ?? one.className} ${ratio.toFixed(2)}`] = 1;
  }
  return Object.keys(found);
};
const unnamed = (page) =>
  [...page.querySelectorAll("a[href], button, summary, img, svg[role=img], [role=region], dialog")]
    .filter((one) => !(one.textContent.trim() || one.alt || one.ariaLabel))
    .map((one) => one.outerHTML.slice(0, 80));
const levels = (page) => [...page.querySelectorAll("main :is(h1, h2, h3, h4)")].map((one) => Number(one.tagName[1]));
addEventListener("load", async () => {
  const said = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const view = frame.contentWindow, page = view.document;
    const acted = await (async (view, page) => { ACT })(view, page);
    said.push({
      width: view.innerWidth,
      dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
      errors: view.found,
      overflow: overflowing(view),
      faint: faint(view),
      unnamed: unnamed(page),
      levels: levels(page),
      loaded: view.performance.getEntriesByType("resource").map((one) => one.name.slice(0, 80)),
      acted: acted ?? null,
    });
  }
  document.body.replaceChildren();
  document.documentElement.dataset.said = JSON.stringify(said);
});
"""


def look(
    page: str, *, widths: tuple[int, ...] = (390, 1440), dark: bool = False, act: str = ""
) -> list[dict[str, Any]]:
    """What Chromium finds in a page at every width.

    Args:
        page: HTML.
        widths: In CSS pixels.
        dark: Whether the system prefers dark colours.
        act: JavaScript to run before measuring, with `view` (the window) and `page` (its document); what it returns is
            `acted`.

    Returns:
        For every width `errors` of scripts and forbidden addresses, `console` (all messages, of all widths together),
        `overflow`, `faint` (texts below a contrast of 4.5), `unnamed` (links, buttons and pictures), `levels` of
        headings, `loaded` (addresses), `acted`.
    """
    browser = find_browser()
    assert browser is not None
    watched = page.replace("<head>", f"<head>{WATCH}", 1)
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(watched)}"></iframe>' for width in widths
    )
    with tempfile.TemporaryDirectory(prefix="look-", ignore_cleanup_errors=True) as folder:
        outer = Path(folder) / "outer.html"
        script = MEASURE.replace("ACT", act)
        outer.write_text(
            f'<!doctype html><meta charset="utf-8"><style>iframe {{ border: 0 }}</style><body>{frames}'
            f"<script>{script}</script>",
            encoding="utf-8",
        )
        command = [*headless(browser, f"{folder}/profile"), "--enable-logging=stderr", "--virtual-time-budget=20000"]
        command += [
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1600,1000",
            "--dump-dom",
        ]
        ended = subprocess.run([*command, outer.as_uri()], capture_output=True, timeout=120, check=True)
    found = re.search(r'<html[^>]* data-said="([^"]*)"', ended.stdout.decode("utf-8"))
    assert found is not None, ended.stderr.decode("utf-8", "replace")[-2000:]
    console = re.findall(r":CONSOLE[:(]\d+\)?\] (.*)", ended.stderr.decode("utf-8", "replace"))
    return [one | {"console": console} for one in json.loads(html.unescape(found[1]))]
