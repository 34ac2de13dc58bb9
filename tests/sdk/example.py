"""examples/web as its README says: the demo, the page's server, and a browser that presses the buttons.

usage: example.py PATH_TO_KEELROW BUILD_FOLDER

Every event must come back from the lake, without the e-mail address. Leaves example-web.png in the
build folder.
"""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from build import quit_with
from gateway import free_port
from jobs import HERE

LIMIT_S = 120


def main():
    program, build = sys.argv[1:]
    example = HERE.parent.parent / "examples" / "web"
    sdk = HERE / "node" / "node_modules" / "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
    chromium = shutil.which("chromium") or quit_with("no Chromium: apt-get install chromium")
    listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with tempfile.TemporaryDirectory(prefix="keelrow-example-") as folder:
        demo = subprocess.Popen([program, "demo", "--folder", folder, "--listen", listen, "--admin-listen", admin],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        serve = None
        try:
            shown = next((line for line in demo.stdout if line.startswith("Metrics:")), "")
            serve = subprocess.Popen([sys.executable, str(example / "serve.py"), "--port", "0", "--lake", f"{folder}/lake",
                                      "--gateway", f"http://{listen}", "--sdk", str(sdk)],
                                     stdout=subprocess.PIPE, text=True)
            address = serve.stdout.readline().split()[-1]
            picture = pathlib.Path(build, "example-web.png")
            script = ["node", str(HERE / "browser" / "example.mjs"), chromium, address, str(picture)]
            rows = json.loads(subprocess.run(script, stdout=subprocess.PIPE, timeout=LIMIT_S, check=True).stdout)
        finally:
            if serve:
                serve.terminate()
            demo.send_signal(signal.SIGINT)
            code = demo.wait(timeout=30)
    faults = [] if shown and code == 0 else [f"the demo ended with {code}"]
    if len(rows) != 4:
        faults.append(f"{len(rows)} rows")
    for called, said, _, found in rows:
        if not found:
            faults.append(f"{called}: nothing in the lake")
        if "@" in found:
            faults.append(f"{called}: the e-mail address is in the lake")
    if not any("[email]" in found for *_, found in rows) or not any("@" in said for _, said, *_ in rows):
        faults.append("no e-mail address was posted and masked")
    for fault in faults:
        print(f"  {fault}")
    print(f"example: {int(not faults)} passed, {int(bool(faults))} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
