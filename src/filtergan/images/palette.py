"""The colours of figures and pages, apart from what draws figures, which takes a while to load."""

INK, GREY, RED, BLUE = "#222222", "#7d7d7d", "#d1242f", "#2a86d8"
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4b1d6b", "#222222"),
)
"""Okabe and Ito's colours, which colour-blind readers can tell apart, a violet for the yellow."""
SIGNS = {
    "gain": ("amplified", "dimmed"),
    "brightness": ("amplified", "dimmed"),
    "blur": ("blurred", "sharpened"),
    "offset": ("lighter", "darker"),
    "ground": ("lighter", "darker"),
}
"""What a field does to the image where it is above 0, drawn orange, and below, drawn blue."""
