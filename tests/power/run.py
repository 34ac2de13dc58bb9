"""Power cuts: keelrow in a virtual machine whose process is killed while clients send.

usage: run.py PATH_TO_KEELROW [--rounds N] [--seed N] [--without-sync]

Needs Debian's qemu-system-x86, linux-image-cloud-amd64, busybox-static, e2fsprogs (and libeatmydata1
for --without-sync), root, and Python's duckdb. The machine has one disk, an ext4 file system in a
file: what the guest has not synced is gone when QEMU is killed by SIGKILL. Senders run outside, so
what was acknowledged is known here. Every acknowledged event must be in the lake in the end, once,
and every boot must come up. With `--without-sync` fsync and fdatasync do nothing in the guest: then
something must be lost or a boot not come up, else the proof proves nothing.
"""

import argparse
import collections
import contextlib
import glob
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import duckdb

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from program import basic, fetch, free_port  # noqa: E402

MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4"]
BOOT_LIMIT_S, STOP_LIMIT_S, LOAD_LIMIT_S = 300, 300, 1_800
CONFIG = """
[node]
name = "power"
[http]
listen = "0.0.0.0:8080"
admin_listen = "0.0.0.0:8081"
admin_token = "power"
[journal]
path = "/disk/journal"
max_bytes = "512MiB"
[storage]
url = "/disk/lake"
[load]
max_age = "500ms"
[privacy]
key = "power-power-power-power-power-power"
[[source]]
name = "power"
environment = "prod"
write_key = "wk"
"""


def kernel():
    found = sorted(glob.glob("/boot/vmlinuz-*-cloud-amd64"))
    if not found:
        raise SystemExit("no kernel: apt install linux-image-cloud-amd64")
    return pathlib.Path(found[-1])


def modules(version):
    """The modules that are needed, those that they need first."""
    listed = pathlib.Path(f"/lib/modules/{version}/modules.dep").read_text().splitlines()
    needs = {line.split(":")[0]: line.split(":")[1].split() for line in listed}
    order = []

    def add(path):
        for need in needs[path]:
            add(need)
        if path not in order:
            order.append(path)

    for name in MODULES:
        for path in needs:
            if re.search(rf"/{name}\.ko", path):
                add(path)
    return order


def image(folder, program, without_sync):
    """Builds the first file system of the machine: busybox, modules, keelrow and its libraries."""
    root = folder / "root"
    for name in ("bin", "lib", "lib64", "modules", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    subprocess.run(["strip", "-o", root / "keelrow", program], check=True)
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+)", linked):
        shutil.copy(library, root / ("lib64" if "ld-linux" in library else "lib"))
    preload = ""
    if without_sync:
        library = glob.glob("/usr/lib/*/libeatmydata.so")[0]
        shutil.copy(library, root / "lib")
        preload = "/lib/libeatmydata.so"
        shutil.copy("/lib/x86_64-linux-gnu/libdl.so.2", root / "lib")
    (root / "preload").write_text(preload)
    version = kernel().name.removeprefix("vmlinuz-")
    order = modules(version)
    for path in order:
        shutil.copy(f"/lib/modules/{version}/{path}", root / "modules")
    (root / "modules.order").write_text("\n".join(pathlib.Path(path).name for path in order))
    (root / "keelrow.toml").write_text(CONFIG)
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    packed = folder / "initramfs"
    with packed.open("wb") as out:
        names = subprocess.Popen(["find", "."], cwd=root, stdout=subprocess.PIPE)
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, stdin=names.stdout, stdout=out, check=True)
    shutil.rmtree(root)
    return packed


class DoesNotStart(Exception):
    """The machine boots and keelrow takes no events: what it left on its disk is in disorder."""

    acknowledged = 0


class Machine:
    def __init__(self, folder, packed, disk):
        self.port, self.admin, self.end = free_port(), free_port(), free_port()
        forwards = f"hostfwd=tcp:127.0.0.1:{self.port}-:8080,hostfwd=tcp:127.0.0.1:{self.admin}-:8081,hostfwd=tcp:127.0.0.1:{self.end}-:9"
        self.console = folder / "console.log"
        self.child = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-m", "1024", "-smp", "1", "-nographic", "-no-reboot",
             "-kernel", str(kernel()), "-initrd", str(packed), "-append", "console=ttyS0 quiet panic=-1",
             # The host's page cache survives the machine: what the guest has synced is kept, no more.
             "-drive", f"file={disk},format=raw,if=virtio,cache=writeback",
             "-netdev", f"user,id=n,{forwards}", "-device", "virtio-net-pci,netdev=n"],
            stdin=subprocess.DEVNULL, stdout=self.console.open("ab"), stderr=subprocess.STDOUT)

    def ready(self):
        """Waits until events are taken; False where the emulated machine itself did not start: on a
        busy host its kernel may take its timer for broken, and panics before its first process."""
        until = time.monotonic() + BOOT_LIMIT_S
        while time.monotonic() < until and self.child.poll() is None:
            with contextlib.suppress(OSError):
                if fetch(urllib.request.Request(f"http://127.0.0.1:{self.port}/health"), 2)[0] == 200:
                    return True
            time.sleep(0.1)
        if self.child.poll() is not None and "IO-APIC + timer" in self.console.read_text(errors="replace")[-3000:]:
            return False
        raise DoesNotStart

    def metric(self, name):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/metrics")
        request.add_header("Authorization", "Bearer power")
        lines = fetch(request, 10)[1].replace("{}", "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def cut(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.end), 5):
            pass
        self.child.wait(timeout=STOP_LIMIT_S)


class Senders:
    """Post events, one after the other on each thread, until told to stop."""

    def __init__(self, port, round_number, threads=6):
        self.url, self.round = f"http://127.0.0.1:{port}/v1/track", round_number
        self.acknowledged, self.sent, self.answers = [], 0, collections.Counter()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, lane):
        rng = random.Random(f"{self.round}-{lane}")
        number = 0
        while not self.stopped.is_set():
            number += 1
            name = f"{self.round}-{lane}-{number}"
            text = "x" * int(10 ** rng.uniform(1, 4.3))
            body = f'{{"userId":"u","event":"e","messageId":"{name}","properties":{{"text":"{text}"}}}}'
            request = urllib.request.Request(self.url, data=body.encode())
            request.add_header("Authorization", basic("wk"))
            self.sent += 1
            try:
                answer = fetch(request, 10)[:2]
            except OSError as error:
                answer = type(error).__name__
            self.answers[str(answer)] += 1
            if answer == (200, "ok"):
                self.acknowledged.append(name)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def boot(folder, packed, disk):
    """A machine that takes events."""
    for _ in range(10):
        machine = Machine(folder, packed, disk)
        try:
            if machine.ready():
                return machine
        except BaseException:
            machine.cut()
            raise
    raise SystemExit("the emulated machine does not start")


def found(disk, folder):
    """How often each message id is in the lake, and how many files no manifest names."""
    mount = folder / "mount"
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", disk, mount], check=True)
    try:
        files = [str(f) for f in mount.glob("lake/rudder-datalake/power_prod/tracks/**/*.parquet")]
        if not files:
            return {}
        query = f"select id, count(*) from read_parquet({files}, union_by_name = true) group by id"
        return dict(duckdb.connect().execute(query).fetchall())
    finally:
        subprocess.run(["umount", mount], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-sync", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="keelrow-power-"))
    try:
        holds = run(arguments, folder)
    except DoesNotStart as fault:
        print(f"keelrow does not start; {fault.acknowledged} events were acknowledged before")
        # A first life that fails is no work of a power cut.
        if arguments.without_sync and not fault.acknowledged:
            raise SystemExit("nothing was acknowledged: nothing is proven") from fault
        holds = False
    if arguments.without_sync:
        shutil.rmtree(folder)
        if holds:
            raise SystemExit("nothing was lost without syncs: this proof cannot fail")
        print("found, as it must be without syncs")
    elif holds:
        shutil.rmtree(folder)
    else:
        # Disk and console tell what is wrong.
        raise SystemExit(f"kept in {folder}")


def run(arguments, folder):
    """Runs the rounds and the proof; whether it holds."""
    rng = random.Random(arguments.seed)
    packed = image(folder, arguments.program, arguments.without_sync)
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    acknowledged, sent, lives, machine = [], 0, 0, None
    try:
        for number in range(arguments.rounds):
            # One in five dies amid its start, when disk and journal are being put in order.
            if rng.random() < 0.2 and number > 0:
                machine = Machine(folder, packed, disk)
                time.sleep(rng.uniform(1, 8))
                machine.cut()
                continue
            machine = boot(folder, packed, disk)
            senders = Senders(machine.port, number)
            time.sleep(rng.uniform(0.2, 4))
            machine.cut()
            senders.stop()
            lives += bool(senders.acknowledged)
            acknowledged += senders.acknowledged
            sent += senders.sent
            print(f"round {number + 1}: {len(senders.acknowledged)} acknowledged, {len(acknowledged)} in all; {dict(senders.answers)}", flush=True)
        machine = boot(folder, packed, disk)
        # The emulated machine loads a batch in half a minute when its host is busy.
        until = time.monotonic() + LOAD_LIMIT_S
        while machine.metric("keelrow_events_waiting") > 0:
            if time.monotonic() > until:
                raise SystemExit(f"not all is loaded after {LOAD_LIMIT_S} s: nothing is proven")
            time.sleep(0.5)
        damaged = machine.metric("keelrow_journal_damaged_records_total")
        machine.stop()
    except DoesNotStart as fault:
        fault.acknowledged = len(acknowledged)
        raise
    finally:
        if machine and machine.child.poll() is None:
            machine.cut()
    if not acknowledged:
        raise SystemExit("nothing was acknowledged: nothing is proven")
    counts = found(disk, folder)
    lost = [name for name in acknowledged if name not in counts]
    doubled = [name for name, count in counts.items() if count > 1]
    print(f"{arguments.rounds} power cuts (seed {arguments.seed}), {sent} events sent, {len(acknowledged)} acknowledged in "
          f"{lives} lives, {len(counts)} in the lake; lost {len(lost)}, doubled {len(doubled)}, damaged records {damaged:.0f}")
    if lost or doubled:
        print(f"lost {lost[:5]}, doubled {doubled[:5]}")
    return not lost and not doubled


main()
