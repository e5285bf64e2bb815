"""Facts of this build of torch, which are measured and shown, and never pass or fail."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from stackgru.bounds import rounding
from stackgru.cases.case import Case
from stackgru.gru.parameters import Layer, gru_layers
from stackgru.harness.activations import activations_of
from stackgru.harness.masks import Recorder, arrange, flat
from stackgru.harness.orders import found_orders, reference_order
from stackgru.harness.pair import Pair
from stackgru.outcomes import Violated
from stackgru.targets.importing import TargetError
from stackgru.targets.probe import supported_casts, supported_dtypes
from stackgru.targets.target import Target

_CASE = Case(input_size=5, hidden_size=16, batch=4, dropout=0.5, dtype="float32", mode="train")
_ONE_STEP_CASES = 20


def measure(target: Target) -> Iterator[tuple[str, Any]]:
    """Measure what depends on the build, one fact after the other: its name, and plain data."""
    yield "python", platform.python_version()
    yield "platform", platform.platform()
    yield "device", target.device
    yield "cpu_capability", _cpu_capability()
    yield "dtypes", list(supported_dtypes(target.device))
    yield "autocast", list(supported_casts(target.device))
    yield "split_draw_is_one_draw", split_draw_is_one_draw(target.device)
    for name, measured in (
        ("same_initial_weights", _same_initial_weights),
        ("bitwise_equal_at_one_step", _bitwise_at_one_step),
        ("whole_sequences_from_one_seed", _whole_sequences),
        ("activations", _activations),
    ):
        try:
            yield name, measured(target)
        except (Violated, TargetError) as error:
            yield name, {} if measured is _whole_sequences else f"not measured: {error}"
    if target.fitted(replace(_CASE, num_layers=2)).drops:
        orders = found_orders(target)
        yield "order_of_masks", "other masks" if orders is None else [*orders, "cannot be told"][0]


def _activations(target: Target) -> str:
    return str(activations_of(target))


def _cpu_capability() -> str:
    # torch.backends.cpu came with 2.1; the build's own description names it in every version.
    match = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    return match[1] if match else "unknown"


def split_draw_is_one_draw(device: str = "cpu") -> bool:
    """Whether two draws of dropout's are one draw of both, so that their order alone counts."""
    found = []
    for parts in (1, 2):
        torch.manual_seed(0)
        values = [torch.ones(64 // parts, device=device) for _ in range(parts)]
        found.append(torch.cat([nn.functional.dropout(one) for one in values]))
    return torch.equal(*found)


def _same_initial_weights(target: Target) -> bool:
    case = target.fitted(replace(_CASE, num_layers=3))
    torch.manual_seed(0)
    own = target.weights(target.build(case), case).layers
    sizes = (case.input_size, case.hidden_size, case.num_layers)
    for device in dict.fromkeys(("cpu", target.device)):  # made there, or moved there
        torch.manual_seed(0)
        reference = gru_layers(nn.GRU(*sizes, device=device).to(target.device))
        pairs = zip(own, reference, strict=True)
        if all(layer.keys() >= other.keys() and _equal(layer, other) for layer, other in pairs):
            return True
    return False


def _equal(layer: Layer, other: Layer) -> bool:
    return all(torch.equal(layer[name], value) for name, value in other.items())


def _bitwise_at_one_step(target: Target) -> str:
    equal = 0
    for index in range(_ONE_STEP_CASES):
        case = replace(_CASE, seed=index, num_layers=1 + index % 4, hidden_size=3 + 2 * index)
        pair = Pair(target, target.fitted(case))
        pair.seed()
        run = pair.run()
        pair.seed()
        reference = pair.run_reference()
        same_output = torch.equal(run.outputs, reference.outputs)
        equal += same_output and torch.equal(run.hn, reference.hn)
    return f"{equal} of {_ONE_STEP_CASES}"


def _whole_sequences(target: Target) -> dict[str, str]:
    """Compare whole training runs from one seed; 64 values per mask leave nothing to chance."""
    if not {"num_layers", "dropout"} <= target.accepts:
        return {}
    found = {}
    for layers in (2, 3):
        case = replace(_CASE, num_layers=layers, seq_len=4, dtype="float64")
        pair = Pair(target, case)
        pair.seed()
        run = pair.run()
        pair.seed()
        with Recorder() as recorder:
            reference = pair.run_reference()
        masks = arrange(flat(recorder.draws), reference_order(pair), case.masks_shape)
        if masks is None:  # cuDNN's kernels show none, and without masks there is no bound
            return {}
        outputs, _ = rounding.sequence(
            pair.input, pair.h0, pair.layers, masks, case.dropout_scale, torch.float64
        )
        difference = (run.outputs - reference.outputs).abs().cpu()
        same = bool((difference <= 2 * outputs.error).all())
        found[f"{layers} layers"] = "same" if same else "other masks"
    return found
