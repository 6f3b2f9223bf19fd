/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Turns the one packet that BPF_PROG_TEST_RUN repeats into a packet of another connection each
 * time, and hands it to the program under test by a tail call. Without it every run would meet the
 * packet as the run before left it, and the table's one hot entry.
 */
#include "kernel.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Connection i: client FIRST_CLIENT + i / PORTS, port FIRST_PORT + i % PORTS. Python has the same. */
#define FIRST_CLIENT 0x0b000000 /* 11.0.0.0 */
#define FIRST_PORT 1024
#define PORTS 16

struct draw {
	__u64 random; /* state of the generator */
	__u32 first;  /* connections first to first + count - 1 are drawn */
	__u32 count;
	__u32 in_order; /* 1: one after the other, beginning with `next` */
	__u32 next;
	__u32 response; /* 1: the client is the destination */
	__u8 macs[12];	/* destination and source, as in the frame */
	__u32 reserved;
};

/* 0 -> what to draw. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct draw);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} drawn SEC(".maps");

#define JUMP_MAP(map)                                                                                                  \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                                 \
		__type(key, __u32);                                                                                    \
		__type(value, __u32);                                                                                  \
		__uint(max_entries, 1);                                                                                \
	} map SEC(".maps")

/* 0 -> the program under test. One per kind: a program array holds programs of one type. */
JUMP_MAP(jump_tc);
JUMP_MAP(jump_xdp);

static long (*const bpf_tail_call)(void *ctx, void *map, __u32 index) = (void *)BPF_FUNC_tail_call;

/* Knuth's MMIX generator; the upper half is scaled to the range. One CPU at a time runs this. */
static __always_inline __u32 index_of_next(struct draw *draw)
{
	if (draw->in_order)
		return draw->next++;
	draw->random = draw->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return draw->first + (__u32)((draw->random >> 32) * draw->count >> 32);
}

static __always_inline void dress(void *data, const void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__be16 *ports = (void *)(ip + 1);
	__u32 zero = 0, index;
	struct draw *draw = bpf_map_lookup_elem(&drawn, &zero);

	if (!draw || (const void *)(ports + 2) > end)
		return;
	index = index_of_next(draw);
	__builtin_memcpy(eth, draw->macs, sizeof(draw->macs));
	if (draw->response) {
		ip->daddr = htonl(FIRST_CLIENT + index / PORTS);
		ports[1] = htons(FIRST_PORT + index % PORTS);
	} else {
		ip->saddr = htonl(FIRST_CLIENT + index / PORTS);
		ports[0] = htons(FIRST_PORT + index % PORTS);
	}
}

SEC("tc")
int draw_tc(struct __sk_buff *skb)
{
	dress((void *)(long)skb->data, (void *)(long)skb->data_end);
	bpf_tail_call(skb, &jump_tc, 0);
	return TC_ACT_SHOT;
}

SEC("xdp.frags")
int draw_xdp(struct xdp_md *ctx)
{
	dress((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	bpf_tail_call(ctx, &jump_xdp, 0);
	return XDP_ABORTED;
}
