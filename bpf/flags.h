/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What single bits and choices of the structs in abi.h mean. Shared with Python, as those are. */
#pragma once

/* Flags of a connection, in its word. */
enum connection_flag {
	CONNECTION_LIVE = 1,	     /* without it and PENDING the entry is nobody's, whatever else it holds */
	CONNECTION_FROM_LOW = 2,     /* the originator is the key's lower endpoint */
	CONNECTION_REPLIED = 4,	     /* a response was seen (LVS: NOOUTPUT cleared) */
	CONNECTION_ASSURED = 8,	     /* both directions seen; TCP, SCTP: and ESTABLISHED reached */
	CONNECTION_PERSISTENT = 16,  /* counted as a child of a persistence template */
	CONNECTION_PENDING = 32,     /* written, and not yet known to be the only one of its key */
	CONNECTION_OVERFLOW = 64,    /* counted in table.overflowed: in its key's third or fourth bucket */
	CONNECTION_ONE_PACKET = 128, /* only while it is decided: there will be no entry */
	CONNECTION_MOVED = 256,	     /* here by rendezvous, since its real server died */
	CONNECTION_BYPASSED = 512,   /* its requests are left to the kernel's routes, for as long as it lives */
};

/* How a service chooses a real server. BY_LOAD: the names are LVS's. */
enum choice {
	BY_TURN,
	BY_LOAD_WLC,
	BY_LOAD_LC,
	BY_LOAD_SED,
	BY_LOAD_NQ,
	BY_LOAD_OVF,
	BY_LOAD_TWOS,
	BY_RENDEZVOUS,
	BY_SOURCE,
	BY_DESTINATION,
	BY_PAIR,
	BY_LOCALITY,
	BY_LOCALITY_SET,
	BY_ORDER,
};

enum leg_flag {
	LEG_XDP_TRANSMIT = 1, /* XDP frames may leave through it: proved by a test frame */
	LEG_UP = 2,
	LEG_MORE_MACS = 4, /* own_macs has addresses beside the leg's own */
	LEG_NEIGHBOUR = 8, /* reply_to = "neighbour" */
	LEG_STRICT = 16,   /* no hop is learned here */
	LEG_CAPTURE = 32,  /* its frames go to the map captures as well */
};

/* What the director knows of a hop that is no real server's. */
enum hop_flag {
	HOP_GATEWAY = 1,   /* one of the leg's gateways */
	HOP_NEIGHBOUR = 2, /* the kernel has its address and MAC */
};

enum service_flag {
	SERVICE_EMPTY_TO_KERNEL = 1,
	SERVICE_XDP = 2,	       /* every leg of its real servers transmits XDP frames */
	SERVICE_RETIRED = 4,	       /* out of the configuration, kept for its live connections */
	SERVICE_HASH_PORT = 8,	       /* BY_SOURCE: of address and port (LVS: sh-port) */
	SERVICE_HASH_FALLBACK = 16,    /* BY_SOURCE: further slots if this one's server takes none (LVS: sh-fallback) */
	SERVICE_ONE_PACKET = 32,       /* each UDP packet is scheduled by itself, and not remembered (LVS: ops) */
	SERVICE_EXPIRE_QUIESCENT = 64, /* a template of a server of weight 0 binds nobody */
	SERVICE_RELATED = 128,	       /* related = "address-pair" */
	SERVICE_EMPTY_BYPASS = 256,    /* when_empty = "bypass" */
};

enum ruleset_flag {
	RULESET_ADDRESSES = 1,	  /* there are services by address */
	RULESET_STRICT_TCP = 2,	  /* TCP without an entry is dropped, unless it opens a connection */
	RULESET_NO_REUSE = 4,	  /* a SYN begins nothing anew */
	RULESET_REUSE_FIN = 8,	  /* a SYN begins anew what is in FIN_WAIT */
	RULESET_EXPIRE_GONE = 16, /* a connection of a removed server ends at its next packet */
	RULESET_STRICT_SCTP = 32, /* SCTP without an entry is dropped, unless it opens an association */
	RULESET_DEATHS = 64,	  /* there are dead servers */
	RULESET_BYPASSES = 256,	  /* a service may leave connections to the kernel's routes */
	RULESET_RELATED = 128,	  /* a service is related = "address-pair": pairs of addresses are noted */
};

enum server_flag {
	SERVER_USABLE = 1,
	SERVER_RETIRED = 2,
	SERVER_DEAD = 4, /* its connections go the way of its service's on_death */
};

/* What a packet is of its datagram. */
enum fragment_kind { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

/* Which fragment a note is of, and so what it says. */
enum note_kind {
	NOTE_FIRST,  /* its first one: the key of its connection, and where it went */
	NOTE_EARLY,  /* a later one that came before: the real server that the first one is to be given */
	NOTE_ERROR,  /* the first one of an ICMP error, which has no connection of its own: where it went */
	NOTE_PASSED, /* its first one, which was left to the kernel: by a pass rule, or to bypass the firewalls */
};

/* What a service's on_death says of the connections of a dead server. */
enum on_death { DEATH_KEEP, DEATH_REBALANCE, DEATH_RESET, DEATH_DROP, DEATH_BYPASS };

/* In template.children: one of them was assured once (LVS: IP_VS_CTPL_S_ASSURED). */
enum template_flag { TEMPLATE_ASSURED = 0x40000000 };
