"""The issue text: a draft, in Markdown, for a person to read, complete and send, or not."""

from __future__ import annotations

import functools
import os
import platform
import warnings

import torch

from stackgru.repro.store import BugReport
from stackgru.targets.importing import describe_error

_DISCLOSURE = (
    "*Found by machine: stackgru {version} drew the case at random, shrank it and wrote this text. "
    "It is a draft. Whoever sends it has run the script and read the code at fault, and says here "
    "in their own words what they make of it:*\n\n(your comment)"
)


def issue_text(
    report: BugReport, script: str, printed: str, float64: str | None, *, about_torch: bool
) -> str:
    """Return the text of an issue; one of PyTorch itself has its form's own headings.

    ``float64`` is a sentence on which side is wrong, by the equation in float64, if that can show.
    """
    violation = report.violation
    label = "not reproduced: " if violation.problem else ""
    title = f"# {label}{report.target}: {_first(violation.message)}"
    expected = (
        f"With the same weights, input and state, `{report.target}` is expected to do what "
        f"`torch.nn.GRU` does. {report.statement} It does not: {violation.message}. The smallest "
        f"case found is `{violation.case}`."
    )
    wrong = float64 or (
        "The equation of the GRU does not give what is compared here, so no float64 reference can "
        "show which side is wrong; the law above does."
    )
    problem = (
        [f"**The script does not show it: {violation.problem}.**", ""] if violation.problem else []
    )
    heading = "### 🐛 Describe the bug" if about_torch else "### What is wrong"
    return "\n".join(
        [
            title,
            "",
            heading,
            "",
            _DISCLOSURE.format(version=report.versions.get("stackgru", "")),
            "",
            *problem,
            expected,
            "",
            "```python",
            script.rstrip(),
            "```",
            "",
            "It prints:",
            "",
            "```text",
            printed.rstrip(),
            "```",
            "",
            f"**Which side is wrong.** {wrong}",
            "",
            "### Versions",
            "",
            "```text",
            environment(),
            "",
            *left_out(violation.case),
            "```",
            "",
        ]
    )


def _first(message: str) -> str:
    return message if len(message) <= 100 else message[:97].rsplit(" ", 1)[0] + " ..."


#: How the lines of collect_env begin that a report shows.
_OF_THE_BUILD = (
    "PyTorch version:",
    "Is debug build:",
    "CUDA used to build PyTorch:",
    "ROCM used to build PyTorch:",
    "OS:",
    "Libc version:",
    "Python version:",
    "Is CUDA available:",
    "CUDA runtime version:",
    "GPU models and configuration:",
    "Nvidia driver version:",
    "cuDNN version:",
    "Model name:",
)


@functools.cache
def environment() -> str:
    """Return what torch.utils.collect_env says of the build, the system and the processor.

    Not which packages are installed, nor what else the machine shows.
    """
    try:
        from torch.utils import collect_env

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            every = str(collect_env.get_pretty_env_info())  # type: ignore[no-untyped-call]
        lines = [line.strip() for line in every.splitlines()]
        return "\n".join(line for line in lines if line.startswith(_OF_THE_BUILD))
    except Exception as error:  # it runs other programs
        return f"PyTorch version: {torch.__version__}\n(collect_env raised {describe_error(error)})"


def left_out(case: str) -> list[str]:
    """Return what collect_env leaves out, one line each."""
    capability = getattr(torch.backends, "cpu", None)
    seed = next((word for word in case.split() if word.startswith("seed=")), "seed=0")
    return [
        "What collect_env leaves out:",
        f"threads: {torch.get_num_threads()} in an operator, {torch.get_num_interop_threads()} "
        f"between operators, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}",
        f"CPU capability: {capability.get_cpu_capability() if capability else 'unknown'}, "
        f"{platform.machine()}",
        f"oneDNN: {torch.backends.mkldnn.is_available()}, MKL: {torch.backends.mkl.is_available()}",  # type: ignore[no-untyped-call]
        f"cuDNN: enabled {torch.backends.cudnn.enabled}, benchmark {torch.backends.cudnn.benchmark}"
        f", deterministic {torch.backends.cudnn.deterministic}",
        f"TF32: matmul {torch.backends.cuda.matmul.allow_tf32}, "
        f"cuDNN {torch.backends.cudnn.allow_tf32}",
        f"deterministic algorithms: {torch.are_deterministic_algorithms_enabled()}",
        f"default dtype: {torch.get_default_dtype()}, {seed}",
    ]
