"""The page in frames and under addresses where a link, the clipboard or a download may not work."""

import base64
import time
from html import escape

import pytest

from headscope.data.tokenizers import CharTokenizer
from headscope.python.trained import Page
from headscope.show.page import page
from headscope.show.request import ShowRequest
from tests.browser import browser
from tests.conftest import small

pytestmark = pytest.mark.browser
TEXT = "the cat & the mat"
#: Runs in the page: reports its errors after the pause in which the page would update its address.
PROBE = """<script>
const errors = [];
addEventListener("error", (e) => errors.push(String(e.message)));
addEventListener("unhandledrejection", (e) => errors.push(String(e.reason)));
addEventListener("load", async () => {
  await modules.page.settled();
  await new Promise((done) => setTimeout(done, 500));
  const canShare = !document.querySelector("#share").hidden;
  if (canShare) document.querySelector("#share").click();
  await new Promise((done) => setTimeout(done, 200));
  document.querySelector("#save-svg").click();
  const loss = document.querySelector("#loss").textContent;
  const report = { errors, canShare, loss };
  globalThis.report = report;
  parent.postMessage(report, "*");
});
</script>"""
LISTEN = """<!doctype html><meta charset="utf-8"><title>notebook</title>
<script>const heard = new Promise((done) => addEventListener("message", (e) => done(e.data)))</script>"""
SCRIPTED = "<iframe id='frame'></iframe><script>{}</script>"  # a frame that the script fills


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        tab.size(1280, 900)
        yield tab


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The page of a small model, with the probe."""
    tokenizer = CharTokenizer(vocab=sorted(set(TEXT)))
    model = small(vocab_size=len(tokenizer), block_size=32).eval()
    html = page(ShowRequest(model, tokenizer, TEXT, tmp_path_factory.mktemp("page") / "best.ckpt"))
    return html.replace("</body>", f"{PROBE}</body>")


def data_url(document):
    return f"data:text/html;base64,{base64.b64encode(document.encode()).decode()}"


def reported(tab, folder, frame):
    """The report of a page in a frame of another page."""
    (folder / "notebook.html").write_text(LISTEN + frame, encoding="utf-8")
    tab.complaints.clear()
    tab.open(folder / "notebook.html")
    found = tab.run("Promise.race([heard, new Promise((done) => setTimeout(() => done(null), 20000))])")
    assert found is not None, "the page did not report that it runs"
    assert "nats" in found["loss"]
    assert found["errors"] == []
    return found


@pytest.mark.parametrize("place", ["notebook", "srcdoc", "data", "blob", "written", "file", "sandbox"])
def test_a_page_in_a_frame_offers_no_link_and_raises_no_error(tab, document, tmp_path, place):
    data = data_url(document)
    blob = f"fetch('{data}').then((answer) => answer.blob()).then((blob) => (frame.src = URL.createObjectURL(blob)))"
    written = f"frame.contentDocument.write(atob('{data.split(',')[1]}')); frame.contentDocument.close();"
    frame = {
        "notebook": Page(document)._repr_html_(),
        "srcdoc": f'<iframe srcdoc="{escape(document)}"></iframe>',
        "data": f'<iframe src="{data}"></iframe>',
        "blob": SCRIPTED.format(blob),
        "written": SCRIPTED.format(written),
        "file": '<iframe src="page.html"></iframe>',
        "sandbox": '<iframe sandbox="allow-scripts" src="page.html"></iframe>',
    }[place]
    (tmp_path / "page.html").write_text(document, encoding="utf-8")
    assert not reported(tab, tmp_path, frame)["canShare"]
    assert tab.run("location.hash") == "", "the page leaves the address of the notebook as it is"


def test_if_a_link_cannot_be_copied_the_address_is_the_link(tab, document, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(document, encoding="utf-8")
    tab.open(file)
    tab.run("modules.page.settled().then(() => true)")
    tab.run("navigator.clipboard.writeText = () => Promise.reject()")
    tab.run("document.querySelector('#share').click()")
    tab.run("new Promise((done) => setTimeout(done, 100))")
    assert tab.run("document.querySelector('#shared').textContent").startswith("Copy the address of this page: ")
    link = tab.run("location.hash")
    assert "text=the%20cat%20%26" in link
    tab.open(file, link)
    tab.run("modules.page.settled().then(() => true)")
    assert tab.run("document.querySelector('#typed').value") == TEXT


def test_at_an_address_in_memory_the_page_works_without_a_link(tab, document):
    tab.complaints.clear()
    tab.events.clear()
    tab.call("Page.navigate", url=data_url(document))
    tab.run("new Promise((done) => setTimeout(done, 300))")
    for _ in range(100):
        time.sleep(0.1)
        if tab.run("globalThis.report !== undefined"):
            break
    assert tab.run("report.errors") == []
    assert tab.run("report.canShare") is False
    assert "nats" in tab.run("report.loss")
    assert tab.complaints == []


def test_a_picture_is_saved_from_the_frame_of_a_notebook(tab, document, tmp_path):
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
    reported(tab, tmp_path, Page(document)._repr_html_())
    for _ in range(50):
        time.sleep(0.1)
        if (tmp_path / "saved" / "L0H0-weights.svg").is_file():
            break
    assert "<svg" in (tmp_path / "saved" / "L0H0-weights.svg").read_text(encoding="utf-8")
