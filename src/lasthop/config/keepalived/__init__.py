"""keepalived.conf: what of it a director can do, as a configuration of lasthop's."""

from lasthop.config.keepalived.translate import Translation, translate

__all__ = ["Translation", "translate"]
