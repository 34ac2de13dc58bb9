"""Hostile clients against the real program, with an ordinary one beside them.

usage: run.py PATH_TO_KEELROW PATH_TO_LOADTEST [--fuzz COUNT] [--seed N] [--idle COUNT]

Each attack runs while a neighbour, a process of its own, posts an event every 20 ms: it must be
answered 200 every time. Memory is read from the kernel after each attack and must stay below what
the configuration allows. Every answer must be the documented one. Exit code 1 if anything differs.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import bodies  # noqa: E402
import contract  # noqa: E402
import http2  # noqa: E402
import slow  # noqa: E402
from program import Program, source  # noqa: E402

MIB = 1 << 20
# How long something may take before it is called broken, on the busiest machine.
LIMIT_S = 180
IN_FLIGHT = 64 * MIB
# Beside the bodies: what two cores may be parsing at once (a body of two million values takes
# 64 MiB while it is read), the windows of decoders, and the loader's builders.
WORK = 192 * MIB
# What a connection keeps while it rests: the buffers of HTTP and its task.
CONNECTION = 28 << 10
HEADER_S, BODY_S, IDLE_S = LIMITS = (2, 3, 6)
SOURCES = (
    source("enabled", "wk-enabled")
    + source("disabled", "wk-disabled", "enabled = false")
    + source("hook", "wk-hook", 'kind = "webhook"')
    + source("limited", "wk-limited", 'rate_limit = "2/h"')
    + source("neighbour", "wk-neighbour")
)
QUICK = f'header_timeout = "{HEADER_S}s"\nbody_timeout = "{BODY_S}s"\nidle_timeout = "{IDLE_S}s"\n'


class Suite:
    def __init__(self, program, folder, http):
        self.program = Program(program, folder, http=f'max_in_flight = "{IN_FLIGHT // MIB}MiB"\n{http}',
                               journal='max_bytes = "4GiB"', load='max_age = "2s"\nmemory = "32MiB"', more=SOURCES)
        self.faults = []

    def __enter__(self):
        self.program.start()
        # Everything is in place once an event has gone all the way.
        self.program.post("/v1/track", b'{"userId":"u"}', "wk-enabled")
        self.program.wait(lambda: self.program.metric("keelrow_events_waiting") == 0, LIMIT_S, "an event is loaded")
        self.idle_memory = self.program.memory()
        return self

    def __exit__(self, kind, *_):
        code = self.program.stop() if kind is None else self.program.kill()
        if code != 0 and kind is None:
            self.faults.append(f"keelrow ended with {code}")
        for word in ("panicked", "ERROR"):
            if word in self.program.output():
                self.faults.append(f"{word} in the log:\n{self.program.output()[-2000:]}")

    def attack(self, name, faults, connections=0):
        """Runs one attack, a generator of faults, beside a neighbour, while `connections` are open."""
        self.program.forget_peak()
        neighbour = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("neighbour.py")), str(self.program.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        began = time.monotonic()
        found = list(faults)
        took = time.monotonic() - began
        answers, _ = neighbour.communicate(b"\n", timeout=LIMIT_S)
        seen = json.loads(answers)
        counted = [fault for fault in found if isinstance(fault, int)]
        found = [fault for fault in found if not isinstance(fault, int)]
        peak = self.program.peak_memory()
        if peak > self.idle_memory + IN_FLIGHT + WORK + connections * CONNECTION:
            found.append(f"memory rose from {self.idle_memory // MIB} to {peak // MIB} MiB")
        if seen["failed"]:
            found.append(f"the neighbour was failed {seen['failed']} times: {seen['example']}")
        # A request passes through some ten sleeps and wake-ups, each as late as the machine is.
        if seen["p50_ms"] > 250 + 10 * seen["late_ms"]:
            found.append(f"the neighbour waited {seen['p50_ms']:.0f} ms in the middle, {seen['late_ms']:.1f} ms late by itself")
        count = f", {counted[0]} requests" if counted else ""
        print(f"{name}: {took:.1f} s{count}; memory {peak // MIB} MiB; neighbour {seen['answers']} answers, "
              f"p50 {seen['p50_ms']:.1f} p99 {seen['p99_ms']:.1f} max {seen['max_ms']:.0f} ms", flush=True)
        for fault in found:
            print(f"  WRONG {fault}", flush=True)
        self.faults += [f"{name}: {fault}" for fault in found]

    def accepted(self):
        return self.program.metric('keelrow_events_total{source="enabled_prod",outcome="received"}')


def quick_limits(program, arguments):
    """The attacks that wait for a time limit, with short ones."""
    with tempfile.TemporaryDirectory(prefix="keelrow-hostile-") as folder, Suite(program, folder, QUICK) as suite:
        port = suite.program.port
        suite.attack("nothing but the neighbour", pause(3))
        suite.attack("the documented answers", (f"{check.__name__}: {fault}" for check in contract.all_checks()
                                                for fault in check(port)))
        suite.attack("slow clients", slow.slow_clients(port, 30, LIMITS))
        suite.attack("endless bodies", slow.endless_bodies(port, 4))
        suite.attack("floods of headers", slow.floods_of_headers(port))
        suite.attack("two readings", slow.two_readings(port, suite.accepted))
        suite.attack("half closed", slow.half_closed(port))
        suite.attack("HTTP/2", http2.all_attacks(port))
        open_files = suite.program.open_files()
        suite.program.wait(lambda: suite.program.metric("keelrow_http_connections ") <= 1, LIMIT_S, "all connections are closed")
        suite.program.wait(lambda: suite.program.metric("keelrow_http_in_flight_bytes ") == 0, LIMIT_S, "no body is in memory")
        print(f"open files {open_files}, in the end {suite.program.open_files()}")
    return suite.faults


def default_limits(program, arguments):
    """The attacks that wait for nothing, with the default times."""
    with tempfile.TemporaryDirectory(prefix="keelrow-hostile-") as folder, Suite(program, folder, "") as suite:
        port = suite.program.port
        suite.attack("bodies", bodies.replay(port))
        suite.attack(f"fuzz, seed {arguments.seed}", bodies.fuzz(port, arguments.seed, arguments.fuzz))
        suite.attack("overload by another source", overload(port, arguments.loadtest, 200_000))
        idle = slow.idle_connections(port, arguments.idle)
        suite.attack(f"{len(idle)} idle connections", pause(3), len(idle))
        suite.attack("bodies beside them", ask_many(port), len(idle))
        for s in idle:
            s.close()
        suite.program.wait(lambda: suite.program.metric("keelrow_events_waiting") == 0, LIMIT_S, "all is loaded")
    return suite.faults


def pause(seconds):
    """An attack that only passes time."""
    time.sleep(seconds)
    yield from ()


def overload(port, loadtest, rate):
    """More batches of one source than two cores can take: only 200 and 503 may come back, and the
    neighbour, of another source, gets none of the 503."""
    command = [loadtest, "run", "overload", "--url", f"http://127.0.0.1:{port}", "--write-key", "wk-enabled",
               "--rate", str(rate), "--duration", "5s", "--warm-up", "0s", "--json"]
    ran = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S).stdout)
    counts = ran["outcome"]["counts"]
    wrong = {key: counts[key] for key in ("broken", "timed_out", "unexpected") if counts[key]}
    if wrong or set(counts["refused"]) - {"503"}:
        yield f"{wrong} {counts['refused']}"
    if not counts["taken"]:
        yield "nothing was taken"
    print(f"  {counts['taken']} batches taken, refused {counts['refused']}, never sent {counts['abandoned']}")


def ask_many(port):
    for _ in range(300):
        got = bodies.post(port, "/v1/track", bodies.GOOD)
        if got != bodies.OK:
            yield f"{got}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("loadtest")
    parser.add_argument("--fuzz", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--idle", type=int, default=10_000)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    faults = quick_limits(arguments.program, arguments) + default_limits(arguments.program, arguments)
    if faults:
        raise SystemExit("\n".join(["", *faults]))
    print("every answer was a documented one")


main()
