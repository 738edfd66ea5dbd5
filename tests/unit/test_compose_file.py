"""docker-compose.yml: that it agrees with the settings, with the services, and with the images that it builds."""

import json
import re

import pytest
import yaml
from dotenv import dotenv_values

from lab.settings import EXAMPLE_FILE, ROOT
from lab.stack.compose import stack as compose
from lab.stack.native import toxiproxy_build
from services.consumer.settings import ConsumerSettings
from services.producer.settings import ProducerSettings

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = yaml.safe_load(TEXT)["services"]
EXAMPLE = dotenv_values(EXAMPLE_FILE)
DOCKERFILES = {path: (ROOT / path).read_text(encoding="utf-8")
               for path in sorted({made["build"]["dockerfile"] for made in SERVICES.values()})}
# What a container is given otherwise: its address, its name, its port inside, the place of its ledger.
GIVEN = {"RABBITMQ_HOST", "RABBITMQ_PORT", "PRODUCER_BIND", "PRODUCER_PORT", "CONSUMER_BIND", "CONSUMER_PORT",
         "CONSUMER_NAME", "LEDGER_DIR"}
ADDED_BY_FAULTS = {"IMPORTER_RATE", "IMPORTER_DEFECT", "IMPORTER_COUNT", "IMPORTER_BYTES",
                   "PARTNER_BATCH", "PARTNER_INTERVAL", "PARTNER_EXPECTS"}


def test_every_variable_is_documented_and_has_the_documented_default():
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    assert used and set(re.findall(r"(?<!\$)\$\{?(\w+)", TEXT)) == set(used)
    for name in ADDED_BY_FAULTS:
        used.pop(name)
    assert used == {name: EXAMPLE.get(name) for name in used}


@pytest.mark.parametrize(("service", "settings"), [("producer", ProducerSettings), ("consumer", ConsumerSettings)])
def test_every_setting_of_a_service_reaches_it(service, settings):
    known = {name.upper() for name in settings.model_fields}
    passed_on = {name for name, value in SERVICES[service]["environment"].items() if value is None}
    filled_in = {name for name in ("RABBITMQ_USER", "RABBITMQ_PASS") if name in SERVICES[service]["environment"]}
    assert passed_on | filled_in == known - GIVEN


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_confined(service):
    made = SERVICES[service]
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert made["read_only"] is True
    assert made["mem_limit"]
    assert made["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in made.get("ports", []))
    assert "privileged" not in made


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_proxy(service):
    names = {f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "FTP", "ALL", "NO")}
    given = {name: value for name, value in SERVICES[service]["environment"].items() if name.upper() in names}
    assert given == dict.fromkeys(names | {name.lower() for name in names}, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_images_are_built_from_pinned_ones_and_run_as_nobody_special(dockerfile):
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILES[dockerfile], re.MULTILINE))
    images = set(re.findall(r"^FROM (\S+)", DOCKERFILES[dockerfile], re.MULTILINE)) - stages
    assert images and all(re.search(r":v?\d+\.\d+", image) for image in images)
    assert re.findall(r"^USER (\S+)", DOCKERFILES[dockerfile], re.MULTILINE)[-1] not in {"root", "0"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_health_check(service):
    made = SERVICES[service]
    assert "healthcheck" in made or "HEALTHCHECK" in DOCKERFILES[made["build"]["dockerfile"]]


def test_no_file_of_the_checkout_is_mounted():
    """It would have the permissions that the umask of the clone left, unreadable to the users of containers."""
    mounts = [mount.split(":")[0] for made in SERVICES.values() for mount in made.get("volumes", [])]
    assert {mount for mount in mounts if not re.fullmatch(r"[a-z-]+", mount)} == set()


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_from_the_checkout_is_made_readable(dockerfile):
    for stage in re.split(r"^FROM ", DOCKERFILES[dockerfile], flags=re.MULTILINE)[1:]:
        # A stage without a user of its own only prepares files, as root.
        if re.search(r"^USER ", stage, re.MULTILINE) and re.search(r"^COPY (?!--from)", stage, re.MULTILINE):
            assert re.search(r"^RUN chmod -R a\+rX ", stage, re.MULTILINE)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_images_copy_is_in_the_context_of_the_build(dockerfile):
    """.dockerignore excludes everything that it does not name."""
    named = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILES[dockerfile], re.MULTILINE):
        for source in sources.split():
            assert list(ROOT.glob(source)), source
            assert any(source == name or source.startswith(f"{name}/") for name in named), source


def test_the_control_api_of_toxiproxy_is_not_published():
    assert "ports" not in SERVICES["toxiproxy"]


def test_the_stack_knows_every_service():
    assert set(compose.SERVICES) == set(SERVICES)
    assert set(compose.FAULTS) == {name for name, made in SERVICES.items() if "profiles" in made}


def test_the_links_have_the_ports_that_the_services_use():
    links = {link["name"]: link["listen"] for link in json.loads((ROOT / "toxiproxy" / "links.json").read_text(encoding="utf-8"))}
    for service in ("producer", "consumer"):
        environment = SERVICES[service]["environment"]
        assert links[f"{service}-link"] == f"0.0.0.0:{environment['PORT_OF_primary']}"
        assert links[f"{service}-link-standby"] == f"0.0.0.0:{environment['PORT_OF_standby']}"


def test_both_forms_of_the_stack_have_the_same_toxiproxy():
    assert f"ARG VERSION={toxiproxy_build.VERSION}\n" in (ROOT / "toxiproxy" / "Dockerfile").read_text(encoding="utf-8")
