"""The README stays short, and what the README and the pages in docs/ refer to exists."""

import re
from urllib.parse import unquote

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
OPTIONS = (ROOT / "docs" / "OPTIONS.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
GROUPS = (
    *("model", "heads", "position", "feedforward", "qk_norm", "optimizer", "schedule"),
    *("data", "experiment", "sweep", "debug", "trainer", "callbacks", "logger"),
)


def heading_anchors(page):
    """Returns the link fragments that GitHub and the site give to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_documented(group):
    for option in (ROOT / "conf" / group).glob("*.yaml"):
        assert re.search(rf"\b{option.stem}\b", OPTIONS), f"{group}={option.stem} is not in docs/OPTIONS.md"


def test_every_experiment_sweep_and_group_in_a_command_exists():
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.S):
            for group, options in re.findall(r"(?<![\w./])([a-z_]+)=([\w,-]+)(?=\s|$)", block):
                folder = ROOT / "conf" / group
                for option in options.split(",") if folder.is_dir() else ():
                    exists = (folder / f"{option}.yaml").exists() or option == "near"  # the example of CONTRIBUTING
                    assert exists, f"{page.name} has {group}={option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text()):
        path, _, fragment = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if fragment:
            assert fragment in heading_anchors(target), f"{page.name} links to {link}"


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    linked = set(LINK.findall(index))
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in linked | {"index.md"}
    assert {"../CONTRIBUTING.md", "../CHANGELOG.md"} <= linked


def test_every_script_in_a_command_exists():
    for page in PAGES:
        for script in re.findall(r"\b(?:python )((?:benchmarks/)?[a-z_0-9]+\.py)", page.read_text()):
            assert (ROOT / script).exists(), f"{page.name} runs {script}"


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.M):
            assert target in targets, f"{page.name} has make {target}"


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.encode()) <= 9000
    lines = README.splitlines()
    assert len(lines) <= 160
    for line in lines:
        assert len(line) <= 300 or line.startswith("|"), line
