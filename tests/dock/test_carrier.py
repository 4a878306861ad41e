"""Claims about which carrier a source lies on."""

import pytest

from archive.dock.carrier import identify

LINE = "36 27 8:17 / {point} rw,nosuid,nodev,relatime shared:7 - vfat {device} rw,fmask=0022"
ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


@pytest.fixture
def machine(tmp_path):
    """A mount table and a /dev/disk as udev makes them, with a recorder's card mounted."""
    device = tmp_path / "dev" / "sdb1"
    device.parent.mkdir()
    device.write_bytes(b"")
    disks = tmp_path / "dev" / "disk"
    for folder, name in [("by-uuid", "1A2B-3C4D"), ("by-label", r"REC\x2001"), ("by-id", "usb-Maker_Recorder_0123-0:0-part1")]:
        (disks / folder).mkdir(parents=True)
        (disks / folder / name).symlink_to(device)
    card = tmp_path / "media" / "card one"
    (card / "DCIM").mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    escaped = str(card).replace(" ", r"\040")
    mounts.write_text(f"{ROOT}\n{LINE.format(point=escaped, device=device)}\nnonsense\n", "utf-8")
    return {"card": card, "mounts": mounts, "disks": disks}


def test_a_volume_is_known_by_its_uuid_and_its_device(machine):
    found = identify(machine["card"], mounts=machine["mounts"], disks=machine["disks"])
    assert found.root == machine["card"]
    assert found.carrier.kind == "volume"
    assert found.carrier.identity == "uuid:1A2B-3C4D id:usb-Maker_Recorder_0123-0:0-part1"
    assert found.carrier.label == "REC 01"


def test_a_folder_on_a_volume_counts_paths_from_the_volume(machine):
    found = identify(machine["card"] / "DCIM", mounts=machine["mounts"], disks=machine["disks"])
    assert found.root == machine["card"]
    assert found.carrier.kind == "volume"


def test_a_volume_without_a_uuid_is_a_folder(machine, tmp_path):
    found = identify(machine["card"], mounts=machine["mounts"], disks=tmp_path / "none")
    assert found.carrier.kind == "folder"
    assert found.root == machine["card"]


def test_a_folder_of_the_station_is_known_by_device_and_inode(machine, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    found = [identify(path, mounts=machine["mounts"], disks=machine["disks"]) for path in (one, two)]
    assert {row.carrier.kind for row in found} == {"folder"}
    assert found[0].carrier.identity != found[1].carrier.identity
    assert found[0].root == one
    assert found[0].carrier.label == "one"


def test_without_a_mount_table_everything_is_a_folder(machine, tmp_path):
    assert identify(machine["card"], mounts=tmp_path / "none", disks=machine["disks"]).carrier.kind == "folder"


def test_the_operators_label_comes_first_and_is_made_presentable(machine):
    found = identify(machine["card"], label=" 执法仪\n7\u202e ", mounts=machine["mounts"], disks=machine["disks"])
    assert found.carrier.label == "执法仪 7"


def test_the_topmost_of_two_mounts_at_one_point_counts(machine, tmp_path):
    other = tmp_path / "dev" / "sdc1"
    other.write_bytes(b"")
    (machine["disks"] / "by-uuid" / "FFFF-0000").symlink_to(other)
    escaped = str(machine["card"]).replace(" ", r"\040")
    table = machine["mounts"].read_text("utf-8") + LINE.format(point=escaped, device=other) + "\n"
    machine["mounts"].write_text(table, "utf-8")
    assert identify(machine["card"], mounts=machine["mounts"], disks=machine["disks"]).carrier.identity == "uuid:FFFF-0000"
