"""What tests of a page do with a tab: wait, read, and check accessibility and width."""

import json
from importlib import resources


def settle(tab):
    """Waits until the page has shown all results."""
    tab.run("modules.page.settled().then(() => true)")


def text_of(tab, selector):
    return tab.run(f"document.querySelector({json.dumps(selector)}).textContent")


def assert_axe_finds_no_serious_fault(tab):
    tab.run((resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8") + "; true")
    faults = tab.run(
        "axe.run().then((found) => found.violations.map(({ impact, id, nodes }) =>"
        " [impact, id, nodes.map((node) => node.html + node.failureSummary)]))"
    )
    assert [f for f in faults if f[0] in ("serious", "critical")] == []


def assert_no_element_is_wider_than(tab, width):
    """Only elements that scroll may be wider than the window."""
    assert tab.run("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('main *')].filter((e) => !e.closest('.wide, .map')"
        " && e.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert tab.run(f"{wide}.map((e) => e.id + e.className)") == []
