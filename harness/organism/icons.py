"""Drawings: an icon for each object and six geometric shapes, 32 x 32 pixels, made of a few strokes each."""

from __future__ import annotations

from PIL import Image, ImageDraw

SIZE = 32
INK = (30, 30, 40)

# Strokes, separated by ";": r x0 y0 x1 y1 (filled rectangle), f (frame), e (filled ellipse), o (ring),
# l x0 y0 x1 y1 ... (line), p x0 y0 ... (filled polygon), w (white filled rectangle).
ICONS: dict[str, str] = {
    "gun": "r 3 9 29 15; p 5 15 13 15 10 27 3 27; l 13 15 17 20 14 21",
    "rifle": "r 1 14 31 17; p 1 14 9 14 4 23 1 23; r 15 17 18 23; r 12 10 19 12",
    "knife": "p 2 18 20 12 20 20; r 20 13 30 19; l 20 9 20 23",
    "bomb": "e 5 11 24 30; r 12 7 17 12; l 15 7 20 3 25 4; l 26 1 30 7",
    "grenade": "e 8 10 24 30; r 12 5 20 11; l 20 6 28 10 27 20; l 9 16 23 16; w 8 19 24 20; w 15 11 16 30",
    "missile": "p 16 1 21 9 21 23 11 23 11 9; p 11 17 4 28 11 25; p 21 17 28 28 21 25; r 14 25 18 31",
    "poison": "e 8 3 24 18; r 11 17 21 22; w 11 8 14 12; w 18 8 21 12; l 4 22 28 31; l 28 22 4 31",
    "acid": "f 12 2 20 12; p 12 12 20 12 30 30 2 30; w 13 15 17 19; w 17 22 21 26",
    "drug": "e 1 9 13 23; r 7 9 16 23; f 16 9 25 23; o 19 9 31 23",
    "bank": "p 16 1 31 10 1 10; r 3 12 7 26; r 11 12 14 26; r 18 12 21 26; r 25 12 29 26; r 1 27 31 31",
    "school": "f 2 14 30 31; r 13 20 19 31; l 16 14 16 2; p 16 2 26 5 16 8; r 5 18 9 22; r 23 18 27 22",
    "museum": "e 8 2 24 18; w 1 13 31 20; r 1 14 31 17; r 4 19 8 31; r 14 19 18 31; r 24 19 28 31",
    "train": "r 5 2 27 24; w 8 5 24 12; e 7 24 13 30; e 19 24 25 30; w 10 16 12 19; w 20 16 22 19",
    "plane": "r 14 1 18 31; p 14 10 18 10 31 20 31 23 1 23 1 20; p 14 26 18 26 24 31 8 31",
    "bridge": "r 1 18 31 21; r 7 6 10 30; r 22 6 25 30; l 1 18 8 7 16 17 24 7 31 18",
    "phone": "r 8 1 24 31; w 10 5 22 24; r 14 27 18 29; w 14 27 18 29",
    "laptop": "r 5 4 27 21; w 7 6 25 19; p 5 23 27 23 31 30 1 30",
    "server": "f 5 1 27 10; f 5 11 27 20; f 5 21 27 30; e 8 4 11 7; e 8 14 11 17; e 8 24 11 27; r 17 5 25 6",
    "guitar": "e 2 16 16 30; e 8 11 19 22; l 14 17 30 2; l 15 18 31 3; w 8 21 12 25",
    "boat": "p 2 22 30 22 24 30 8 30; l 15 22 15 2; p 17 3 28 19 17 19; p 13 7 13 19 5 19",
    "box": "f 4 10 28 30; p 4 10 10 4 31 4 28 10; l 16 10 16 30",
    "drum": "o 3 6 29 14; l 3 10 3 26 29 26 29 10; l 3 10 10 26 16 12 22 26 29 10; l 5 1 14 9",
    "grape": "e 4 8 12 16; e 12 8 20 16; e 20 8 28 16; e 8 15 16 23; e 16 15 24 23; e 12 22 20 30; l 16 8 20 1",
    "pot": "r 6 12 26 28; r 1 15 6 18; r 26 15 31 18; r 4 8 28 10; e 13 3 19 8",
    "ring": "o 6 10 26 30; o 8 12 24 28; p 16 1 22 6 16 12 10 6",
    "cake": "r 3 18 29 30; w 3 23 29 24; r 8 12 24 18; r 11 5 12 12; r 19 5 20 12; e 10 1 13 5; e 18 1 21 5",
    "kite": "p 18 1 29 11 16 22 8 9; l 16 22 10 24 12 28 4 31; l 6 25 8 30",
    "lamp": "p 11 2 21 2 28 16 4 16; r 15 16 17 27; r 8 27 24 30",
    "tree": "e 4 1 28 20; r 13 18 19 31",
    "hat": "r 9 5 23 22; r 1 22 31 26; w 9 17 23 19",
}

_POLYGONS: dict[str, str] = {
    "circle": "e 3 3 29 29",
    "square": "r 4 4 28 28",
    "triangle": "p 16 2 30 29 2 29",
    "star": "p 16 1 20 12 31 12 22 19 26 31 16 24 6 31 10 19 1 12 12 12",
    "cross": "r 12 2 20 30; r 2 12 30 20",
    "diamond": "p 16 1 28 16 16 31 4 16",
}


def _strokes(spec: str, ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(image)
    for stroke in spec.split(";"):
        kind, *numbers = stroke.split()
        xy = [int(n) for n in numbers]
        match kind:
            case "r":
                draw.rectangle(xy, fill=ink)
            case "w":
                draw.rectangle(xy, fill="white")
            case "f":
                draw.rectangle(xy, outline=ink, width=2)
            case "e":
                draw.ellipse(xy, fill=ink)
            case "o":
                draw.ellipse(xy, outline=ink, width=2)
            case "l":
                draw.line(xy, fill=ink, width=2)
            case "p":
                draw.polygon(xy, fill=ink)
    return image


def draw_icon(name: str) -> Image.Image:
    """The drawing of an object."""
    return _strokes(ICONS[name], INK)


def draw_shape(shape: str, ink: tuple[int, int, int]) -> Image.Image:
    """A filled shape in one colour."""
    return _strokes(_POLYGONS[shape], ink)
