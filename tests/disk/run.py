"""The real program on disks that fill up, fail, or are not to be written to. Needs root, for small
file systems in memory, and strace.

usage: run.py PATH_TO_KEELROW

Whatever was answered 200 must be in the lake in the end, once; whatever was not durable must not
have been answered 200. Exit code 1 if anything differs.
"""

import contextlib
import http.client
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time

import duckdb

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from program import Program, lake_away, source  # noqa: E402

KEY = "wk-disk"
SOURCE = source("disk", KEY)
MIB = 1 << 20
UNAVAILABLE = "Service Unavailable\n"
# How long something may take before it is called broken, on the busiest machine.
LIMIT_S = 180


class Sender:
    """Posts events one after the other on threads, and notes what became of each id."""

    def __init__(self, program, threads=4, size=600):
        self.program, self.size = program, size
        self.taken, self.refused, self.unknown, self.wrong = [], [], [], []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _run(self, lane):
        number = 0
        while not self.stopped.is_set():
            number += 1
            self.send(f"{lane}-{number}")

    def send(self, name):
        event = f'{{"userId":"u","event":"e","messageId":"{name}","properties":{{"text":"{"x" * self.size}"}}}}'
        try:
            status, text, headers = self.program.post("/v1/track", event.encode(), KEY, timeout=LIMIT_S)
        except OSError:
            self.unknown.append(name)
            return
        except http.client.HTTPException as error:
            self.wrong.append(f"an answer was cut off: {error!r}")
            return
        if (status, text) == (200, "ok"):
            self.taken.append(name)
        elif status == 504:
            # Too late, and perhaps taken all the same.
            self.unknown.append(name)
        elif status == 503:
            self.refused.append(name)
            if (text != UNAVAILABLE or not 1 <= int(headers.get("retry-after", "0")) <= 60):
                self.wrong.append(f"{status} {text!r} {headers}")
            # A client that obeys Retry-After would wait longer.
            time.sleep(0.01)
        else:
            self.wrong.append(f"{status} {text!r}")


def in_lake(lake):
    """How often each message id is in the lake's own tables."""
    files = list(pathlib.Path(lake).glob("rudder-datalake/disk_prod/tracks/**/*.parquet"))
    if not files:
        return {}
    query = f"select id, count(*) from read_parquet({[str(f) for f in files]}, union_by_name = true) group by id"
    return dict(duckdb.connect().execute(query).fetchall())


def conserved(sender, lake):
    """Faults of the books: lost, doubled, or refused for sure and there all the same."""
    found = in_lake(lake)
    lost = [name for name in sender.taken if name not in found]
    doubled = [name for name, count in found.items() if count != 1]
    strange = set(found) - set(sender.taken) - set(sender.unknown) - set(sender.refused)
    if lost or doubled or strange:
        yield f"{len(lost)} lost {lost[:3]}, {len(doubled)} doubled {doubled[:3]}, {len(strange)} never sent"
    yield from sorted(set(sender.wrong))
    if not sender.taken:
        yield "nothing was taken at all"


@contextlib.contextmanager
def small_disk(folder, size, options=""):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700{options}", "tmpfs", folder], check=True)
    try:
        yield pathlib.Path(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def serving(program, folder, **more):
    return Program(program, folder, more=SOURCE, **more)


def loaded(server):
    return server.metric("keelrow_events_waiting") == 0


def refused_until(server, sender):
    """Waits for a refusal, the probe's word included."""
    server.wait(lambda: len(sender.refused) > 20, LIMIT_S, "the disk is full")
    if server.get("/health/ready", admin=True)[0] != 503:
        yield "ready while nothing is taken"
    if server.get("/health/live", admin=True)[0] != 200:
        yield "not live while the disk is full"
    status, text = server.get("/health")
    if status != 503 or '"acceptingEvents":"FALSE"' not in text:
        yield f"/health says {status} {text}"


def goes_on(server, sender):
    taken = len(sender.taken)
    server.wait(lambda: len(sender.taken) > taken + 50, LIMIT_S, "events are taken again")
    server.wait(lambda: server.get("/health/ready", admin=True)[0] == 200, LIMIT_S, "ready again")


def journal_disk_full(program, folder):
    """The journal's file system has no room for another segment, then it has."""
    with small_disk(f"{folder}/journal", "160m") as disk:
        # What is loaded stays, so that the disk really fills.
        server = serving(program, folder, journal='max_bytes = "1GiB"\nkeep = "1h"', load='max_age = "500ms"')
        ballast = disk / "ballast"
        with server, Sender(server.start(), size=300_000) as sender:
            server.wait(lambda: len(sender.taken) > 50, LIMIT_S, "events are taken")
            fill_for_good(server, sender, ballast)
            yield from refused_until(server, sender)
            ballast.unlink()
            goes_on(server, sender)
            sender.stopped.set()
            for thread in sender.threads:
                thread.join()
            server.wait(lambda: loaded(server), LIMIT_S, "all is loaded")
            if (code := server.stop()) != 0:
                yield f"ended with {code}"
            yield from conserved(sender, server.lake)
            print(f"  {len(sender.taken)} taken, {len(sender.refused)} refused")


def fill(path):
    """Takes all the room that is left."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * (256 << 10))


def fill_for_good(server, sender, path):
    """Takes the room that is left until nothing is taken any more: a segment that was being filled when
    the disk became full is given back, and so is what was loaded before it."""
    taken = None
    while taken != len(sender.taken):
        fill(path)
        taken, refused = len(sender.taken), len(sender.refused)
        server.wait(lambda: len(sender.refused) > refused + 20, LIMIT_S, "the disk is full")


def journal_budget_spent(program, folder):
    """The lake is away, so that the journal reaches `journal.max_bytes`; then the lake is back."""
    lake = pathlib.Path(folder, "lake")
    server = serving(program, folder, journal='max_bytes = "64MiB"', load='max_age = "500ms"')
    with server, Sender(server.start(), size=1_000_000) as sender:
        server.wait(lambda: len(sender.taken) > 20, LIMIT_S, "events are taken")
        with lake_away(lake):
            yield from refused_until(server, sender)
            if server.metric("keelrow_journal_bytes ") > 64 * MIB:
                yield "the journal is larger than its budget"
        goes_on(server, sender)
        sender.stopped.set()
        for thread in sender.threads:
            thread.join()
        server.wait(lambda: loaded(server), LIMIT_S, "all is loaded")
        server.stop()
        yield from conserved(sender, lake)
        print(f"  {len(sender.taken)} taken, {len(sender.refused)} refused")


def lake_disk_full(program, folder):
    """The lake's file system is full: events are taken all the same, and loaded once there is room."""
    with small_disk(f"{folder}/lake", "24m") as disk:
        server = serving(program, folder, journal='max_bytes = "1GiB"', load='max_age = "300ms"')
        with server, Sender(server.start()) as sender:
            server.wait(lambda: server.metric('keelrow_events_total{source="disk_prod",outcome="loaded"}') > 0, LIMIT_S, "a batch is loaded")
            ballast = disk / "ballast"
            fill(ballast)
            before = len(sender.taken)
            server.wait(lambda: server.metric("keelrow_loader_troubled ") > 0, LIMIT_S, "the loader is in trouble")
            server.wait(lambda: len(sender.taken) > before + 200, LIMIT_S, "events are taken while the lake is full")
            if sender.refused:
                yield f"{len(sender.refused)} refused while only the lake was full"
            ballast.unlink()
            server.wait(lambda: server.metric("keelrow_loader_troubled ") == 0, LIMIT_S, "the loader goes on")
            sender.stopped.set()
            for thread in sender.threads:
                thread.join()
            server.wait(lambda: loaded(server), LIMIT_S, "all is loaded")
            server.stop()
            yield from conserved(sender, server.lake)
            print(f"  {len(sender.taken)} taken")


def failed_sync(program, folder, call, when):
    """The journal's sync fails once with EIO: nothing is acknowledged after it until a restart, and
    then all that was acknowledged is there."""
    inject = ["strace", "-f", "-qq", "-o", f"{folder}/trace", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={when}"]
    server = serving(program, folder, journal='max_bytes = "1GiB"', load='max_age = "300ms"', wrapper=inject)
    with server, Sender(server.start(), threads=2) as sender:
        # Once each sender was refused, none still has to note an answer from before.
        lanes = len(sender.threads)
        server.wait(lambda: len({name.split("-")[0] for name in tuple(sender.refused)}) == lanes, LIMIT_S, "a sync has failed")
        taken = len(sender.taken)
        server.wait(lambda: len(sender.refused) > 60, LIMIT_S, "the journal refuses")
        if len(sender.taken) > taken:
            yield "acknowledged after a failed sync"
        if server.get("/health/ready", admin=True)[0] != 503:
            yield "ready after a failed sync"
        if server.metric("keelrow_journal_accepting ") != 0:
            yield "the metric says that the journal accepts"
        sender.stopped.set()
        for thread in sender.threads:
            thread.join()
        server.kill()
    server.wrapper = []
    with server:
        server.start()
        sender.send("after")
        server.wait(lambda: loaded(server), LIMIT_S, "all is loaded")
        server.stop()
        if "after" not in sender.taken:
            yield "nothing is taken after a restart"
        yield from conserved(sender, server.lake)
        print(f"  {call} {when}: {len(sender.taken)} taken, {len(sender.refused)} refused")


def ends(server, code, words):
    """Starts it and expects it to end with `code`, naming `words`, without a panic."""
    with server:
        server.start(ready=False)
        try:
            got = server.child.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            yield f"it runs: {server.output()}"
            return
    said = server.output()
    if got != code or "panicked" in said or not all(word in said for word in words):
        yield f"exit code {got} instead of {code}, or not {words} in: {said}"


def bad_places(program, folder):
    """Folders that cannot be used: a clear error and an exit code, never a half-running program."""
    base = pathlib.Path(folder)

    def case(name):
        (base / name).mkdir()
        return base / name

    place = case("file-as-journal")
    (place / "journal").write_text("a file")
    yield from ends(serving(program, place), 1, ["journal"])
    place = case("file-as-lake")
    (place / "lake").write_text("a file")
    yield from ends(serving(program, place), 75, ["lake"])
    place = case("file-as-parent")
    (place / "x").write_text("a file")
    yield from ends(Program(program, place, journal=f'path = "{place}/x/journal"', more=SOURCE), 2, ["privacy.key"])
    for name in ("journal", "lake"):
        place = case(f"read-only-{name}")
        with small_disk(f"{place}/{name}", "8m", ",ro"):
            yield from ends(serving(program, place), 1 if name == "journal" else 75, [name])
    place = case("no-room-for-a-segment")
    with small_disk(f"{place}/journal", "1m"):
        server = serving(program, place)
        with server:
            server.start(ready=False)
            server.wait(lambda: server.get("/health")[0] == 503, LIMIT_S, "it says that there is no room")
            status, text, headers = server.post("/v1/track", b'{"userId":"u"}', KEY)
            if (status, text) != (503, UNAVAILABLE) or "retry-after" not in headers:
                yield f"no room for a segment: {status} {text}"
            server.stop()
    place = case("port-in-use")
    server = serving(program, place)
    with server:
        server.start()
        second = case("second")
        other = serving(program, second)
        text = other.config.read_text().replace(f":{other.port}", f":{server.port}")
        other.config.write_text(text)
        yield from ends(other, 1, ["cannot listen on"])
        third = Program(program, case("third"), journal=f'path = "{server.journal}"', more=SOURCE)
        yield from ends(third, 75, ["journal"])
    place = case("made-on-the-way")
    server = Program(program, place, journal=f'path = "{place}/a/b/journal"', storage=place / "c/d/lake", more=SOURCE)
    with server:
        server.start()
        server.stop()
    if not (place / "a/b/journal/writer").exists():
        yield "missing folders were not made"


def copied_machine(program, folder):
    """A machine was copied with its disk, and both run on one lake: the second stops loading and says
    why, takes events all the same, and keeps what only it has; the first goes on."""
    folders = [pathlib.Path(folder, name) for name in ("first", "second")]
    folders[0].mkdir()
    first = serving(program, folders[0], load='max_age = "200ms"')
    with first:
        first.start()
        sender = Sender(first)
        sender.send("before")
        first.wait(lambda: loaded(first), LIMIT_S, "all is loaded")
        first.stop()
        shutil.copytree(*folders)
        second = serving(program, folders[1], load='max_age = "200ms"', storage=first.lake)
        other = Sender(second)
        with second:
            first.start()
            second.start()
            for name in ("one", "two", "three"):
                sender.send(name)
                first.wait(lambda: loaded(first), LIMIT_S, "all is loaded")
            for life in ("copied", "copied and started again"):
                other.send(life)
                second.wait(lambda: second.metric("keelrow_loader_stopped ") == 1, LIMIT_S, "the copy stops loading")
                other.send(f"{life}, stopped")
                if second.get("/health/live", admin=True)[0] != 200:
                    yield f"{life}: not live because the loader has stopped"
                if (code := second.stop()) != 0:
                    yield f"{life}: ended with {code}"
                second.start()
            sender.send("after")
            first.wait(lambda: loaded(first), LIMIT_S, "the first goes on")
            first.stop()
            second.stop()
    if "by another loader under the same writer id" not in second.output():
        yield f"the log does not say why: {second.output()[-1000:]}"
    if len(other.taken) != 4:
        yield f"the copy took {other.taken}, refused {other.refused}, {other.unknown}, {other.wrong}"
    yield from conserved(sender, first.lake)
    dump = subprocess.run([program, "journal", "dump", "--payload", "--config", str(second.config)], capture_output=True, text=True, check=True)
    for name in other.taken:
        if f'"{name}"' not in dump.stdout:
            yield f"the copy's journal has lost {name}"
    print(f"  {len(sender.taken)} taken by the first, {len(other.taken)} by the copy")


def modes(program, folder):
    """Every file that the program makes is its owner's alone, whatever the umask is; those that keep
    damaged records, too."""
    # The folders above the journal are made by the first start too.
    data = pathlib.Path(folder) / "data" / "node"
    journal = f'path = "{data}/journal"\nmax_bytes = "1GiB"'
    server = serving(program, folder, journal=journal, load='max_age = "1h"')
    server.journal = data / "journal"
    before = set(pathlib.Path(folder).rglob("*"))
    with server, open_umask():
        server.start()
        with Sender(server, threads=1) as sender:
            server.wait(lambda: len(sender.taken) > 50, LIMIT_S, "events are taken")
        server.kill()
        flip_a_bit(server.journal / "segment-00000000000000000000")
        server.config.write_text(server.config.read_text().replace('"1h"', '"200ms"'))
        server.start()
        server.post("/v1/batch", b'{"batch":[{"userId":"u"}]}', KEY)
        server.wait(lambda: loaded(server), LIMIT_S, "all is loaded")
        if server.metric("keelrow_journal_damaged_records_total ") < 1:
            yield "the damage was not noticed"
        server.stop()
    made = set(pathlib.Path(folder).rglob("*")) - before - {server.log}
    for path in made:
        mode, wanted = stat.S_IMODE(path.stat().st_mode), 0o700 if path.is_dir() else 0o600
        if mode != wanted:
            yield f"{path.relative_to(folder)} has mode {mode:o}"
    for wanted in ("data/node/journal/damaged/*", "data/node/journal/loader/*", "data/node/journal/mark",
                   "data/node/privacy.key", "lake/unified/**/*.parquet",
                   "lake/_keelrow/batches/*/*", "lake/_keelrow/plans/*/*", "lake/_keelrow/schemas/**/*.json"):
        if not made & set(pathlib.Path(folder).glob(wanted)):
            yield f"no {wanted} was made"
    print(f"  {len(made)} files and folders")


@contextlib.contextmanager
def open_umask():
    """What is made without a mode of its own is everybody's."""
    was = os.umask(0)
    try:
        yield
    finally:
        os.umask(was)


def flip_a_bit(segment):
    """Damages a record amid those that a segment holds."""
    with segment.open("r+b") as file:
        file.seek(8_500)
        byte = file.read(1)[0]
        file.seek(8_500)
        file.write(bytes([byte ^ 16]))


def stop_under_load(program, folder):
    """SIGTERM while clients send: exit 0, no answer is cut off, nothing is lost."""
    server = serving(program, folder, journal='max_bytes = "1GiB"', load='max_age = "300ms"')
    taken = []
    for life in range(5):
        sender = Sender(server, threads=8)
        sender.send = lambda name, send=sender.send, life=life: send(f"life{life}-{name}")
        with server, sender:
            server.start()
            server.wait(lambda: len(sender.taken) > 100 * (life + 1), LIMIT_S, "events are taken")
            code = server.stop()
            sender.stopped.set()
        if code != 0:
            yield f"life {life}: ended with {code}"
        taken.append(sender)
    everything = taken[0]
    for other in taken[1:]:
        everything.taken += other.taken
        everything.unknown += other.unknown
        everything.refused += other.refused
        everything.wrong += other.wrong
    yield from conserved(everything, server.lake)
    print(f"  {len(everything.taken)} taken over {len(taken)} lives, {len(everything.refused)} refused while stopping")


CHECKS = {
    "journal's disk full": journal_disk_full,
    "journal's budget spent": journal_budget_spent,
    "lake's disk full": lake_disk_full,
    "fdatasync fails": lambda program, folder: failed_sync(program, folder, "fdatasync", "60"),
    "places that cannot be used": bad_places,
    "a copied machine": copied_machine,
    "modes of files": modes,
    "SIGTERM under load": stop_under_load,
}


def main():
    program, only = sys.argv[1], sys.argv[2:]
    faults = []
    for name, check in CHECKS.items():
        if only and not any(word in name for word in only):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="keelrow-disk-") as folder:
            found = list(check(program, folder))
        print(f"{name}: {'WRONG' if found else 'holds'}, {time.monotonic() - began:.1f} s", flush=True)
        for fault in found:
            print(f"  {fault}", flush=True)
        faults += found
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
