"""Targets that end, stop or change the process that calls them, instead of failing in order.

Most behave until the laws run, so that probing finds nothing: with more than six rows, say.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
import time
import unittest

import pytest
import torch

from stackgru import StackingGRUCell

_kept = []


class Hostile(StackingGRUCell):
    """Behaves; what derives from it does not where `meets` is true."""

    def forward(self, input, h0):
        if self.meets(input, h0):
            self.act()
        return super().forward(input, h0)

    def meets(self, input, h0):
        return len(input) > 6

    def act(self):
        raise NotImplementedError


class ExitsAtOnce(Hostile):
    """Calls sys.exit(0) in every forward, so that it cannot even be probed."""

    def meets(self, input, h0):
        return True

    def act(self):
        sys.exit(0)


class Exits(Hostile):
    """Calls sys.exit(0)."""

    def act(self):
        sys.exit(0)


class ExitsHard(Hostile):
    """Calls os._exit(0)."""

    def act(self):
        os._exit(0)


class ExitsHardInTraining(Hostile):
    """Calls os._exit(0), in training only."""

    def meets(self, input, h0):
        return self.training

    def act(self):
        os._exit(0)


class ExitsInTheConstructor(StackingGRUCell):
    """Calls os._exit(0) where it has more than two layers."""

    def __init__(self, input_size, hidden_size, num_layers, dropout=0.0, bias=True):
        super().__init__(input_size, hidden_size, num_layers, dropout, bias)
        if num_layers > 2:
            os._exit(0)


class AbortsOnAnEmptyBatch(Hostile):
    """Aborts where the batch has no row, as a kernel did that was never tried so."""

    def meets(self, input, h0):
        return len(input) == 0

    def act(self):
        os.abort()


class Segfaults(Hostile):
    """Reads at address 0."""

    def act(self):
        ctypes.string_at(0)


class KillsItself(Hostile):
    """Sends SIGKILL to its process."""

    def act(self):
        os.kill(os.getpid(), signal.SIGKILL)


class TerminatesItself(Hostile):
    """Sends SIGTERM to its process."""

    def act(self):
        os.kill(os.getpid(), signal.SIGTERM)


class InterruptsItself(Hostile):
    """Sends SIGINT to its process."""

    def act(self):
        os.kill(os.getpid(), signal.SIGINT)


class BecomesAnotherProgram(Hostile):
    """Puts a program that succeeds in the place of its process."""

    def act(self):
        os.execv("/bin/true", ["true"])


class EndsPytest(Hostile):
    """Raises what ends a run of pytest with status 0."""

    def act(self):
        pytest.exit("enough", returncode=0)


class EndsInAThread(Hostile):
    """Ends the process from another thread."""

    def act(self):
        threading.Thread(target=os._exit, args=(0,)).start()
        time.sleep(1)


class EndsByAnAlarm(Hostile):
    """Has its process killed a moment later."""

    def act(self):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        time.sleep(1)


class StopsItself(Hostile):
    """Sends SIGSTOP to its process."""

    def act(self):
        os.kill(os.getpid(), signal.SIGSTOP)


class ChangesTheFolder(Hostile):
    """Changes the working directory."""

    def meets(self, input, h0):
        return True

    def act(self):
        os.chdir("/")


class KillsItsParent(Hostile):
    """Sends SIGKILL to the process that started its own."""

    def act(self):
        os.kill(os.getppid(), signal.SIGKILL)


class KillsItsGroup(Hostile):
    """Sends SIGKILL to its process group."""

    def act(self):
        os.killpg(0, signal.SIGKILL)


class Hangs(Hostile):
    """Sleeps for a thousand seconds."""

    def act(self):
        time.sleep(1000)


class HangsDeaf(Hostile):
    """Sleeps, and lets no alarm through, like a loop in native code."""

    def act(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(1000)


class HangsInTheConstructor(StackingGRUCell):
    """Sleeps as it is built."""

    def __init__(self, *arguments):
        time.sleep(1000)


class ForksAndGoesOn(Hostile):
    """Forks, and both processes go on."""

    def act(self):
        os.fork()


class LeavesAProcess(Hostile):
    """Starts a process that stays."""

    def act(self):
        if not os.fork():
            time.sleep(1000)
            os._exit(0)


class LeavesAThread(Hostile):
    """Starts a thread that stays."""

    def act(self):
        threading.Thread(target=time.sleep, args=(1000,)).start()


class ClosesStandardOutput(Hostile):
    """Closes standard output and standard error."""

    def act(self):
        for number in (1, 2):
            os.close(number)


class ClosesEveryFile(Hostile):
    """Closes every file of its process."""

    def act(self):
        os.closerange(0, 1000)


class FloodsStandardOutput(Hostile):
    """Prints a million characters in every call."""

    def meets(self, input, h0):
        return True

    def act(self):
        sys.stdout.write("x" * 1_000_000)
        os.write(1, b"x" * 1_000_000)


class EatsMemory(Hostile):
    """Asks for 40 GB."""

    def act(self):
        _kept.append(torch.ones(10_000_000_000))


class LeaksMemory(Hostile):
    """Keeps 100 MB in every call."""

    def act(self):
        _kept.append(torch.ones(25_000_000))


class Recurses(Hostile):
    """Calls itself without end."""

    def act(self):
        self.act()


class RaisesKeyboardInterrupt(Hostile):
    """Raises KeyboardInterrupt."""

    def act(self):
        raise KeyboardInterrupt


class RaisesOfItsOwn(Hostile):
    """Raises what is no Exception."""

    class Stop(BaseException):
        """No Exception."""

    def act(self):
        raise self.Stop("enough")


class SkipsTheTest(Hostile):
    """Raises what pytest takes for a test that is to be skipped."""

    def act(self):
        pytest.skip("not today")


class SkipsAsUnittestDoes(Hostile):
    """Raises what unittest takes for a test that is to be skipped."""

    def act(self):
        raise unittest.SkipTest("not today")


class RaisesAtTheTenthCall(Hostile):
    """Raises in every call from the tenth on."""

    calls = 0

    def meets(self, input, h0):
        type(self).calls += 1
        return self.calls >= 10

    def act(self):
        raise ValueError("ten are enough")


class ChangesTheMatmulPrecision(Hostile):
    """Sets torch's float32 matmul precision."""

    def meets(self, input, h0):
        return True

    def act(self):
        torch.set_float32_matmul_precision("medium")


class FlushesDenormals(Hostile):
    """Has the processor flush denormal numbers."""

    def meets(self, input, h0):
        return True

    def act(self):
        torch.set_flush_denormal(True)


class ReplacesTorchsEqual(Hostile):
    """Has torch call everything equal from its first call on."""

    def meets(self, input, h0):
        return True

    def act(self):
        torch.equal = torch.allclose = lambda *_, **__: True


class SeedsTheGenerators(Hostile):
    """Seeds torch's and Python's generators in every call."""

    def meets(self, input, h0):
        return True

    def act(self):
        torch.manual_seed(0)
        random.seed(0)


class FailsToBeCopied(StackingGRUCell):
    """Ends the process as it is copied."""

    def __deepcopy__(self, memo):
        os._exit(0)


class _SaysYes(torch.Tensor):
    """Calls itself equal to everything."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs)
        if getattr(func, "__name__", "") in ("eq", "__eq__", "isnan"):
            return torch.ones_like(result.as_subclass(torch.Tensor))
        return True if func is torch.equal else result


class OffByOneInDisguise(StackingGRUCell):
    """Is off by one, in tensors that call themselves equal to everything."""

    def forward(self, input, h0):
        output, hn = super().forward(input, h0)
        return (output + 1).as_subclass(_SaysYes), (hn + 1).as_subclass(_SaysYes)


#: Each kind with the exit statuses that it may give; more than one if it depends on what is drawn.
KINDS = {
    "AbortsOnAnEmptyBatch": (1,),
    "BecomesAnotherProgram": (1,),
    "ChangesTheFolder": (1,),
    "ChangesTheMatmulPrecision": (1,),
    "ClosesEveryFile": (1,),
    "ClosesStandardOutput": (0, 1),
    "EatsMemory": (1,),
    "Exits": (1,),
    "EndsByAnAlarm": (1,),
    "EndsInAThread": (1,),
    "EndsPytest": (1,),
    "ExitsAtOnce": (2,),
    "ExitsHard": (1,),
    "ExitsHardInTraining": (1,),
    "ExitsInTheConstructor": (1,),
    "FailsToBeCopied": (1,),
    "FloodsStandardOutput": (0, 1, 3),
    "FlushesDenormals": (1,),
    "ForksAndGoesOn": (0, 1, 3),
    "Hangs": (3,),
    "HangsDeaf": (3,),
    "HangsInTheConstructor": (2,),
    "InterruptsItself": (1,),
    "KillsItself": (1,),
    "KillsItsGroup": (1,),
    "KillsItsParent": (1,),
    "LeavesAProcess": (0, 1, 3),
    "LeavesAThread": (0, 1, 3),
    "LeaksMemory": (1, 3),
    "OffByOneInDisguise": (1,),
    "RaisesAtTheTenthCall": (1,),
    "RaisesKeyboardInterrupt": (1,),
    "RaisesOfItsOwn": (1,),
    "Recurses": (1,),
    "ReplacesTorchsEqual": (1,),
    "SeedsTheGenerators": (1,),
    "Segfaults": (1,),
    "SkipsAsUnittestDoes": (1,),
    "SkipsTheTest": (1,),
    "StopsItself": (3,),
    "TerminatesItself": (1,),
    "hostile_import_exit:Stack": (2,),
    "hostile_import_hang:Stack": (2,),
}


def spec(kind):
    """Return the target of a kind."""
    return f"tests.subjects.{kind if ':' in kind else f'hostile:{kind}'}"
