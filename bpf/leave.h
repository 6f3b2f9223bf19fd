/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frame as it leaves: the MAC addresses of its way out, and the VLAN tags of the leg it leaves through. The priority of
 * the outer tag goes along. Nothing above layer 2 is written.
 */
#pragma once

#include "ethernet.h"
#include "leg.h"

static __always_inline void write_macs(struct ethhdr *eth, const struct way_out *out)
{
	*(__u32 *)eth->h_dest = (__u32)out->target;
	*(__u16 *)(eth->h_dest + 4) = (__u16)(out->target >> 32);
	*(__u32 *)eth->h_source = (__u32)out->mac;
	*(__u16 *)(eth->h_source + 4) = (__u16)(out->mac >> 32);
}

static __always_inline __u32 tags_of(const struct leg *leg)
{
	return leg->tags[1].protocol ? 2 : leg->tags[0].protocol ? 1 : 0;
}

/* What the outer tag has beside its VLAN: priority and drop eligibility. */
static __always_inline __u16 priority_of(const struct frame *f)
{
	return f->tags ? f->tci & ~TCI_VID : 0;
}

/* Whether a frame has the tags of the leg it leaves through already: the same VLANs, and no priority tag. */
static __always_inline bool has_tags_of(const struct frame *f, const struct leg *leg)
{
	return f->tags == tags_of(leg) && f->tag_protocol[0] == leg->tags[0].protocol &&
	       f->tag_protocol[1] == leg->tags[1].protocol && f->vid[0] == leg->tags[0].vid &&
	       f->vid[1] == leg->tags[1].vid;
}

/* Give a frame the tags of the leg it leaves through. False if that fails. */
static __noinline bool retag_skb(struct __sk_buff *skb, const struct frame *f, __u64 target)
{
	struct leg *leg = leg_by_id(target_leg(target));
	__u16 priority = priority_of(f);

	if (!leg)
		return 0;
	if (has_tags_of(f, leg))
		return 1;
	for (int i = 0; i < MAX_TAGS; i++)
		if (i < f->tags && bpf_skb_vlan_pop(skb))
			return 0;
	if (leg->tags[1].protocol && bpf_skb_vlan_push(skb, leg->tags[1].protocol, leg->tags[1].vid))
		return 0;
	return !leg->tags[0].protocol || !bpf_skb_vlan_push(skb, leg->tags[0].protocol, leg->tags[0].vid | priority);
}

/* Address a frame to its hop: the reason given, or DROP_TAG. */
static __always_inline __u32 readdress_skb(struct __sk_buff *skb, struct frame *f, const struct way_out *out,
					   __u32 reason)
{
	if (unlikely(f->tags || out->tags)) {
		if (!retag_skb(skb, f, out->target))
			return DROP_TAG;
		f->eth = (void *)(long)skb->data;
		f->end = (void *)(long)skb->data_end;
	}
	if ((void *)(f->eth + 1) > f->end)
		return DROP_TAG;
	write_macs(f->eth, out);
	return reason;
}

/* Make room for as many tags as the leg has, and write them. False if there is no room before the frame. */
static __noinline bool retag_xdp(struct xdp_md *ctx, const struct frame *f, __u64 target)
{
	struct leg *leg = leg_by_id(target_leg(target));
	__u16 priority = priority_of(f);
	struct vlan_header *tag;
	struct ethhdr *eth;
	__be16 *type;

	if (!leg)
		return 0;
	if (has_tags_of(f, leg))
		return 1;
	if (bpf_xdp_adjust_head(ctx, ((int)f->tags - (int)tags_of(leg)) * (int)sizeof(*tag)))
		return 0;
	eth = (void *)(long)ctx->data;
	type = (void *)eth + 2 * ETH_ALEN;
	/* The last type is the packet's, and where it was. */
	for (int i = 0; i < MAX_TAGS; i++) {
		if ((void *)(type + 3) > (void *)(long)ctx->data_end)
			return 0;
		if (!leg->tags[i].protocol)
			break;
		type[0] = leg->tags[i].protocol;
		type[1] = htons(leg->tags[i].vid | (i ? 0 : priority));
		type += 2;
	}
	return 1;
}

static __always_inline __u32 readdress_xdp(struct xdp_md *ctx, struct frame *f, const struct way_out *out, __u32 reason)
{
	if (unlikely(f->tags || out->tags)) {
		if (!retag_xdp(ctx, f, out->target))
			return DROP_TAG;
		f->eth = (void *)(long)ctx->data;
		f->end = (void *)(long)ctx->data_end;
	}
	if ((void *)(f->eth + 1) > f->end)
		return DROP_TAG;
	write_macs(f->eth, out);
	return reason;
}
