/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way to a hop, and why a packet cannot take it. */
#pragma once

#include "hop.h"

/*
 * A packet larger than the MTU of the leg it would leave by: its sender is told, or the kernel gets it, which can cut it into
 * fragments. The answer is another frame than came: tc can make it.
 */
static __always_inline __u32 too_big(struct packet *p, __u32 mtu)
{
	p->mtu = mtu;
	if (!p->whole)
		return KERNEL_TOO_BIG;
	return p->entry == ENTRY_XDP ? KERNEL_TC : FORWARDED_TOO_BIG;
}

/* Whether the frame can go to a hop: 0 and the way out, or the reason why not. */
static __always_inline __u32 way_to(struct packet *p, __u32 hop_id)
{
	struct hop *hop = hop_by_id(hop_id);
	struct leg *out;
	__u64 target;

	if (!hop)
		return DROP_NO_HOP;
	target = READ_ONCE(hop->target);
	out = leg_by_id(target_leg(target));
	if (!target || !out || !out->ifindex)
		return DROP_NO_HOP;
	if (!(out->flags & LEG_UP))
		return DROP_LEG_DOWN;
	if (p->entry == ENTRY_XDP && !(out->flags & LEG_XDP_TRANSMIT))
		return KERNEL_TC;
	if (target == p->source_target)
		return DROP_LOOP;
	if (unlikely(p->segment_length > out->mtu))
		return too_big(p, out->mtu);
	p->out.target = target;
	p->out.mac = (__u64)(*(const __u32 *)out->mac) | (__u64)(*(const __u16 *)(out->mac + 4)) << 32;
	p->out.ifindex = out->ifindex;
	p->out.hop = hop_id;
	p->out.tags = !!out->tags[0].protocol;
	p->out.capture = !!(out->flags & LEG_CAPTURE);
	return 0;
}
