"""The schematic pictures of docs/methods, a module each; `strokes` has what they are drawn with."""
