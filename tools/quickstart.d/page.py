"""A page of the quickstart: what it says to write, to run, to open, and to expect."""

import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The last line of the paragraph before a block, if that ends with a colon, and the block.
BLOCK = re.compile(r"(?:^(?P<lead>[^\n]*):\n\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S)
FILE = re.compile(r"^`(?P<name>[\w./-]+\.\w+)`(?:, which is \[`(?P<copy>[\w./-]+)`\]\([\w./-]+\))?$")
PRESS = re.compile(r"^Open <(?P<address>[^>]+)> and press “(?P<button>[^”]+)”$")
NOT_RUN = "not run here"
APT = re.compile(r"^apt-get install((?:.*\\\n)*.*)$", re.M)
TIMEOUT_SECONDS = 600


@dataclass
class Press:
    """A button on a page, and the lines that it brings."""

    address: str
    button: str
    expected: list[str]


@dataclass
class Page:
    title: str
    files: dict[str, str] = field(default_factory=dict)
    # Names of files of this repository that are the same, by name of the page's file.
    copies: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    presses: list[Press] = field(default_factory=list)
    # Commands that the page says are not run.
    not_run: list[str] = field(default_factory=list)

    @staticmethod
    def parse(text: str) -> "Page":
        page = Page(title=text.partition("\n")[0].removeprefix("# "))
        for block in BLOCK.finditer(text):
            lead, kind, body = block["lead"] or "", block["kind"], block["body"]
            if file := FILE.match(lead):
                page.files[file["name"]] = body
                if file["copy"]:
                    page.copies[file["name"]] = file["copy"]
            elif kind == "sh":
                (page.not_run if lead.lower().endswith(NOT_RUN) else page.commands).append(body)
            elif kind == "text" and (press := PRESS.match(lead)):
                page.presses.append(Press(press["address"], press["button"], body.splitlines()))
            elif kind == "text":
                page.expected += body.splitlines()
        return page

    def lines(self) -> tuple[int, int]:
        """Lines of the program, without empty ones, and lines of commands."""
        count = lambda texts: sum(bool(line.strip()) for text in texts for line in text.splitlines())  # noqa: E731
        return count(self.files.values()), count([*self.commands, *self.not_run])

    def stale_copies(self) -> list[str]:
        return [f"{name} is not {copy}" for name, copy in self.copies.items() if self.files[name] != (ROOT / copy).read_text()]

    def not_printed(self, printed: str) -> list[str]:
        """Expected lines that were not printed. N is a number."""
        pattern = lambda line: r"\d+".join(map(re.escape, re.split(r"\bN\b", line)))  # noqa: E731
        return [line for line in self.expected if not re.search(pattern(line), printed)]

    def write(self, folder: Path):
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def missing_packages(self) -> list[str]:
        """Debian's packages that the commands install, and that are not there."""
        words = [word for body in self.commands for install in APT.findall(body) for word in packages_of(install)]
        return [word for word in words if not is_installed(word)]

    def script(self) -> str:
        """The commands. What is installed is not installed again."""
        commands = self.commands if self.missing_packages() else [APT.sub("", body) for body in self.commands]
        return "\n".join(["set -eu", *commands])


def packages_of(install: str) -> list[str]:
    words = install.replace("\\\n", " ").split(">")[0].split()
    return [word for word in words if not word.startswith("-")]


def is_installed(package: str) -> bool:
    status = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False)
    return status.stdout == "install ok installed"


class Shell:
    """Commands in a folder, and what they leave running until the end."""

    def __init__(self, script: str, folder: Path, environment: dict[str, str]):
        self._output = folder.parent / "printed"
        with self._output.open("w") as output:
            self._shell = subprocess.Popen(
                ["sh", "-c", script],
                cwd=folder,
                env=os.environ | environment,
                # Stays open: some programs end with their input.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> int:
        return self._shell.wait(TIMEOUT_SECONDS)

    def serves(self, address: str) -> bool:
        """Waits for something to listen there; false if the commands have ended instead."""
        host, _, port = address.partition(":")
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._shell.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def end(self):
        try:
            os.killpg(self._shell.pid, 9)
        except ProcessLookupError:
            pass
        self._shell.stdin.close()
        self._shell.wait()
