"""A command in which processes meet and work, and end in some WAY."""

import os
import signal
import sys
import threading

import torch
from leftover import threads

from filtergan import cli
from filtergan.cli import command
from filtergan.errors import LostProcess, UserError
from filtergan.machine import distributed


def end(arguments: list[str]) -> None:
    distributed.start("cpu", "32-true")
    distributed.mean([torch.ones(3)], 0.5)
    distributed.lead(lambda: None)
    # The first optimiser of a process brings parts of torch that would hold the group for good.
    torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    assert "torch._dynamo" in sys.modules
    assert threads() >= {"gloo_tcp_loop", "pt_gloo_runloop"}
    match arguments[0]:
        case "mistake":
            raise UserError("A mistake.")
        case "interrupt":
            raise KeyboardInterrupt
        case "told to end" | "killed" as way:
            if distributed.first():  # most likely in the midst of what follows
                word = signal.SIGTERM if way == "told to end" else signal.SIGKILL
                threading.Timer(0.2, os.kill, (os.getpid(), word)).start()
            while True:
                distributed.lead(lambda: None)
        case "told while it ends":
            try:
                raise LostProcess("A reason", " at step 3")
            finally:
                try:
                    raise FileNotFoundError
                except FileNotFoundError:
                    os.kill(os.getpid(), signal.SIGTERM)
        case "bug":
            raise AssertionError("a bug")


if __name__ == "__main__":
    command._run = end
    sys.exit(cli.main(sys.argv[1:]))
