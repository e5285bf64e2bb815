"""What the results of each part come to: figures, and one sentence."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from typing import Any

Results = list[dict[str, Any]]
Figures = tuple[dict[str, Any], str]


def faults(results: Results) -> Figures:
    """By fault: caught with every seed, or not; by which law; and by other means."""
    caught: dict[str, list[bool]] = defaultdict(list)
    groups, laws, first = {}, defaultdict(set), Counter()
    for one in results:
        name = re.sub(r".*\[(.*)-\d+\]", r"\1", one["id"])
        groups[name] = one.get("group", "crashed")
        by = one.get("caught_by", [])
        caught[name].append(bool(by))
        laws[name].update(by)
        first.update(by[:1])
    always = [name for name, seeds in caught.items() if all(seeds)]
    others = ("seed_example", "plain_test")
    methods = {name: sum(one.get(name, False) for one in results) for name in others}
    figures = {
        "faults": len(caught),
        "groups": Counter(groups.values()),
        "caught_with_every_seed": len(always),
        "not_caught": sorted({*caught} - {*always}),
        **methods,
        "first_law": dict(first.most_common()),
        "laws": {name: sorted(found) for name, found in laws.items()},
        "unfinished": {one["id"]: one["unfinished"] for one in results if one.get("unfinished")},
    }
    kinds = ", ".join(f"{number} {group}" for group, number in figures["groups"].items())
    return figures, (
        f"{len(always)} of {len(caught)} faults ({kinds}) caught with every seed; the seed's "
        f"example fails {methods['seed_example']}, plain Hypothesis {methods['plain_test']}"
    )


def right(results: Results) -> Figures:
    """By right variant: accused or not, and how near a difference came to its bound."""
    examples = sum(one.get("examples", 0) for one in results)
    worst = max(results, key=lambda one: one.get("ratio", 0.0), default={})
    ratio, law = worst.get("ratio", 0.0), worst.get("ratio_law")
    wrong = (one["id"] for one in results if one["outcome"] != "passed")
    accused = sorted({test.rpartition("-")[0] for test in wrong})  # in whatever seed
    figures = {"examples": examples, "ratio": ratio, "by": f"{law}, {worst.get('id')}"}
    return {**figures, "accused": accused}, (
        f"{examples:,} law examples, {len(accused)} variants accused; the largest difference is "
        f"{ratio:.2f} of its bound ({law})"
    )


def scripts(results: Results) -> Figures:
    """By fault: the medians of its script."""
    found = [one for one in results if "lines" in one]
    good = sum(one["outcome"] == "passed" for one in results)
    if not found:
        return {}, f"{good} of {len(results)} scripts show their fault, and it alone"
    digits = [one["digits"] for one in found if one["digits"]]
    figures = {
        "sizes": _medians([one["sizes"] for one in found]),
        "smallest": sum(one["smaller"] == "no" for one in found),
        "lines": statistics.median(one["lines"] for one in found),
        "digits": _medians(digits),
        "stage_two": statistics.median(one["stage_two"] for one in found),
        "laws": Counter(one["law"] for one in found),
    }
    return figures, (
        f"{good} of {len(results)} scripts show their fault, and it alone; medians: layers, steps, "
        f"rows, units, inputs {figures['sizes']} (no size can be one less in "
        f"{figures['smallest']}), {figures['lines']:g} lines, digits before and after stage two "
        f"{figures['digits']}, stage two {figures['stage_two']:.1f} s"
    )


def _medians(rows: list[list[float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def diagnoses(results: Results) -> Figures:
    """How many faults are named, and how many of them wrongly."""
    named = sum(bool(one.get("variants")) for one in results)
    wrong = [one["id"] for one in results if one["outcome"] != "passed"]
    sentence = f"{len(results)} faults, {named} of them named, {len(wrong)} wrongly"
    return {"named": named, "wrong": wrong}, sentence


def causes(results: Results) -> Figures:
    """How many faults are one cause, and how many pairs of two are told apart."""
    singles = [one for one in results if "kinds" not in one]
    pairs = [one for one in results if "kinds" in one]
    wrong = [one["id"] for one in results if one["outcome"] != "passed"]
    one = sum(it["outcome"] == "passed" for it in singles)
    apart = sum(it["outcome"] == "passed" for it in pairs)
    return {"wrong": wrong}, (
        f"{one} of {len(singles)} faults are one cause, {apart} of {len(pairs)} pairs are two"
    )


def mended(results: Results) -> Figures:
    """Whether each cause of a real implementation goes as it is mended, and no other."""
    passed = sum(one["outcome"] == "passed" for one in results)
    return {}, f"{passed} of {len(results)} checks of mended copies pass"


def real(results: Results) -> Figures:
    """The rows of the implementations that are installed, and why others have none."""
    rows = [one["row"] for one in results if "row" in one]
    skipped = {one["id"]: one["message"] for one in results if one["outcome"] == "skipped"}
    sentence = f"{len(results) - len(skipped)} checks in full, {len(rows)} of them of the table"
    return {"rows": rows, "skipped": skipped}, sentence


def hostile(results: Results) -> Figures:
    """The table of hostile kinds: exit status and seconds, with one worker and with two."""
    rows: dict[str, dict[str, Any]] = defaultdict(dict)
    for one in results:
        if "status" in one:
            rows[one["kind"]][one["workers"]] = f"{one['status']} in {one['run_seconds']:.0f} s"
    good = sum(one["outcome"] == "passed" for one in results)
    sentence = f"{good} of {len(results)} runs on {len(rows)} hostile kinds are survived"
    return {"rows": dict(sorted(rows.items()))}, sentence


def killed(results: Results) -> Figures:
    """How many violations were shown before a kill, and are shown again after it."""
    shown = sum(one.get("shown", 0) for one in results)
    lost = sum(one["outcome"] != "passed" for one in results)
    return {"shown": shown, "moments": len(results)}, (
        f"kill -9 at {len(results)} moments: {shown} violations had been shown, and all of them "
        f"again by the next run but in {lost} cases"
    )


def campaign(results: Results) -> Figures:
    """Whether the recipe of docs/campaigns.md works."""
    passed = sum(one["outcome"] == "passed" for one in results)
    return {}, f"{passed} of {len(results)} tests of the recipe pass"


def suite(results: Results) -> Figures:
    """How many of the suite's tests that are left to nightly pass."""
    passed = sum(one["outcome"] == "passed" for one in results)
    return {}, f"{passed} of {len(results)} of the suite's own tests pass"


def mutation(results: Results) -> Figures:
    """How many mutants survive, module by module."""
    found = {one["module"]: one for one in results if "survived" in one}
    mutants, survived = (sum(one[n] for one in found.values()) for n in ("mutants", "survived"))
    figures = {
        name: {key: one[key] for key in ("mutants", "survived", "known", "survivors")}
        for name, one in found.items()
    }
    known = sum(one["known"] for one in found.values())
    return figures, f"{survived} of {mutants} mutants survive, {known} are known to"
