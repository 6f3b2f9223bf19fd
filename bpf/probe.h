/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Path probes: UDP datagrams that a director sends through a real server to an address of the director behind it, which may
 * be itself. They are sent back here, to the MAC address they came from, so that they cross that real server again: the
 * machine's own stack would take them for its own, or route them elsewhere. Only who sent one knows what is in it.
 */
#pragma once

#include "answer.h"
#include "classify.h"

/* What a probe's payload begins with; a nonce of the sender's follows. */
#define PROBE_MAGIC_FIRST 0x6c617374 /* "last" */
#define PROBE_MAGIC_LAST 0x686f7050  /* "hopP" */

/* Not inlined: the programs' own stack is short. */
static __noinline bool for_this_machine(const struct packet *p)
{
	return is_local(destination_of(p));
}

/* Whether a packet has the port of probes and is for this machine; whether it is one is asked then. */
static __always_inline bool may_be_probe(const struct packet *p, __be16 port)
{
	return p->ip_proto == IPPROTO_UDP && port && (p->key.low_port == port || p->key.high_port == port) &&
	       !p->related && p->fragment == FRAGMENT_NONE && for_this_machine(p);
}

static __always_inline void tell_answer(struct __sk_buff *skb, const struct packet *p, __u32 offset)
{
	struct probe_answer answer = { .source_target = p->source_target };

	if (!dry_run && !bpf_skb_load_bytes(skb, offset, answer.nonce, sizeof(answer.nonce)))
		bpf_ringbuf_output(&answers, &answer, sizeof(answer), 0);
}

/*
 * What to do with a packet that may be a probe: 0 if it is none, or came from no real server. One that asks is sent back; one
 * that answers is told to the director, which knows whether it sent it.
 */
static __noinline __u32 probe_reason(struct __sk_buff *skb, const struct packet *p, const struct frame *f, __be16 port)
{
	__u32 magic[2] = {}, offset = ip_offset(f) + l3_length(p) + sizeof(struct udphdr);
	struct hop *source;

	if (bpf_skb_load_bytes(skb, offset, magic, sizeof(magic)) || magic[0] != htonl(PROBE_MAGIC_FIRST) ||
	    magic[1] != htonl(PROBE_MAGIC_LAST))
		return 0;
	source = hop_by_id(known_source_hop(p));
	if (!source || source->box == NO_BOX)
		return 0;
	if (source_port_of(p) == port) {
		tell_answer(skb, p, offset + sizeof(magic));
		return DROP_PROBE;
	}
	return FORWARDED_PROBE;
}

/* Swap two parts of a frame of `length` bytes each that stand one after the other. Sums over both do not change. */
static __always_inline long swap(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u8 both[32], turned[32];

	if (bpf_skb_load_bytes(skb, offset, both, 2 * length))
		return 1;
	__builtin_memcpy(turned, both + length, length);
	__builtin_memcpy(turned + length, both, length);
	return bpf_skb_store_bytes(skb, offset, turned, 2 * length, 0);
}

/* Turn a probe round: the reason that is counted. */
static __noinline __u32 answer_probe(struct __sk_buff *skb, const struct frame *f, const struct packet *p)
{
	__u32 offset = ip_offset(f);
	long failed;

	failed = p->family == 4 ? swap(skb, offset + __builtin_offsetof(struct iphdr, saddr), 4)
				: swap(skb, offset + __builtin_offsetof(struct ipv6hdr, saddr), 16);
	return failed || swap(skb, offset + l3_length(p), 2) || turn_macs(skb) ? DROP_PROBE : FORWARDED_PROBE;
}
