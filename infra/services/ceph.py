"""Ceph's object gateway of one's own: a monitor, one store of objects (OSD), the gateway (RGW); a real S3 with Object Lock.

No manager daemon: nothing here needs one. The store is one sparse file beside the rest, so the directory should lie where disk is
ample; nothing is replicated. The monitor's steps wait a twentieth of a second each and not a whole one, which is most of the start.
"""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from shutil import which
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from infra.services import Daemon, Server, ServiceFailed, await_ready, environment, free_port, prepared, remembered, run, started

BLOCK_BYTES = 10 * 2**30
"""How much the store takes at most; `CEPH_BLOCK_BYTES` says otherwise."""

CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 0
mon osd full ratio = .99
paxos propose interval = 0.05
paxos min wait = 0.01
osd objectstore = bluestore
bluestore block size = {block}
osd memory target = 939524096
osd class update on start = false
osd crush update on start = false
run dir = {directory}
admin socket = {directory}/$name.asok
log to file = false
log to stderr = true
err to stderr = true
mon cluster log to file = false
crash dir = {directory}/crash
keyring = {directory}/keyring
[mon.a]
mon data = {directory}/mon
[osd.0]
osd data = {directory}/osd
[client.rgw.a]
rgw data = {directory}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 128
rgw enable usage log = false
rgw enable ops log = false
"""


class Ceph(Server):
    """A one-node object store in a directory; making the object starts nothing."""

    def __init__(self, directory: Path, *, block_bytes: int | None = None) -> None:
        self.directory = prepared(directory)
        given = block_bytes or int(os.environ.get("CEPH_BLOCK_BYTES", BLOCK_BYTES))
        kept = remembered(
            self.directory,
            lambda: {
                "port": free_port(),
                "mon_v2": free_port(),
                "mon_v1": free_port(),
                "fsid": str(uuid.uuid4()),
                "osd": str(uuid.uuid4()),
                "access": secrets.token_hex(10),
                "secret": secrets.token_hex(20),
                "block": given,
            },
        )
        self.port = int(kept["port"])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key, self.secret_key = str(kept["access"]), str(kept["secret"])
        self._kept = kept
        self._conf = self.directory / "ceph.conf"
        self._environment = environment(self.directory)
        self.mon, self.osd, self.rgw = (Daemon(self.directory, name) for name in ("mon", "osd", "rgw"))

    def start(self) -> None:
        """Start it, over what an earlier run left if there is anything, and return when it serves its account.

        Raises:
            ServiceFailed: One of the three daemons did not start.
        """
        missing = [name for name in ("ceph-mon", "ceph-osd", "radosgw", "ceph") if which(name) is None]
        if missing:
            raise ServiceFailed(f"no {', '.join(missing)} here; install Debian's ceph-mon ceph-osd radosgw ceph-common")
        made = (self.directory / "made").exists()
        if not made:
            self._make()
        if self.mon.pid() is None:
            self._spawn(self.mon, "ceph-mon", "-i", "a")
        # Waits by itself until the monitor answers.
        if not made:
            self._ceph("osd", "new", str(self._kept["osd"]))
            self._ceph("auth", "import", "-i", str(self.directory / "keyring"))
            self._ceph("osd", "crush", "add", "osd.0", "1.0", "root=default", "host=local")
        if self.osd.pid() is None:
            self._spawn(self.osd, "ceph-osd", "-i", "0")
        if self.rgw.pid() is None:
            self.start_gateway()
        if not made:
            self.admin(
                *("user", "create", "--uid=archive", "--display-name=archive"),
                *(f"--access-key={self.access_key}", f"--secret-key={self.secret_key}"),
            )
            (self.directory / "made").touch()

    def start_gateway(self) -> None:
        """Start the gateway alone, after its `kill` or `stop`, and return when it answers."""
        self._spawn(self.rgw, "radosgw", "-n", "client.rgw.a")
        await_ready(self.rgw, self.answers, within_s=120)

    def _spawn(self, daemon: Daemon, program: str, *arguments: str) -> None:
        daemon.spawn([program, "-f", "-c", self._conf, *arguments], environ=self._environment)

    def _make(self) -> None:
        """Lay out monitor and store, as if for the first time."""
        for name in ("mon", "osd", "rgw", "crash"):
            (self.directory / name).mkdir(exist_ok=True)
        self._conf.write_text(CONFIGURATION.format(directory=self.directory, **self._kept), "utf-8")
        keys, everything = self.directory / "keyring", ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        self._run("ceph-authtool", "-C", keys, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run("ceph-authtool", keys, "--gen-key", "-n", "client.admin", *everything)
        self._run("ceph-authtool", keys, "--gen-key", "-n", "client.rgw.a", "--cap", "mon", "allow rwx", *everything[3:])
        self._run("ceph-authtool", keys, "--gen-key", "-n", "osd.0", "--cap", "mon", "allow profile osd", *everything[3:])
        fsid, addresses = str(self._kept["fsid"]), "[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]".format(**self._kept)
        chart = self.directory / "monmap"
        self._run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", addresses, chart)
        self._run("ceph-mon", "-c", self._conf, "-i", "a", "--mkfs", "--monmap", chart, "--keyring", keys)
        # The store is laid out without the monitor: from then on only its number has to be asked for.
        self._run(
            *("ceph-osd", "-c", self._conf, "-i", "0", "--mkfs", "--no-mon-config"),
            *("--osd-uuid", str(self._kept["osd"]), "--monmap", chart),
        )

    def _run(self, *command: str | Path) -> str:
        return run(command, environ=self._environment, within_s=120)

    def _ceph(self, *arguments: str) -> str:
        return self._run("ceph", "-c", self._conf, "--connect-timeout", "60", *arguments)

    def admin(self, *arguments: str) -> str:
        """Run radosgw-admin against this store (accounts, quotas) and return what it printed; takes a second or two."""
        return self._run("radosgw-admin", "-c", self._conf, *arguments)

    def answers(self) -> bool:
        """Return whether the gateway answers requests."""
        try:
            build_opener(ProxyHandler({})).open(self.endpoint, timeout=5).close()
        except HTTPError as why:
            why.close()
            return why.code < HTTPStatus.INTERNAL_SERVER_ERROR
        except (URLError, OSError):
            return False
        return True

    def stop(self) -> None:
        """End the three daemons as an operator would, the gateway first."""
        self.rgw.stop(within_s=15)
        self.osd.stop(within_s=30)
        self.mon.stop(within_s=15)

    def kill(self) -> None:
        """End the three daemons as a power cut would."""
        for daemon in (self.rgw, self.osd, self.mon):
            daemon.kill()

    def freeze(self) -> None:
        """Stop the gateway in mid-step: connections are taken and nothing comes back."""
        self.rgw.freeze()

    def thaw(self) -> None:
        """Let the gateway go on."""
        self.rgw.thaw()


def running(directory: Path, *, block_bytes: int | None = None) -> AbstractContextManager[Ceph]:
    """Start an object store in a directory and end it."""
    return started(Ceph(directory, block_bytes=block_bytes))
