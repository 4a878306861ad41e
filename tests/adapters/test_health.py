"""What is measured of the machine is what the page says it is."""

from archive.adapters import health


def test_a_spool_without_uploads_holds_nothing_though_it_has_its_own_marks(tmp_path):
    (tmp_path / ".host").write_bytes(b"whose spool this is")
    assert health.size(tmp_path) == 0
    (tmp_path / "upload").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    assert health.size(tmp_path) == 5
