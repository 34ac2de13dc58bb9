"""Real SDKs against the real program: every event must be found in the Parquet files, once.

usage: run.py PATH_TO_KEELROW BUILD_FOLDER [--only WORD]... [--scenario NAME]... [--rounds N]

Each scenario starts the program on a folder of its own, lets every SDK send its calls, waits until
the loader has committed them, stops the program, and looks each event up with DuckDB.
"""

import argparse
import concurrent.futures
import contextlib
import sys
import tempfile
import time

import lake
import sdks
from build import Built
from gateway import Gateway
from jobs import Browser, Job, all_calls, run_process, stream
from proxy import ANSWER_LOST, RESET, Proxy, Sink, slow, status

COMMIT_LIMIT_S = 60
# Between a start and the kill that follows.
TRAFFIC_S = 2
# Programs that run at once; pages of the browser all do.
WORKERS = 5


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("keelrow")
    parser.add_argument("folder", help="where the programs of compiled languages are built")
    parser.add_argument("--only", action="append", help="only SDKs with this in their name")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


class Run:
    """What all scenarios share: the programs, the SDKs that can be run, the browser."""

    def __init__(self, options, built, browser, sink):
        self.options, self.built, self.browser, self.sink = options, built, browser, sink

    def skipped(self):
        """One line for each SDK that was not run at all."""
        missing = self.built.missing
        return [f"{sdk.name}: {missing[sdk.runner]}" for sdk in self.wanted() if sdk.runner in missing]

    def wanted(self):
        only = self.options.only
        return [sdk for sdk in sdks.ALL if not only or any(word in sdk.name for word in only)]

    def sdks(self):
        return [sdk for sdk in self.wanted() if sdk.runner not in self.built.missing]

    def is_page(self, job):
        return job.sdk.runner in ("browser", "worker")

    def carry_out(self, jobs, workers=WORKERS):
        """Runs all jobs; returns what went wrong by name."""
        def one(job):
            if self.is_page(job):
                return self.browser.run(job)
            return run_process(job, self.built.commands[job.sdk.runner])
        pages = [job for job in jobs if self.is_page(job)]
        programs = [job for job in jobs if not self.is_page(job)]
        with (concurrent.futures.ThreadPoolExecutor(max(1, len(pages))) as tabs,
              concurrent.futures.ThreadPoolExecutor(workers) as pool):
            futures = {job.name: tabs.submit(one, job) for job in pages}
            futures |= {job.name: pool.submit(one, job) for job in programs}
            return {name: future.result() for name, future in futures.items()}

    def close_pages(self, jobs, wrong):
        """Closes them; none may have asked anything but its own site and the gateway."""
        for job in filter(self.is_page, jobs):
            own = {self.browser.ready["pages"], job.url.split("/")[2]}
            asked, errors = self.browser.close(job)
            if foreign := set(asked) - own:
                wrong[job.name] += f" asked {sorted(foreign)}"
            if errors:
                wrong[job.name] += f" page errors: {errors[:3]}"
        if hosts := self.sink.asked():
            raise SystemExit(f"requests for other machines: {hosts}")


def wait_until_settled(gateway, jobs, wrong):
    """Waits until each source's events have met their end; the looking up tells what is missing."""
    until = time.monotonic() + COMMIT_LIMIT_S
    waiting = [job for job in jobs if not wrong[job.name]]
    while waiting and time.monotonic() < until:
        time.sleep(0.05)
        waiting = [job for job in waiting if not is_settled(gateway.settled(job.schema), job)]
    for job in waiting:
        print(f"  {job.name}: {gateway.settled(job.schema)} of {len(job.calls)} events")


def wait_until(running, condition):
    """Waits for the condition, or for the end of what runs."""
    while not running.done() and not condition():
        time.sleep(0.05)


def is_settled(books, job):
    return books.get("loaded", 0) + books.get("rejected", 0) >= len(job.calls)


def check(gateway, jobs, wrong, sent_ids):
    """Looks every call of every job up; returns the faults by job."""
    db = lake.connect()
    result = {}
    for job in jobs:
        found = [wrong[job.name].strip()] if wrong[job.name] else []
        schema = lake.Schema(db, gateway.lake, job.schema)
        for call in job.calls:
            found += lake.faults(schema, job.sdk, call, sent_ids)
        for table, ids in schema.all_ids().items():
            if len(set(ids)) != len(ids):
                found.append(f"{table}: ids are not unique")
        if gateway.settled(job.schema).get("rejected"):
            found.append("events were rejected")
        result[job.name] = found
    shown = lake.platforms(db, gateway.lake, "prod")
    for job in jobs:
        if shown.get(job.name, []) != [job.sdk.expected_platform]:
            result[job.name].append(f"platform {shown.get(job.name)}")
    return result


def ids_by_marker(events):
    """The messageIds on the wire of each marked event."""
    ids = {}
    for event in events:
        fields = [event.get("properties"), event.get("traits"), (event.get("context") or {}).get("traits")]
        marker = next((f["marker"] for f in fields if isinstance(f, dict) and "marker" in f), None)
        if marker and "messageId" in event:
            ids.setdefault(marker, set()).add(event["messageId"])
    return ids


def simple(run, jobs, proxied=False, **source):
    """All jobs at one gateway, each through a proxy of its own if `proxied`."""
    if not jobs:
        return {}
    with Gateway(run.options.keelrow, [job.source(**source) for job in jobs]) as gateway, \
            contextlib.ExitStack() as proxies:
        events = []
        for job in jobs:
            job.url = gateway.url
            if proxied:
                job.proxy = proxies.enter_context(Proxy(gateway.port, job.faults))
                job.url = job.proxy.url
        wrong = run.carry_out(jobs)
        wait_until_settled(gateway, jobs, wrong)
        run.close_pages(jobs, wrong)
        for job in jobs if proxied else []:
            events += job.proxy.events
            if job.proxy.faults:
                wrong[job.name] += f" {len(job.proxy.faults)} faults were not met"
        gateway.stop()
        result = check(gateway, jobs, wrong, ids_by_marker(events))
        gateway.start()
    return result


def plain(run):
    return simple(run, [Job(sdk, "plain", all_calls(sdk, "plain")) for sdk in run.sdks()])


def prefix(run):
    """Behind a reverse proxy that gives the gateway a path below another address."""
    jobs = [Job(sdk, "prefix", all_calls(sdk, "prefix")) for sdk in run.sdks()]
    with Proxy(0, prefix="/events") as proxy:
        http = f'public_url = "{proxy.url}"'
        with Gateway(run.options.keelrow, [job.source() for job in jobs], http) as gateway:
            proxy.upstream_port = gateway.port
            for job in jobs:
                job.url = proxy.url
            wrong = run.carry_out(jobs)
            wait_until_settled(gateway, jobs, wrong)
            run.close_pages(jobs, wrong)
            gateway.stop()
            result = check(gateway, jobs, wrong, ids_by_marker(proxy.events))
            gateway.start()
    return result


def with_faults(name, faults):
    def scenario(run):
        jobs = [Job(sdk, name, all_calls(sdk, name), faults=list(faults))
                for sdk in run.sdks() if sdk.retries]
        return simple(run, jobs, proxied=True)
    return scenario


def limited(run):
    """The gateway's own 429: twice as many events as the source's rate allows at once."""
    jobs = [Job(sdk, "limited", stream(sdk, "limited", 24), interval_ms=5)
            for sdk in run.sdks() if sdk.retries and sdk.patient]
    result = simple(run, jobs, proxied=True, rate_limit="12/s")
    refused = sum(429 in job.proxy.statuses for job in jobs)
    print(f"  {refused} of {len(jobs)} SDKs were answered 429")
    if jobs and not refused:
        raise SystemExit("no SDK met the rate limit")
    return result


def leaving(run):
    """The page is left at once: what is queued goes out as it unloads, or from the next page."""
    jobs = [Job(sdk, "leaving", stream(sdk, "leaving", 3), leave=True)
            for sdk in run.sdks() if sdk.runner == "browser" and sdk.outlives_page]
    return simple(run, jobs)


def restart(run):
    """Apps in use while the gateway is stopped, started, killed and started again."""
    jobs = [Job(sdk, "restart", stream(sdk, "restart", 60), interval_ms=150)
            for sdk in run.sdks() if sdk.retries]
    with Gateway(run.options.keelrow, [job.source() for job in jobs]) as gateway, \
            Proxy(gateway.port, patience_s=30) as balancer, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        for job in jobs:
            job.url = gateway.url if job.sdk.patient else balancer.url
        running = pool.submit(run.carry_out, jobs, len(jobs))
        # An SDK that is only starting asks for its configuration once; then it is in use.
        wait_until(running, lambda: all(gateway.settled(job.schema) for job in jobs))
        sending = sum(not is_settled(gateway.settled(job.schema), job) for job in jobs)
        gateway.stop()
        gateway.start()
        time.sleep(TRAFFIC_S)
        gateway.kill()
        gateway.start()
        wrong = running.result()
        print(f"  {sending} of {len(jobs)} SDKs were sending when the gateway stopped")
        wait_until_settled(gateway, jobs, wrong)
        run.close_pages(jobs, wrong)
        gateway.stop()
        result = check(gateway, jobs, wrong, {})
        gateway.start()
    return result


SCENARIOS = {
    "plain": plain,
    "prefix": prefix,
    "leaving": leaving,
    "busy": with_faults("busy", [status(429), status(503)]),
    "limited": limited,
    "broken": with_faults("broken", [RESET, ANSWER_LOST, slow(3)]),
    "restart": restart,
}


def main():
    options = arguments()
    passed = failed = 0
    built = Built(options.folder)
    with Sink() as sink, tempfile.TemporaryDirectory(prefix="keelrow-pages-") as folder, \
            Browser(built.chromium(), folder, sink) as browser:
        run = Run(options, built, browser, sink)
        for number in range(options.rounds):
            for name in options.scenario or SCENARIOS:
                started = time.monotonic()
                result = SCENARIOS[name](run)
                if not result:
                    continue
                for job, faults in result.items():
                    if faults:
                        print(f"  {job}: {'; '.join(faults[:8])}")
                    passed, failed = passed + (not faults), failed + bool(faults)
                bad = sum(map(bool, result.values()))
                print(f"{name}: {len(result) - bad} of {len(result)} SDKs had every event found, once "
                      f"({time.monotonic() - started:.0f} s, round {number + 1})", flush=True)
        skipped = run.skipped()
    for line in skipped:
        print(f"SKIPPED, not tested: {line}")
    print(f"SDKs: {passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
