"""Read by every program that runs under libfaketime: its clock_nanosleep takes a deadline that has just passed for an invalid argument."""

import errno
import time

_sleep = time.sleep


def _slept(seconds):
    try:
        _sleep(seconds)
    except OSError as why:
        if why.errno != errno.EINVAL:
            raise


time.sleep = _slept
