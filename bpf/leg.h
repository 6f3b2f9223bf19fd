/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which leg a frame came in on, and whether its destination MAC address is the director's. */
#pragma once

#include "count.h"
#include "parse.h"

static __always_inline struct leg *leg_by_id(__u32 id)
{
	return bpf_map_lookup_elem(&legs, &id);
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u32 *)a == *(const __u32 *)b && *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

static __always_inline bool own_mac(const struct leg *leg, const __u8 *mac)
{
	struct own_mac_key key = { .ifindex = leg->ifindex };

	if (same_mac(leg->mac, mac))
		return 1;
	if (likely(!(leg->flags & LEG_MORE_MACS)))
		return 0;
	__builtin_memcpy(key.mac, mac, ETH_ALEN);
	return bpf_map_lookup_elem(&own_macs, &key) != NULL;
}

/* Find the leg and fill in leg id and zone. 0, or the reason for which the kernel gets the frame. */
static __always_inline __u32 find_leg(struct packet *p)
{
	__u32 *id = bpf_map_lookup_elem(&leg_index, &p->ifindex);
	struct leg *leg;

	if (!id)
		return KERNEL_NO_LEG;
	leg = leg_by_id(*id);
	if (!leg)
		return KERNEL_NO_LEG;
	p->leg_id = *id;
	p->key.zone = leg->zone;
	if (p->eth->h_dest[0] & 1)
		return KERNEL_MULTICAST;
	if (!own_mac(leg, p->eth->h_dest))
		return KERNEL_FOREIGN_MAC;
	/* A frame from our own address is an echo of ours; a hop learned from it would be ourselves. */
	if (p->eth->h_source[0] & 1 || own_mac(leg, p->eth->h_source))
		return KERNEL_OWN_SOURCE;
	return 0;
}
