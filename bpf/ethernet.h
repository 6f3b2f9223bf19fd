/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Ethernet header and its VLAN tags, IEEE 802.1Q: in the bytes, or taken out of them by the driver. */
#pragma once

#include "packet.h"

#define TCI_VID 0x0fff

struct vlan_header {
	__be16 tci;
	__be16 ethertype;
};

static __always_inline bool is_tag(__be16 ethertype)
{
	return ethertype == htons(ETH_P_8021Q) || ethertype == htons(ETH_P_8021AD);
}

static __always_inline void note_tag(struct frame *f, __be16 protocol, __u16 tci)
{
	if (!f->tags)
		f->tci = tci;
	f->tag_protocol[f->tags ? 1 : 0] = protocol;
	f->tags++;
	if (!(tci & TCI_VID))
		return;
	if (!f->vid[0])
		f->vid[0] = tci & TCI_VID;
	else
		f->vid[1] = tci & TCI_VID;
}

/* 0, or the reason for which the kernel gets the frame. What was stripped is noted already. */
static __always_inline __u32 parse_ethernet(struct frame *f)
{
	const struct vlan_header *tag = (const void *)(f->eth + 1);

	if ((const void *)(f->eth + 1) > f->end)
		return KERNEL_TRUNCATED;
	f->ethertype = f->eth->h_proto;
	f->ip = (void *)(f->eth + 1);
	for (int i = 0; i < MAX_TAGS && unlikely(is_tag(f->ethertype)); i++) {
		if ((const void *)(tag + 1) > f->end)
			return KERNEL_TRUNCATED;
		if (f->tags == MAX_TAGS)
			return KERNEL_VLAN;
		note_tag(f, f->ethertype, ntohs(tag->tci));
		f->ethertype = tag->ethertype;
		tag++;
		f->ip = (void *)tag;
	}
	return unlikely(is_tag(f->ethertype)) ? KERNEL_VLAN : 0;
}
