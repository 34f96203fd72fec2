"""Puts the demo's table and a picture of its report into the README: `make readme`, after `make demo`.

    python docs/readme.py runs/demo

The picture needs Chromium; without it the old one stays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness import plugins
from harness.runstore import Run

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)
# The paper's columns that a newcomer needs; all of them are in the report and in `gapbench table`.
COLUMNS = ("Defense", "ASR media", "ASR text", "Over-refusal", "Accuracy", "Incoherent", "Time ×")


def shortened(table: str) -> str:
    """The wanted columns of a Markdown table, and the notes around it."""
    lines = table.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| "))
    names = [cell.strip() for cell in lines[first].strip("|").split("|")]
    keep = [names.index(name) for name in COLUMNS]

    def cut(line: str) -> str:
        if not line.startswith("|"):
            return line
        cells = re.split(r"(?<!\\)\|", line.strip("|"))
        return "|" + "|".join(cells[i] for i in keep) + "|"

    return "\n".join(cut(line) for line in lines)


def picture(report: Path, out: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium here: the picture was not made anew")
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,2300"]
    command = [browser, *flags, f"--screenshot={out}", report.resolve().as_uri()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    run = Run.open(sys.argv[1])
    table = shortened(plugins.reporter("table")(run, format="markdown"))
    readme = ROOT / "README.md"
    text = TABLE.sub(lambda found: f"{found[1]}{table.strip()}\n{found[2]}", readme.read_text("utf-8"))
    readme.write_text(text, "utf-8")
    picture(run.report(), ROOT / "docs" / "report.png")


if __name__ == "__main__":
    main()
