"""Runs modules of CPython's own test suite and writes a line for each test: its name, and how it went.

    cpython.py RESULTS NAME...

A NAME is a module of the suite (test_epoll) or one test in it. RESULTS gets "name<tab>ok|skip|fail|error|..."
lines, in the order of names: a result that can be compared with another run's. Runs in a directory of its own.
"""
import faulthandler
import sys
import tempfile
import unittest
import warnings
from test import support
from test.support import os_helper

SECONDS = 900
# They wait for ever on machines that have virtual sockets and no peer on them.
LEFT_OUT = "VSOCK"
# Asks for the network, and stays within the machine.
LOCAL_NETWORK = "test_socketserver"


class Outcomes(unittest.TextTestResult):
    """What unittest knows of each test; a test with a bad subtest is bad."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.outcomes = {}

    def note(self, test, outcome):
        known = self.outcomes.get(test.id())
        if known in (None, "ok"):
            self.outcomes[test.id()] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test, "ok")

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "error")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "fail")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skip")

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.note(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.note(test, "bad subtest")


def left_in(tests):
    """The same, in its classes: their fixtures go by these."""
    if not isinstance(tests, unittest.TestSuite):
        return tests
    return type(tests)(left_in(test) for test in tests
                       if isinstance(test, unittest.TestSuite) or LEFT_OUT not in test.id())


def main(results, names):
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    warnings.simplefilter("ignore")
    support.use_resources = ["subprocess"] + (["network"] if LOCAL_NETWORK in names else [])
    with open(results, "w", encoding="utf-8") as file, tempfile.TemporaryDirectory() as directory:
        with os_helper.temp_cwd(directory + "/work"):
            names = [name if name.startswith("test.") or name.startswith("unittest.") else "test." + name
                     for name in names]
            tests = unittest.defaultTestLoader.loadTestsFromNames(names)
            runner = unittest.TextTestRunner(verbosity=2, resultclass=Outcomes)
            outcomes = runner.run(left_in(tests)).outcomes
        for name, outcome in sorted(outcomes.items()):
            file.write(f"{name}\t{outcome}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
