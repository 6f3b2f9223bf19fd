"""Where the object is known to differ from the documents: the model then does as the object does.

An entry goes when the object or the document is put right; the model without it is the documents'.
Must not be here: what nobody has looked at yet.
"""

from __future__ import annotations

AS_BUILT = {
    "denied takes a turn": "A connection that a strict leg denies is scheduled all the same, then sent by rendezvous.",
}
