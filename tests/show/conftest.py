"""A tab of headless Chromium for the tests of a module."""

import pytest

from tests.browser import browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab
