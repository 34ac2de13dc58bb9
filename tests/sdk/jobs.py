"""Jobs: one SDK, its calls, where it sends them; and the programs that carry them out.

Knows how to start each runner, nothing of what is expected in the lake.
"""

import copy
import dataclasses
import json
import pathlib
import queue
import subprocess
import sys
import threading

from sdks import Sdk

HERE = pathlib.Path(__file__).parent
CALLS = json.loads((HERE / "events.json").read_text())
RUN_LIMIT_S = 120


@dataclasses.dataclass
class Job:
    sdk: Sdk
    scenario: str
    calls: list
    # Between two calls.
    interval_ms: int = 0
    # Set when the gateway's address is known.
    url: str = ""
    # The page is left as soon as the calls are made.
    leave: bool = False
    faults: list = dataclasses.field(default_factory=list)

    @property
    def name(self):
        return f"{self.sdk.name}-{self.scenario}"

    @property
    def schema(self):
        return self.name.replace("-", "_")

    @property
    def key(self):
        return f"key-{self.name}"

    def source(self, **more):
        return {"name": self.name, "id": self.schema, "write_key": self.key, "environment": "prod",
                "platform": self.sdk.platform, **more}

    def as_sent(self):
        return {"name": self.name, "sdk": self.sdk.name, "url": self.url, "writeKey": self.key,
                "interval_ms": self.interval_ms, "leave": self.leave, "calls": self.calls,
                "user_agent": self.sdk.user_agent}


def all_calls(sdk, scenario):
    """The calls of events.json that the SDK has, each with a marker of its own."""
    calls = []
    for number, call in enumerate(copy.deepcopy(CALLS)):
        if call["call"] in sdk.lacks:
            continue
        marker = f"{sdk.name}-{scenario}-{number}"
        if "repeat" in call:
            repeat = call.pop("repeat")
            call["fields"][repeat["field"]] = repeat["text"] * (sdk.large // len(repeat["text"]))
        if call["call"] == "alias":
            call["id"] = f"before-{marker}"
        else:
            call["fields"]["marker"] = marker
        calls.append({**call, "marker": marker, "user": f"user-{marker}"})
    return calls


def stream(sdk, scenario, count):
    """`count` track calls, as an app in use makes them."""
    marker = f"{sdk.name}-{scenario}"
    return [
        {"call": "track", "name": "Beat", "marker": f"{marker}-{n}", "user": f"user-{marker}",
         "fields": {"marker": f"{marker}-{n}", "beat": n}}
        for n in range(count)
    ]


SCRIPTS = {
    "node": ["node", str(HERE / "node" / "send.mjs")],
    "python": [sys.executable, str(HERE / "python" / "send.py")],
    "mobile": [sys.executable, str(HERE / "mobile" / "send.py")],
}


def run_process(job, command):
    """What went wrong, or nothing."""
    try:
        done = subprocess.run(command, input=json.dumps(job.as_sent()).encode(),
                              capture_output=True, timeout=RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"not done within {RUN_LIMIT_S} s"
    return "" if done.returncode == 0 else done.stderr.decode()[-500:].strip() or f"exit {done.returncode}"


class Browser:
    """One headless Chromium for all jobs of browsers; see browser/drive.mjs."""

    def __init__(self, chromium, folder, sink):
        script = str(HERE / "browser" / "drive.mjs")
        self.child = subprocess.Popen(["node", script, chromium, folder, sink.url], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock, self.waiting = threading.Lock(), {}
        self.ready = json.loads(self.child.stdout.readline() or "{}")
        if not self.ready.get("ready"):
            raise SystemExit("Chromium did not start")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            answer = json.loads(line)
            self.waiting[answer["name"]].put(answer)

    def _ask(self, whose, **command):
        answers = self.waiting.setdefault(whose.name, queue.Queue())
        with self.lock:
            self.child.stdin.write(json.dumps(command) + "\n")
            self.child.stdin.flush()
        return answers.get(timeout=RUN_LIMIT_S)

    def run(self, job):
        try:
            answer = self._ask(job, do="run", job=job.as_sent())
            if not answer.get("error") and job.leave:
                answer = self._ask(job, do="leave", job=job.as_sent())
        except queue.Empty:
            return f"no answer within {RUN_LIMIT_S} s"
        return answer.get("error", "")

    def close(self, job):
        """Closes the page; returns the hosts it asked and the errors it had."""
        answer = self._ask(job, do="close", name=job.name)
        return answer.get("asked", []), answer.get("faults", [answer.get("error")])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait(timeout=30)
