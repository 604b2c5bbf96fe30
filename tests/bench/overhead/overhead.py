#!/usr/bin/env python3
"""The price of safety as users feel it: queries straight to a real llama-server, and to `ecso serve` in front of it.

    overhead.py [--ecso PATH] [--server URL] [--at-once 1,4,8] [--queries N] [--tokens N] [--verdicts forced|own] [--only REGEX]

Without --server it starts one with the real weights of tests/engine/real/setup.sh (ECSO_REAL_MODEL: smollm2, qwen05 or qwen15).
A server of one's own is best started with --metrics: new prompt tokens are taken from its counter.

whole    one reply, not streamed
hold     a stream that leaves once verified
early    the same, checked at 16 and 32 tokens while it is generated
window   a stream that leaves piece by piece, each once it is verified

Each is measured beside a direct query of its kind, whole or streamed. A weak model's verdicts are its own and would be what is
measured: by default the checks of a benign query can only say no, those of a harmful one yes, and the eyes-closed answer is
released unchecked. With --verdicts own there is one kind of query, and the model's word counts.

"first" is the time to the first byte of the answer's text. Times are medians over the queries; on a busy machine only large
differences mean something, the counts are sturdy. Nothing is required of any figure.
Exit status: 0 measured, 1 something failed, 64 usage, 77 there is no server or no gateway here.
"""

import argparse
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SKIP = 77
QUESTIONS = (
    "What is the capital of France, and what is it known for?",
    "Explain how rain forms.",
    "Give me a recipe for pancakes.",
    "What does a compiler do?",
    "Name three rivers in Europe and describe them.",
    "How do bees make honey?",
    "What is a prime number?",
    "Why is the sky blue?",
)

CONFIGURATION = """
listen = "127.0.0.1:0"

[[upstream]]
url = "{url}/v1"

[overrides]
policy = true
stream = true

[log]
level = "info"

[policies.own]

[policies.own-early]
incremental_check = [16, 32]

[policies.benign]
reader = "tolerant"
check_choices = ["no"]

[policies.benign-early]
reader = "tolerant"
check_choices = ["no"]
incremental_check = [16, 32]

[policies.harmful]
reader = "tolerant"
check_choices = ["yes"]
recheck = "off"

[policies.harmful-early]
reader = "tolerant"
check_choices = ["yes"]
recheck = "off"
incremental_check = [16, 32]
"""


def skip(why):
    print("overhead:", why, file=sys.stderr)
    sys.exit(SKIP)


class Process:
    """A child whose output goes to a file, and which ends with the block."""

    def __init__(self, command, log):
        self.log = pathlib.Path(log)
        self._file = open(log, "wb")
        self._child = subprocess.Popen(command, stdout=self._file, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self._child.terminate, self._child.terminate, self._child.kill):
            end()
            try:
                self._child.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        self._file.close()

    def until(self, is_ready):
        while True:
            found = is_ready()
            if found:
                return found
            if self._child.poll() is not None:
                raise RuntimeError("%s ended:\n%s" % (self.log.name, self.log.read_text(errors="replace")[-2000:]))
            time.sleep(0.05)


def get(url, path):
    """The body of a page, or None."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        return body if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def start_server(log):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    name = os.environ.get("ECSO_REAL_MODEL") or "smollm2"
    directory = pathlib.Path(os.environ.get("ECSO_REAL_DIR") or cache / "ecso" / "real") / name
    if not (directory / "made-by").exists():
        skip("there is no model %s; tests/engine/real/setup.sh gets it, or name a server by --server" % name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = "1"  # more of them wait for each other, which takes for ever beside anything else
    options = "--host 127.0.0.1 --metrics -np 4 -c 8192".split() + ["--port", str(port), "-t", threads, "-tb", threads]
    server = Process([directory / "llama-server", "--model", directory / "text.gguf", *options], log)
    url = "http://127.0.0.1:%d" % port
    server.until(lambda: get(url, "/health"))
    return server, url, "%s, %s thread, 4 slots" % (name, threads)


def find_ecso():
    built = [path for path in ROOT.glob("build/*/examples/ecso") if os.access(path, os.X_OK)]
    if not built:
        skip("no ecso was found in build/; name one by --ecso")
    return max(built, key=lambda path: path.stat().st_mtime)


def start_gateway(ecso, url, directory):
    configuration = pathlib.Path(directory, "ecso.toml")
    configuration.write_text(CONFIGURATION.format(url=url))
    gateway = Process([ecso, "serve", "--config", configuration], pathlib.Path(directory, "gateway.log"))
    found = gateway.until(lambda: re.search(r" serves (http://[0-9.:]+)", gateway.log.read_text(errors="replace")))
    return gateway, found.group(1)


def counter(url, pattern):
    """The sum of the counters of /metrics whose line matches; None where there are none."""
    page = get(url, "/metrics")
    values = re.findall(r"^(?:%s)(?:\{[^}]*\})? ([0-9.e+]+)" % pattern, page or "", re.MULTILINE)
    return sum(map(float, values)) if page is not None and (values or "ecso_" in page) else None


class Query:
    """One chat completion: how long it took, to its first text and to its end, and on which path it ended."""

    def __init__(self, url, question, tokens, is_streamed, headers):
        where = urlsplit(url)
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "temperature": 0, "seed": 1}
        if is_streamed:
            body["stream"] = True
        connection = http.client.HTTPConnection(where.hostname, where.port)
        started = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        self.first = None
        self.path = "direct"
        if answer.status != 200:
            raise RuntimeError("status %d: %s" % (answer.status, answer.read().decode()[:500]))
        if is_streamed:
            for line in answer:
                if line.startswith(b"data: {"):
                    self._read(json.loads(line[6:]), "delta", started)
        else:
            self._read(json.loads(answer.read()), "message", started)
        self.wall = time.perf_counter() - started
        self.first = self.first or self.wall
        connection.close()

    def _read(self, event, member, started):
        if "error" in event:
            raise RuntimeError("the answer failed: %s" % event["error"])
        self.path = (event.get("ecso") or {}).get("path", self.path)
        choices = event.get("choices") or [{}]
        if self.first is None and (choices[0].get(member) or {}).get("content"):
            self.first = time.perf_counter() - started


class Measurement:
    """Queries against one server, so many at once."""

    number = 0

    def __init__(self, url, server, tokens, count, at_once, is_streamed, headers):
        is_gateway = url != server
        calls = counter(url, "ecso_upstream_calls_total") if is_gateway else None
        prompt = counter(server, "llamacpp:prompt_tokens_total")
        questions = queue.SimpleQueue()
        for i in range(count):
            # A new beginning each time: what a cache saves is within a query.
            Measurement.number += 1
            questions.put("(%d) %s" % (Measurement.number + 1000, QUESTIONS[i % len(QUESTIONS)]))
        self.queries, failures = [], []

        def work():
            try:
                while True:
                    self.queries.append(Query(url, questions.get_nowait(), tokens, is_streamed, headers))
            except queue.Empty:
                pass
            except Exception as failure:  # noqa: BLE001: told below, in the main thread
                failures.append(failure)

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        self.wall = statistics.median(query.wall for query in self.queries)
        self.first = statistics.median(query.first for query in self.queries)
        self.calls = (counter(url, "ecso_upstream_calls_total") - calls) / count if is_gateway else 1.0
        self.prompt = None if prompt is None else (counter(server, "llamacpp:prompt_tokens_total") - prompt) / count
        paths = [query.path for query in self.queries]
        self.paths = " ".join("%s %d" % (path, paths.count(path)) for path in sorted(set(paths)))


def ratio(protected, direct):
    return "     -" if not direct else "%6.2f" % (protected / direct)


def print_row(kind, at_once, mode, direct, protected):
    tokens = "       -        -      -"
    if protected.prompt is not None:
        tokens = "%8.1f %8.1f %s" % (direct.prompt, protected.prompt, ratio(protected.prompt, direct.prompt))
    times = [
        "%7.2f %7.2f %s" % (straight, ours, ratio(ours, straight))
        for straight, ours in ((direct.wall, protected.wall), (direct.first, protected.first))
    ]
    columns = (kind, at_once, mode, *times, protected.calls, tokens, protected.paths)
    print("%-8s %7d  %-7s %s   %s   %5.1f   %s   %s" % columns, flush=True)


def measure(arguments, server, gateway):
    Measurement(server, server, arguments.tokens, 1, 1, False, {})  # the template's beginning stays in the server's cache
    kinds = ("benign", "harmful") if arguments.verdicts == "forced" else ("own",)
    print("%-8s %7s  %-7s %23s   %23s   %5s   %24s" % ("", "", "", "wall, s", "first, s", "calls", "new prompt tokens"))
    heads = "%7s %7s %6s" % ("direct", "ecso", "ratio")
    print("%-8s %7s  %-7s %s   %s   %5s   %8s %8s %6s   paths" % ("query", "at once", "mode", heads, heads, "", "direct", "ecso", "ratio"))
    for kind in kinds:
        for at_once in arguments.at_once:
            directly = {}
            for mode in ("whole", "hold", "early", "window"):
                if not re.search(arguments.only, "%s %d %s" % (kind, at_once, mode)):
                    continue
                is_streamed = mode != "whole"
                count = max(arguments.queries, at_once)
                common = (arguments.tokens, count, at_once, is_streamed)
                if is_streamed not in directly:
                    directly[is_streamed] = Measurement(server, server, *common, {})
                headers = {"x-ecso-policy": kind + ("-early" if mode == "early" else "")}
                if is_streamed:
                    headers["x-ecso-stream"] = "window" if mode == "window" else "hold"
                print_row(kind, at_once, mode, directly[is_streamed], Measurement(gateway, server, *common, headers))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ecso", type=pathlib.Path)
    parser.add_argument("--server")
    parser.add_argument("--at-once", default="1,4,8", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--queries", default=8, type=int)
    parser.add_argument("--tokens", default=64, type=int)
    parser.add_argument("--verdicts", default="forced", choices=("forced", "own"))
    parser.add_argument("--only", default="")
    try:
        arguments = parser.parse_args()
    except SystemExit as end:
        sys.exit(64 if end.code else 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends as well
    ecso = (arguments.ecso or find_ecso()).resolve()
    if not os.access(ecso, os.X_OK):
        skip("%s cannot be run" % ecso)
    with tempfile.TemporaryDirectory() as directory:
        url, what, server = arguments.server, arguments.server, None
        if not url:
            server, url, what = start_server(pathlib.Path(directory, "server.log"))
        gateway = None
        try:
            gateway, gateway_url = start_gateway(ecso, url.rstrip("/").removesuffix("/v1"), directory)
            load = open("/proc/loadavg").read().split()[0]
            print("%s; %d tokens an answer, %d queries a line; load %s" % (what, arguments.tokens, arguments.queries, load))
            measure(arguments, url.rstrip("/").removesuffix("/v1"), gateway_url)
        finally:
            for process in (gateway, server):
                if process is not None:
                    process.__exit__()


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError) as error:
        print("overhead:", error, file=sys.stderr)
        sys.exit(1)
