"""The pytest plugin: options and hooks.

It imports neither torch nor hypothesis at module level, because pytest loads it in every run.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stackgru.options import OPTIONS, Options, UsageError, read_pairs
from stackgru.pytest_plugin.apart import EVENTS, tell
from stackgru.pytest_plugin.gathered import Gathered, split
from stackgru.report.files import write_text
from stackgru.report.report import Report

#: The target of stackgru.check, if that is an object and not a name.
TARGET = pytest.StashKey[Any]()
_GIVEN = pytest.StashKey[dict[str, Any]]()
_INI = pytest.StashKey[dict[str, Any]]()
#: The children of this worker in which targets live.
_PROCESSES = pytest.StashKey[list[Any]]()
#: Names of errors in this worker, with their messages.
_ERRORS = pytest.StashKey[list[tuple[str, str]]]()
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
    # Torch warns when it is imported without NumPy; nothing here needs NumPy.
    config.addinivalue_line("filterwarnings", "ignore:Failed to initialize NumPy")
    try:
        config.stash[_GIVEN] = read_pairs(config.getoption("stackgru") or (), "--stackgru")
        config.stash[_INI] = _ini(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    if EVENTS in os.environ:
        from stackgru.engine.isolate import die_with_parent

        die_with_parent()
    config.stash[_PROCESSES], config.stash[_ERRORS] = [], []
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
    from stackgru.engine.collect import run_id
    from stackgru.targets.importing import TargetError

    try:
        runs = _runs(metafunc.config, metafunc.function, metafunc.module)
    except (TargetError, UsageError) as error:
        if not hasattr(metafunc.config, "workerinput"):
            raise pytest.UsageError(str(error)) from error
        # A worker that raises is replaced, and the next raises too.
        metafunc.config.stash[_ERRORS].append((type(error).__name__, str(error)))
        runs = []
    metafunc.parametrize("stackgru_law", runs, ids=run_id)


def _runs(config: pytest.Config, function: Any, module: Any) -> list[Any]:
    """Return the runs of a function that suite_for gave, or of the suite's own."""
    from stackgru.engine.known import known_violations

    target, fields = getattr(function, "stackgru_suite", (None, {}))
    given = config.stash[_INI] | fields | config.stash[_GIVEN]
    named = given.pop("target", None)
    given.pop("json", None)
    if target is None:
        target = config.stash.get(TARGET, named)
    if target is None:
        raise UsageError("stackgru.pytest_plugin.suite needs --stackgru target=module:attr.")
    if "known" in given:
        given["known"] = known_violations(given["known"], config.rootpath)
    options = Options(**given)
    of_others = _laws_of_other_tests(config, Path(module.__file__))
    return _collected(config, target, replace(options, skip=(*options.skip, *of_others)))


def _laws_of_other_tests(config: pytest.Config, file: Path) -> list[str]:
    """Return the names of laws in other test files, or in a conftest.py that is not this file's."""
    from stackgru.laws.registry import all_laws

    def is_of_others(path: Path) -> bool:
        if path.name == "conftest.py":
            return path.parent not in file.parents
        return any(path.match(pattern) for pattern in config.getini("python_files"))

    files = {law.name: Path(law.file) for law in all_laws().values()}
    return [name for name, path in files.items() if path != file and is_of_others(path)]


def _collected(config: pytest.Config, target: Any, options: Options) -> list[Any]:
    """Return the runs of a target, which in a worker of xdist's lives in a child of that."""
    from stackgru.engine.collect import collect_runs, spread
    from stackgru.engine.isolate import Note, is_available
    from stackgru.engine.process import Process
    from stackgru.repro.bug import save_violation

    if not hasattr(config, "workerinput") or not is_available(options.device):
        return collect_runs(target, options)
    note = Note()
    process = Process(
        target,
        options,
        note,
        found=lambda violation: tell("found", asdict(violation)),
        started=lambda number: tell("child", number),
        save=lambda run, found, folder: save_violation(
            run.target, run.law, found, run.options, folder
        ),
    )
    config.stash[_PROCESSES].append(process)
    tell("report", process.runs[0].to_dict())  # what is known before any law has run
    return spread(process.runs, config.workerinput["workercount"])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make each law a test of Hypothesis' own before its plugin looks for those."""
    for item in items:
        run = _run_of(item)
        if run is not None:
            run.save = partial(_save, config, run)
            item.obj = run.as_test()  # type: ignore[attr-defined]


def _run_of(item: pytest.Item) -> Any:
    """Return the run of a law that an item is, or None; pytest has a placeholder for no run."""
    run = getattr(getattr(item, "callspec", None), "params", {}).get("stackgru_law")
    return run if hasattr(run, "as_test") else None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is set for the laws."""
    given = config.stash[_INI] | config.stash[_GIVEN]
    texts = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in given.items()
    }
    shown = [f"{name} {text}" for name, text in texts.items() if text not in ("", "None")]
    return f"stackgru: {', '.join(shown)}" if shown else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach a law's result to its test report, and show a violation as a few plain lines."""
    report = yield
    run = _run_of(item)
    if run is not None and call.when == "call":
        # Hypothesis would write a patch that adds examples to the source of stackgru.
        vars(item).pop("_hypothesis_failing_examples", None)
        if run.statistics:
            own = f"{item.nodeid}{run.statistics.removeprefix(run.law.name)}"
            item.hypothesis_statistics = own  # type: ignore[attr-defined]
        setattr(report, _RESULT, run.to_dict())
        item.config.stash[_COLLECTOR].note(item.nodeid, run)
        if run.result is not None and run.result.status == "violated":
            from stackgru.report.terminal import violation_text

            again = "" if run.law.is_bundled else f"pytest {shlex.quote(item.nodeid)}"
            report.longrepr = violation_text(
                run.result.violation,
                run.target.name,
                run.target.cli_options,
                again,
                strict=run.options.strict,
            )
    return report


def _save(config: pytest.Config, run: Any) -> None:
    """Save a bug report of a violation, and note in the result where it is."""
    folder = run.options.report
    if folder and run.result is not None and run.result.status == "violated":
        from stackgru.repro.bug import save_violation

        place, found = config.rootpath / folder, run.result.violation
        if run.elsewhere is None:
            saved = save_violation(run.target, run.law, found, run.options, place)
        else:
            saved = run.elsewhere.call("save", run, found, place)
            if not hasattr(saved, "law"):
                saved = replace(found, problem=f"the process {saved.how} while it was made")
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
        verbose = config.get_verbosity() > 0
        text = render(report, width=width, colour=colour, details=False, verbose=verbose)
        writer.write(text)
    if config.stash[_COLLECTOR].problem:
        writer.write_line(f"Error: {config.stash[_COLLECTOR].problem}", red=True)


class Collector:
    """Gathers the laws' results from the test reports, also from those of xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._gathered = Gathered()
        self._to_diagnose: dict[str, Any] = {}
        self._status: int | None = None
        self.problem = ""

    @property
    def _is_worker(self) -> bool:
        return hasattr(self._config, "workerinput")

    def note(self, nodeid: str, run: Any) -> None:
        """Note the first run of each target of this process that may be a variant of nn.GRU."""
        if run.should_diagnose:
            self._to_diagnose.setdefault(split(nodeid)[0], run)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result that a test report carries, if any."""
        data = getattr(report, _RESULT, None)
        if data is not None:
            self._gathered.add(report.nodeid, data)
            if not self._is_worker:
                tell("report", data)
        elif report.failed and str(report.when) == "???":  # as xdist reports a worker that died
            tell("died", split(report.nodeid)[1])
            self._gathered.add_died(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Tell which laws are to run, of those that pytest's own options leave."""
        tell("laws", [split(nodeid)[1] for nodeid in ids])

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Note how the session ended."""
        self._finish(session)
        yield
        self._status = int(session.exitstatus)

    def _finish(self, session: pytest.Session) -> None:
        """Diagnose the violations; write the JSON file, on the controller only."""
        if self._claims_diagnosis():
            found = {key: run.diagnosis() for key, run in self._to_diagnose.items()}
            self._gathered.add_diagnoses(found)
            for diagnosis in found.values():
                tell("diagnosis", diagnosis)
            if self._is_worker:
                self._config.workeroutput[_RESULT] = found  # type: ignore[attr-defined]
        for process in self._config.stash[_PROCESSES]:
            process.child.close()
        if self._is_worker:
            errors = self._config.stash[_ERRORS]
            self._config.workeroutput[f"{_RESULT}_errors"] = errors  # type: ignore[attr-defined]
            return
        path = (self._config.stash[_INI] | self._config.stash[_GIVEN]).get("json")
        reports = self.reports()
        if path and reports:
            texts = [report.to_json() for report in reports]
            try:
                write_text(path, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
            except OSError as error:
                self.problem = f"the report could not be written to {path}: {error.strerror}"
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End a process of a check, all of which is told: torch takes a second to be torn down."""
        if EVENTS not in os.environ or self._status is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        if self._is_worker:
            os._exit(0)
        tell("end", self._status)

    def _claims_diagnosis(self) -> bool:
        """Whether no other worker of this check has begun to search what the target is."""
        if not self._to_diagnose or EVENTS not in os.environ:
            return bool(self._to_diagnose)
        try:
            Path(f"{os.environ[EVENTS]}.diagnosis").touch(exist_ok=False)
        except OSError:
            return False
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the diagnoses and the errors of an xdist worker."""
        output = getattr(node, "workeroutput", {})
        self._gathered.add_diagnoses(output.get(_RESULT, {}))
        for kind, message in output.get(f"{_RESULT}_errors", ()):
            tell("error", [kind, message])
            self.problem = message.rstrip(".")

    def reports(self) -> list[Report]:
        """Return a report for every target that was checked."""
        return self._gathered.reports()
