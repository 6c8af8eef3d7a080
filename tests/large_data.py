"""A script for the test of memory: a dataset beyond its budget, used as a study uses it.

Called with a folder of images; prints the largest memory that the process ever had, in KiB.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from filtergan.classifiers.fitting import fit, predict
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.images.dataset import load_dataset
from filtergan.machine.storage import DiskTensor
from filtergan.sites.site import Site
from filtergan.study.site_inputs import SiteInputs


def peak() -> int:
    """Of this process (a child's `ru_maxrss` begins with its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main(folder: str) -> None:
    """Load, train an epoch, classify, and fill a cache of site inputs."""
    data = load_dataset(folder, DatasetConfig(memory_mib=1))
    assert isinstance(data.train.images, DiskTensor)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(588, 2)
    )
    fit(network, network.parameters(), data.train.images, data.train.labels, epochs=1, batch=32)
    predict(network.eval(), data.train.images, batch=100)
    site = Site(network, "2", data.test.pixels(slice(2)))
    inputs = SiteInputs(site, data.train.images, batch=32)
    assert inputs.where(memory_mib=1) == "disk"
    inputs.kept("disk")[torch.arange(64)]


if __name__ == "__main__":
    main(sys.argv[1])
    print(peak())
