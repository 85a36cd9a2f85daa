"""Controls headless Chromium with the DevTools protocol over a pipe, without a library."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--hide-scrollbars")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-quic", "--mute-audio")
#: The key codes of keys other than letters.
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Tab": 9, "Home": 36, "End": 35}
KEYS |= {" ": 32, "Escape": 27, "Backspace": 8}


class Page:
    """One tab. `complaints` has the messages of its console; `requests` has the addresses that the tab requested."""

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self.complaints, self.requests, self.events = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _message(self):
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def call(self, method, **parameters):
        """Sends a command of the protocol; returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._message()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._happened(answer)

    def _happened(self, event):
        name, what = event.get("method"), event.get("params", {})
        self.events.append(name)
        if name == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value")) for a in what["args"]))
        elif name == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    def open(self, path, fragment=""):
        """Opens a file and waits until it is loaded."""
        # If only the fragment of the address changed, Chromium would load nothing.
        for url in ("about:blank", path.resolve().as_uri() + fragment):
            self.events.clear()
            self.call("Page.navigate", url=url)
            while "Page.loadEventFired" not in self.events:
                self._happened(self._message())

    def run(self, script):
        """Returns the value of an expression, or the value that a promise resolves to."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def size(self, width, height, dark=False):
        """Sets the size of the window in pixels, and whether the user prefers dark pages."""
        phone = {"deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, **phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, *keys):
        """Presses keys one after another."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            shared = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper()))}
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.call("Input.dispatchKeyEvent", **down, **shared)
            self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, text):
        """Types a text into the focused element."""
        self.call("Input.insertText", text=text)

    def middle(self, selector):
        """Scrolls to an element and returns its middle."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.run(
            f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])({find}.getBoundingClientRect())"
        )
        return tuple(box)

    def hover(self, selector):
        """Moves the pointer to an element."""
        x, y = self.middle(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector):
        """Clicks on an element."""
        self.hover(selector)
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def photograph(self, path, whole=False):
        """Saves a PNG of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile):
    """Yields a tab in a new Chromium process, which ends after the block."""
    assert CHROMIUM, "these tests need Chromium"
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (in_read, out_write)]
    for fd in (in_read, out_write):
        os.close(fd)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        command,
        pass_fds=(3, 4),  # Chromium reads the protocol from file 3 and writes it to file 4
        preexec_fn=lambda: [os.dup2(fd, place) for fd, place in zip(theirs, (3, 4), strict=True)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for fd in theirs:
        os.close(fd)
    try:
        yield Page(out_read, in_write)
    finally:
        os.close(in_write)
        process.terminate()
        process.wait(20)
        os.close(out_read)
