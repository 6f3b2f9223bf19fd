/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What became of frames that XDP redirected: the redirect itself reports success before the
 * frame is handed over, so losses show only at the kernel's tracepoints.
 */
#pragma once

#include "count.h"

/* Send a test frame out of the interface that it names. */
static __always_inline int send_probe(struct xdp_md *ctx)
{
	const struct probe_frame *frame = (void *)(long)ctx->data;

	if ((const void *)(frame + 1) > (const void *)(long)ctx->data_end)
		return XDP_DROP;
	return bpf_redirect(frame->ifindex, 0);
}

/* The few kernel fields needed; their offsets come from the running kernel's BTF. */
struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} __attribute__((preserve_access_index));

/* Tracepoints fire for every network namespace; interface numbers mean something in one. */
static __always_inline bool in_our_namespace(const struct net_device *device)
{
	__u32 zero = 0;
	struct live *state = bpf_map_lookup_elem(&live, &zero);

	return state && device->nd_net.net->ns.inum == state->netns;
}

static __always_inline int account_transmit(const struct net_device *to, int sent, int drops)
{
	struct xdp_sent fresh = {}, *totals;
	__u32 ifindex;

	if (!in_our_namespace(to))
		return 0;
	ifindex = to->ifindex;
	totals = bpf_map_lookup_elem(&xdp_sent, &ifindex);
	if (!totals) {
		bpf_map_update_elem(&xdp_sent, &ifindex, &fresh, BPF_NOEXIST);
		totals = bpf_map_lookup_elem(&xdp_sent, &ifindex);
	}
	if (!totals)
		return 0;
	__sync_fetch_and_add(&totals->sent, sent);
	__sync_fetch_and_add(&totals->lost, drops);
	if (drops > 0)
		count_by(EVENT_XDP_REDIRECT_ERROR, drops);
	return 0;
}

static __always_inline int account_error(const struct net_device *from)
{
	__u32 ifindex;

	if (!in_our_namespace(from))
		return 0;
	ifindex = from->ifindex;
	if (bpf_map_lookup_elem(&leg_index, &ifindex))
		count(EVENT_XDP_REDIRECT_ERROR);
	return 0;
}
