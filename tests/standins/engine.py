#!/usr/bin/env python3
"""A private Docker engine with stand-ins for the upstream images, for a machine that reaches no registry.

As root: `python tests/standins/engine.py FOLDER` starts it, and prints the DOCKER_HOST by which it is
reached; Ctrl-C ends it. Needs Debian's docker.io, iptables and debootstrap; all else is in FOLDER.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NEEDED = ("dockerd", "docker", "iptables", "debootstrap")
SUITE = "trixie"  # it has the very versions of RabbitMQ, Prometheus and Alertmanager that the lab pins
BASE = "sre-lab-standin/debian"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
START_SECONDS = 60
# How long the tests of containers of another clone may take, on a slow machine.
OTHERS_SECONDS = 3600


def missing() -> str | None:
    """Why no engine can be started here, None when one can."""
    if os.geteuid() != 0:
        return "a Docker engine of our own needs root"
    absent = [program for program in NEEDED if shutil.which(program, path=_path()) is None]
    return f"not installed: {', '.join(absent)} (Debian's docker.io, iptables, debootstrap)" if absent else None


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """A Docker engine with all its state in `folder`; yields its DOCKER_HOST. Nothing of it is left at the end.

    Waits until no other such engine runs: the bridge docker0 and the chains of iptables are one for all.
    """
    # The name is as far-reaching as those: abstract sockets belong to a network namespace, too.
    with socket.socket(socket.AF_UNIX) as claim:
        deadline = time.monotonic() + OTHERS_SECONDS
        while not _binds(claim, "\0sre-lab-docker-engine"):
            if time.monotonic() > deadline:
                raise RuntimeError("another stand-in for a Docker engine does not end: stop the tests that started it")
            time.sleep(1)
        with _daemon(folder) as host:
            yield host


def _binds(claim: socket.socket, name: str) -> bool:
    try:
        claim.bind(name)
    except OSError:
        return False
    return True


@contextmanager
def _daemon(folder: Path) -> Iterator[str]:
    # A socket's path may have 107 bytes at the most, and a test's folder is longer than that.
    host = f"unix:///run/sre-lab-{os.getpid()}.sock"
    listener = Path(host.removeprefix("unix://"))
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen([
            "dockerd", "--host", host, "--data-root", folder / "data", "--exec-root", folder / "exec",
            "--pidfile", folder / "dockerd.pid",
        ], stdout=log, stderr=log, env=os.environ | {"PATH": _path()}, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(host):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("dockerd does not start:\n" + (folder / "dockerd.log").read_text(encoding="utf-8")[-2000:])
            time.sleep(0.2)
        yield host
    finally:
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
        listener.unlink(missing_ok=True)
        _unmount_below(folder)


def build_images(host: str, folder: Path) -> None:
    """Make a stand-in for every upstream image that the lab names."""
    base = folder / "base"
    _run(["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, base])
    # Whoever stands between this machine and the package registries must be trusted in containers, too.
    for certificate in CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, base / CERTIFICATES.relative_to("/"))
    _run(["chroot", base, "update-ca-certificates"])
    with subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE) as archive:
        _run(["docker", "--host", host, "import", "-", BASE], stdin=archive.stdout)
    shutil.rmtree(base)
    for image in upstream_images():
        _run(["docker", "--host", host, "build", "--network", "host", "--build-arg", f"DEBIAN={BASE}",
              "--target", image.split(":")[0].rsplit("/")[-1], "--tag", image, HERE])


def upstream_images() -> set[str]:
    """What the Dockerfiles take from elsewhere; docker-compose.yml names only images that it builds."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"].values()
    return {image for file in {service["build"]["dockerfile"] for service in services}
            for image in re.findall(r"^FROM (\S+:\S+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)}


def compose_plugin(host: str, folder: Path) -> Path:
    """Debian's Compose 2, out of a stand-in; a folder that serves as DOCKER_CONFIG."""
    plugins = folder / "docker-config" / "cli-plugins"
    plugins.mkdir(parents=True)
    image = next(image for image in upstream_images() if image.startswith("alpine"))
    container = _run(["docker", "--host", host, "create", "--network", "none", image, "true"]).strip()
    _run(["docker", "--host", host, "cp", "--follow-link", f"{container}:/usr/bin/docker-compose",
          plugins / "docker-compose"])
    _run(["docker", "--host", host, "rm", container])
    return plugins.parent


def _unmount_below(folder: Path) -> None:
    """The engine leaves mounts behind, the network namespace of the host for one."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        _run(["umount", "--lazy", mount])


def _answers(host: str) -> bool:
    return subprocess.run(["docker", "--host", host, "version"], capture_output=True).returncode == 0


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def _run(argv: list, **options) -> str:
    done = subprocess.run(argv, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=os.environ | {"PATH": _path()}, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv[:5]))} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if problem := missing():
        sys.exit(problem)
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with engine(folder) as host:
        print("making the stand-ins (about two minutes)", flush=True)
        build_images(host, folder)
        print(f"export DOCKER_HOST={host} DOCKER_CONFIG={compose_plugin(host, folder)}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
