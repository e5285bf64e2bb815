"""Where each mask that a target drew is applied, if the target is a stack of a given design."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stackgru.cases.case import Case
from stackgru.diagnosis.designs import Design, Site
from stackgru.harness.masks import Draw, fits


@dataclass(frozen=True)
class PlannedDraw:
    """One draw that a design makes.

    Attributes:
        shape: of the mask; None if it is discarded and may have any shape.
        site: where it is applied; None if it is discarded.
        step: the step at which it is applied; None for all steps.
        layers: to how many layers it is applied at once.
    """

    shape: tuple[int, ...] | None
    site: Site | None = None
    step: int | None = None
    layers: int = 1


def masks_by_site(
    design: Design, case: Case, kind: str, draws: Sequence[Draw]
) -> Iterator[dict[Site, Tensor]]:
    """Yield the masks that a run drew by where a stack of this design applies them.

    One mask per site with dropout, bool, (T, B, width); a dict for every order in which a target
    of this kind may have drawn exactly these.
    """
    if not case.drops:
        if not draws:
            yield {}
        return
    seen: list[list[PlannedDraw]] = []
    for plan in _orders(design, case, kind):
        if plan not in seen and _match(plan, draws):
            seen.append(plan)
            yield _by_site(design, case, plan, draws)


def _orders(design: Design, case: Case, kind: str) -> Iterator[list[PlannedDraw]]:
    if kind == "cell" or design.time_order:
        yield list(_in_time_order(design, case))
        return
    yield list(_in_layer_order(design, case, whole=True))
    yield list(_in_layer_order(design, case, whole=False))


def _sites(design: Design, case: Case) -> Iterator[Site]:
    """Yield the sites of one step, in the order in which they are reached."""
    last = case.num_layers - 1
    if design.input:
        yield "input", 0
    for layer in range(case.num_layers):
        if design.carried == "before the step":
            yield "before", layer
        if design.last if layer == last else not design.undropped:
            yield "up", layer
        if design.carried == "after the step":
            yield "after", layer


def _width(site: Site, case: Case) -> int:
    return case.input_size if site[0] == "input" else case.hidden_size


def _rows(site: Site, design: Design, case: Case) -> int:
    return 1 if design.over_rows and site[0] == "up" else case.batch


def _in_time_order(design: Design, case: Case) -> Iterator[PlannedDraw]:
    for step in range(case.seq_len):
        if design.unused == "first":
            yield PlannedDraw(None)
        if design.carried == "before the step, at once":
            shape = (case.num_layers, case.batch, case.hidden_size)
            yield PlannedDraw(shape, ("before", 0), step, case.num_layers)
        for site in _sites(design, case):
            if not (design.kept == "drawn once" and site[0] == "up" and step):
                yield PlannedDraw((_rows(site, design, case), _width(site, case)), site, step)
        if design.unused == "last":
            yield PlannedDraw(None)


def _in_layer_order(design: Design, case: Case, *, whole: bool) -> Iterator[PlannedDraw]:
    """Yield the draws of a target that runs layer after layer over all steps.

    With ``whole``, one draw covers all steps, except for a layer's state, whose dropout can only be
    drawn step by step.
    """
    if design.unused == "first":
        yield PlannedDraw(None)
    if design.carried == "before the step, at once":  # once, when the sequence starts
        shape = (case.num_layers, case.batch, case.hidden_size)
        yield PlannedDraw(shape, ("before", 0), 0, case.num_layers)
    for site in _sites(design, case):
        rows, width = _rows(site, design, case), _width(site, case)
        of_state = site[0] in ("before", "after")
        of_state |= design.carried == "as they go up" and site[0] == "up"
        if design.kept == "drawn once" and site[0] == "up":
            yield PlannedDraw((rows, width), site, 0)
        elif whole and not of_state:
            yield PlannedDraw((case.seq_len, rows, width), site)
        else:
            for step in range(case.seq_len):
                yield PlannedDraw((rows, width), site, step)
    if design.unused == "last":
        yield PlannedDraw(None)


def _match(plan: Sequence[PlannedDraw], draws: Sequence[Draw]) -> bool:
    return len(plan) == len(draws) and all(
        planned.shape is None or fits(planned.shape, draw.mask.shape)
        for planned, draw in zip(plan, draws, strict=True)
    )


def _by_site(
    design: Design, case: Case, plan: Sequence[PlannedDraw], draws: Sequence[Draw]
) -> dict[Site, Tensor]:
    masks: dict[Site, Tensor] = {}
    for planned, draw in zip(plan, draws, strict=True):
        if planned.site is None or planned.shape is None:
            continue
        drawn = draw.mask.cpu().reshape(planned.shape)
        for layer in range(planned.layers):
            site = (planned.site[0], planned.site[1] + layer)
            shape = (case.seq_len, case.batch, _width(site, case))
            into = masks.setdefault(site, torch.ones(shape, dtype=torch.bool))
            into[slice(None) if planned.step is None else planned.step] = (
                drawn[layer] if planned.layers > 1 else drawn
            )
    if design.kept:
        for site, mask in masks.items():
            if site[0] == "up":
                masks[site] = mask[:1].expand_as(mask)
    return masks
