/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs; the path of a packet is balance().
 *
 *   lh_tc, lh_xdp   one core, two entries: every packet of a leg
 *   lh_sweep        forgets what is due and counts what is left; run by the director
 *   lh_move         moves connections to the next table; run by the director
 *   lh_repair       mends live counters; run by the director
 *   lh_probe        sends a test frame out of an interface; run by the director before XDP may
 *   lh_xmit, lh_xdp_err   what became of redirected XDP frames, from the kernel's tracepoints
 */
#include "act.h"
#include "anchor.h"
#include "balance.h"
#include "migrate.h"
#include "take.h"
#include "transmit.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int lh_tc(struct __sk_buff *skb)
{
	struct packet *p = fresh_packet(ENTRY_TC);
	struct frame f = {};
	__u32 reason;

	if (!p)
		return TC_ACT_UNSPEC;
	take_skb(p, &f, skb);
	reason = balance(p, &f, skb->ifindex, skb, ENTRY_TC);
	if (taking_over && reason == LEFT_TO_FORMER)
		return TC_ACT_UNSPEC;
	if (dry_run) {
		note_outcome(p, reason);
		return TC_ACT_UNSPEC;
	}
	return act_on_skb(skb, p, &f, reason);
}

SEC("xdp.frags")
int lh_xdp(struct xdp_md *ctx)
{
	struct packet *p = fresh_packet(ENTRY_XDP);
	struct frame f = {};
	__u32 reason;

	if (!p)
		return XDP_PASS;
	f.eth = (void *)(long)ctx->data;
	f.end = (void *)(long)ctx->data_end;
	p->length = bpf_xdp_get_buff_len(ctx) - ETH_HLEN;
	/* A frame in several buffers may find an egress driver that takes only one: tc knows no such limit. */
	reason = p->length + ETH_HLEN > f.end - (void *)f.eth ? KERNEL_TC
							      : balance(p, &f, ctx->ingress_ifindex, ctx, ENTRY_XDP);
	/* What goes to the kernel meets the tc program first, which counts why. */
	if (reason > KERNEL_FIRST && reason < DROP_FIRST) {
		count(KERNEL_TC);
		return XDP_PASS;
	}
	return act_on_xdp(ctx, p, &f, reason);
}

SEC("syscall")
int lh_sweep(struct slice *slice)
{
	return sweep_slice(slice);
}

SEC("syscall")
int lh_move(struct slice *slice)
{
	return move_slice(slice);
}

SEC("syscall")
int lh_repair(struct repair *request)
{
	return repair_counters(request);
}

SEC("xdp")
int lh_probe(struct xdp_md *ctx)
{
	return send_probe(ctx);
}

SEC("tp_btf/xdp_devmap_xmit")
int lh_xmit(__u64 *ctx)
{
	return account_transmit((const struct net_device *)ctx[1], (int)ctx[2], (int)ctx[3]);
}

SEC("tp_btf/xdp_redirect_err")
int lh_xdp_err(__u64 *ctx)
{
	return account_error((const struct net_device *)ctx[0]);
}
