"""The API document against the running program: schemathesis makes requests from /openapi.json, right
and wrong ones, and each answer must be one that the document has for it.

usage: run.py PATH_TO_KEELROW PATH_TO_SCHEMATHESIS [--examples N] [--seed N]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from program import Program, source  # noqa: E402

SOURCES = source("sdk", "wk-sdk") + source("hook", "wk-hook", 'kind = "webhook"')
# Whoever sends nonsense in a field that takes anything is right, so only answers are judged:
# statuses, types, headers, bodies, and what a wrong method or a missing key gets.
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("schemathesis")
    parser.add_argument("--examples", default="25")
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="keelrow-schemathesis-") as folder:
        with Program(arguments.program, folder, journal='max_bytes = "1GiB"', more=SOURCES) as program:
            program.start()
            for key, which in (("wk-sdk", ["--exclude-path", "/v1/webhook"]), ("wk-hook", ["--include-path", "/v1/webhook"])):
                faults += subprocess.run(
                    [str(pathlib.Path(arguments.schemathesis).resolve()), "run",
                     f"http://127.0.0.1:{program.port}/openapi.json",
                     "--auth", f"{key}:", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
                     "--max-examples", arguments.examples, "--seed", arguments.seed, "--generation-deterministic",
                     "--no-shrink", "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", *which],
                    cwd=folder, env=dict(os.environ, NO_COLOR="1", NO_PROXY="127.0.0.1")).returncode != 0
            code = program.stop()
            if code != 0 or "panicked" in program.output():
                raise SystemExit(f"keelrow ended with {code}\n{program.output()}")
    if faults:
        raise SystemExit(1)


main()
