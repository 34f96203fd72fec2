"""Matplotlib figures as SVG that follows the page: its colours, its font, no ids that clash, and a description."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
COLOURS = {"#0a5f9e": "--c1", "#b3470a": "--c2", "#3d7a2a": "--c3", "#7a3fa0": "--c4", "#6b6b6b": "--muted"}
BLUE, ORANGE, GREEN, PURPLE, GREY = COLOURS
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "svg.hashsalt": "gapbench",
}


@dataclass(frozen=True)
class Drawn:
    """A figure with a file name, a title, and one plain sentence on how to read it."""

    name: str
    title: str
    reading: str
    figure: Figure


@contextmanager
def style() -> Iterator[None]:
    """Within it, labels are plain text (never TeX) and plots have the report's look."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def fixed(figure: Figure) -> Figure:
    """The figure with its layout computed once: it is drawn several times."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as matplotlib writes it: for papers and for editors that know no CSS variables."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def inlined(svg: str, ident: str, title: str, description: str) -> str:
    """What `to_svg` gave, as a part of a page: `ident` has to be unique on it; black becomes `currentColor`."""
    root = ET.fromstring(svg)
    for meta in root.findall(f"{{{SVG}}}metadata"):
        root.remove(meta)
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            element.set(name, _attribute(name, value, ident))
        if element.tag == f"{{{SVG}}}style":
            element.text = ""
        elif element.text:
            element.text = visible(element.text)
    _describe(root, ident, title, description)
    return ET.tostring(root, encoding="unicode")


def to_png(figure: Figure) -> bytes:
    """The same figure on white, 200 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    return buffer.getvalue()


def _describe(root: ET.Element, ident: str, title: str, description: str) -> None:
    for place, (name, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{SVG}}}{name}", {"id": f"{ident}-{name}"})
        element.text = visible(text)
        root.insert(place, element)
    box = root.get("viewBox", "0 0 1 1").split()
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{ident}-title {ident}-desc")
    root.set("style", f"max-width:{float(box[2]) * 1.5:.0f}px")


def _attribute(name: str, value: str, ident: str) -> str:
    if name == "id":
        return f"{ident}-{value}"
    if name == f"{{{XLINK}}}href":
        return value.replace("#", f"#{ident}-", 1)
    value = re.sub(r"url\(#", f"url(#{ident}-", value)
    for colour, variable in COLOURS.items():
        value = value.replace(colour, f"var({variable}, {colour})")
    if name == "style":
        value = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", value)  # the shorthand of older versions
        value = re.sub(r"font-family:[^;]*;?\s*", "", value)
    return re.sub(r"#000000\b|\bblack\b", "currentColor", value)


ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)
