"""Topologies of network namespaces with stateful firewalls: what demo, tests and bench all use."""
