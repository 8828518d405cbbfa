"""What pytest does for every layer: markers by folder, and which tests are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

import layers

TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what scripts/test.py selects tests by, which leaves -m and -k to the user."""
    group = parser.getgroup("layers")
    group.addoption("--skip-slow", action="store_true", help="leave out tests marked slow")
    group.addoption("--load", choices=["shared", "alone"], help="only tests that may run beside others, or only those marked alone")


def pytest_configure(config: pytest.Config) -> None:
    """Make a marker of each layer."""
    for layer in layers.load(TESTS.parent).values():
        config.addinivalue_line("markers", f"{layer.name}: {layer.what} (by folder)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its layer, leave out what was not asked for, and begin with the files that take longest."""
    left_out = []
    places = {TESTS / layer.name / file: n for layer in layers.load(TESTS.parent).values() for n, file in enumerate(layer.first)}
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])
        load = "alone" if item.get_closest_marker("alone") else "shared"
        unwanted = config.option.load not in (None, load)
        if unwanted or (config.option.skip_slow and item.get_closest_marker("slow")):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    items.sort(key=lambda item: places.get(item.path, len(places)))
