"""What became of a game: whether its generator converged, and the numbers that say so."""

from filtergan.machine.wording import count_of
from filtergan.runs.record import TOO_SHORT, Found, Verdict

LEAST_STEPS = 450
"""The steps of the shortest study whose record is kept and says that it converged: results/digits.
What a shorter game has not reached, a longer one may."""
READERS = {
    "step_r2_mean": "the mean R² with which images tell it",
    "latent_r2_mean": "Q's mean R²",
}
"""What shows that the latent makes a difference, the first of them that was measured."""
LEAST_R2 = 0.3  # of these, on average over the latents
LEAST_SPREAD = 0.02  # of the draws, in norms of the real filters


def verdict(found: Found, null: float, steps: int) -> tuple[Verdict, str]:
    """What became of a game that was played to its end, and the numbers that say so.

    Args:
        found: Measures of the site.
        null: Accuracy with random filters, which single draws must exceed.
        steps: How many were played.

    Returns:
        `converged`; `collapsed`, if the latent makes no difference; `diverged`, if draws are no
        better than random filters. For the last two, where numbers tell and the steps were fewer
        than `LEAST_STEPS`, `too short to say`. Then the reason.
    """
    reached, reason = _reached(found, null)
    finite = None not in (found["single_draw_accuracy"].value, found["filter_spread"].value)
    if reached == "converged" or steps >= LEAST_STEPS or not finite:
        return reached, reason
    few = f"but the game had {count_of(steps, 'step')} only, fewer than the {LEAST_STEPS}"
    return TOO_SHORT, f"{reason}, {few} of the shortest study known to converge"


def _reached(found: Found, null: float) -> tuple[Verdict, str]:
    """The verdict on a game that was long enough."""
    accuracy, low = found["single_draw_accuracy"].value, found["single_draw_accuracy"].ci95[0]
    spread = found["filter_spread"].value
    if accuracy is None or spread is None or low is None or low <= null:
        reached = "no accuracy" if accuracy is None else f"{accuracy:.3f}"
        return (
            "diverged",
            f"single draws are no better than random filters ({reached} vs {null:.3f})",
        )
    said = "no Q was trained"
    # Where images are transformed they tell what the latent does, and Q only looks on.
    reader = next((name for name in READERS if name in found), None)
    if reader:
        r2 = found[reader].value
        if r2 is None or r2 < LEAST_R2:
            explained = "no number" if r2 is None else f"{r2:.2f}"
            why = f"the latent is ignored: {READERS[reader]} is {explained}, below {LEAST_R2}"
            return "collapsed", why
        said = f"mean R² {r2:.2f}"
    if spread < LEAST_SPREAD:
        why = f"all draws are alike: filter_spread is {spread:.4f}, below {LEAST_SPREAD}"
        return "collapsed", why
    real = found["real_accuracy"].value
    return (
        "converged",
        f"single draws reach {accuracy:.3f} where the real filters reach {real:.3f}; "
        f"{said}, spread {spread:.2f}",
    )


def told_of(verdict: Verdict | None) -> str:
    """A verdict as it follows the words `the generator`."""
    if verdict == TOO_SHORT:
        return "was trained too briefly to say"
    return verdict or "was not assessed"
