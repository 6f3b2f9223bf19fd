"""`lasthop top`: the director as it goes, in a terminal. It knows the director by `lasthop.api.client` alone."""
