"""lasthop: a transparent layer-4 load balancer for firewalls, with auto last hop."""

__version__ = "0.1.0"
