/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments. Later ones have no ports: the note that the first one of their datagram made tells what their connection's key
 * lacks. A later one that came before any makes a note of the real server it was given, for the first one to follow.
 */
#pragma once

#include "hop.h"
#include "table.h"

#define FRAGMENT_NS 30000000000ULL

/* The datagram of a fragment, or of the fragment that an ICMP error quotes, as key of the map fragments. RFC 791, 8200. */
static __always_inline void datagram_key(struct connection_key *key, const struct packet *p)
{
	copy_address(key->low, p->key.low);
	copy_address(key->high, p->key.high);
	key->low_port = (__be16)p->datagram;
	key->high_port = (__be16)(p->datagram >> 16);
	key->zone = p->key.zone;
	key->ip_proto = p->family == 4 ? p->ip_proto : 0;
	key->reserved = 1 + (p->from_low ^ p->related);
}

static __always_inline struct fragment *note_of(const struct packet *p)
{
	struct connection_key key = {};
	struct fragment *note;

	datagram_key(&key, p);
	note = bpf_map_lookup_elem(&fragments, &key);
	return note && p->now_ns < note->seen_ns + FRAGMENT_NS ? note : NULL;
}

/* Complete the key of a later fragment by what the first one had. */
static __noinline int adopt_first(struct packet *p)
{
	const struct fragment *note = note_of(p);

	if (!note || !(note->low_port | note->high_port))
		return 0;
	p->key.low_port = note->low_port;
	p->key.high_port = note->high_port;
	p->key.ip_proto = note->ip_proto;
	return 0;
}

/* Note how a fragment went: for those that come after it. */
static __noinline int note_fragment(const struct packet *p)
{
	struct fragment fresh = { .seen_ns = p->now_ns,
				  .low_port = p->key.low_port,
				  .high_port = p->key.high_port,
				  .hop = p->out.hop,
				  .service = p->choice.service,
				  .server = p->choice.server,
				  .ip_proto = p->key.ip_proto };
	struct connection_key key = {};

	if (dry_run)
		return 0;
	datagram_key(&key, p);
	bpf_map_update_elem(&fragments, &key, &fresh, BPF_ANY);
	return 0;
}

/* The real server of a service that earlier fragments of a first one's datagram were given, or SERVER_NONE. */
static __noinline __u32 early_server(const struct packet *p)
{
	const struct fragment *note = note_of(p);

	return note && !(note->low_port | note->high_port) && note->service == p->choice.service ? note->server
												 : SERVER_NONE;
}
