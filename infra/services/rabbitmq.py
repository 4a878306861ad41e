"""A RabbitMQ server of one's own.

Invariants: its node name, its Erlang cookie and its port mapper (epmd) are its own, so that no other node on this machine is met,
asked or ended. Virtual hosts and accounts are there when it first answers: they are read from a definitions file, because each
call of rabbitmqctl starts an Erlang of its own and takes over a second.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.parse import quote

from infra.services import (
    Daemon,
    OneDaemon,
    ServiceFailed,
    account,
    await_ready,
    environment,
    free_port,
    given_to,
    listening,
    prepared,
    remembered,
    run,
    started,
)

OWNER = "rabbitmq"
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
"""The scripts themselves: those on the path insist on Debian's own node, home and log."""

USER = "liuhen"
EVERYTHING = (".*", ".*", ".*")
"""What an account may configure, write and read."""


class RabbitMQ(OneDaemon):
    """A server in a directory; making the object starts nothing.

    `vhosts` are there from the first start, for `USER` to use; `users` are further accounts with the virtual host of each and what
    it may configure, write and read there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        vhosts: Sequence[str] = ("/",),
        users: Mapping[str, tuple[str, str, tuple[str, str, str]]] | None = None,
    ) -> None:
        self._owner = account(OWNER)
        self.directory = prepared(directory, owner=self._owner)
        self._vhosts, self._users = tuple(vhosts), dict(users or {})
        kept = remembered(
            self.directory,
            lambda: {
                "port": free_port(),
                "distribution": free_port(),
                "epmd": free_port(),
                "password": secrets.token_urlsafe(18),
                "cookie": secrets.token_hex(20),
                "node": f"liuhen{secrets.token_hex(4)}@localhost",
            },
        )
        self.port = int(kept["port"])
        self.password = str(kept["password"])
        self._kept = kept
        self.daemon = Daemon(self.directory, "rabbitmq")
        self._epmd = Daemon(self.directory, "epmd")
        self._environment = environment(
            self.directory,
            ERL_EPMD_PORT=str(kept["epmd"]),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME=str(kept["node"]),
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(kept["port"]),
            RABBITMQ_DIST_PORT=str(kept["distribution"]),
            RABBITMQ_MNESIA_BASE=str(self.directory / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.directory / "log"),
            RABBITMQ_LOGS="-",
            RABBITMQ_CONFIG_FILE=str(self.directory / "rabbitmq.config"),
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.directory / "enabled_plugins"),
            # Without these the script stays as a parent that a kill would hit in the server's stead.
            RABBITMQ_ALLOW_INPUT="1",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput -kernel inet_dist_use_interface {127,0,0,1}",
            RABBITMQ_SERVER_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        )

    def url(self, vhost: str = "/", *, user: str = USER, password: str | None = None) -> str:
        """Return the address of a virtual host, as an account; without a password, as `USER`."""
        return f"amqp://{user}:{password or self.password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def start(self) -> None:
        """Start it, over what an earlier run left if there is anything, and return when it takes connections.

        Raises:
            ServiceFailed: It did not start.
        """
        if not (PROGRAMS / "rabbitmq-server").exists():
            raise ServiceFailed("no RabbitMQ here; install Debian's package rabbitmq-server")
        if not (self.directory / "rabbitmq.config").exists():
            self._configure()
        if self._epmd.pid() is None:
            command = ["/usr/bin/epmd", "-port", str(self._kept["epmd"]), "-address", "127.0.0.1"]
            self._epmd.spawn(command, environ=self._environment, owner=self._owner)
            await_ready(self._epmd, lambda: listening(int(self._kept["epmd"])))
        self.daemon.spawn([PROGRAMS / "rabbitmq-server"], environ=self._environment, owner=self._owner)
        await_ready(self.daemon, self.answers, within_s=90)

    def _configure(self) -> None:
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(str(self._kept["cookie"]), "utf-8")
        cookie.chmod(0o400)
        definitions = self.directory / "definitions.json"
        users = {USER: ("", self.password, EVERYTHING), **self._users}
        permissions = [(USER, vhost, EVERYTHING) for vhost in self._vhosts]
        permissions += [(user, vhost, may) for user, (vhost, _, may) in self._users.items()]
        definitions.touch(mode=0o600)
        definitions.write_text(
            json.dumps(
                {
                    "users": [
                        {"name": name, "password": password, "tags": "administrator" if name == USER else ""}
                        for name, (_, password, _) in users.items()
                    ],
                    "vhosts": [{"name": name} for name in self._vhosts],
                    "permissions": [
                        {"user": user, "vhost": vhost, "configure": may[0], "write": may[1], "read": may[2]}
                        for user, vhost, may in permissions
                    ],
                }
            ),
            "utf-8",
        )
        (self.directory / "enabled_plugins").write_text("[].\n", "utf-8")
        # Erlang's own form, not the newer one: reading the schema of that takes longer than all the rest of what is configured.
        # The watermarks are of a machine that serves nothing else; here the disk is shared and next to nothing is queued.
        (self.directory / "rabbitmq.config").write_text(
            f'[{{rabbit, [{{load_definitions, "{definitions}"}}, {{loopback_users, []}},\n'
            f"  {{disk_free_limit, 50000000}}, {{vm_memory_high_watermark, {{absolute, 512000000}}}}]}}].\n",
            "utf-8",
        )
        for path in (cookie, definitions, self.directory / "enabled_plugins", self.directory / "rabbitmq.config"):
            if self._owner is not None:
                given_to(path, self._owner)

    def answers(self) -> bool:
        """Return whether it speaks AMQP and has read its definitions; the port opens after them, as the last step of a start."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as line:
            line.sendall(b"AMQP\x00\x00\x09\x01")
            return line.recv(1) == b"\x01"
        return False

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this server and return what it printed; takes more than a second."""
        return run([PROGRAMS / "rabbitmqctl", "--quiet", *arguments], environ=self._environment, owner=self._owner)

    def add_vhosts(self, names: Sequence[str]) -> None:
        """Add virtual hosts for `USER` to use, all in one call."""
        listed = ", ".join(f'<<"{name}">>' for name in names)
        may = ", ".join(f'<<"{pattern}">>' for pattern in EVERYTHING)
        self.ctl(
            "eval",
            f'[begin rabbit_vhost:add(Name, <<"{USER}">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, Name, {may}, <<"{USER}">>) end || Name <- [{listed}]].',
        )

    def stop(self) -> None:
        """End it as an operator would, and its port mapper after it."""
        self.daemon.stop()
        self._epmd.stop()


def running(directory: Path, *, vhosts: Sequence[str] = ("/",)) -> AbstractContextManager[RabbitMQ]:
    """Start a server in a directory and end it."""
    return started(RabbitMQ(directory, vhosts=vhosts))
