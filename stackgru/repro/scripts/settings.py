"""Torch's settings in a script: how one is read, and set where the target may have set it."""

from __future__ import annotations

from stackgru.cases.case import Case

_FUNCTION = '''
def settings():
    """Return the setting that is looked at."""
    return {{{0!r}: {1}}}
'''
#: How each is read, and set to what it is before a law.
_TEXTS = {
    "the grad mode": ("torch.is_grad_enabled()", ""),
    "inference mode": ("torch.is_inference_mode_enabled()", ""),
    "the default dtype": ("torch.get_default_dtype()", "torch.set_default_dtype(torch.float32)"),
    "the number of threads": ("torch.get_num_threads()", "torch.set_num_threads({0.threads})"),
    "the deterministic-algorithms flag": (
        "torch.are_deterministic_algorithms_enabled()",
        "torch.use_deterministic_algorithms({0.deterministic}, warn_only=True)",
    ),
    "anomaly detection": ("torch.is_anomaly_enabled()", "torch.autograd.set_detect_anomaly(False)"),
    "the float32 matmul precision": (
        "torch.get_float32_matmul_precision()",
        'torch.set_float32_matmul_precision("highest")',
    ),
    "flushing of denormal numbers": (
        "(torch.tensor(5e-324, dtype=torch.float64) * 1).item() == 0",
        "torch.set_flush_denormal(False)",
    ),
    "the default device": ("str(torch.empty(0).device)", ""),
    "the working directory": ("os.getcwd()", ""),
}


def settings_texts(what: str, case: Case) -> tuple[str, list[str], tuple[str, ...]]:
    """Return a function that reads what a law sees changed, lines that set it, and imports."""
    name = next((one for one in _TEXTS if what.startswith(one)), "the grad mode")
    read, write = _TEXTS[name]
    return (
        _FUNCTION.format(name, read),
        [write.format(case)] * bool(write),
        ("os",) * ("os." in read),
    )
