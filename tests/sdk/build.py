"""Builds the programs of compiled languages, and says which SDKs this machine cannot run, and why.

Rust and Chromium must be there. Go's and Java's packages come from registries that not every
machine reaches; without them those SDKs are skipped, and the summary says so.
"""

import os
import pathlib
import re
import shutil
import subprocess

from jobs import HERE, SCRIPTS

BUILD_LIMIT_S = 300
# What the lines of a failed build that name its cause have in them.
CAUSES = ("resol", "dial tcp", "error[", "error:", "cannot find")


class Built:
    """`commands` starts each runner; `missing` tells why a runner is not there."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.commands, self.missing = dict(SCRIPTS), {}
        for runner in ("rust", "go", "java"):
            try:
                self.commands[runner] = getattr(self, runner)()
            except Missing as reason:
                self.missing[runner] = str(reason)
        if "rust" in self.missing:
            raise SystemExit(f"tests/sdk/rust: {self.missing['rust']}")

    def chromium(self):
        return shutil.which("chromium") or quit_with("no Chromium: apt-get install chromium")

    def rust(self):
        target = self.folder / "sdk-rust"
        make("cargo", "build", "--quiet", "--locked", "--target-dir", target, cwd=HERE / "rust")
        return [str(target / "debug" / "sdk-rust")]

    def go(self):
        program = self.folder / "sdk-go"
        # go.mod pins the SDKs; sums come from the checksum database, on a machine that reaches one.
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        copy = self.folder / "sdk-go-source"
        shutil.copytree(HERE / "go", copy, dirs_exist_ok=True)
        make("go", "build", "-o", program, ".", cwd=copy, env=environment)
        return [str(program)]

    def java(self):
        target = self.folder / "sdk-java"
        make("mvn", "--batch-mode", "--quiet", f"-Dbuild={target}", "package", cwd=HERE / "java")
        return ["java", "-cp", f"{target}/sdk-java.jar:{target}/lib/*", "keelrow.sdk.Send"]


class Missing(Exception):
    """Why something cannot be built."""


def quit_with(reason):
    raise SystemExit(reason)


def make(tool, *arguments, **how):
    if not shutil.which(tool):
        raise Missing(f"no {tool} on this machine")
    try:
        done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True,
                              timeout=BUILD_LIMIT_S, **how)
    except subprocess.TimeoutExpired:
        raise Missing(f"{tool} was not done within {BUILD_LIMIT_S} s") from None
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).splitlines()
        # The first that tells a cause; what follows it are hints.
        causes = [line for line in lines if any(word in line for word in CAUSES)] or lines or ["failed"]
        cause = re.sub("\x1b[^m]*m", "", causes[0]).strip()
        raise Missing(f"{tool}: {cause[:200]}")
