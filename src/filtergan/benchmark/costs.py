"""What the trainings of a queue should take, from a few steps of each method."""

import dataclasses
import time
from collections.abc import Sequence

from filtergan.benchmark.methods import METHODS
from filtergan.benchmark.subject import BATCH, Subject
from filtergan.benchmark.trials import Trial, correct, trained
from filtergan.classifiers.fitting import steps_of
from filtergan.machine import telling
from filtergan.machine.storage import Subset

FEW = 6  # steps
EXAMINED = 100  # images


def expected(subject: Subject, trials: Sequence[Trial]) -> dict[str, float]:
    """Seconds that all trainings of each method should take, on this machine, as busy as it is.

    Each method is tried twice for a few steps: what it learns once, it does not learn again.

    Args:
        subject: What they are done on.
        trials: All that are wanted.
    """
    by_method = {n: own for n in METHODS if (own := [t for t in trials if t.method == n])}
    small = dataclasses.replace(subject, steps=FEW)
    with telling.progress(len(by_method) + 1, "trying each method", "methods") as advance:
        trained(trials[0], small, small.factory("none"))  # what comes first takes longer
        advance()
        found = {}
        for name, own in by_method.items():
            found[name] = _expected(subject, small, name, own)
            advance()
    return found


def _expected(subject: Subject, small: Subject, name: str, trials: Sequence[Trial]) -> float:
    factory, last, now = small.factory(name), trials[-1], time.perf_counter
    begun = now()
    trained(last, small, factory)
    again = now()
    network, transform, few = trained(last, small, factory)
    examined = now()
    index = subject.labelled(min(EXAMINED, len(subject.train)), last.seed)
    rows, labels = Subset(subject.train.images, index), subject.train.labels[index]
    correct(network, transform, rows, labels, subject.device, last.seed)
    ended = now()
    largest = max(trial.size for trial in trials)
    images = len(subject.test) + len(subject.validation(largest, last.seed))
    steps = sum(steps_of(t.size, subject.passes(t.size), BATCH) for t in trials)
    once = max(0.0, (again - begun) - (examined - again)) / FEW * subject.steps
    examining = (ended - examined) / len(index) * images * len(trials)
    return once + (examined - again) / few * steps + examining
