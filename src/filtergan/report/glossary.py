"""The words of the page that need saying, in place: hover, tap or press Enter."""

import re

from markupsafe import Markup, escape

WORDS = {
    "response": "What the network hands on from the studied layer, read at a named point behind "
    "it.",
    "filters": "All weights of one convolution, taken together.",
    "generator": "A small network that makes whole sets of filters for one layer out of a latent.",
    "latent": "The numbers, z0, z1 and so on, from which the generator makes a set of filters. "
    "Each is a knob; 1 is its standard deviation over all draws.",
    "draw": "One set of filters from the generator, at a random latent.",
    "compensation": "The share undone: how much of what other filters change in the response an "
    "image brings back. 1 is all of it, 0 nothing; below 0 it makes things worse.",
    "random changes of the filters": "The null: filters changed at random by as much, with images "
    "sought in the same way. Below 0 they do worse than the images as they are, which have 0.",
    "null": "What comes out where there is nothing to find: the same procedure with random "
    "changes.",
    "invariance": "A change of the image that can be seen, leaves the label, and is undone by "
    "other filters: the network does not care about it.",
    "traversal": "A walk through the latents: for each step, the image that makes up for the "
    "change of the filters.",
    "transformer": "A network that makes the changed image from the image and the two latents in "
    "one pass: one rule for all images.",
    "natural recipe": "Generator and image transformer are trained together.",
    "paper's recipe": "The generator is trained alone, by the game of Kilcher et al.; then images "
    "are searched pixel by pixel.",
    "gate": "A test that the images must pass to be believed at all.",
    "repeatability": "Whether searches from other starts find the same images. The ICC, "
    "intraclass correlation, is the share of the variance that comes back.",
    "manifold": "Where the data lie: an image is on it if it is as near to training images of its "
    "class as 95 % of test images are.",
    "judges": "Independent classifiers, trained on the same images; no generator ever saw them.",
    "family": "A known kind of change of images, such as brightness or an affine map.",
    "ceiling": "The most of a known change of images that filters of the layer were found to undo.",
    "affine": "Shift, turn, stretch and slant of the whole image.",
    "spline": "A smooth warp of the image, which bends it; affine maps and brightness are within "
    "it.",
    "photometric": "Brightness and contrast of the whole image.",
    "pooled": "The mean of the responses of several draws, in place of the layer's own.",
    "image change": "Length of the difference of both images, over the length of the image.",
}
"""Each word with what it means here."""

_FORMS = {
    "compensation": ("undone", "undo"),
    "repeatability": ("ICC",),
    "manifold": ("naturalness",),
    "random changes of the filters": ("random changes of filters", "random filters"),
    "judges": ("independent judges", "judge"),
    "family": ("families",),
    "invariance": ("ignores", "ignored"),
}
"""Other forms under which a word is met, beside its plural."""

_TERMS = {
    form.lower(): word for word in WORDS for form in (word, f"{word}s", *_FORMS.get(word, ()))
}
_PATTERN = re.compile(
    rf"\b({'|'.join(map(re.escape, sorted(_TERMS, key=len, reverse=True)))})\b", re.IGNORECASE
)


def glossed(text: str) -> Markup:
    """A text in which each word is a button that explains it, where it comes first."""
    seen: set[str] = set()

    def button(match: re.Match[str]) -> str:
        word = _TERMS[match[0].lower()]
        if word in seen:
            return match[0]
        seen.add(word)
        return term(word, match[0])

    return Markup(_PATTERN.sub(button, escape(text)))


def term(word: str, shown: str | None = None) -> Markup:
    """One word of the glossary as a button.

    Args:
        word: As `WORDS` has it.
        shown: The form in which it stands here.
    """
    template = '<button type="button" class="term" popovertarget="{}" title="{}">{}</button>'
    return Markup(template).format(anchor(word), WORDS[word], shown or word)


def anchor(word: str) -> str:
    """Where a word's explanation lies on the page."""
    return f"word-{word.replace(' ', '-')}"
