"""Taking over from another version of lasthop whose maps are laid out otherwise.

Owns the layouts of all versions, and the way from one to another under traffic. Must not be here: what a director does
whose maps are of its own version.
"""
