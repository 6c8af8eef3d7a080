"""The command, interrupted in every process when the game comes to a step: STEP ARGUMENTS."""

import sys
from typing import Any

from filtergan import cli
from filtergan.study.stages import train_gan


def main(step: int, arguments: list[str]) -> int:
    train = train_gan.train

    def stopping(*args: Any, log: Any, **kwargs: Any) -> Any:
        def logged(now: int, values: dict[str, float]) -> None:
            log(now, values)
            if now == step:
                raise KeyboardInterrupt

        return train(*args, log=logged, **kwargs)

    train_gan.train = stopping
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
