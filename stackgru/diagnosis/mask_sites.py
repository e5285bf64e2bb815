"""Where each mask that a target drew belongs, if it is a stack of a given design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.diagnosis.designs import Design, Site
from stackgru.harness.masks import Draw, fits

#: How one draw is spread: over one step, one step of all layers, or all steps of a site.
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """One draw of a design.

    Attributes:
        shape: of the mask; None where it is thrown away and may have any.
        site: where it is used; None where it is not.
        step: the step that it is for; None for all.
        layers: the layers that it is for at once, where there are several.
    """

    shape: _Shape | None
    site: Site | None = None
    step: int | None = None
    layers: int = 1


def places(
    made: Design, case: Case, kind: str, draws: Sequence[Draw]
) -> Iterator[dict[Site, Tensor]]:
    """Yield what the masks that were drawn may be to a stack of this design.

    Args:
        made: the design.
        case: gives the sizes.
        kind: "cell" or "sequence".
        draws: what was recorded over a whole run.

    Yields:
        For each site that drops its masks, bool, (T, B, width); once for every order in which a
        target of this kind may have drawn just these.
    """
    if not case.drops:
        if not draws:
            yield {}
        return
    seen: list[list[Slot]] = []
    for slots in _orders(made, case, kind):
        if slots not in seen and _match(slots, draws):
            seen.append(slots)
            yield _put(made, case, slots, draws)


def _orders(made: Design, case: Case, kind: str) -> Iterator[list[Slot]]:
    if kind == "cell" or made.time_order:
        yield list(_in_time_order(made, case))
        return
    yield list(_in_layer_order(made, case, whole=True))
    yield list(_in_layer_order(made, case, whole=False))


def _sites(made: Design, case: Case) -> Iterator[Site]:
    """Yield the sites of one step, in the order in which they are come to."""
    last = case.num_layers - 1
    if made.input:
        yield "input", 0
    for layer in range(case.num_layers):
        if made.carried == "before the step":
            yield "before", layer
        if layer < last or made.last:
            yield "up", layer
        if made.carried == "after the step":
            yield "after", layer


def _width(site: Site, case: Case) -> int:
    return case.input_size if site[0] == "input" else case.hidden_size


def _rows(site: Site, made: Design, case: Case) -> int:
    return 1 if made.over_rows and site[0] == "up" else case.batch


def _in_time_order(made: Design, case: Case) -> Iterator[Slot]:
    for step in range(case.seq_len):
        if made.unused == "first":
            yield Slot(None)
        if made.carried == "before the step, at once":
            shape = (case.num_layers, case.batch, case.hidden_size)
            yield Slot(shape, ("before", 0), step, case.num_layers)
        for site in _sites(made, case):
            if not (made.kept == "drawn once" and site[0] == "up" and step):
                yield Slot((_rows(site, made, case), _width(site, case)), site, step)
        if made.unused == "last":
            yield Slot(None)


def _in_layer_order(made: Design, case: Case, *, whole: bool) -> Iterator[Slot]:
    """Yield the draws of a target that takes each layer over all steps; ``whole`` for all at once.

    The state of a layer can only be dropped out step by step.
    """
    if made.unused == "first":
        yield Slot(None)
    if made.carried == "before the step, at once":  # once, when the sequence starts
        shape = (case.num_layers, case.batch, case.hidden_size)
        yield Slot(shape, ("before", 0), 0, case.num_layers)
    for site in _sites(made, case):
        rows, width = _rows(site, made, case), _width(site, case)
        of_state = site[0] in ("before", "after")
        of_state |= made.carried == "as they go up" and site[0] == "up"
        if made.kept == "drawn once" and site[0] == "up":
            yield Slot((rows, width), site, 0)
        elif whole and not of_state:
            yield Slot((case.seq_len, rows, width), site)
        else:
            for step in range(case.seq_len):
                yield Slot((rows, width), site, step)
    if made.unused == "last":
        yield Slot(None)


def _match(slots: Sequence[Slot], draws: Sequence[Draw]) -> bool:
    return len(slots) == len(draws) and all(
        slot.shape is None or fits(slot.shape, draw.mask.shape)
        for slot, draw in zip(slots, draws, strict=True)
    )


def _put(
    made: Design, case: Case, slots: Sequence[Slot], draws: Sequence[Draw]
) -> dict[Site, Tensor]:
    masks: dict[Site, Tensor] = {}
    for slot, draw in zip(slots, draws, strict=True):
        if slot.site is None or slot.shape is None:
            continue
        drawn = draw.mask.cpu().reshape(slot.shape)
        for layer in range(slot.layers):
            site = (slot.site[0], slot.site[1] + layer)
            shape = (case.seq_len, case.batch, _width(site, case))
            into = masks.setdefault(site, torch.ones(shape, dtype=torch.bool))
            into[slice(None) if slot.step is None else slot.step] = (
                drawn[layer] if slot.layers > 1 else drawn
            )
    if made.kept:
        for site, mask in masks.items():
            if site[0] == "up":
                masks[site] = mask[:1].expand_as(mask)
    return masks
