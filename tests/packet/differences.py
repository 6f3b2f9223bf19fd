"""Where the object is known to differ from the documents: the model then does as the object does.

An entry goes when the object or the document is put right; the model without it is the documents'.
Must not be here: what nobody has looked at yet.
"""

from __future__ import annotations

AS_BUILT = {
    "error without note": "The first fragment of an ICMP error leaves no note: its later ones go as those of nobody.",
    "early unbound": "A client whose connection follows an early fragment is not bound by a template.",
    "notes without ports": "A note of a datagram without ports is looked up by the protocol of the fragment at hand.",
    "errors by address": "An ICMP error about an unknown connection is not taken by services by address.",
    "denied takes a turn": "A connection that a strict leg denies is scheduled all the same, then sent by rendezvous.",
    "beyond the payload": "An IPv6 extension header that begins beyond the payload length and says it ends beyond "
    "512 bytes is no truncated packet, but one of protocol 0.",
    "oldest pair only": "When the oldest connection of two addresses ends, none is related to those that are left.",
}
