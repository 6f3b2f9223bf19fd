/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which leg a frame came in on, and whether its destination MAC address is the director's. */
#pragma once

#include "count.h"
#include "packet.h"

static __always_inline struct leg *leg_by_id(__u32 id)
{
	return bpf_map_lookup_elem(&legs, &id);
}

/* The target word of a MAC address on a leg: see struct hop. */
static __always_inline __u64 target_word(__u32 leg_id, const __u8 *mac)
{
	return (__u64)(*(const __u32 *)mac) | (__u64)(*(const __u16 *)(mac + 4)) << 32 | (__u64)(leg_id + 1) << 48;
}

static __always_inline __u32 target_leg(__u64 target)
{
	return (__u32)(target >> 48) - 1;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u32 *)a == *(const __u32 *)b && *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

static __always_inline bool own_mac(__u32 leg_id, const struct leg *leg, const __u8 *mac)
{
	struct own_mac_key key = { .leg = leg_id };

	if (same_mac(leg->mac, mac))
		return 1;
	if (likely(!(leg->flags & LEG_MORE_MACS)))
		return 0;
	__builtin_memcpy(key.mac, mac, ETH_ALEN);
	return bpf_map_lookup_elem(&own_macs, &key) != NULL;
}

/* Id of the leg an interface is, or MAX_LEGS. */
static __always_inline __u32 leg_of_interface(__u32 ifindex)
{
	__u32 *id;

	if (likely(ifindex < SMALL_IFINDEX)) {
		id = bpf_map_lookup_elem(&leg_by_ifindex, &ifindex);
		return id && *id ? *id - 1 : MAX_LEGS;
	}
	id = bpf_map_lookup_elem(&leg_index, &ifindex);
	return id ? *id : MAX_LEGS;
}

/* Id of the leg a VLAN of an interface is, or MAX_LEGS. */
static __noinline __u32 leg_of_vlan(const struct frame *f, __u32 ifindex)
{
	struct vlan_leg key = { .ifindex = ifindex, .outer = f->vid[0], .inner = f->vid[1] };
	__u32 *id = bpf_map_lookup_elem(&vlan_legs, &key);

	return id ? *id : MAX_LEGS;
}

/* Find the leg and fill in leg, zone and where the frame came from. 0, or the reason for which the kernel gets it. */
static __always_inline __u32 find_leg(struct packet *p, const struct frame *f, __u32 ifindex)
{
	struct leg *leg;

	p->leg_id = likely(!f->vid[0]) ? leg_of_interface(ifindex) : leg_of_vlan(f, ifindex);
	leg = leg_by_id(p->leg_id);
	if (!leg)
		return f->vid[0] ? KERNEL_VLAN : KERNEL_NO_LEG;
	p->key.zone = leg->zone;
	p->capture = !!(leg->flags & LEG_CAPTURE);
	if (f->eth->h_dest[0] & 1)
		return KERNEL_MULTICAST;
	if (!own_mac(p->leg_id, leg, f->eth->h_dest))
		return KERNEL_FOREIGN_MAC;
	/* A frame from our own address is an echo of ours; a hop learned from it would be ourselves. */
	if (f->eth->h_source[0] & 1 || own_mac(p->leg_id, leg, f->eth->h_source))
		return KERNEL_OWN_SOURCE;
	p->source_target = target_word(p->leg_id, f->eth->h_source);
	return 0;
}
