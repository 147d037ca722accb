"""Chromium, over its pipe for debugging."""

import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

# Beyond the descriptors that the shell names with one digit.
LOWEST_DESCRIPTOR = 20
DEADLINE_SECONDS = 30
INTERVAL_SECONDS = 0.05


def chosen() -> str:
    return os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "chromium"


class Browser:
    """A page of a browser with a profile in `folder`."""

    def __init__(self, folder: Path):
        (commands, self._commands), (self._answers, answers) = pipe(), pipe()
        self._log = (folder / "chromium.log").open("w")
        # It reads commands from 3 and answers on 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash"]
        chromium = [chosen(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options = ["--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
        self._process = subprocess.Popen(
            [*shell, *chromium, *options],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        os.close(commands)
        os.close(answers)
        self._ids = itertools.count(1)
        self._received = b""
        target = self._call("Target.createTarget", {"url": "about:blank"})
        self._session = self._call("Target.attachToTarget", {**target, "flatten": True})["sessionId"]

    def open(self, address: str):
        answer = self._call("Page.navigate", {"url": address}, self._session)
        if "errorText" in answer:
            raise RuntimeError(f"{address}: {answer['errorText']}")

    def press(self, button: str):
        script = f"[...document.querySelectorAll('button')].filter((one) => one.textContent === {json.dumps(button)}).map((one) => one.click()).length"
        until(lambda: self._evaluate(script) == 1, f"there is no button {button!r}")

    def text(self) -> str:
        return self._evaluate("document.body?.innerText ?? ''")

    def waits_for(self, line: str):
        until(lambda: line in self.text(), f"the page does not show {line!r}", self.text)

    def end(self):
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._log.close()

    def _evaluate(self, expression: str):
        answer = self._call("Runtime.evaluate", {"expression": expression, "returnByValue": True}, self._session)
        return answer["result"].get("value")

    def _call(self, method: str, parameters: dict, session: str | None = None) -> dict:
        number = next(self._ids)
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            # Events have no id.
            if (answer := self._next(deadline)).get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self, deadline: float) -> dict:
        while b"\0" not in self._received:
            if not select.select([self._answers], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise RuntimeError("the browser has ended")
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


def pipe() -> list[int]:
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR) for end in low]
    for end in low:
        os.close(end)
    return high


def until(condition, problem: str, shown=lambda: ""):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{problem}: {shown()}".removesuffix(": "))
        time.sleep(INTERVAL_SECONDS)
