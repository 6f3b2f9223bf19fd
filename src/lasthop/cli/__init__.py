"""The command line: nouns read, verbs write; it sees only `lasthop.api.client`."""
