/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame as it comes: from a socket buffer. */
#pragma once

#include "ethernet.h"
#include "parse.h"

/*
 * The type of the first chunk of a GSO frame that is a list of packets. The chunk is in the list, the headers before it are
 * linear; the frame must not be pulled together, or the kernel could not cut it into its packets any more.
 */
static __noinline __u32 listed_chunk(struct __sk_buff *skb)
{
	__u8 version_and_length = 0, type = SCTP_DATA;
	__u32 offset;

	bpf_skb_load_bytes(skb, ETH_HLEN, &version_and_length, 1);
	offset = version_and_length >> 4 == 6 ? sizeof(struct ipv6hdr) : (version_and_length & 15) * 4;
	bpf_skb_load_bytes(skb, ETH_HLEN + offset + sizeof(struct sctphdr), &type, 1);
	return type;
}

/* What a socket buffer says of its frame. */
static __always_inline void take_skb(struct packet *p, struct frame *f, struct __sk_buff *skb)
{
	__u64 linear = (long)skb->data_end - (long)skb->data;

	/* If the rest of the headers cannot be had from the buffer's fragments, the frame counts as truncated. */
	if (linear < HEADERS_MAX && linear < skb->len) {
		if (unlikely(skb->gso_size == GSO_BY_FRAGS))
			p->signals = listed_chunk(skb);
		else
			bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
	}
	f->eth = (void *)(long)skb->data;
	f->end = (void *)(long)skb->data_end;
	p->length = skb->len - ETH_HLEN;
	p->segments = skb->gso_segs;
	p->segment_length = skb->gso_size;
	if (unlikely(skb->vlan_present)) {
		f->stripped = 1;
		note_tag(f, skb->vlan_proto, skb->vlan_tci);
	}
}
