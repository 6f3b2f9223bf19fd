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
#include "balance.h"
#include "capture.h"
#include "ip.h"
#include "leave.h"
#include "migrate.h"
#include "reset.h"
#include "too_big.h"
#include "transmit.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Enums that only code uses vanish from BTF; this keeps those that Python reads. */
const struct {
	enum limits limits;
	enum state state;
	enum direction direction;
	enum connection_flag connection_flag;
	enum table_id table_id;
	enum table_role table_role;
	enum resize_phase resize_phase;
	enum choice choice;
	enum leg_flag leg_flag;
	enum service_flag service_flag;
	enum ruleset_flag ruleset_flag;
	enum server_flag server_flag;
	enum hop_flag hop_flag;
	enum fragment_kind fragment_kind;
	enum chosen_by chosen_by;
	enum entry entry;
	enum on_death on_death;
	enum template_flag template_flag;
	enum rule_value rule_value;
	enum service_id service_id;
	enum server_id server_id;
	enum reason reason;
	struct slice slice;
	struct repair repair;
	struct table table;
	struct probe_frame probe_frame;
	struct captured captured;
} abi SEC(".rodata") = {};

/*
 * The type of the first chunk of a GSO frame that is a list of packets. The chunk is in the list, the headers before it are
 * linear; the frame must not be pulled together, or the kernel could not cut it into its packets any more.
 */
static __noinline __u32 listed_chunk(struct __sk_buff *skb)
{
	__u8 version_and_length = 0, type = SCTP_DATA;
	__u32 offset;

	bpf_skb_load_bytes(skb, ETH_HLEN, &version_and_length, 1);
	offset = version_and_length >> 4 == 6 ? sizeof(struct ipv6hdr) : (version_and_length & 15) * 4;
	bpf_skb_load_bytes(skb, ETH_HLEN + offset + sizeof(struct sctphdr), &type, 1);
	return type;
}

/* Answer a packet instead of forwarding it: the program's verdict. */
static __noinline int answer(struct __sk_buff *skb, struct packet *p, struct frame *f, __u32 reason)
{
	__u32 ifindex = skb->ifindex;

	reason = reason == FORWARDED_RESET ? answer_reset(skb, f, p, &ifindex) : answer_too_big(skb, f, p);
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
	if (unlikely(reason == FORWARDED_RESET || reason == FORWARDED_TOO_BIG))
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

SEC("tc")
int lh_tc(struct __sk_buff *skb)
{
	struct packet *p = fresh_packet(ENTRY_TC);
	struct frame f = {};
	__u32 reason;
	__u64 linear;

	if (!p)
		return TC_ACT_UNSPEC;
	linear = (long)skb->data_end - (long)skb->data;
	/* If the rest of the headers cannot be had from the buffer's fragments, the frame counts as truncated. */
	if (linear < HEADERS_MAX && linear < skb->len) {
		if (unlikely(skb->gso_size == GSO_BY_FRAGS))
			p->signals = listed_chunk(skb);
		else
			bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
	}
	f.eth = (void *)(long)skb->data;
	f.end = (void *)(long)skb->data_end;
	p->length = skb->len - ETH_HLEN;
	p->segments = skb->gso_segs;
	p->segment_length = skb->gso_size;
	if (unlikely(skb->vlan_present)) {
		f.stripped = 1;
		note_tag(&f, skb->vlan_tci);
	}
	reason = balance(p, &f, skb->ifindex, skb, ENTRY_TC);
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
