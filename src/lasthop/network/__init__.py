"""The boundary to netlink: links, addresses and neighbours of the network namespace the process is in."""
