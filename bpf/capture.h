/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames of legs that are captured: copies with what was decided go to whoever reads the map captures. */
#pragma once

#include "bucket.h"
#include "extension.h"
#include "leg.h"

static __always_inline int capture(void *context, __u32 length, __u32 leg_id, __u32 reason, __u32 out, enum entry entry)
{
	struct captured *copy = bpf_ringbuf_reserve(&captures, sizeof(*copy), 0);
	__u32 snapped = length < SNAP_LENGTH ? length : SNAP_LENGTH;
	struct __sk_buff *skb = context;
	struct table *shared;

	if (!copy) {
		shared = the_table();
		if (shared)
			__sync_fetch_and_add(&shared->captures_lost, 1);
		return 0;
	}
	copy->when_ns = bpf_ktime_get_ns();
	copy->length = length;
	copy->reason = reason;
	copy->leg = leg_id;
	copy->out = out;
	copy->entry = entry;
	copy->tci = 0;
	copy->tag_protocol = 0;
	if (entry == ENTRY_TC) {
		copy->ifindex = skb->ifindex;
		if (skb->vlan_present) {
			copy->tci = skb->vlan_tci;
			copy->tag_protocol = skb->vlan_proto;
		}
	} else {
		copy->ifindex = ((struct xdp_md *)context)->ingress_ifindex;
	}
	copy->snapped = snapped;
	/* The verifier of 6.1 believes a mask that there is at least one byte, and no comparison. */
	snapped -= 1;
	OPAQUE(snapped);
	if (load(context, 0, copy->data, (snapped & (SNAP_LENGTH - 1)) + 1, entry)) {
		bpf_ringbuf_discard(copy, 0);
		return 0;
	}
	bpf_ringbuf_submit(copy, 0);
	return 0;
}

__noinline int capture_skb(struct __sk_buff *skb, __u32 leg_id, __u32 reason, __u32 out)
{
	return capture(skb, skb->len, leg_id, reason, out, ENTRY_TC);
}

__noinline int capture_xdp(struct xdp_md *context, __u32 leg_id, __u32 reason, __u32 out)
{
	return capture(context, bpf_xdp_get_buff_len(context), leg_id, reason, out, ENTRY_XDP);
}
