"""Where workers come from: local processes, this process, or a scheduler somebody started."""

from skyloom.cluster.certificates import Certificates, make_certificates
from skyloom.cluster.forks import fork_ahead
from skyloom.cluster.spec import ClusterSpec, resolve
from skyloom.cluster.start import RunningCluster, start, worker_environment

__all__ = [
    "Certificates",
    "ClusterSpec",
    "RunningCluster",
    "fork_ahead",
    "make_certificates",
    "resolve",
    "start",
    "worker_environment",
]
