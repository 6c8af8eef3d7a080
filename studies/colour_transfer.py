"""What carries over in colour: from five of CIFAR-10's classes to the other five.

At an early layer of a network that knows all ten, as `transfer.py` has it for MNIST's digits.

    python studies/colour_transfer.py RUN --data CIFAR-10 --work FOLDER

The run is one of `filtergan study cifar10`, of which the network is enough. Parts are kept in
FOLDER; the same command goes on.
"""

import argparse
from pathlib import Path

from transfer import Kept, from_to, learned_of, record, shortened
from transfer_tables import IN_COLOUR

import filtergan as fg
from filtergan.images.image_fields import APART

LAYER = "group1.conv2"
LOW, HIGH = "CIFAR-10's airplane to deer", "CIFAR-10's dog to truck"
CLASSES = {LOW: range(5), HIGH: range(5, 10)}
STEPS = {"steps": 300, "null_steps": 100}  # half of the study's


def main() -> None:
    """Measure what is missing, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="CIFAR-10")
    parser.add_argument("--work", required=True, type=Path, help="folder of parts")
    given = parser.parse_args()
    run = fg.open_run(given.run, data=given.data)
    site = fg.Site(run.network, LAYER, run.dataset.test.images)
    config = shortened(fg.cifar10(), STEPS | {"fields": APART})  # tint too
    learned = learned_of(run, config)
    found = from_to(Kept(given.work, learned), run.dataset, CLASSES, site, config)
    record(IN_COLOUR, STEPS | learned, found)


if __name__ == "__main__":
    main()
