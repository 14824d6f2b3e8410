"""What the site's build does besides: pages from files outside docs/, formulas, and the commands for mkdocs-click."""

import re
import sys
from pathlib import Path
from typing import Any

INLINE_CODE = re.compile(r"(?<!<span></span>)<code>[^<]*</code>")
OPTION = re.compile(r"--[a-z][\w-]*")
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def on_config(config: Any) -> Any:
    """Make docs/tools importable (mkdocs-click imports `commands` by name) and hand over the drawing of formulas."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    import formulas

    fences = {"name": "math", "class": "formula", "format": formulas.fence}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fences]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the changelog, which stands at the root of the repository; its links lead from there."""
    from mkdocs.structure.files import File

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=re.sub(r"\]\(docs/", "](", text)))
    return files


def on_page_content(html: str, **more: Any) -> str:
    """Keep `--options` within a line on one line: browsers break them after their hyphens."""
    return INLINE_CODE.sub(lambda code: OPTION.sub(r'<span class="option">\g<0></span>', code[0]), html)
