#!/usr/bin/env python3
"""Test suites that nobody here wrote, plain and under the shim: the same passes, skips and failures?

    suites.py [--library PATH] [--quick] [SUITE...]

Compared name by name. Each suite is run plain twice, so that what is unsteady by itself is known, and once in each
mode of the shim. A name that differs is run alone, plain and in that mode, a few times: when the outcomes then
overlap it is unsteady, else it is different. Prints a table as Markdown; exit 1 when anything is different.
"""
import argparse
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
AGAIN = 4
SECONDS = 1000
PATIENCE = 60  # with a program that takes a second or two

# $DIRECTORY: one of its own for each run. Of everything, annotations on stderr alone are left out: with a context from
# the start they are on every line.
MODES = {
    "default": {"CTXSHIM_OPTIONS": ""},
    "no context": {"CTXSHIM_OPTIONS": "roots=0"},
    "everything": {
        "CTXSHIM_OPTIONS": "annotate=*.log:leaks=1:stacks=1:log_path=$DIRECTORY/report",
        "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "BAGGAGE": "user=alice",
    },
}

CPYTHON = """test_epoll test_fork1 test_pty test_selectors test_threading test_subprocess test_signal test_socket
test_os test_posix test_concurrent_futures test_multiprocessing_fork test_multiprocessing_spawn
test_poll test_select test_queue test_socketserver test_io test_thread test_asyncore test_ssl test_context
test_mmap test_fcntl test_wait3 test_wait4 test_popen test_tempfile test_file test_eintr test_httplib test_pipes
test_faulthandler test_contextlib_async test_shutil test_sys test_builtin""".split() + [
    "test_asyncio.test_" + part for part in """base_events buffered_proto context events futures locks pep492
    protocols queues runners selector_events sendfile server sock_lowlevel ssl sslproto streams subprocess
    taskgroups tasks threads timeouts transports unix_events waitfor""".split()]

STRESSORS = """sock sockpair sockfd sockabuse udp epoll eventfd timerfd timer pipe pipeherd fifo fork vfork clone
dup close sem sem-sysv mutex poll signal sigq sigfd sigpipe sigrt sigsuspend sigchld signest sigio sigsegv futex
pthread exec spawn fcntl open seek mq msg aio getrandom switch context dirdeep rename fd-race hdd mmap mmapfork
sendfile splice tee zombie daemon kill nanosleep itimer inotify handle memfd cond yield""".split()

INSTALLED = "glib glib-networking libsoup-3.0 dbus pipewire-0.3 SDL2 systemd".split()

OPENSSH = """connect proxy-connect connect-privsep connect-uri proto-version exit-status envpass transfer banner
stderr-data stderr-after-eof broken-pipe yes-head agent multiplex reexec sftp sftp-cmds sftp-batch sftp-perm
dynamic-forward forwarding cfgmatch keys-command forward-control scp scp3 limit-keytype percent hostkey-rotate
principals-command""".split()

QUICK = ["test_epoll", "test_fork1", "test_select", "test_queue", "test_fcntl", "stress-ng:eventfd", "stress-ng:pipe",
         "stress-ng:fork", "stress-ng:dup"]


def run(command, environment, directory, patience=SECONDS):
    """Its status and what it wrote. It leads a group of its own, which is gone afterwards."""
    environment = {name: text.replace("$DIRECTORY", directory) for name, text in environment.items()}
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=directory, text=True,
                               errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return "late", said
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process.returncode, said


class Cpython:
    """A module of the suite of CPython."""

    def __init__(self, module):
        self.name = "CPython " + module
        self.module = module

    def outcomes(self, environment, directory, names=None):
        results = os.path.join(directory, "results")
        command = [PYTHON, os.path.join(HERE, "cpython.py"), results] + (names or [self.module])
        status, said = run(command, environment, directory)
        found = {}
        if os.path.exists(results):
            with open(results, encoding="utf-8") as file:
                found = dict(line.rstrip("\n").split("\t") for line in file)
            os.remove(results)
        return found if status == 0 else {"(the run itself)": f"status {status}: {said[-2000:]}"}


class Stressor:
    """A stressor of stress-ng, verifying what it does. A name that this stress-ng does not have has no results."""

    def __init__(self, stressor):
        self.name = "stress-ng " + stressor
        self.stressor = stressor

    def outcomes(self, environment, directory, names=None):
        command = ["stress-ng", "--" + self.stressor, "2", "--timeout", "1", "--verify", "--temp-path", directory]
        status, said = run(command, environment, directory)
        if "unrecognized option" in said:
            return {}
        found = {self.stressor: f"status {status}"}
        for outcome, number in re.findall(r"(passed|failed|skipped): (\d+)", said):
            found[f"{self.stressor} {outcome}"] = number
        for line in re.findall(r"stress-ng: (?:fail|error): \[\d+\] (.*)", said):
            found[f"{self.stressor}: " + re.sub(r"\d+", "N", line)] = "said"
        return found


class Installed:
    """The installed tests of a project: programs as GLib lays them out, or as systemd does. Most say TAP."""

    def __init__(self, project):
        self.name = "installed tests of " + project
        self.programs = dict(installed(project))
        self.late = set()  # without us: they wait for something that is not here

    def outcomes(self, environment, directory, names=None):
        wanted = {name.partition(": ")[0] for name in names} if names else self.programs.keys() - self.late
        found = {}
        for program in sorted(wanted):
            own = {"HOME": directory, "XDG_RUNTIME_DIR": directory, "TMPDIR": directory, **environment}
            status, said = run(self.programs[program], own, directory, PATIENCE)
            if status == "late" and "LD_PRELOAD" not in environment:
                self.late.add(program)
                continue
            found[f"{program}: (its status)"] = f"{status}"
            for outcome, name in re.findall(r"^(ok|not ok) \d+ ?(?:- )?(.*)$", said, re.MULTILINE):
                name, _, remark = name.partition(" # ")
                found[f"{program}: {name.strip()}"] = outcome + (" " + remark.split()[0] if remark else "")
        return found


def installed(project):
    """Names and commands, as far as they are installed."""
    for name in glob.glob(f"/usr/share/installed-tests/{glob.escape(project)}/*.test"):
        with open(name, encoding="utf-8") as file:
            command = re.search(r"^Exec=(.*)$", file.read(), re.MULTILINE)
        if command is not None:
            yield os.path.basename(name)[:-len(".test")], shlex.split(command[1])
    if project == "systemd":
        for name in glob.glob("/usr/lib/systemd/tests/test-*"):
            if os.access(name, os.X_OK):
                yield os.path.basename(name), [name]


class Openssh:
    """OpenSSH's regression tests, as far as they need neither sudo nor minutes: a server, its clients, agents."""

    HOME = "/usr/lib/openssh/regress"

    def __init__(self, which):
        self.name = "OpenSSH " + which
        self.tests = OPENSSH if which == "tests" else [which]

    def outcomes(self, environment, directory, names=None):
        if not os.path.isdir(self.HOME):
            return {}
        found = {}
        place = os.path.join(directory, "regress")
        shutil.copytree(self.HOME, place, symlinks=True)
        os.chmod(directory, 0o755)  # servers become somebody else
        for test in names or self.tests:
            make = ["make", "-s", "-C", place, f"LTESTS={test}", "t-exec", "SUDO=", "TEST_SHELL=sh", "TEST_SSH_SSH=ssh",
                    "TEST_SSH_SFTPSERVER=/usr/lib/openssh/sftp-server", "TEST_SSH_PLINK=", "TEST_SSH_IPV6=no",
                    "TEST_SSH_ECC=yes", "TEST_SSH_UNSAFE_PERMISSIONS=1"]
            make += [f"{name}={place}" for name in (".OBJDIR", ".CURDIR", "BUILDDIR", "OBJ")]
            status, said = run(make, environment, directory)
            last = re.findall(r"^(ok|failed|SKIPPED|FAIL|FATAL)\b", said, re.MULTILINE)
            found[test] = f"status {status} " + " ".join(last)
        shutil.rmtree(place)
        return found


KINDS = {"": Cpython, "stress-ng": Stressor, "installed": Installed, "openssh": Openssh}


def suites(names, quick):
    wanted = names or (QUICK if quick else CPYTHON + ["stress-ng:" + name for name in STRESSORS] +
                       ["installed:" + name for name in INSTALLED] + ["openssh:tests"])
    for name in wanted:
        kind, _, which = name.rpartition(":")
        yield KINDS[kind](which)


def differing(one, other):
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def observe(suite, environment, names=None):
    with tempfile.TemporaryDirectory(prefix="suites-") as directory:
        return suite.outcomes(environment, directory, names)


def is_unsteady(suite, name, environment):
    """Run alone, does it come to the same outcomes in both ways?"""
    names = None if name.startswith("(") or isinstance(suite, Stressor) else [name]
    plain, shimmed = set(), set()
    for _ in range(AGAIN):
        plain.add(observe(suite, {}, names).get(name))
        shimmed.add(observe(suite, environment, names).get(name))
        if plain & shimmed and shimmed <= plain:
            return True
    return bool(plain & shimmed) and shimmed <= plain


def compare(suite, library, quick):
    """Rows of the table: tests, same, unsteady, different names, a count for each mode."""
    plain = observe(suite, {})
    if not plain:
        return 0, set(), {}
    unsteady = set() if quick else differing(plain, observe(suite, {}))
    different = {}
    for mode, extra in MODES.items():
        if quick and mode == "no context":
            continue
        environment = {"LD_PRELOAD": library, **extra}
        shimmed = observe(suite, environment)
        for name in differing(plain, shimmed) - unsteady:
            if is_unsteady(suite, name, environment):
                unsteady.add(name)
            else:
                different[f"{mode}: {name}"] = (plain.get(name), shimmed.get(name))
    return len(plain), unsteady, different


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="build/libctxshim.so")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("suites", nargs="*")
    arguments = parser.parse_args()
    library = os.path.realpath(arguments.library)
    if not os.path.exists(library):
        sys.exit(f"no {library}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would they
    total = bad = 0
    print("| suite | tests | same | unsteady by itself | different |\n|---|---|---|---|---|")
    for suite in suites(arguments.suites, arguments.quick):
        tests, unsteady, different = compare(suite, library, arguments.quick)
        if tests == 0:
            continue
        names = {name.partition(": ")[2] for name in different}
        print(f"| {suite.name} | {tests} | {tests - len(names | unsteady)} | {len(unsteady)} | {len(names)} |")
        for name, (was, came) in sorted(different.items()):
            print(f"different: {suite.name}: {name}: was {was}, is {came}", file=sys.stderr)
        for name in sorted(unsteady):
            print(f"unsteady: {suite.name}: {name}", file=sys.stderr)
        sys.stdout.flush()
        total += tests
        bad += len(names)
    print(f"\n{total} tests, {bad} different")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
