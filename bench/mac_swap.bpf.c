/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The least a program can do to send a frame back, and nothing at all: what lh_tc and lh_xdp are
 * measured beside. All are reached by a tail call from draw.bpf.c, as those are.
 */
#include "kernel.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool swap_macs(struct ethhdr *eth, const void *end)
{
	__u8 source[ETH_ALEN];

	if ((const void *)(eth + 1) > end)
		return 0;
	__builtin_memcpy(source, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, source, ETH_ALEN);
	return 1;
}

SEC("tc")
int mac_swap_tc(struct __sk_buff *skb)
{
	return swap_macs((void *)(long)skb->data, (void *)(long)skb->data_end) ? bpf_redirect(skb->ifindex, 0)
									       : TC_ACT_SHOT;
}

SEC("xdp.frags")
int mac_swap_xdp(struct xdp_md *ctx)
{
	return swap_macs((void *)(long)ctx->data, (void *)(long)ctx->data_end) ? XDP_TX : XDP_DROP;
}

SEC("tc")
int nothing_tc(struct __sk_buff *skb)
{
	return bpf_redirect(skb->ifindex, 0);
}

SEC("xdp.frags")
int nothing_xdp(__attribute__((unused)) struct xdp_md *ctx)
{
	return XDP_TX;
}
