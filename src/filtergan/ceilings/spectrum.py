"""The spectrum of a site: all smooth changes of images, sorted by how far filters can undo them.

With J_m the derivative of the response along the image field m, and A that by the filters, the
change of filters that best undoes the fields' mixture theta leaves

    residual(theta) = min over dF of E ||A dF + sum over m of theta_m J_m||^2,

a quadratic form. Its generalised eigenvectors against E ||sum theta_m J_m||^2 are the directions of
the spectrum, and 1 less their eigenvalues the shares that filters undo.

At `conv` and `activation` A is the unfolded site input times the slope of what follows at its
place, so that every filter has a system of its own. Three sets of images: filters are fitted on the
first, directions and ridge chosen on the second, shares told of the third.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.linalg import eigh
from torch import Tensor

from filtergan.ceilings.ceiling import Asked, Ceiling, require_images, some_of
from filtergan.ceilings.undoing import PLAIN, unfolded
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.values import FieldKind
from filtergan.errors import UserError
from filtergan.families.family import Fixed
from filtergan.figures import directions_figure
from filtergan.images.image_fields import KINDS, FieldSpace
from filtergan.machine import telling
from filtergan.machine.storage import RowsLike
from filtergan.sites.convolution import convolve
from filtergan.sites.site import Site

FITTED, JUDGED = 500, 250
"""Images on which filters are fitted, and in either set on which they are judged."""
STEP = 0.05  # of the central differences, in units of the fields
SIZE = 0.3  # root mean square change of the images, in norms of an image, of a direction's fields
RIDGES = (1e-5, 1e-3, 1e-2, 1e-1, 1.0)  # of the mean variance of a filter's inputs
FLOOR, IDLE = 0.05, 1e-3
"""Of the mean response change, what an image change as large as the mean is taken to cause besides;
and of that, what fields do that change no image. So directions without response undo nothing."""
WALKED = 5  # steps of a direction that are shown
CHUNK, PASS = 25, 500  # images whose derivatives are in memory at once, and in one pass
MEMORY = 2**31  # bytes of the systems of all filters


@dataclass(frozen=True)
class Spectrum:
    """Directions of image change, the best undone first.

    Attributes:
        space: What the coefficients are of.
        shares: Share of each direction's response change that filters undo, of held-out images.
        nulls: The same for filters fitted to what the fields do to other images.
        ceilings: Of each direction as a change of images of the size of `fields`, which is no
            longer linear, with filters fitted to that.
        fields: Coefficients of each direction, of a size at which images change by .3 of their
            norm to first order.
        filters: The change of the real filters that undoes it.
        ridge: Chosen, of the mean variance of a filter's inputs.
    """

    space: FieldSpace
    shares: Float[Tensor, " d"]
    nulls: Float[Tensor, " d"]
    ceilings: tuple[Ceiling, ...]
    fields: Float[Tensor, "d m g g"]
    filters: Float[Tensor, "d o i kh kw"]
    ridge: float

    def __repr__(self) -> str:
        """How many directions, and what is undone of the first."""
        first = f"{float(self.shares[0]):.2f}, null {float(self.nulls[0]):.2f}"
        return f"Spectrum({len(self.shares)} directions, of the first undone {first})"

    def kinds(self, x: Float[Tensor, "n c h w"]) -> list[dict[FieldKind, float]]:
        """How much each kind of field has in every direction's change of images.

        Args:
            x: Images whose changes are compared.

        Returns:
            For each direction, squared changes by one kind alone over the sum of these.
        """
        tangents = self.space.tangents(x).flatten(1)
        parts, start = {}, 0
        for kind, channels in self.space.channels.items():
            of_kind = slice(start, start + channels * self.space.grid**2)
            change = self.fields.flatten(1)[:, of_kind] @ tangents[of_kind]
            parts[kind], start = change.square().sum(1), of_kind.stop
        total = torch.stack(list(parts.values())).sum(0)
        shares = {kind: (part / total).tolist() for kind, part in parts.items()}
        return [{kind: of[i] for kind, of in shares.items()} for i in range(len(total))]

    def figure(self, x: Float[Tensor, "n c h w"]):
        """The directions as a matplotlib figure, each walked back and forth from some images.

        Args:
            x: A few images, pixels in [0, 1].
        """
        steps = torch.linspace(-1, 1, WALKED)
        walked = [
            [self.space.apply(x, (step * own).expand(len(x), -1, -1, -1)) for step in steps]
            for own in self.fields.to(x)
        ]
        told = []
        for kinds, share, null, at_size in zip(
            self.kinds(x), self.shares, self.nulls, self.ceilings, strict=True
        ):
            most = sorted(kinds, key=lambda kind: -kinds[kind])[:2]
            of = ", ".join(f"{kind} {kinds[kind]:.0%}" for kind in most)
            undone = f"undone {share:.2f} (null {null:.2f})"
            told.append(f"{of}\n{undone}\nat this size {at_size.compensation.value:.2f}")
        return directions_figure(torch.stack([torch.stack(one) for one in walked]), told)


def spectrum_of(
    site: Site,
    train: RowsLike,
    test: RowsLike,
    kinds: Sequence[FieldKind] = KINDS,
    grid: int = 4,
    directions: int = 12,
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> Spectrum:
    """The leading directions of a site, read at `conv` or `activation`.

    Args:
        site: Of a network of images, its convolution of two dimensions.
        train: Pixels in [0, 1], as `rows_of` makes rows; filters are fitted on some of them.
        test: Others, on some of which directions are chosen, and on others shares told.
        kinds: Of fields.
        grid: Coefficients of a field along each axis.
        directions: How many are wanted.
        config: Of the ceilings of the directions.
        seed: Of the choice of images, and of the ceilings.

    Raises:
        UserError: The response is read further on, or what follows the convolution mixes places;
            the images are no pixels, or too few; or the layer is too large.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> others = torch.rand(32, 1, 8, 8)
        >>> fg.spectrum_of(site, images, others, kinds=("gain",), grid=2, directions=2).shares.shape
        torch.Size([2])
    """
    require_images(site)
    _require(site)
    fitted = some_of(train, FITTED, seed, "fitted").to(site.filters.device)
    held = some_of(test, 2 * JUDGED, seed, "held out").to(fitted)
    if min(len(fitted), len(held)) < 4:
        raise UserError("A spectrum needs four images for each of training and test; give more.")
    shape = (fitted.shape[1], fitted.shape[2], fitted.shape[3])
    space = FieldSpace(shape, tuple(kinds), grid)
    parts = (fitted, *held.tensor_split(2))
    total = sum(map(len, parts))
    with telling.progress(total, f"spectrum of {site.name}", "images") as advance:
        known, chosen, judged = (Forms.of(site, space, part, advance) for part in parts)
    found = [_solved(known, chosen, judged, null) for null in (False, True)]
    (ridge, theta, solution, shares), (*_, nulls) = found
    theta, shares, nulls = theta[:, :directions], shares[:directions], nulls[:directions]
    size = (theta * (known.images @ theta)).sum(0).sqrt() / known.norm**0.5
    theta = theta * SIZE / size
    theta = theta * _towards(space, fitted[:CHUNK], theta.mT.float())
    filters = -torch.einsum("odm,mk->kod", solution, theta).unflatten(2, site.filters.shape[1:])
    fields, filters = theta.mT.float().unflatten(1, space.size), filters.float()
    asked = Asked.of(site, train, parts[2], config, seed)
    at_size = tuple(asked.ceiling("fields", _fixed(space, own), config) for own in fields)
    return Spectrum(space, shares.float(), nulls.float(), at_size, fields, filters, ridge)


def _towards(space: FieldSpace, x: Tensor, theta: Tensor) -> Float[Tensor, " d"]:
    """The sign of each direction that changes images more: grey levels end at 0 and at 1."""
    signs = []
    for own in theta.unflatten(1, space.size):
        moves = [space.apply(x, (s * own).expand(len(x), -1, -1, -1)) - x for s in (1, -1)]
        signs.append(1.0 if moves[0].norm() >= moves[1].norm() else -1.0)
    return torch.tensor(signs).to(theta)


def _fixed(space: FieldSpace, fields: Tensor) -> Fixed:
    """A direction as a change of images."""
    return Fixed("fields", lambda x, _: space.apply(x, fields.expand(len(x), -1, -1, -1)), 1.0)


@dataclass
class Forms:
    """Quadratic forms of a set of images, sums over them and over places.

    Attributes:
        gram: A' A of each filter, [o, d, d].
        cross: A' J of each filter, [o, d, m].
        null: The same with J of another image.
        energy: J' J over all filters, [m, m].
        images: The same of the change of images.
        norm: Sum of the images' squares.
    """

    gram: Float[Tensor, "o d d"]
    cross: Float[Tensor, "o d m"]
    null: Float[Tensor, "o d m"]
    energy: Float[Tensor, "m m"]
    images: Float[Tensor, "m m"]
    norm: float = 0.0

    @classmethod
    def of(cls, site: Site, space: FieldSpace, x: Tensor, advance: telling.Tick) -> "Forms":
        """The forms of some images, in float64."""
        o, d = len(site.filters), site.filters[0].numel()
        m = space.size[0] * space.grid**2
        zeros = site.filters.new_zeros
        forms = cls(zeros(o, d, d), zeros(o, d, m), zeros(o, d, m), zeros(m, m), zeros(m, m))
        for part in x.split(CHUNK):
            forms._add(site, space, part)
            advance(len(part))
        forms.images, forms.energy = forms.images.double(), forms.energy.double()
        return forms

    @torch.no_grad()
    def _add(self, site: Site, space: FieldSpace, x: Tensor) -> None:
        tangents = space.tangents(x)
        flat = tangents.flatten(1)
        self.images += flat @ flat.mT
        self.norm += float(x.square().sum())
        change = _derivatives(site, x, tangents)  # [m, n, o, l]
        self.energy += change.flatten(1) @ change.flatten(1).mT
        inputs = site.input(x)
        rows = unfolded(inputs, site.filters.shape[2:], site.geometry).movedim(0, 2).flatten(2)
        slopes = slope(site, inputs).flatten(2).movedim(1, 0).flatten(1)  # [o, n l]
        each = len(slopes) // len(rows)
        others = change.roll(1, dims=1)
        for o, own in enumerate(slopes):
            there = own.nonzero()[:, 0]
            seen = rows[o // each][:, there] * own[there]
            self.gram[o] += seen @ seen.mT
            self.cross[o] += seen @ change[:, :, o].flatten(1)[:, there].mT
            self.null[o] += seen @ others[:, :, o].flatten(1)[:, there].mT

    def residual(self, solution: Tensor, null: bool) -> Float[Tensor, "m m"]:
        """What a solution [o, d, m] leaves."""
        cross = (self.null if null else self.cross).double()
        mixed = torch.einsum("odm,odk->mk", solution, cross)
        used = torch.zeros_like(mixed)
        for own, gram in zip(solution, self.gram, strict=True):
            used += own.mT @ (gram.double() @ own)
        return self.energy - mixed - mixed.mT + used

    def floor(self) -> Float[Tensor, "m m"]:
        """What image changes are taken to cause besides."""
        eye = torch.eye(len(self.images), dtype=torch.float64, device=self.images.device)
        known = self.images + IDLE * self.images.diagonal().mean() * eye
        return FLOOR * known * (self.energy.trace() / known.trace())


def slope(site: Site, inputs: Tensor) -> Float[Tensor, "n o *l"]:
    """The derivative of the response at each place by the convolution's output there, under W.

    Raises:
        UserError: What follows the convolution mixes places or channels.
    """
    filters, found = site.filters, []
    out = convolve(inputs, filters, site.bias, site.geometry, site.backend)
    for seed in range(2):
        sign = torch.randint(0, 2, out.shape, generator=torch.Generator().manual_seed(seed))
        sign = (2 * sign - 1).to(out)
        with torch.enable_grad():
            value = out.detach().requires_grad_()
            (grad,) = torch.autograd.grad((site.answer(value.clone()) * sign).sum(), [value])
        found.append(grad * sign)
    if not torch.allclose(*found, rtol=1e-3, atol=1e-4 * float(found[0].abs().max())):
        raise UserError(
            f"What follows {site.layer!r} up to {site.point!r} mixes places or channels, for which "
            "there is no spectrum; read it at conv."
        )
    return found[0]


def _require(site: Site) -> None:
    """Refuse what would take too long or too much.

    Raises:
        UserError: The response is read further on, or the layer is too large.
    """
    if site.point not in ("conv", "activation"):
        raise UserError(
            f"The spectrum of {site.name} would need the derivative of {site.point!r} by every "
            "weight; there is one at conv and at activation, and ceilings at every reading."
        )
    o, d = len(site.filters), site.filters[0].numel()
    if 3 * 4 * o * d * d > MEMORY:
        size = 12 * o * d * d / 2**30
        raise UserError(
            f"The spectrum of {site.layer!r} would take {size:.0f} GiB, of which "
            f"{MEMORY / 2**30:.0f} are allowed; choose a smaller layer."
        )


def _derivatives(site: Site, x: Tensor, tangents: Tensor) -> Float[Tensor, "m n o l"]:
    """Central differences of the response along each change of images."""
    many = x.expand(len(tangents), -1, -1, -1, -1).flatten(0, 1)
    moves = STEP * tangents.flatten(0, 1)
    parts = zip(many.split(PASS), moves.split(PASS), strict=True)
    found = [
        (site.respond(site.input(one + move)) - site.respond(site.input(one - move))).flatten(2)
        for one, move in parts
    ]
    return torch.cat(found).unflatten(0, (len(tangents), len(x))) / (2 * STEP)


def _solved(
    known: Forms, chosen: Forms, judged: Forms, null: bool
) -> tuple[float, Tensor, Tensor, Tensor]:
    """The best ridge, its directions [m, d], filters for each field [o, d, m], and shares told."""
    best = None
    for ridge in RIDGES:
        crosses = known.null if null else known.cross
        systems = zip(known.gram, crosses, strict=True)
        solution = torch.stack([_answered(gram, cross, ridge) for gram, cross in systems])
        floor = chosen.floor()
        values, theta = eigh(
            (chosen.residual(solution, null) + floor).cpu().numpy(),
            (chosen.energy + floor).cpu().numpy(),
        )
        worth = float((1 - values).clip(min=0).sum())
        if best is None or worth > best[0]:
            best = worth, ridge, torch.from_numpy(theta).to(solution), solution
    assert best is not None
    _, ridge, theta, solution = best

    def of(form: Tensor) -> Tensor:
        return (theta * (form @ theta)).sum(0)

    shares = 1 - of(judged.residual(solution, null)) / of(judged.energy)
    return ridge, theta, solution, shares


def _answered(gram: Tensor, cross: Tensor, ridge: float) -> Float[Tensor, "d m"]:
    """Solves the system of one filter."""
    raised = gram.double()
    raised.diagonal().add_(ridge * raised.diagonal().mean() + 1e-12)
    return torch.linalg.solve(raised, cross.double())
