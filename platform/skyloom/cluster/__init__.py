"""Where workers come from: local processes, this process, or a scheduler somebody started."""

from skyloom.cluster.certificates import Certificates, make_certificates
from skyloom.cluster.spec import ClusterSpec, resolve
from skyloom.cluster.start import RunningCluster, start

__all__ = ["Certificates", "ClusterSpec", "RunningCluster", "make_certificates", "resolve", "start"]
