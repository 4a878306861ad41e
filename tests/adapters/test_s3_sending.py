"""Buffers that all puts of a process share, and what a document says of them."""

from collections import deque
from pathlib import Path

from archive.adapters.s3_client import MOST_PARTS, PART_SIZE, part_size
from archive.adapters.s3_parts import AT_ONCE
from archive.adapters.s3_sending import AHEAD, BUFFERS, Sender
from archive.settings import Settings


class Taken(deque):
    """Spare buffers of which another thread takes the last one just after it was seen to be there."""

    def __len__(self):
        found = super().__len__()
        self.clear()
        return found


OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_document_says_how_much_memory_parts_take():
    text = OPERATIONS.read_text("utf-8")
    mib = PART_SIZE // 2**20
    assert f"{BUFFERS} parts of {mib} MiB a process, {AHEAD} of one file; in a web process {AT_ONCE} more" in text
    largest = part_size(Settings.model_fields["max_upload_bytes"].default) // 2**20
    assert f"of a file beyond {PART_SIZE * MOST_PARTS // 2**30} GiB" in text
    assert f": {largest} MiB at 1 TiB, and 1 of one file at once" in text


def test_a_buffer_that_another_thread_takes_first_is_made_anew():
    sender = Sender(None)
    sender._spare = Taken([bytearray(PART_SIZE)], maxlen=BUFFERS)
    with sender.buffer(PART_SIZE) as one, sender.buffer(PART_SIZE) as other:
        assert one is not other
        assert len(one) == len(other) == PART_SIZE
    sender.close()
