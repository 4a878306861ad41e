"""Settings refuse to start half-configured: a misspelt safeguard must not be a missing one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from archive.commands.serve import serve
from archive.settings import SECRETS, BadSettings, Profile, Settings, environment, read

PRODUCTION = {
    "LIUHEN_PROFILE": "production",
    "LIUHEN_DATABASE_URL": "postgresql://liuhen_web:k3y-of-web@db:5432/liuhen",
    "LIUHEN_BROKER_URL": "amqp://liuhen:k3y-of-queue@queue:5672/liuhen",
    "LIUHEN_S3_ENDPOINT": "https://store:9000",
    "LIUHEN_S3_ACCESS_KEY": "AKIALIUHEN",
    "LIUHEN_S3_SECRET_KEY": "k3y-of-store",
    "LIUHEN_KEYS_DIR": "/var/lib/liuhen/keys",
}


def refused(given: dict[str, str]) -> str:
    with pytest.raises(BadSettings) as caught:
        read(given)
    return str(caught.value)


def test_a_bare_environment_is_the_embedded_profile():
    assert read({}).profile is Profile.EMBEDDED


def test_a_complete_production_starts_and_a_child_reads_the_same_settings():
    settings = read(PRODUCTION)
    assert settings.production
    assert read(environment(settings)) == settings


@pytest.mark.parametrize("missing", sorted(set(PRODUCTION) - {"LIUHEN_PROFILE"}))
def test_production_refuses_to_start_without_one_of_its_engines_or_secrets(missing):
    assert f"{missing} is missing" in refused({name: value for name, value in PRODUCTION.items() if name != missing})


def test_everything_that_is_missing_is_said_at_once():
    said = refused({"LIUHEN_PROFILE": "production"})
    assert all(f"{name} is missing" in said for name in PRODUCTION if name != "LIUHEN_PROFILE")


@pytest.mark.parametrize(
    "known",
    [
        {"LIUHEN_S3_SECRET_KEY": "minioadmin"},
        {"LIUHEN_BROKER_URL": "amqp://guest:guest@queue:5672/"},
        {"LIUHEN_DATABASE_URL": "postgresql://liuhen:ChangeMe@db/liuhen"},
    ],
)
def test_a_secret_that_everybody_knows_is_none(known):
    (name,) = known
    said = refused(PRODUCTION | known)
    assert f"{name} is a secret that everybody knows" in said


def test_a_web_host_without_a_name_does_not_start_in_production():
    done = CliRunner().invoke(serve, env={**PRODUCTION, "LIUHEN_DATABASE_URL": "postgresql://liuhen_web:k@127.0.0.1:9/liuhen"})
    assert isinstance(done.exception, BadSettings), done.exception
    assert "LIUHEN_WEB_NAME is missing" in str(done.exception)


def test_an_engine_named_without_the_profile_is_no_embedded_archive_by_accident():
    said = refused({name: value for name, value in PRODUCTION.items() if name != "LIUHEN_PROFILE"})
    assert "only with LIUHEN_PROFILE=production" in said
    assert "LIUHEN_DATABASE_URL" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"LIUHEN_DATABASE_URL": "sqlite:///liuhen.db"},
        {"LIUHEN_BROKER_URL": "redis://queue"},
        {"LIUHEN_S3_ENDPOINT": "store:9000"},
        {"LIUHEN_S3_ENDPOINT": "https://store:9000/bucket"},
        {"LIUHEN_S3_DERIVED": "liuhen-originals"},
        {"LIUHEN_REPLICA_ENDPOINT": "https://elsewhere"},
        {"LIUHEN_WEB_NAME": "Web-1"},
        {"LIUHEN_LOCK_DAYS": "0"},
        {"LIUHEN_LOCK_DAYS": "2"},  # looked after once a day and extended at half its time, it would run out between two looks
        {"LIUHEN_LOCKDAYS": "30"},
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name(wrong):
    (name,) = wrong
    said = refused(PRODUCTION | wrong)
    assert name in said or "three buckets" in said or "REPLICA_ACCESS_KEY" in said


def test_a_secret_may_lie_in_a_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("k3y-from-file\n", "utf-8")
    given = {name: value for name, value in PRODUCTION.items() if name != "LIUHEN_S3_SECRET_KEY"}
    assert read(given | {"LIUHEN_S3_SECRET_KEY_FILE": str(path)}).s3_secret_key == "k3y-from-file"
    assert "both given" in refused(PRODUCTION | {"LIUHEN_S3_SECRET_KEY_FILE": str(path)})
    assert "cannot be read" in refused(given | {"LIUHEN_S3_SECRET_KEY_FILE": str(tmp_path / "none")})


def test_only_secrets_may_lie_in_files(tmp_path):
    path = tmp_path / "port"
    path.write_text("8081", "utf-8")
    assert "LIUHEN_PORT_FILE: no such setting" in refused({"LIUHEN_PORT_FILE": str(path)})


def test_no_refusal_and_no_representation_prints_a_secret():
    settings = read(PRODUCTION)
    said = refused(PRODUCTION | {"LIUHEN_LOCK_DAYS": "none", "LIUHEN_WEB_NAME": "?"})
    for name in SECRETS:
        value = getattr(settings, name)
        assert not value or (value not in repr(settings) and value not in said)
    assert isinstance(settings, Settings)
