"""The compose files: held to the compose specification's own schema, and to what they refer to."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from motherlode.cli.main import COMMANDS
from motherlode.settings import Settings

INFRA = Path(__file__).resolve().parents[2] / "infra"
FILES = (INFRA / "compose.yaml", INFRA / "compose.gpu.yaml")
PLAIN, GPU = (yaml.safe_load(path.read_text()) for path in FILES)
DOCKERFILE = (INFRA.parent / "Dockerfile").read_text()


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    """What check-jsonschema says by the specification's JSON schema, which it ships."""
    tool = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [tool, "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_what_the_compose_specification_allows(path: Path) -> None:
    done = checked(path)
    assert done.returncode == 0, done.stdout


def test_the_schema_would_have_found_a_misspelt_key(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(FILES[0].read_text().replace("depends_on:", "depend_on:"))
    assert checked(path).returncode == 1


@pytest.mark.parametrize("service", ["serving", "training"])
def test_what_is_built_is_a_target_of_the_dockerfile(service: str) -> None:
    build = PLAIN["services"][service]["build"]
    assert build["target"] == service
    assert re.search(rf"^FROM \S+ AS {service}$", DOCKERFILE, flags=re.MULTILINE)
    assert (INFRA / build["context"] / "Dockerfile").is_file()


def test_services_wait_for_services_that_exist_and_can_be_healthy() -> None:
    services = PLAIN["services"]
    for service in services.values():
        for other, rule in service.get("depends_on", {}).items():
            assert rule["condition"] == "service_healthy"
            assert "healthcheck" in services[other]


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounted = {volume.split(":")[0] for service in PLAIN["services"].values() for volume in service.get("volumes", ())}
    assert mounted == PLAIN["volumes"].keys()


@pytest.mark.parametrize("service", ["serving", "training"])
def test_the_environment_makes_settings(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is one that Settings reads; the Redis it names is the service of that name."""
    given = PLAIN["services"][service]["environment"] | GPU["services"][service]["environment"]
    read = set(re.findall(r"`([A-Z_]+)`", Settings.__doc__ or ""))
    assert given.keys() <= read
    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-\}", "", value))
    settings = Settings.from_env()
    assert settings.pseudonym_key is None, "an unset secret is none"
    assert settings.device == "gpu"
    assert settings.redis_url == "redis://redis:6379/0"
    assert "redis" in PLAIN["services"]


def test_state_lies_where_the_image_keeps_it_and_the_port_is_the_one_it_serves_on() -> None:
    serving = PLAIN["services"]["serving"]
    assert serving["volumes"] == PLAIN["services"]["training"]["volumes"] == ["state:/var/lib/motherlode"]
    assert "MOTHERLODE_HOME=/var/lib/motherlode" in DOCKERFILE
    assert serving["ports"] == ["127.0.0.1:8000:8000"]
    assert "MOTHERLODE_PORT=8000" in DOCKERFILE
    assert any("127.0.0.1:8000/readyz" in part for part in serving["healthcheck"]["test"])


def test_the_online_store_keeps_what_it_is_told_and_is_reached_by_nobody_else() -> None:
    redis = PLAIN["services"]["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options == {"--appendonly": "yes", "--save": "", "--maxmemory-policy": "noeviction"}
    assert redis["volumes"] == ["redis:/data"]
    assert "ports" not in redis


def test_the_commands_that_it_runs_and_recommends_exist() -> None:
    assert PLAIN["services"]["training"]["command"][0] in COMMANDS
    recommended = re.findall(r"run --rm training (\w+)", FILES[0].read_text())
    assert recommended
    assert all(command in COMMANDS for command in recommended)
    assert PLAIN["services"]["training"]["profiles"] == ["training"], "`up` starts no training"


def test_the_gpu_file_changes_the_device_of_services_that_exist() -> None:
    assert GPU["services"].keys() <= PLAIN["services"].keys()
    for service in GPU["services"].values():
        assert service["build"]["args"] == {"DEVICE": "gpu"}
        devices = service["deploy"]["resources"]["reservations"]["devices"]
        assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
