"""What speaks against what is seen at a site, and what is said of its latents beside that."""

import re

from filtergan.measures.gates import failures, findings, gates
from filtergan.measures.verdicts import told_of
from filtergan.runs.record import LatentRecord, SiteRecord


def doubts(site: SiteRecord) -> list[str]:
    """What speaks against taking what is seen at a site for an invariance; empty: nothing does."""
    checks = [*gates(site.measures), *findings(site.measures)]
    found = [check.failure for check in checks if check.passed is False]
    if untested := [check.name for check in checks if check.passed is None]:
        found.append(f"not tested: {', '.join(untested)}")
    if site.verdict not in ("converged", None):
        found.append(f"the generator {told_of(site.verdict)}")
    return found


def latent_says(entry: LatentRecord, site: SiteRecord) -> str:
    """What is said of a latent, less its name and the gates that its site fails.

    These are said once for all; doubts of the latent's own stay.
    """
    said = entry.sentence.removeprefix(f"{entry.name}:").strip()
    doubted = re.match(r"not to be believed \((.*?)\): ", said)
    if doubted is None:
        return said
    own = [one for one in doubted[1].split("; ") if one not in failures(site.measures)]
    beginning = f"not to be believed ({'; '.join(own)}): " if own else ""
    return beginning + said[doubted.end() :]


def latent_shape(entry: LatentRecord, site: SiteRecord) -> str:
    """The beginning of that: how the images change, without shares and labels."""
    return latent_says(entry, site).partition(";")[0]
