"""Numbers as they are told to people, in the terminal and on the page."""


def count_of(number: int, thing: str) -> str:
    """`1 draw`, `2,000 draws`, `2 processes`."""
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"


def duration(seconds: float | int) -> str:
    """Seconds as `4.1 s`, `41 s`, `3 min 20 s` or `1 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def letter(place: int) -> str:
    """What one of several things beside each other is called: A to Z, then C26, C27, ..."""
    return chr(ord("A") + place) if place < 26 else f"C{place}"
