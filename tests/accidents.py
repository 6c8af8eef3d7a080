"""What mishaps befall: a study's config, and what is compared before and after."""

from pathlib import Path

from configs import micro

from filtergan.machine.files import sha256

CONFIG = micro(
    layer=("conv2", "conv1"),
    dataset={"test_limit": 20},
    cnn={"channels": (4, 5), "pool_after": (1, 2), "epochs": 8, "batch": 20},
    gan={"steps": 40, "checkpoint_every": 7, "log_every": 1},
    traversal={"measured_images": 2},
    measure={"map_filters": 2, "resamples": 20},
)


def weights(run: Path) -> dict[str, str]:
    """What a study has learned and recovered, by the SHA-256 of each of its tensor files."""
    return {str(f.relative_to(run)): sha256(f) for f in sorted(run.rglob("*.safetensors"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
