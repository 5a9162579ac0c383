"""What tests found out and the terminal should say, whether or not they passed."""

import pytest

LINES = pytest.StashKey[list]()


@pytest.fixture
def say(request):
    """A function whose argument is printed after all tests."""
    return request.config.stash.setdefault(LINES, []).append


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
