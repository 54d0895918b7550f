#!/usr/bin/env python3
"""The monkey, seed by seed: does it come to the same under the shim as without it, in every way?

    monkey.py [--seeds A-B | --seconds N] [--steps N] [--ways NAME,NAME] [--threads N] [--jobs N] [--build DIRECTORY]

Each seed is run plain, and in each way under the shim. Alone its output and status must be the same; in a crowd
(--threads) it must survive; and linked with the shim's own objects no context may be left. A seed whose plain runs
differ from each other is unsteady by itself: it is counted, and told, and proves nothing.

What fails is made short: steps are left out as long as it still fails, and the command that shows it is printed.
Without --seeds they are random. Exit: 0, or 1 when anything failed.
"""
import argparse
import concurrent.futures
import os
import random
import subprocess
import sys
import tempfile
import time

SECONDS = 60      # of one run
SHRINK_SECONDS = 90
AGAIN = 3

EVERYTHING = ("annotate=stderr:annotate=stdout:annotate=*.log:annotate_pid=1:leaks=1:stacks=1:log_path=report:"
              "trace=timeline:trace_events=64:otel=1:comm=1")
CONTEXT = {"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "BAGGAGE": "user=alice"}
HERE = os.path.dirname(os.path.abspath(__file__))
# Else ThreadSanitizer ends a process that was forked by one with several threads.
SANITIZER_OPTIONS = {"TSAN_OPTIONS": f"halt_on_error=1:die_after_fork=0:suppressions={HERE}/tsan.supp",
                     "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}


class Way:
    """How the program is run: which one, with what in its environment, and what of epoll counts."""

    def __init__(self, name, program="plain", options=None, environment=None, whole=False, crowd=False):
        self.name, self.program, self.options = name, program, options
        self.environment, self.whole, self.crowd = environment or {}, whole, crowd


PLAIN = Way("plain")
WHOLE = Way("plain, single waits", whole=True)
WAYS = [
    Way("default", options=""),
    Way("exact", options="dispatch=exact"),
    Way("batch", options="dispatch=batch", whole=True),
    Way("everything", options=EVERYTHING.replace("annotate=stdout:", "")),
    Way("environment", options="", environment=CONTEXT),
    Way("linked", program="linked", options=""),
    Way("linked exact", program="linked", options="dispatch=exact:leaks=1:log_path=report"),
    Way("crowd", options=EVERYTHING, crowd=True),
    Way("crowd linked", program="linked", options="", crowd=True),
]


class Runner:
    """Runs the program of a build directory."""

    def __init__(self, build, steps, threads, sanitizer=None):
        self.build, self.steps, self.threads = os.path.abspath(build), steps, threads
        self.sanitizer = sanitizer

    def command(self, way, seed, without=""):
        under = f"monkey-{self.sanitizer}/" if self.sanitizer else ""
        command = ["setarch", "-R"] if self.sanitizer == "tsan" else []
        command += [f"{self.build}/{under}tests/monkey/{way.program}", "--seed", str(seed), "--steps", str(self.steps)]
        command += ["--whole"] if way.whole else []
        command += ["--threads", str(self.threads)] if way.crowd else []
        return command + (["--without", without] if without else [])

    def environment(self, way):
        ours = {**way.environment, **(SANITIZER_OPTIONS if self.sanitizer else {})}
        if way.options is not None:
            ours["CTXSHIM_OPTIONS"] = way.options
            if way.program == "plain":
                ours["LD_PRELOAD"] = f"{self.build}/libctxshim.so"
        return ours

    def run(self, way, seed, without="", log=None):
        """Its status and its output; of stderr, the last lines."""
        clean = {name: text for name, text in os.environ.items()
                 if not name.startswith(("CTXSHIM", "TRACEPARENT", "BAGGAGE", "LD_PRELOAD"))}
        command = self.command(way, seed, without) + (["--log", log] if log else [])
        with tempfile.TemporaryDirectory() as directory:
            try:
                done = subprocess.run(command, env={**clean, **self.environment(way)}, cwd=directory,
                                      stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return "late", b"", b""
        return done.returncode, done.stdout, done.stderr[-2000:]

    def shown(self, way, seed, without=""):
        """The command, as it can be typed."""
        ours = [f"{name}='{text}'" for name, text in self.environment(way).items()]
        return " ".join(ours + self.command(way, seed, without))

    def bad(self, way, seed, without=""):
        """None, or what is wrong. Alone, plain runs that differ tell nothing: "unsteady"."""
        status, out, said = self.run(way, seed, without)
        if status != 0:
            return f"status {status}\n{said.decode(errors='replace')[-600:]}"
        if way.crowd or self.sanitizer:
            return None
        plain = WHOLE if way.whole else PLAIN
        expected = self.run(plain, seed, without)[:2]
        if (status, out) == expected:
            return None
        for _ in range(AGAIN):
            if self.run(plain, seed, without)[:2] != expected or self.run(way, seed, without)[1] == expected[1]:
                return "unsteady"
        return f"it is\n{out.decode(errors='replace')[-300:]}and was\n{expected[1].decode(errors='replace')[-300:]}"

    def uncalled(self, seeds):
        """The hooks that none of these seeds calls."""
        left = None
        for seed in seeds:
            with tempfile.TemporaryDirectory() as directory:
                said = subprocess.run(self.command(PLAIN, seed) + ["--coverage"], cwd=directory, check=False,
                                      capture_output=True, stdin=subprocess.DEVNULL).stderr
            names = set(said.decode(errors="replace").rpartition("uncalled:")[2].split())
            left = names if left is None else left & names
        return sorted(left or [])

    def first_difference(self, way, seed, without):
        """Where the two part, call by call."""
        texts = []
        for each in (WHOLE if way.whole else PLAIN, way):
            with tempfile.NamedTemporaryFile(mode="r", errors="replace") as log:
                self.run(each, seed, without, log.name)
                texts.append(log.read().splitlines())
        for number, pair in enumerate(zip(*texts)):
            if pair[0] != pair[1]:
                before = "\n".join(texts[0][max(0, number - 6):number])
                return f"{before}\n-{pair[0]}\n+{pair[1]}"
        return "\n".join(texts[1][-8:])


def ranges(numbers):
    """[1, 2, 3, 7] as 1-3,7"""
    parts, numbers = [], sorted(numbers)
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)


def shrink(runner, way, seed):
    """The steps to leave out: as many as can be, a block at a time, while it still fails."""
    until = time.monotonic() + SHRINK_SECONDS
    left, gone, size = list(range(runner.steps)), set(), runner.steps // 2

    def fails(without):
        what = runner.bad(way, seed, ranges(without))
        return what is not None and what != "unsteady"

    while size >= 1 and time.monotonic() < until:
        at = len(left) - size
        while at > -size and time.monotonic() < until:
            block = set(left[max(at, 0):at + size])
            if block and fails(gone | block):
                gone |= block
                left = [number for number in left if number not in block]
            at -= size
        size //= 2
    return ranges(gone)


def report(runner, way, seed, what):
    """What failed, made short."""
    without = shrink(runner, way, seed)
    lines = [f"seed {seed}, {way.name}: {what}".rstrip(), "  " + runner.shown(way, seed, without)]
    if not way.crowd and not runner.sanitizer:
        lines.append(runner.first_difference(way, seed, without))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--ways", default=",".join(way.name for way in WAYS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    parser.add_argument("--build", default="build")
    parser.add_argument("--sanitized", metavar="NAME", help="the linked program of check-monkey-NAME: does it survive?")
    parser.add_argument("--coverage", action="store_true", help="says which hooks none of the seeds calls, and no more")
    asked = parser.parse_args()
    ways = [way for way in WAYS if way.name in asked.ways.split(",")]
    if asked.sanitized:
        ways = [way for way in ways if way.program == "linked"]
    runner = Runner(asked.build, asked.steps, asked.threads, asked.sanitized)
    until = time.monotonic() + asked.seconds if asked.seconds else None
    if asked.coverage:
        first, _, last = (asked.seeds or "1-100").partition("-")
        print("uncalled:", *runner.uncalled(range(int(first), int(last or first) + 1)))
        return
    counts = {"passed": 0, "unsteady": 0, "failed": 0}

    def seeds():
        if asked.seeds:
            first, _, last = asked.seeds.partition("-")
            yield from range(int(first), int(last or first) + 1)
        while asked.seconds and time.monotonic() < until:
            yield random.randrange(1 << 32)

    def one(pair):
        seed, way = pair
        if counts["failed"] >= asked.failures or (until and not asked.seeds and time.monotonic() > until):
            return
        what = runner.bad(way, seed)
        counts["passed" if what is None else "unsteady" if what == "unsteady" else "failed"] += 1
        if what == "unsteady":
            print(f"seed {seed}, {way.name}: unsteady", flush=True)
        elif what is not None:
            print(report(runner, way, seed, what), flush=True)

    with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        waiting = set()
        for seed in seeds():
            for way in ways:
                waiting.add(pool.submit(one, (seed, way)))
            while len(waiting) > 4 * asked.jobs:
                done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                for each in done:
                    each.result()
            if counts["failed"] >= asked.failures:
                break
        for each in waiting:
            each.result()
    print(f"{counts['passed']} runs are the same, {counts['unsteady']} unsteady, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
