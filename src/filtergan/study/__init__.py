"""Studies: their stages, what these work on, and their order."""

from typing import TYPE_CHECKING, Any

from filtergan.study.stages import STAGES

if TYPE_CHECKING:
    from filtergan.study.order import run, run_stage

__all__ = ["STAGES", "run", "run_stage"]


def __getattr__(name: str) -> Any:
    if name not in ("run", "run_stage"):
        raise AttributeError(f"module 'filtergan.study' has no attribute {name!r}")
    from filtergan.study import order  # brings torch, which takes seconds to import

    return getattr(order, name)
