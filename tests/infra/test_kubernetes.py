"""The KubeRay manifests: held to KubeRay's and Kubernetes' schemas, to Ray's, and to what they refer to."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from motherlode.settings import Settings
from serving import app

ROOT = Path(__file__).resolve().parents[2]
FILES = tuple(sorted((ROOT / "infra" / "kubernetes").glob("*.yaml")))
KUBERNETES = "1.33"
RAYSERVICE = json.loads((Path(__file__).parent / "kuberay" / "rayservice.v1.json").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
USER = 10001

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def named(path: Path, kind: str) -> Document:
    (found,) = [each for each in documents(path) if each["kind"] == kind]
    return found


def cluster(path: Path) -> Document:
    found: Document = named(path, "RayService")["spec"]["rayClusterConfig"]
    return found


def groups(path: Path) -> Iterator[Document]:
    """The head and every group of workers."""
    yield cluster(path)["headGroupSpec"]
    yield from cluster(path)["workerGroupSpecs"]


def check(document: Document) -> None:
    """Hold a document to its schema; the pods of a RayService to Kubernetes' own.

    Raises:
        jsonschema.ValidationError: it is not what the schema allows.
    """
    if document["kind"] != "RayService":
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    jsonschema.Draft202012Validator(RAYSERVICE).validate(document)
    config = document["spec"]["rayClusterConfig"]
    for group in (config["headGroupSpec"], *config["workerGroupSpecs"]):
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **group["template"]}, KUBERNETES, strict=True)
    ServeDeploySchema.model_validate(yaml.safe_load(document["spec"]["serveConfigV2"]))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_is_one_for_the_cpu_and_one_for_the_gpu() -> None:
    assert [each.name for each in FILES] == ["rayservice-cpu.yaml", "rayservice-gpu.yaml"]


def test_every_document_is_what_its_schema_allows(path: Path) -> None:
    kinds = [each["kind"] for each in documents(path)]
    assert kinds == ["RayService", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy", "Ingress"]
    for document in documents(path):
        check(document)


@pytest.mark.parametrize(
    ("kind", "where", "value"),
    [
        ("RayService", "spec.serveConfig", "x"),
        ("RayService", "spec.rayClusterConfig.headGroupSpec.template.spec.containers", []),
        ("RayService", "spec.rayClusterConfig.workerGroupSpecs.0.minReplica", 1),
        ("RayService", "spec.rayClusterConfig.workerGroupSpecs.0.replicas", "two"),
        ("RayService", "spec.rayClusterConfig.workerGroupSpecs.0.template.spec.tolerances", []),
        ("RayService", "spec.rayClusterConfig.rayStartParams", {}),
        ("RayService", "spec.serveConfigV2", "applications: [{name: a}]"),
        ("RayService", "spec.serveConfigV2", "applications: [{name: a, import_path: nothing}]"),
        ("PersistentVolumeClaim", "spec.accessMode", ["ReadWriteOnce"]),
        ("PodDisruptionBudget", "spec.selector", "motherlode"),
        ("NetworkPolicy", "spec.ingress.0.ports.0.portt", 1),
        ("Ingress", "spec.rules.0.http.paths.0.pathType", None),
    ],
)
def test_the_schemas_would_have_found_a_mistake(path: Path, kind: str, where: str, value: Any) -> None:
    document = copy.deepcopy(named(path, kind))
    *parents, last = where.split(".")
    place: Any = document
    for each in parents:
        place = place[int(each)] if each.isdigit() else place[each]
    if value == [] and last == "containers":
        value = [{"image": "without a name"}]
    place[last] = value
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        check(document)


def test_no_pod_is_root_or_privileged_or_knows_the_clusters_keys(path: Path) -> None:
    assert f"USER {USER}" in DOCKERFILE
    for group in groups(path):
        spec = group["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == USER
        assert not spec["automountServiceAccountToken"]
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        (container,) = spec["containers"]
        inside = container["securityContext"]
        assert not inside["privileged"]
        assert not inside["allowPrivilegeEscalation"]
        assert inside["readOnlyRootFilesystem"]
        assert inside["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container.keys() >= {"readinessProbe", "livenessProbe"}


def test_only_the_port_that_serves_is_open_and_the_dashboard_to_kuberay_alone(path: Path) -> None:
    to_all, within, operator = named(path, "NetworkPolicy")["spec"]["ingress"]
    assert to_all == {"ports": [{"protocol": "TCP", "port": 8000}]}
    assert within == {"from": [{"podSelector": named(path, "NetworkPolicy")["spec"]["podSelector"]}]}
    assert [each["port"] for each in operator["ports"]] == [8265]
    assert operator["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert cluster(path)["authOptions"] == {"mode": "token"}
    for group in groups(path):
        labels = group["template"]["metadata"]["labels"]
        assert named(path, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    budget = named(path, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    for group in cluster(path)["workerGroupSpecs"]:
        assert budget["selector"]["matchLabels"].items() <= group["template"]["metadata"]["labels"].items()


def test_secrets_come_from_secrets_and_only_to_those_who_answer(path: Path) -> None:
    head, *workers = groups(path)
    variables = {each["name"]: each for each in head["template"]["spec"]["containers"][0]["env"]}
    assert not [each for each in variables.values() if "valueFrom" in each]
    for worker in workers:
        variables = {each["name"]: each for each in worker["template"]["spec"]["containers"][0]["env"]}
        for secret in ("REDIS_URL", "MOTHERLODE_PSEUDONYM_KEY"):
            assert variables[secret]["valueFrom"].keys() == {"secretKeyRef"}
        (mount,) = [
            each for each in worker["template"]["spec"]["containers"][0]["volumeMounts"] if each["name"] == "home"
        ]
        assert f"MOTHERLODE_HOME={mount['mountPath']}" in DOCKERFILE
        (volume,) = [each for each in worker["template"]["spec"]["volumes"] if each["name"] == "home"]
        claimed = volume["persistentVolumeClaim"]["claimName"]
        assert claimed == named(path, "PersistentVolumeClaim")["metadata"]["name"]


def test_the_variables_are_ones_that_the_settings_know(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, worker, *_ = groups(path)
    for each in worker["template"]["spec"]["containers"][0]["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "redis://somewhere/a-key-that-is-long-enough-to-be-one"))
    settings = Settings.from_env()
    assert (settings.host, settings.tls) == ("0.0.0.0", "proxy")
    assert settings.redis_url == settings.pseudonym_key == "redis://somewhere/a-key-that-is-long-enough-to-be-one"


def test_there_is_a_core_for_each_replica_and_a_pod_has_the_cores_and_gpus_that_ray_is_told(path: Path) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(named(path, "RayService")["spec"]["serveConfigV2"]))
    (served,) = config.applications
    assert served.import_path == f"{app.__name__}:{app.application.__name__}"
    cores = gpus = 0
    for group in cluster(path)["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["cpu"] == group["rayStartParams"]["num-cpus"]
        gpu = limits.get("nvidia.com/gpu", 0)
        assert str(gpu) == group["rayStartParams"].get("num-gpus", "0")
        tolerated = [each["key"] for each in group["template"]["spec"].get("tolerations", [])]
        assert tolerated == (["nvidia.com/gpu"] if gpu else [])
        cores += group["replicas"] * int(limits["cpu"])
        gpus += group["replicas"] * gpu
    assert served.args["replicas"] == cores > gpus
    assert served.args["device"] == ("auto" if gpus else "cpu")
    assert bool(gpus) == path.stem.endswith("gpu")


def test_ray_is_of_the_version_that_is_locked(path: Path) -> None:
    locked = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert locked is not None
    assert cluster(path)["rayVersion"] == locked[1]


def test_the_ingress_leads_to_the_service_that_kuberay_makes_and_knows_no_path_of_rays(path: Path) -> None:
    (rule,) = named(path, "Ingress")["spec"]["rules"]
    (way,) = rule["http"]["paths"]
    assert way["backend"]["service"]["name"] == f"{named(path, 'RayService')['metadata']['name']}-serve-svc"
    assert way["path"] == "/v1"
