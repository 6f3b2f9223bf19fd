"""Frames of a capture file, pcap or pcapng, for `lasthop explain --pcap`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.errors import LasthopError

if TYPE_CHECKING:
    from pathlib import Path

_ETHERNET = 1


def frame_of(path: Path, number: int) -> bytes:
    """Frame `number`, from 1, of a file. Raises LasthopError where there is none, or the file is none of frames."""
    # dpkt takes as long to import as the rest of the command to run.
    from dpkt.dpkt import Error
    from dpkt.pcap import UniversalReader

    try:
        with path.open("rb") as file:
            reader = UniversalReader(file)
            if reader.datalink() != _ETHERNET:
                raise LasthopError(
                    f"can't explain a frame of {path}: its link type is {reader.datalink()}, not Ethernet",
                    "capture on an interface, not on 'any'",
                )
            seen = 0
            for seen, (_, frame) in enumerate(reader, start=1):
                if seen == number:
                    return bytes(frame)
    except OSError as error:
        raise LasthopError(f"can't read {path}: {error.strerror}", "name a capture file") from error
    except (ValueError, Error) as error:
        raise LasthopError(
            f"can't read {path}: it is no pcap or pcapng file: {error}", "name a capture file"
        ) from error
    raise LasthopError(f"can't explain frame {number} of {path}: it has {seen}", "name one by --frame N, from 1")
