/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What follows from a decision about a frame: it is answered, or leaves, or goes to the kernel, or nowhere. */
#pragma once

#include "capture.h"
#include "probe.h"
#include "too_big.h"

/* Answer a packet instead of forwarding it: the program's verdict. */
static __noinline int answer(struct __sk_buff *skb, struct packet *p, struct frame *f, __u32 reason)
{
	__u32 ifindex = skb->ifindex;

	if (reason == FORWARDED_RESET)
		reason = answer_reset(skb, f, p, &ifindex);
	else
		reason = reason == FORWARDED_PROBE ? answer_probe(skb, f, p) : answer_too_big(skb, f, p);
	count(reason);
	if (reason < KERNEL_FIRST)
		return bpf_redirect(ifindex, 0);
	return reason < DROP_FIRST ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* What follows from a decision about a frame: the program's verdict. */
static __always_inline int act_on_skb(struct __sk_buff *skb, struct packet *p, struct frame *f, __u32 reason)
{
	if (unlikely(p->capture))
		capture_skb(skb, p->leg_id, reason, 0);
	if (unlikely(reason == FORWARDED_RESET || reason == FORWARDED_TOO_BIG || reason == FORWARDED_PROBE))
		return answer(skb, p, f, reason);
	if (likely(reason < KERNEL_FIRST))
		reason = readdress_skb(skb, f, &p->out, reason);
	count(reason);
	if (unlikely(p->out.capture && reason < KERNEL_FIRST))
		capture_skb(skb, target_leg(p->out.target), reason, 1);
	if (reason < KERNEL_FIRST)
		return bpf_redirect(p->out.ifindex, 0);
	return reason < DROP_FIRST ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static __always_inline int act_on_xdp(struct xdp_md *ctx, struct packet *p, struct frame *f, __u32 reason)
{
	if (unlikely(p->capture))
		capture_xdp(ctx, p->leg_id, reason, 0);
	if (likely(reason < KERNEL_FIRST))
		reason = readdress_xdp(ctx, f, &p->out, reason);
	count(reason);
	if (unlikely(p->out.capture && reason < KERNEL_FIRST))
		capture_xdp(ctx, target_leg(p->out.target), reason, 1);
	return reason < KERNEL_FIRST ? bpf_redirect(p->out.ifindex, 0) : XDP_DROP;
}
