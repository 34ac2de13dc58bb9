"""Serves the page of this folder and reads the lake for it with DuckDB.

usage: serve.py [--port 8090] [--gateway http://127.0.0.1:8080] [--write-key demo-web-prod]
                [--lake keelrow-data/lake] [--schema web_prod]
"""

import argparse
import http.server
import json
import pathlib
import urllib.parse

import duckdb

HERE = pathlib.Path(__file__).parent
SDK = "node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
# What of a row is shown.
COLUMNS = ["event", "name", "user_id", "words", "channel_kind", "note", "section", "context_traits_plan",
           "context_traits_email"]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--gateway", default="http://127.0.0.1:8080")
    parser.add_argument("--write-key", default="demo-web-prod")
    parser.add_argument("--lake", default="keelrow-data/lake")
    parser.add_argument("--schema", default="web_prod")
    parser.add_argument("--sdk", type=pathlib.Path, default=HERE / SDK)
    return parser.parse_args()


def rows(options, ids):
    """The rows of these messageIds: tracks, pages and identifies of the source."""
    # Each event has its own table beside `tracks`; it holds the properties.
    tables = [path for path in pathlib.Path(options.lake, "rudder-datalake", options.schema).glob("*")
              if path.name not in ("tracks", "users")]
    found = []
    for table in tables:
        relation = duckdb.sql("select * from read_parquet($files, union_by_name = true) where list_contains($ids, id)",
                              params={"files": f"{table}/**/*.parquet", "ids": ids})
        names = relation.columns
        for row in relation.fetchall():
            row = dict(zip(names, row))
            found.append({"id": row["id"], "table": table.name,
                          **{name: row[name] for name in COLUMNS if row.get(name) is not None}})
    return found


def handler(options):
    files = {"/": ("text/html", HERE / "index.html"), "/app.js": ("text/javascript", HERE / "app.js"),
             "/sdk.js": ("text/javascript", options.sdk)}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            if url.path == "/settings":
                self.answer("application/json", json.dumps({"gateway": options.gateway, "write_key": options.write_key}))
            elif url.path == "/rows":
                ids = urllib.parse.parse_qs(url.query).get("id", [])
                self.answer("application/json", json.dumps(rows(options, ids), default=str))
            elif url.path in files:
                kind, file = files[url.path]
                self.answer(kind, file.read_text())
            else:
                self.send_error(404)

        def answer(self, kind, text):
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    options = arguments()
    if not options.sdk.exists():
        raise SystemExit(f"{options.sdk} is not there: npm install")
    server = http.server.HTTPServer(("127.0.0.1", options.port), handler(options))
    print(f"open http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
