"""Buffers that all puts of a process share."""

from collections import deque

from archive.adapters.s3_client import PART_SIZE
from archive.adapters.s3_sending import BUFFERS, Sender


class Taken(deque):
    """Spare buffers of which another thread takes the last one just after it was seen to be there."""

    def __len__(self):
        found = super().__len__()
        self.clear()
        return found


def test_a_buffer_that_another_thread_takes_first_is_made_anew():
    sender = Sender(None)
    sender._spare = Taken([bytearray(PART_SIZE)], maxlen=BUFFERS)
    with sender.buffer(PART_SIZE) as one, sender.buffer(PART_SIZE) as other:
        assert one is not other
        assert len(one) == len(other) == PART_SIZE
    sender.close()
