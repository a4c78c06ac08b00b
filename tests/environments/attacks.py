"""What hostile code tries from inside, as Python programs: each prints a line for whatever it reached.

They find what is planted outside in `TARGETS`, a JSON object in their environment. Without a sandbox they all succeed,
which shows that the attacks themselves work.
"""

HEAD = """
import ctypes, errno, json, os, signal, socket, sys
targets = json.loads(os.environ['TARGETS'])
mark = targets['mark'].encode()
libc = ctypes.CDLL(None, use_errno=True)

def reached(what):
    print(what, flush=True)

def read(path):
    try:
        with open(path, 'rb') as file:
            return file.read(1 << 20)
    except (OSError, ValueError):
        return b''
"""

HOST_FILES = """
for path in (targets['file'], targets['database'], *(f'/proc/{pid}/root' + targets['file'] for pid in ('1', 'self'))):
    if mark in read(path):
        reached(path)
try:
    with open(targets['file'] + '.planted', 'w'):
        reached('wrote beside ' + targets['file'])
except OSError:
    pass
"""

OTHER_ENVIRONMENTS = """
if mark in read(targets['theirs']):
    reached(targets['theirs'])
for folder in (targets['root'], os.path.dirname(targets['theirs'])):
    try:
        reached(f'{folder}: {os.listdir(folder)}')
    except OSError:
        pass
"""

KEYS = """
for name, value in os.environ.items():
    if name != 'TARGETS' and mark in value.encode(errors='replace'):
        reached('variable ' + name)
for pid in [name for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()]:
    for file in ('environ', 'cmdline'):
        said = read(f'/proc/{pid}/{file}')
        if mark in said and b'TARGETS=' not in said:
            reached(f'{file} of {pid}')
"""

HOST_PROCESSES = """
pid, started = targets['pid'], targets['started']
def start_of(pid):
    fields = read(f'/proc/{pid}/stat').rpartition(b')')[2].split()
    return int(fields[19]) if len(fields) > 19 else None
if start_of(pid) == started:
    reached(f'saw {pid}')
    try:
        os.kill(pid, 0)
        reached(f'may signal {pid}')
    except OSError:
        pass
for name in os.listdir('/proc'):
    if name.isdigit() and mark in read(f'/proc/{name}/cmdline'):
        reached(f'saw the command line of {name}')
"""

LOOPBACK = """
for family, address in ((socket.AF_INET, ('127.0.0.1', targets['port'])),
                        (socket.AF_INET, ('localhost', targets['port'])),
                        (socket.AF_UNIX, '\\0' + targets['abstract']), (socket.AF_UNIX, targets['socket'])):
    try:
        socket.socket(family).connect(address)
        reached(f'connected to {address!r}')
    except OSError:
        pass
"""

METADATA = """
for host in ('169.254.169.254', '100.100.100.200', '192.0.2.1', '10.0.0.1'):
    try:
        one = socket.socket()
        one.settimeout(0.5)
        one.connect((host, 80))
        reached('connected to ' + host)
    except OSError as error:
        if isinstance(error, TimeoutError):
            reached('a packet went out to ' + host)
try:
    way = socket.create_connection(('127.0.0.1', 3128), timeout=10)
    for host in ('169.254.169.254', 'localhost', '127.0.0.1', '[::1]'):
        way = socket.create_connection(('127.0.0.1', 3128), timeout=10)
        way.sendall(f'CONNECT {host}:80 HTTP/1.1\\r\\n\\r\\n'.encode())
        answer = way.recv(4096)
        if b' 200 ' in answer.split(b'\\r\\n')[0]:
            reached('the proxy connected to ' + host)
except OSError:
    pass
"""

MOUNT = """
for source, target, kind, flags in ((b'none', b'/tmp', b'tmpfs', 0), (b'/', b'/tmp', None, 4096),
                                    (b'proc', b'/tmp', b'proc', 0), (b'none', b'/', None, 32 | 4096)):
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) == 0:
        reached(f'mounted {source} on {target}')
        libc.umount2(target, 2)
if libc.chroot(b'/tmp') == 0:
    reached('chroot')
try:
    os.mknod('/tmp/device', 0o666 | 0o060000, os.makedev(8, 0))
    reached('made a device')
except OSError:
    pass
"""

PTRACE = """
pid = os.fork()
if pid == 0:
    signal.pause()
ctypes.set_errno(0)
if libc.ptrace(16, pid, None, None) == 0:
    reached('ptrace of a child')
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
if libc.ptrace(16, 1, None, None) == 0:
    reached('ptrace of 1')
"""

NAMESPACES = """
for name, flag in (('user', 0x10000000), ('mount', 0x20000), ('net', 0x40000000), ('pid', 0x20000000), ('time', 0x80)):
    pid = os.fork()
    if pid == 0:
        os._exit(10 if libc.unshare(flag) == 0 else 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10:
        reached('a new namespace: ' + name)
for name in ('user', 'mnt', 'net', 'pid'):
    try:
        if libc.setns(os.open(f'/proc/1/ns/{name}', os.O_RDONLY), 0) == 0:
            reached('entered the namespace of 1: ' + name)
    except OSError:
        pass
"""

ATTACKS = {
    "host files and the server's database": ("files", HOST_FILES),
    "folders of other environments": ("files", OTHER_ENVIRONMENTS),
    "keys in variables and in /proc": ("host processes", KEYS),
    "processes of the host and of other environments": ("host processes", HOST_PROCESSES),
    "services on the host's loopback": ("network", LOOPBACK),
    "the metadata address": ("network", METADATA),
    "mount": ("privileges", MOUNT),
    "ptrace": ("privileges", PTRACE),
    "new namespaces": ("privileges", NAMESPACES),
}
"""What is attacked: which wall is reported to hold it, and how."""
