"""Claims about the files for container hosts: what they call the program by exists, and nothing in them is secret or more than it needs.

There is no container engine to build or run them on: they are parsed, and held against the program's own commands, settings and ports.
"""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from archive.cli import cli
from archive.records.roles import Roles
from archive.settings import PREFIX, SECRETS, BadSettings, Settings, read
from infra.proxy import configuration

INFRA = Path(__file__).parents[2] / "infra"
OURS = {"migrate", "web-a", "web-b", "worker", "beat"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    made = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([INFRA / "secrets.sh", made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def dockerfile():
    """The instructions of the image's last stage, by name, and all of the file."""
    text = (INFRA / "Dockerfile").read_text("utf-8")
    whole = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    last = whole[whole.rindex("FROM ") :]
    found = {}
    for line in last.splitlines():
        if line:
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found, whole


@pytest.fixture(scope="module")
def with_replica(compose):
    """Both files, put together as the engine does it: lists grow, mappings are filled in."""
    more = yaml.safe_load((INFRA / "compose.replica.yaml").read_text("utf-8"))
    assert set(more["services"]) == OURS, "whoever opens the stores opens both"
    services = {
        name: {**service, **{key: _joined(service[key], value) for key, value in more["services"].get(name, {}).items()}}
        for name, service in compose["services"].items()
    }
    return {**compose, "services": services, "secrets": {**compose["secrets"], **more["secrets"]}}


def _joined(one, other):
    return {**one, **other} if isinstance(one, dict) else [*one, *other]


def _image_settings(dockerfile):
    pairs = [pair.split("=", 1) for line in dockerfile[0]["ENV"] for pair in shlex.split(line)]
    return {name: value for name, value in pairs if name.startswith(PREFIX)}


def _environment(service, dockerfile, secrets):
    """What the program would see: the image's variables and the service's, with a setter's «must be given» given."""
    given = {**_image_settings(dockerfile), **service["environment"]}
    given = {name: re.sub(r"\$\{LIUHEN_AGENCY:\?[^}]*\}", "131102", value) for name, value in given.items()}
    given = {name: re.sub(r"\$\{LIUHEN_REPLICA_ENDPOINT:\?[^}]*\}", "https://elsewhere", value) for name, value in given.items()}
    given = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in given.items()}
    assert all(isinstance(value, str) and "$" not in value for value in given.values())
    named = [(entry, entry) if isinstance(entry, str) else (entry["source"], entry["target"]) for entry in service["secrets"]]
    lies = {f"/run/secrets/{target}": str(secrets / source) for source, target in named}
    return {name: lies[value] if name.endswith("_FILE") else value for name, value in given.items()}


def test_every_service_of_ours_runs_with_settings_that_the_program_takes(compose, dockerfile, secrets):
    for name in OURS:
        settings = read(_environment(compose["services"][name], dockerfile, secrets))
        assert settings.production, name
        role = {"migrate": "liuhen_migrate", "worker": Roles().worker, "beat": Roles().worker}.get(name, Roles().web)
        assert f"//{role}:" in settings.database_url, "each as its own role, and no more"
        assert str(settings.data_dir) == "/var/lib/liuhen"


def test_a_second_store_is_reached_with_its_own_keys_by_every_service_of_ours(with_replica, dockerfile, secrets):
    for name in OURS:
        settings = read(_environment(with_replica["services"][name], dockerfile, secrets))
        assert settings.replica_endpoint == "https://elsewhere"
        assert settings.replica_secret_key not in {"", settings.s3_secret_key}
        assert with_replica["services"][name]["networks"] == ["inner", "outer"], "it lies outside"


def test_who_asks_is_told_by_the_proxy_and_by_nobody_else(compose):
    services = compose["services"]
    for name in ("web-a", "web-b"):
        assert services[name]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
        assert services[name]["networks"] == ["inner"]
    assert compose["networks"]["inner"] == {"internal": True}
    proxy = (INFRA / "compose.nginx.conf").read_text("utf-8")
    assert set(re.findall(r"X-Forwarded-For (\S+);", proxy)) == {"$remote_addr"}


def test_a_web_host_that_is_made_anew_is_looked_up_anew(compose):
    needed = compose["services"]["nginx"]["depends_on"]
    assert {name: how.get("restart") for name, how in needed.items()} == {"web-a": True, "web-b": True}


def test_a_variable_that_the_program_does_not_know_would_be_noticed(compose, dockerfile, secrets):
    given = _environment(compose["services"]["beat"], dockerfile, secrets)
    with pytest.raises(BadSettings, match="LIUHEN_LOCK_DAY: no such setting"):
        read({**given, "LIUHEN_LOCK_DAY": "1"})


def _resolved(words):
    """Walk a command line through click and return the command; every option in it must be one that it has."""
    command = cli
    for word in words:
        if word.startswith("-"):
            assert word in {name for option in command.params for name in option.opts}, word
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, word
            command = found
    assert not isinstance(command, click.Group)
    return command


def test_every_command_is_one_that_the_program_has(compose, dockerfile):
    found = dockerfile[0]
    assert found["ENTRYPOINT"] == ['["/opt/liuhen/bin/liuhen"]']
    assert _resolved(yaml.safe_load(found["CMD"][0])).name == "serve"
    asked = {name: _resolved(compose["services"][name]["command"]).name for name in OURS - {"migrate"}}
    assert asked == {"web-a": "serve", "web-b": "serve", "worker": "work", "beat": "beat"}
    (script,) = compose["services"]["migrate"]["command"]
    assert compose["services"]["migrate"]["entrypoint"] == ["/bin/sh", "-ec"]
    lines = [shlex.split(part) for part in script.split("&&")]
    assert [line[0] for line in lines] == ["/opt/liuhen/bin/liuhen"] * 2
    assert [_resolved(line[1:]).name for line in lines] == ["migrate", "prepare"]


def test_ports_meet(compose, dockerfile):
    services = compose["services"]
    image = Settings.model_validate({"port": _image_settings(dockerfile)["LIUHEN_PORT"]})
    assert dockerfile[0]["EXPOSE"] == [str(image.port)]
    assert {services[name]["environment"]["LIUHEN_PORT"] for name in ("web-a", "web-b")} == {str(image.port)}
    assert f"127.0.0.1:{image.port}/readyz" in services["web-a"]["healthcheck"]["test"][-1]
    endpoint = services["worker"]["environment"]["LIUHEN_S3_ENDPOINT"]
    (script,) = services["s3"]["command"]
    assert endpoint == "http://s3:" + re.search(r"--port :(\d+)", script)[1]
    assert services["nginx"]["ports"] == ["${LIUHEN_LISTEN:-127.0.0.1:8080}:8080"]
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"], "nothing else is reached from outside"


def test_the_proxy_s_configuration_is_the_shipped_one_for_these_hosts():
    made = (INFRA / "compose.nginx.conf").read_text("utf-8").partition("\n")[2]
    assert made == configuration({"a": "web-a:8080", "b": "web-b:8080"}, listen="8080")


def test_who_needs_whom_is_there_and_says_when_it_is_ready(compose):
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], (name, needed)
            else:
                assert (how["condition"], services[needed]["restart"]) == ("service_completed_successfully", "no")
    for name in OURS - {"migrate"}:
        assert "migrate" in services[name]["depends_on"], "a new version's database comes first"


@pytest.mark.parametrize("files", ["compose", "with_replica"])
def test_every_secret_is_a_file_that_is_made_and_each_service_gets_only_its_own(files, secrets, request):
    whole = request.getfixturevalue(files)
    services, listed = whole["services"], whole["secrets"]
    assert {name: entry["file"] for name, entry in listed.items()} == {name: f"./secrets/{name}" for name in listed}
    assert set(listed) <= {path.name for path in secrets.iterdir()}
    for service in services.values():
        for entry in service.get("secrets", []):
            assert (entry if isinstance(entry, str) else entry["source"]) in listed
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert name.removeprefix(PREFIX).lower() not in SECRETS
            assert name.endswith("_FILE") or not re.search(r"PASSWORD|SECRET|_KEY$", name), (name, value)
    holding = {name for name in OURS if any("migrate" in str(entry) for entry in services[name]["secrets"])}
    assert holding == {"migrate"}, "no process that serves can change what is only ever added to"


def test_secrets_are_random_closed_and_never_made_over_others(secrets, tmp_path):
    other = tmp_path / "other"
    subprocess.run([INFRA / "secrets.sh", other], check=True, capture_output=True)
    for path in secrets.iterdir():
        assert path.read_bytes() != (other / path.name).read_bytes(), path.name
    assert secrets.stat().st_mode & 0o777 == 0o700
    again = subprocess.run([INFRA / "secrets.sh", secrets], check=False, capture_output=True)
    assert again.returncode == 1
    roles = (secrets / "roles.sql").read_text("utf-8")
    for role in ("migrate", "web", "worker", "audit"):
        (password,) = re.findall(rf"CREATE ROLE liuhen_{role} LOGIN PASSWORD '([0-9a-f]{{48}})';", roles)
        assert f"//liuhen_{role}:{password}@postgres:5432/liuhen" in (secrets / f"database_url_{role}").read_text("utf-8")
    conf = dict(line.split(" = ") for line in (secrets / "rabbitmq.conf").read_text("utf-8").splitlines())
    broker = f"amqp://{conf['default_user']}:{conf['default_pass']}@rabbitmq:5672/{conf['default_vhost']}"
    assert (secrets / "broker_url").read_text("utf-8") == broker


def test_what_is_ours_runs_as_nobody_on_a_root_it_cannot_write_to(compose, dockerfile):
    assert dockerfile[0]["USER"] == ["10001:10001"]
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert (service["user"], service["cap_drop"]) == ("10001:10001", ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        written = {volume.split(":")[-1] for volume in service["volumes"]} - {"ro"}
        assert written <= {"/var/lib/liuhen", "/var/lib/liuhen-keys"}
    for name in ("worker", "beat"):
        assert "keys:/var/lib/liuhen-keys:ro" in compose["services"][name]["volumes"]


def test_every_volume_and_image_is_named_and_none_is_whatever_comes(compose):
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[a-z/-]+(?:/[a-z-]+)?:v?\d[\w.-]*", service["image"]), name
        assert not service["image"].startswith("minio/"), "nobody maintains it any more"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source.startswith(("./", "/")), volume


def test_the_image_has_the_packages_that_the_program_needs(dockerfile):
    setup = (INFRA / "setup.sh").read_text("utf-8")
    needed = set(re.search(r'^demo="([^"]+)"', setup, re.MULTILINE)[1].split()) - {"espeak-ng", "python3-venv"}
    (run,) = dockerfile[0]["RUN"]
    assert needed <= set(run.split())
    assert "requirements.lock" in dockerfile[1]
    assert "--require-hashes" in dockerfile[1]


def test_nothing_that_is_somebody_s_goes_into_the_image():
    kept_out = (INFRA.parent / ".dockerignore").read_text("utf-8").split()
    assert {".git", ".venv", "data", "demo-data", "infra/secrets"} <= set(kept_out)
    assert "infra/secrets/" in (INFRA.parent / ".gitignore").read_text("utf-8").split()
