"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.scripted_model import ScriptedModel

# Settings of whoever runs the tests must not reach what they start.
for _name in [name for name in os.environ if name.startswith(("TRIPTYCH_", "OPENAI_")) and "_TEST_" not in name]:
    del os.environ[_name]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel().start()
    yield scripted
    scripted.stop()
