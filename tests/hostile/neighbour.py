"""An ordinary client: posts an event every 20 ms on one connection until its input ends, then prints
how it was served. usage: neighbour.py PORT"""

import http.client
import json
import select
import sys
import time
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from program import basic  # noqa: E402

BODY = json.dumps({"userId": "u", "event": "e", "type": "track", "properties": {"text": "x" * 900}})
HEADERS = {"Authorization": basic("wk-neighbour"), "Content-Type": "application/json"}
PAUSE_S = 0.02


def main():
    port = int(sys.argv[1])
    took, late, failed, example = [], [], 0, None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.monotonic()
    while not took or not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        # How much longer than it should this process slept: the machine is that busy.
        late.append((time.monotonic() - began) * 1000 - took[-1] - PAUSE_S * 1000 if took else 0)
        began = time.monotonic()
        try:
            connection.request("POST", "/v1/track", BODY, HEADERS)
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            status, text = type(error).__name__, b""
            connection.close()
        took.append((time.monotonic() - began) * 1000)
        if (status, text) != (200, b"ok"):
            failed, example = failed + 1, f"{status} {text!r}"
    took.sort()
    late.sort()
    print(json.dumps({
        "answers": len(took), "failed": failed, "example": example, "p50_ms": took[len(took) // 2],
        "p99_ms": took[len(took) * 99 // 100], "max_ms": took[-1], "late_ms": late[len(late) // 2],
    }))


main()
