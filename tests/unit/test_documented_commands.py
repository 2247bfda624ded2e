"""Every command that README and docs show is one that there is, with its options; so is every setting."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer

from tests.support.documented import PAGES, ROOT, commands
from triptych.cli.__main__ import app
from triptych.environment import VARIABLES

_SHOWN = [(page, words, complete) for page in PAGES for words, complete in commands(page.read_text())]
_SETTING = re.compile(r"TRIPTYCH_[A-Z0-9_]*\*?")


def _of(program: str) -> list[Any]:
    """A test's parameters; what several pages show is tried once."""
    found: dict[str, Any] = {}
    for page, words, complete in _SHOWN:
        if words[0] == program and len(words) > 1:
            line = shlex.join(words)
            found.setdefault(f"{line} {complete}", pytest.param(words, complete, id=f"{page.name}: {line}"))
    return list(found.values())


@pytest.mark.parametrize(("words", "complete"), _of("triptych"))
def test_a_command_of_triptych_has_these_options(words: list[str], complete: bool) -> None:
    _check_triptych(words[1:], complete=complete)


def _check_triptych(words: list[str], *, complete: bool) -> None:
    command: Any = typer.main.get_command(app)
    while True:
        context = command.context_class(command, info_name="triptych")
        given, words, _ = command.make_parser(context).parse_args(words)  # raises for an unknown option
        if not hasattr(command, "get_command"):
            break
        if not words and not complete:
            return
        name, *words = words
        subcommand = command.get_command(context, name)
        assert subcommand, f"there is no command {name}"
        command = subcommand
    assert not words, f"takes no {words}"
    missing = [each.name for each in command.params if each.required and not given.get(each.name)]
    assert not (complete and missing)


@pytest.mark.parametrize(("words", "complete"), _of("make"))
def test_a_target_of_make_is_there_and_its_variables_are_read(words: list[str], complete: bool) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        name, assigned, value = word.partition("=")
        assert (f"$({name})" in makefile) if assigned else re.search(rf"^{name}:", makefile, re.MULTILINE), word
        if name == "UP":
            _check_triptych(["up", *shlex.split(value)], complete=True)
        for path in shlex.split(value) if name == "PYTEST" else ():
            assert path.startswith("-") or (ROOT / path).exists()


class _ParsedError(Exception):
    """The program has read its options, and would begin."""


@pytest.mark.parametrize(("words", "complete"), _of("python"))
def test_a_program_is_there_and_takes_these_options(
    words: list[str], complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *given: Any) -> NoReturn:
        real(self, *given)
        raise _ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    module, *options = words[2:] if words[1] == "-m" else words[1:]
    if module == "NAME":
        module = "recall_service"
    monkeypatch.setattr(sys, "argv", [module, *options])
    # As Python does for a script.
    monkeypatch.syspath_prepend(str((ROOT / module).parent))
    run: Any = runpy.run_module if words[1] == "-m" else runpy.run_path
    with pytest.raises(_ParsedError):
        run(module if words[1] == "-m" else str(ROOT / module), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_settings_that_a_page_names_are_settings(page: Path) -> None:
    named = {name for name in _SETTING.findall(page.read_text()) if not name.startswith("TRIPTYCH_TEST_")}
    patterns = {name for name in named if name.endswith(("_", "*"))}
    assert named - patterns <= VARIABLES.keys()
    for pattern in patterns:
        assert any(name.startswith(pattern.rstrip("*")) for name in VARIABLES), pattern
