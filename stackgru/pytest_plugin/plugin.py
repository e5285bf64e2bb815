"""The pytest plugin: options and hooks.

It imports neither torch nor hypothesis at module level, for pytest loads it in every run.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stackgru.options import (
    DEFAULT_REPORTS,
    PROFILES,
    RETURNS,
    STATES,
    Options,
    UsageError,
    names,
)
from stackgru.report.files import write_text
from stackgru.report.report import LawResult, Report

_COLLECTOR = pytest.StashKey["Collector"]()
_RESULT = "stackgru"  # the attribute of a test report that carries a law's result, also by xdist


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``stackgru check``, prefixed."""
    group = parser.getgroup("stackgru", "is this stack of GRU cells nn.GRU?")
    for name, keywords in _OPTIONS.items():
        group.addoption(f"--stackgru-{name}", **keywords)


_OPTIONS: dict[str, dict[str, Any]] = {
    "target": {
        "metavar": "TARGET",
        "help": "module:attr or file:attr",
    },
    "kind": {"choices": ("cell", "sequence"), "help": "what the target is, if calling misleads"},
    "laws": {"action": "append", "metavar": "GLOB", "help": "run these laws only (repeatable)"},
    "skip": {"action": "append", "metavar": "GLOB", "help": "leave these laws out (repeatable)"},
    "max-examples": {"type": int, "metavar": "N", "help": "examples a law"},
    "seed": {"type": int, "metavar": "N", "help": "what the search starts from"},
    "profile": {"choices": tuple(PROFILES), "help": "examples a law, by name"},
    "dtype": {"action": "append", "metavar": "D", "help": "draw this dtype only (repeatable)"},
    "device": {"metavar": "DEV", "help": "where everything is built (default: cpu)"},
    "strict": {"action": "store_true", "default": None, "help": "count what is an answer only"},
    "timeout": {"type": float, "metavar": "SECONDS", "help": "longest time of a law"},
    "arguments": {
        "type": names,
        "metavar": "NAMES",
        "help": "the constructor's arguments by position, with commas between them",
    },
    "state": {"choices": STATES, "help": "how the state goes in and comes out"},
    "returns": {"metavar": "PARTS", "help": "what a call gives: " + "; ".join(RETURNS)},
    "time-axis": {
        "action": "store_true",
        "default": None,
        "help": "a cell takes (1, B, I) and gives (1, B, H)",
    },
    "report": {
        "metavar": "DIR",
        "help": f"save violations there, each with its script (default: {DEFAULT_REPORTS})",
    },
    "shrink-seconds": {
        "type": float,
        "metavar": "SECONDS",
        "help": "longest time of making a violation's numbers plain",
    },
    "known": {"metavar": "FILE", "help": "violations that are known, 'law: reason' a line"},
    "json": {"metavar": "FILE", "help": "write the report there"},
}

#: Fields of Options by the option that sets them, where the names differ.
_FIELDS = {"dtype": "dtypes"}


def changes(config: pytest.Config) -> dict[str, Any]:
    """Return the fields of Options that the command line sets."""
    names = {name.replace("-", "_"): name for name in _OPTIONS}
    found = {}
    for name in names:
        field = _FIELDS.get(name, name)
        value = config.getoption(f"stackgru_{name}")
        if field in Options.__dataclass_fields__ and value is not None:
            found[field] = tuple(value) if isinstance(value, list) else value
    if "known" in found:
        from stackgru.engine.known import read_known

        found["known"] = read_known(config.rootpath / str(found["known"]))
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of results."""
    collector = Collector(config)
    config.stash[_COLLECTOR] = collector
    config.pluginmanager.register(collector, "stackgru-collector")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise the suite's test function over the laws."""
    if "stackgru_law" not in metafunc.fixturenames:
        return
    from stackgru.engine import run
    from stackgru.targets.importing import TargetError

    runs_of = getattr(metafunc.function, "stackgru_runs", None)
    try:
        if runs_of is None:
            name = metafunc.config.getoption("stackgru_target")
            if name is None:
                raise UsageError("stackgru.pytest_plugin.suite needs --stackgru-target.")
            runs = run.collect_runs(name, Options(), changes(metafunc.config))
        else:
            runs = runs_of(changes(metafunc.config))
    except (TargetError, UsageError) as error:
        raise pytest.UsageError(str(error)) from error
    metafunc.parametrize("stackgru_law", runs, ids=run.run_id)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a law's result travel on its test report, and show a violation as a few plain lines."""
    report = yield
    params = getattr(getattr(item, "callspec", None), "params", {})
    run = params.get("stackgru_law")
    if run is not None and call.when == "call":
        _save(item.config, run)
        setattr(report, _RESULT, run.to_dict())
        item.config.stash[_COLLECTOR].note(item.nodeid, run)
        if run.result is not None and run.result.status == "violated":
            from stackgru.report.terminal import violation_text

            report.longrepr = violation_text(
                run.result.violation, run.target.name, run.target.cli_options
            )
    return report


def _save(config: pytest.Config, run: Any) -> None:
    """Save a violation with its script, and let the result say where."""
    folder = config.getoption("stackgru_report")
    folder = DEFAULT_REPORTS if folder is None else folder
    if folder and run.result is not None and run.result.status == "violated":
        from stackgru.repro.bug import save_violation

        save_violation(run, config.rootpath / folder)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the verdict table of every target that was checked."""
    reports = config.stash[_COLLECTOR].reports()
    if not reports:
        return
    from stackgru.report.terminal import render

    writer = terminalreporter
    for report in reports:
        writer.section(f"stackgru: {report.target}")
        colour = bool(writer.hasmarkup)
        writer.write(render(report, width=writer._tw.fullwidth, colour=colour, details=False))
    if config.stash[_COLLECTOR].problem:
        writer.write_line(f"Error: {config.stash[_COLLECTOR].problem}", red=True)


class Collector:
    """Gathers the laws' results from the test reports, also from those of xdist's workers.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[str, dict[str, Any]] = {}
        self._died: list[str] = []
        self._to_diagnose: dict[str, Any] = {}
        self._diagnoses: dict[str, dict[str, Any]] = {}
        self.problem = ""

    def note(self, nodeid: str, run: Any) -> None:
        """Note a target of this process that may be a variant of nn.GRU; the first run of each."""
        if run.should_diagnose:
            self._to_diagnose.setdefault(_key(nodeid), run)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result that a test report carries, if it does."""
        data = getattr(report, _RESULT, None)
        if data is None:
            if report.failed and str(report.when) == "???":  # as xdist reports a worker that died
                self._died.append(report.nodeid)
            return
        key = _key(report.nodeid)
        entry = self._found.setdefault(key, {**data, "results": [], "facts": {}})
        if data["facts"]:
            entry["facts"] = data["facts"]
        if data["result"]:
            entry["results"].append(LawResult.from_dict(data["result"]))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Say what the targets are; write the JSON file, on the controller only."""
        self._diagnoses |= {key: run.diagnosis() for key, run in self._to_diagnose.items()}
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_RESULT] = self._diagnoses
        path = self._config.getoption("stackgru_json")
        reports = self.reports()
        if path and reports and not hasattr(self._config, "workerinput"):
            texts = [report.to_json() for report in reports]
            try:
                write_text(path, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
            except OSError as error:
                self.problem = f"the report could not be written to {path}: {error.strerror}"
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of xdist found."""
        self._diagnoses |= getattr(node, "workeroutput", {}).get(_RESULT, {})

    def reports(self) -> list[Report]:
        """Return a report for every target that was checked."""
        return [self._report(key, entry) for key, entry in self._found.items()]

    def _report(self, key: str, entry: dict[str, Any]) -> Report:
        from stackgru.laws.registry import all_laws

        laws = all_laws()
        results = {result.name: result for result in entry["results"]}
        for nodeid in self._died:
            function, _, name = nodeid.rpartition("[")
            if function == key and name.rstrip("]") in laws:
                law = laws[name.rstrip("]")]
                reason = "the worker process died while it ran"
                results[law.name] = LawResult(
                    law.name, law.family, law.question, "crashed", reason=reason
                )
        return Report(
            target=entry["target"],
            kind=entry["kind"],
            convention=entry.get("convention", ()),
            torch_version=entry["torch_version"],
            build_facts=entry["facts"],
            results=[results[name] for name in laws if name in results],
            seed=self._config.getoption("stackgru_seed"),
            diagnosis=self._diagnoses.get(key),
        )


def _key(nodeid: str) -> str:
    """Return what stands for a target: the id of the test function that runs its laws."""
    return nodeid.rpartition("[")[0]
