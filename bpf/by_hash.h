/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Schedulers that look up a table by a hash: rendezvous, sh, dh, mh. */
#pragma once

#include "candidate.h"

/* Hash of an unordered address pair: equal on every director, so it has no secret. */
static __always_inline __u32 pair_hash(const struct connection_key *key)
{
	const __u32 *low = (const __u32 *)key->low, *high = (const __u32 *)key->high;
	__u64 hash = 0;

	for (int i = 0; i < 4; i++) {
		hash = (hash ^ ntohl(low[i])) * 0x9e3779b97f4a7c15ULL;
		hash = (hash ^ (hash >> 32) ^ ntohl(high[i])) * 0xbf58476d1ce4e5b9ULL;
	}
	return (__u32)(hash >> 32);
}

static __always_inline __u32 choose_by_rendezvous(const struct packet *p, const struct service *service)
{
	__u32 index = p->half * MAX_SERVICES + p->choice.service;
	struct fallback *fallback = bpf_map_lookup_elem(&fallbacks, &index);
	__u32 slot = pair_hash(&p->key) % FALLBACK_SLOTS;

	OPAQUE(slot);
	if (!fallback || !service->fallback_count || slot >= FALLBACK_SLOTS)
		return SERVER_NONE;
	return fallback->server[slot];
}

struct rendezvous_scan {
	const struct fallback *fallback;
	__u32 slot;
	__u32 chosen;
};

static long try_next(__u32 i, struct rendezvous_scan *scan)
{
	__u32 slot = (scan->slot + i) % FALLBACK_SLOTS, id;

	OPAQUE(slot);
	if (slot >= FALLBACK_SLOTS)
		return 1;
	id = scan->fallback->server[slot];
	if (overloaded(id))
		return 0;
	scan->chosen = id;
	return 1;
}

/* The rendezvous choice for a new connection: the next slots' where that one takes none. */
static __noinline __u32 schedule_by_rendezvous(const struct packet *p, const struct service *service)
{
	__u32 chosen = choose_by_rendezvous(p, service), index = p->half * MAX_SERVICES + p->choice.service;
	struct rendezvous_scan scan = { .slot = pair_hash(&p->key) % FALLBACK_SLOTS, .chosen = SERVER_NONE };

	if (chosen == SERVER_NONE || likely(!overloaded(chosen)))
		return chosen;
	scan.fallback = bpf_map_lookup_elem(&fallbacks, &index);
	if (scan.fallback)
		bpf_loop(FALLBACK_SLOTS, try_next, &scan, 0);
	return scan.chosen;
}

#define HASH_SLOTS (1U << HASH_BITS)

/* include/linux/hash.h, hash_32(): of sh and dh in net/netfilter/ipvs. */
static __always_inline __u32 hash_slot(__u32 number)
{
	return number * 0x61c88647U >> (32 - HASH_BITS);
}

struct slot_scan {
	__u32 half;
	__u32 first;
	__u32 slot;
	__u32 chosen;
};

/* The first try is the slot itself; sh-fallback then adds to it the slot's own number, and one more each time. */
static long try_slot(__u32 i, struct slot_scan *scan)
{
	__u32 added = i ? (i - 1 + scan->slot) % HASH_SLOTS : 0;
	struct candidate candidate;

	if (!candidate_at(&candidate, scan->half, scan->first + (scan->slot + added) % HASH_SLOTS))
		return 0;
	scan->chosen = candidate.id;
	return 1;
}

/* sh, dh: the server in the slot of an address. net/netfilter/ipvs/ip_vs_sh.c, ip_vs_dh.c. */
static __noinline __u32 choose_by_hash(__u32 half, const struct service *service, __u32 hashed)
{
	struct slot_scan scan = {
		.half = half, .first = service->first_turn, .slot = hash_slot(hashed), .chosen = SERVER_NONE
	};

	if (service->turn_count == HASH_SLOTS)
		bpf_loop(service->flags & SERVICE_HASH_FALLBACK ? 1 + HASH_SLOTS : 1, try_slot, &scan, 0);
	return scan.chosen;
}

struct pair_scan {
	__u32 half;
	__u32 first;
	__u32 hash;
	__u32 slot;
	__u32 slots;
	__u32 chosen;
};

/* splitmix32's finaliser. */
static __always_inline __u32 mix(__u32 number)
{
	number = (number ^ (number >> 16)) * 0x85ebca6bU;
	number = (number ^ (number >> 13)) * 0xc2b2ae35U;
	return number ^ (number >> 16);
}

/* The first try is the hash's own slot; mh-fallback then hashes again, with the slot and one more each time. */
static long try_pair(__u32 i, struct pair_scan *scan)
{
	__u32 slot = i ? mix(scan->hash + (scan->slot + i - 1) % scan->slots) % scan->slots : scan->slot;
	struct candidate candidate;

	if (!candidate_at(&candidate, scan->half, scan->first + slot))
		return 0;
	scan->chosen = candidate.id;
	return 1;
}

/*
 * mh: Maglev hashing, net/netfilter/ipvs/ip_vs_mh.c; but of the unordered address pair over a table made from names, so
 * that two directors on either side of the firewalls choose the same.
 */
static __noinline __u32 choose_by_pair(__u32 half, const struct service *service, const struct connection_key *key)
{
	struct pair_scan scan = { .half = half, .first = service->first_turn, .chosen = SERVER_NONE };
	__u32 hash = pair_hash(key);

	scan.slots = service->turn_count;
	if (!scan.slots)
		return SERVER_NONE;
	if (service->flags & SERVICE_HASH_PORT)
		hash = mix(hash ^ ((__u32)ntohs(key->low_port) << 16 | ntohs(key->high_port)));
	scan.hash = hash;
	scan.slot = hash % scan.slots;
	bpf_loop(service->flags & SERVICE_HASH_FALLBACK ? 1 + scan.slots : 1, try_pair, &scan, 0);
	return scan.chosen;
}

/* The source port where the protocol has ports. */
static __always_inline __u32 port_of(const struct packet *p)
{
	bool has = p->ip_proto == IPPROTO_TCP || p->ip_proto == IPPROTO_UDP || p->ip_proto == IPPROTO_SCTP;

	return has ? ntohs(source_port_of(p)) : 0;
}

/* The number that LVS hashes of an address: of IPv6 its four words, folded (addr_fold in ip_vs_sh.c). */
static __always_inline __u32 folded(const __u8 *address)
{
	const __u32 *words = (const __u32 *)address;

	if (!(words[0] | words[1]) && words[2] == htonl(0xffff))
		return ntohl(words[3]);
	return ntohl(words[0] ^ words[1] ^ words[2] ^ words[3]);
}
