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

/*
 * Complete the key of a later fragment by what the first one had. False if its datagram is known to have no connection: what
 * has none known may be of a protocol without ports.
 */
static __noinline bool adopt_first(struct packet *p)
{
	const struct fragment *note = note_of(p);

	if (!note)
		return 1;
	if (note->kind != NOTE_FIRST)
		return p->related;
	p->key.low_port = note->low_port;
	p->key.high_port = note->high_port;
	p->key.ip_proto = note->ip_proto;
	return 1;
}

/* Note how a fragment went: for those that come after it. */
static __noinline int note_fragment(const struct packet *p, enum note_kind kind)
{
	struct fragment fresh = { .seen_ns = p->now_ns,
				  .low_port = p->key.low_port,
				  .high_port = p->key.high_port,
				  .hop = p->out.hop,
				  .service = p->choice.service,
				  .server = p->choice.server,
				  .ip_proto = p->key.ip_proto,
				  .kind = kind };
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

	return note && note->kind == NOTE_EARLY && note->service == p->choice.service ? note->server : SERVER_NONE;
}

/* The first fragment of an ICMP error: the key becomes its own datagram's again, and leads to no connection. */
static __always_inline void note_error_fragment(struct packet *p, const struct frame *f)
{
	const struct ipv6hdr *ip6 = f->ip;
	const struct iphdr *ip = f->ip;

	if (p->family == 4 && (const void *)(ip + 1) <= f->end) {
		set_addresses_v4(p, ip->saddr, ip->daddr);
		p->ip_proto = IPPROTO_ICMP;
	} else if (p->family == 6 && (const void *)(ip6 + 1) <= f->end) {
		set_addresses_v6(p, &ip6->saddr, &ip6->daddr);
	} else {
		return;
	}
	p->related = 0;
	p->datagram = p->own_datagram;
	p->choice.service = SERVICE_NONE;
	p->choice.server = SERVER_NONE;
	note_fragment(p, NOTE_ERROR);
}

/* Tell the fragments that follow how this one went. A later one that followed tells nothing new. */
static __always_inline void note_for_others(struct packet *p, const struct frame *f, __u32 reason)
{
	if (p->related) {
		if (p->first_of_error && reason < FORWARDED_FRAGMENT && !dry_run)
			note_error_fragment(p, f);
	} else if (p->fragment == FRAGMENT_FIRST && (reason == KERNEL_PASS_RULE || reason == KERNEL_BYPASS)) {
		note_fragment(p, NOTE_PASSED);
	} else if (p->fragment == FRAGMENT_FIRST && reason < FORWARDED_FRAGMENT) {
		note_fragment(p, NOTE_FIRST);
	} else if (p->fragment == FRAGMENT_LATER && reason < FORWARDED_FRAGMENT) {
		note_fragment(p, NOTE_EARLY);
		count(EVENT_FRAGMENT_EARLY);
	}
}
