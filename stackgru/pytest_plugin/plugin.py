"""The pytest plugin: options and hooks.

It imports neither torch nor hypothesis at module level, because pytest loads it in every run.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from stackgru.options import DEFAULT_REPORTS, OPTIONS, Options, UsageError, read_pairs
from stackgru.report.files import write_text
from stackgru.report.report import LawResult, Report

#: The target of stackgru.check, if that is an object and not a name.
TARGET = pytest.StashKey[Any]()
_GIVEN = pytest.StashKey[dict[str, Any]]()
_INI = pytest.StashKey[dict[str, Any]]()
_COLLECTOR = pytest.StashKey["Collector"]()
_RESULT = "stackgru"  # the attribute of a test report that carries a law's result, also by xdist


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add one option, which sets any option of ``stackgru check``, and an ini key for each."""
    keys = ", ".join(option.name for option in OPTIONS)
    parser.getgroup("stackgru", "is this GRU interchangeable with torch.nn.GRU?").addoption(
        "--stackgru",
        action="append",
        metavar="KEY=VALUE",
        help=f"set an option of `stackgru check`, such as max-examples=30 (repeatable): {keys}",
    )
    for option in OPTIONS:
        kind: Any = "linelist" if option.type is tuple else "string"
        parser.addini(f"stackgru_{option.field}", option.help, type=kind, default=None)


def pytest_load_initial_conftests(args: list[str]) -> None:
    """Show whoever uses an option of stackgru 0.1 what it is called now."""
    for argument in args:
        if argument.startswith("--stackgru-"):
            new = argument.replace("--stackgru-", "--stackgru ", 1)
            raise pytest.UsageError(f"{argument} is now written {new}.")


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, and register the collector of results."""
    try:
        config.stash[_GIVEN] = read_pairs(config.getoption("stackgru") or (), "--stackgru")
        config.stash[_INI] = _ini(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    collector = Collector(config)
    config.stash[_COLLECTOR] = collector
    config.pluginmanager.register(collector, "stackgru-collector")


def _ini(config: pytest.Config) -> dict[str, Any]:
    """Return what the ini file sets, by field."""
    values = {option: config.getini(f"stackgru_{option.field}") for option in OPTIONS}
    return {
        option.field: option.read(value, f"stackgru_{option.field}")
        for option, value in values.items()
        if value is not None
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise the suite's test function over the laws."""
    if "stackgru_law" not in metafunc.fixturenames:
        return
    from stackgru.engine import run
    from stackgru.targets.importing import TargetError

    try:
        runs = _runs(metafunc.config, metafunc.function)
    except (TargetError, UsageError) as error:
        raise pytest.UsageError(str(error)) from error
    metafunc.parametrize("stackgru_law", runs, ids=run.run_id)


def _runs(config: pytest.Config, function: Any) -> list[Any]:
    """Return the runs of a function that suite_for gave, or of the suite's own."""
    from stackgru.engine.known import known_violations
    from stackgru.engine.run import collect_runs

    target, fields = getattr(function, "stackgru_suite", (None, {}))
    given = {"report": DEFAULT_REPORTS} | config.stash[_INI] | fields | config.stash[_GIVEN]
    named = given.pop("target", None)
    given.pop("json", None)
    if target is None:
        target = config.stash.get(TARGET, named)
    if target is None:
        raise UsageError("stackgru.pytest_plugin.suite needs --stackgru target=module:attr.")
    if "known" in given:
        given["known"] = known_violations(given["known"], config.rootpath)
    return collect_runs(target, Options(**given))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach a law's result to its test report, and show a violation as a few plain lines."""
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
    """Save a bug report of a violation, and note in the result where it is."""
    folder = run.options.report
    if folder and run.result is not None and run.result.status == "violated":
        from stackgru.repro.bug import save_violation

        place, found = config.rootpath / folder, run.result.violation
        saved = save_violation(run.target, run.law, found, run.options, place)
        run.result = replace(run.result, violation=saved)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the verdict table of every target that was checked."""
    reports = config.stash[_COLLECTOR].reports()
    if not reports:
        return
    from stackgru.report.terminal import render

    writer, width = terminalreporter, shutil.get_terminal_size().columns
    for report in reports:
        writer.section(f"stackgru: {report.target}")
        colour = bool(writer.hasmarkup)
        writer.write(render(report, width=width, colour=colour, details=False))
    if config.stash[_COLLECTOR].problem:
        writer.write_line(f"Error: {config.stash[_COLLECTOR].problem}", red=True)


class Collector:
    """Gathers the laws' results from the test reports, also from those of xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[str, dict[str, Any]] = {}
        self._died: list[str] = []
        self._to_diagnose: dict[str, Any] = {}
        self._diagnoses: dict[str, dict[str, Any]] = {}
        self.problem = ""

    def note(self, nodeid: str, run: Any) -> None:
        """Note the first run of each target of this process that may be a variant of nn.GRU."""
        if run.should_diagnose:
            self._to_diagnose.setdefault(_key(nodeid), run)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result that a test report carries, if any."""
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
        """Diagnose the violations; write the JSON file, on the controller only."""
        self._diagnoses |= {key: run.diagnosis() for key, run in self._to_diagnose.items()}
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_RESULT] = self._diagnoses
        path = (self._config.stash[_INI] | self._config.stash[_GIVEN]).get("json")
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
        """Take over the diagnoses of an xdist worker."""
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
            seed=entry["seed"],
            diagnosis=self._diagnoses.get(key),
        )


def _key(nodeid: str) -> str:
    """Return the key of a target, which is the id of the test function that runs its laws."""
    return nodeid.rpartition("[")[0]
