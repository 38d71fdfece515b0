"""Where workers come from: local processes, this process, or a scheduler somebody started."""

from skyloom.cluster.spec import ClusterSpec, resolve
from skyloom.cluster.start import RunningCluster, start

__all__ = ["ClusterSpec", "RunningCluster", "resolve", "start"]
